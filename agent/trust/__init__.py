"""Trust: who is let in, who says so, and what each device may do here (T1 to T12).

Five nouns: a `PairedDevice` is a device that this one trusts. A `Statement` is what one member signs about who is in
the household; the `Roster` is all of them, and `Standing` what follows. `Access` is what one device may do here.

Rules, in `rules/`: `code` and `handshake` are how two devices pair, `devices` the entry of one. `statement`,
`statement_checks`, `roster` and `standing` are the household, `keyring` its keys. `rights` decides on a request.
`page_login` says which browser may use the page.

Services: `devices` has those that are trusted at this moment, and notifies when that changes. `pairing` opens a
window or joins one. `household` stores statements and makes the trust store follow, `gossip` spreads them over links.
`access` stands before every request of another device, `audit` notes which device did what. `page_logins` lets
browsers in.

Left to others: keys and certificates as values (`agent.protocol.identity`), files (`ports.TrustStore`,
`ports.HouseholdStore`), TLS (`agent.adapters.net`), programs inside sessions (`agent.adapters.backends.process_owner`).
Pages: docs/design/trust.md, docs/design/access.md, docs/security.md.
"""
