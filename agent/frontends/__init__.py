"""What people use: the command line, editors, Hermes's terminal UI; each a client of the control socket."""
