"""What crosses the wire, and what a client needs to speak it.

Everything here is pure: no await, socket, file, clock, random or logging.
"""
