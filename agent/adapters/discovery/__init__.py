"""How devices are found: multicast DNS and addresses from the settings."""
