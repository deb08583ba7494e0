"""The protocol: what crosses the wire, and all that a client needs to speak it. Pure: no await, socket, file or clock.

Five nouns: a method has one row in `methods`, with its parameters and result, which are structs of `messages`. An
`Event` is one numbered entry of a session's log; `events` has the type of each payload. A `Codec` (in `codec`) makes
frames of messages and messages of frames, and an `End` (in `jsonrpc`) brings each answer to who waits for it.

`model` has the values that everybody passes on (ids, rows, records), `bounds` the limits of what arrives, `times` and
`names` how times and names are written, `characters` and `control_sequences` what must not be shown. `answers` checks
an answer against its question, `snapshot` shortens a log, `excerpts` a text, `colours` are those of programs,
`moving_rows` what may still change, `prompts` has those that wait for their turn, `turn_causes` says why a turn is no
success, `searching` says what of an event is searched and how a hit is shown, `transcripts` what is asked of sessions
that are over; `waiting` is a request for a device that is out of reach, `ratelimit` a budget. `terminal`,
`terminal_modes` and `terminal_queries` are the terminal on the wire; `terminal_lines` makes text of what a program
wrote on one, by the screen of `terminal_grid`, whose rows are in `terminal_cells`. `identity`, `household`, `guests`
and `addresses` are what gateways tell each other, `audit`, `page` and `backends` what else clients ask for. `lenient`
reads what programs of others write.

Left to others: sending (`agent.adapters.net`, `agent.client`), deciding (the `rules/` of each domain). Page:
docs/design/wire.md.
"""
