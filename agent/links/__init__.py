"""Links: the one connection to each paired device, and all that is requested and followed over it (L1 to L10).

Five nouns: a `Link` is one connection, a `LinkSupervisor` dials, accepts and redials it, `Peers` are the links to all
paired devices. A `Relay` is one session of another device, attached once and fanned out to the clients here; the
`Proxy` has all relays.

Rules, in `rules/`: `policy` says which of two links stays and which are closed, `relay` which client gets which event,
`address_book` which address record counts, `peer_results` how results of another device are read.

Services: `peers`, `supervisor` and `link` as above; `session_feed` takes the sessions that a device sends; `patience`
repeats requests while a device is out of reach; `proxy` carries sessions, `terminals` and `terminal_relay` their
terminals; `survey` asks several devices the same at once; `addresses` spreads where devices can be dialled; `twins`
reports that one key is used by two machines.

Left to others: sockets and TLS (`ports.Dialer`, `ports.Channel`), the registry (`agent.presence` observes links), who
is paired (`agent.trust`), what clients may ask (`agent.gateway`). Page: docs/design/links.md.
"""
