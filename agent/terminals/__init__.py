"""Terminals: the screens of programs in sessions hosted here, watched and typed on by several viewers at once.

Nouns: a `Terminal` (`agent.ports.terminal`) is a stream of bytes with a size, a viewer has its place in that stream and
says what it took, and `HostedTerminals` are all that somebody watches.

Service: `hosted` sends every viewer what it lacks, lets the program go as fast as the fastest viewer that may type, and
gives it the smallest size of all.

Left to others: the program and its output (`agent.adapters.backends.terminal`), terminals of other devices
(`agent.links.terminals`), what control sequences mean (`agent.protocol.terminal_modes`). Page: docs/design/terminal.md.
"""
