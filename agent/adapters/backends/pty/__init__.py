"""Programs on a pseudo-terminal: what the backends `shell` and `terminal` share.

`terminal` is the screen and keyboard, `writer` writes to what may be full, `hangup` finds and ends all that belong to a
terminal, and `awaited_input` tells whether a program waits for a person.
"""
