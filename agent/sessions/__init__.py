"""Sessions: those that this device hosts, each one a log with a program behind it and viewers before it (S1 to S15).

Five nouns: a `Session` is the state that follows from the events of a log. A `Decision` is what is to be logged, and
done after that. The `Journal` stores events, then applies and publishes them. A `Hosted` session is a journal with its
program. A `Viewer` is an attached channel with its place in the log.

Rules, in `rules/`: `state` decides and applies, with `requests`, `reply` and `lives` as its parts and `effects` as its
answers; `mapping` makes log entries of what a backend says, within `bounds`.

Services: `host` has all sessions: `creation` checks what is asked, `capacity` keeps a place, `directory` finds one,
`rows` changes what the store has of one, `restoring` reads logs back after a restart. `session` runs one: its `log`, of
which `pages` reads parts, its `viewers` and `attachments`, and its program (`runner`), whose words wait in `inbox`.
`adoption` follows sessions that backends find, `catalog` says what a session can be made of, and `store_watch` whether
anything can be stored.

Left to others: the disk (`ports.TranscriptStore`), the programs (`ports.Backend`), sessions of other devices
(`agent.links`), who may do what (`agent.trust`). Page: docs/design/sessions.md.
"""
