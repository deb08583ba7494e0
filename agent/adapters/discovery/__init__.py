"""Discovery: who announces itself on the networks of this machine, and this device announced. Keeps `ports.Discovery`.

Nouns: an instance is one announced service, a sighting what is told of it, an `Interface` a network of this machine.

`mdns` is the only importer of zeroconf, and says why others may not find this device. `instances` decides what of an
instance is told, how often and how much; `interfaces` says which networks there are, `own_addresses` which addresses,
`static` asks what the settings name.

Left to others: whether a record is believed (`agent.presence.verifier`). Page: docs/design/discovery.md.
"""
