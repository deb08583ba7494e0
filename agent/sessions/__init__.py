"""Sessions: those that this device hosts, each one a log with a backend behind it and viewers before it (S1 to S15).

Five nouns: a `SessionMachine` is the state that follows from the events of a log. A `Decision` is what is to be logged,
and done after that. The `SessionLog` stores events, then applies and publishes them. A `HostedSession` is a log with
its backend. A `Viewer` is an attached channel with its place in the log.

Rules, in `rules/`: `state` decides and applies, with `reply`, `tools` and `epochs` as its parts and `effects` as its
answers; `answers` says who may answer a question; `mapping` makes log entries of backend events, within `bounds`, what
tools have `printed` among them.

Services: `host` has all sessions, and reads their logs back after a restart: `creation` checks a request, `index` finds
a session and counts them. `session` runs one: its `log` and its row in the store, of which `pages` reads parts, its
`viewers`, and its backend (`runner`), whose events wait in a queue. `adoption` follows sessions that backends find,
`archive` reads, searches and forgets transcripts, and has the sessions that are over. `catalog` says what a session can
be made of, and `store_watch` whether anything can be stored.

Left to others: the disk (`ports.TranscriptStore`), the programs (`ports.Backend`), sessions of other devices
(`agent.links`), who may do what (`agent.trust`). Page: docs/design/sessions.md.
"""
