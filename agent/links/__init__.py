"""Links: the one connection to each paired device, and all that is asked and followed over it (L1 to L10).

Five nouns: a `Link` is one connection, its `Keeper` dials, accepts and redials it, `Peers` are the keepers of all
paired devices. A `Relay` is one session of another device, attached once and fanned out to the clients here; the
`Proxy` has all relays.

Rules, in `rules/`: `policy` says which of two links stays and which are closed, `relay` who is sent which event,
`address_book` which address record counts, `results` what another device's answer is worth.

Services: `peers`, `keeper` and `link` as above; `listing` takes what a device tells of its sessions; `patience` asks
again while a device is out of reach; `proxy` carries sessions, `terminals` and `terminal_relay` their terminals;
`addresses` tells and passes on where devices can be dialled; `twins` says that one key is used by two machines.

Left to others: sockets and TLS (`ports.Dialer`, `ports.Channel`), the registry (`agent.presence` is told), who is
paired (`agent.trust`), what clients may ask (`agent.gateway`). Page: docs/design/links.md.
"""
