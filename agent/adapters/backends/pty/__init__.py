"""Programs on a pseudo-terminal: what the backends `shell` and `terminal` share.

`terminal` is the screen and keyboard, `feeder` writes to what may be full, `starting` prepares a program, `processes`
finds and ends all that belong to a terminal, and `waiting` tells whether a program waits for a person.
"""
