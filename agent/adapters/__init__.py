"""Adapters: what the ports are made of, each with the libraries that it alone imports.

`discovery` is multicast DNS, `net` TLS and WebSockets, `storage` files and SQLite, `rendering` what a person sees of
texts, `backends` the programs behind sessions. An adapter knows `agent.ports`, `agent.protocol` and `agent.tasks`, and
no other adapter; only `agent.daemon` names adapters.
"""
