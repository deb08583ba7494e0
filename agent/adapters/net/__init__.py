"""The network: TLS 1.3 with pins on both sides, and JSON-RPC over WebSockets. Keeps `ports.Channel` and `ports.Dialer`.

`accept` holds strangers off before TLS, `listener` looks up who is there, `tls` makes the contexts. `dial` tries all
addresses of a device, and says why none answered. `link` is a channel; `heartbeat` tells whether the other side
is there, `frames` and `passthrough` stop what aiohttp would swallow. `pairing` carries the messages of a pairing.
`others_limit` bounds what other users of the machine have at a port of the loopback.

Left to others: who is trusted (`agent.trust`), which link stays (`agent.links`). Pages: docs/design/links.md,
docs/design/trust.md.
"""
