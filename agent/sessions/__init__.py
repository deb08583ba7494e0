"""The sessions that this device hosts: one log each, with a program behind it and viewers before it."""
