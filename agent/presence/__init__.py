"""Presence: who is on the network, what runs there, and what this device announces of itself (R1 to R14).

Five nouns: a `PresenceRecord` is what a device announces, a `RemoteDevice` all that is known of another one, its
`Liveness` whether it is there and how that is known. The `Registry` is the merged view of every device and session; a
`Subscription` is one reader of its changes.

Rules, in `rules/`: `registry` puts the others together, and returns `changes`. `remote_device` and `local_device` hold
what is known of a device, `liveness` what its silence means, `endpoints` where it can be dialled and whether several
hosts announce it. `sanitised_rows` cleans the session rows that a device sends, `claims` says whose a session is.
`selectors` finds a device or a session by what a person typed. `txt` and `seal` are a record as strings, signed and
sealed; `pacing` says when one may be published.

Services: `service` feeds the registry with what was heard, and publishes changes to `subscriptions`. `verifier` judges
a record before it counts, `announcer` publishes this device's own, `prober` asks devices by address, and `last_known`
keeps the sessions of other devices over a restart.

Left to others: packets (`ports.Discovery`), links and what comes over them (`agent.links`), who is trusted
(`agent.trust`), the sessions hosted here (`agent.sessions`). Pages: docs/design/registry.md, docs/design/discovery.md.
"""
