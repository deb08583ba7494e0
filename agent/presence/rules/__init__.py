"""The pure rules of presence: the registry, and what is believed of whom."""
