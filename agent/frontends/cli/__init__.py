"""The command line: one module a command or a family of them, each imported only to run it (`main` has the table).

Nouns: a `Printer` prints data on stdout and talk on stderr, `Exit` is how a command ends, `App` what each is given. An
`Outbox` is what a person typed until the session has it.

Commands: `up`, `peers`, `sessions`, `session_control` (new, close, rename, share), `backends`, `attach` (with
`attachment` and `picker`; `raw` for a terminal, `terminal_switch` to it and back), `prompt` (with `reply_printer`),
`withdraw` (and interrupt), `answer`, `options` (set), `log` (with `export`), `search` (search, forget), `trust` (pair,
join, unpair, devices), `audit`, `page`, `status`, `schema`, `demo`, and the starters of other front ends, `acp` and
`hermes`.

What they share: `streams`, `output`, `table` for lists, `watch` for those that stay, `patience`, `transcript`, `tail`
(its end), `activity`, `progress` (of the running turn) and `shown_options` for what a session says, `keyboard`,
`line_editor`, `screen`, `outbox`, `controls` and `raw_terminal` for what is typed, `complete` for the shell,
`duration`, `qr`, and `confusables` for names that look alike.

Options and help: `parameters` is what options take, `usage` what is said of wrong use, `examples` what every help has.
`welcome` is what `agent` alone says.

Left to others: the connection and a followed session (`agent.client`). A command must start fast: docs/performance.md
has its budget. Page: docs/commands.md.
"""
