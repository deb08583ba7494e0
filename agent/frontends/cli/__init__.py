"""The `agent` command: one module a group of commands, each imported only to run it (`main` has the table).

Beside the commands: what is printed (`output`, `transcript`, `activity`, `shown_options`, `screen` around an input
line), what is typed (`keyboard`, `line_editor`, `raw_terminal`), what was not sent yet (`outbox`, `patience`), and what
commands share (`complete`, `duration`, `confusables`, `qr`). What is the same for every front end is in `client`.
"""
