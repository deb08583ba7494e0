"""The pure rules of trust: statements, who is in, what a device may do."""
