"""Programs on a pseudo-terminal: what the backends of programs on a terminal share.

`terminal` is the screen and keyboard, `environment` what programs there are told of the world, `writer` writes to what
may be full, `typing` makes keys of answers, `hangup` finds and ends all that belong to a terminal, and `awaited_input`
tells whether a program waits for a person.
"""
