"""The `agent` command: one module a group of commands, each imported only to run it."""
