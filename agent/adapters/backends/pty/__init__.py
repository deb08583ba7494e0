"""Programs on a pseudo-terminal: what the backends `shell` and `terminal` share."""
