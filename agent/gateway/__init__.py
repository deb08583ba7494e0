"""The doors: from a frame that arrived to the domain that answers it.

`server` has the control socket of this user and the LAN port, `page` the listener for browsers of this user;
`rendering` and `kept` answer what only those ask. `router` finds what answers a method by its row in
`protocol.methods`. `forwarder` says where a session is, once for each request, and has another device answer; `guard`
knows which clients are programs of a session (T9). Handlers, a module a domain: `presence`, `sessions`, `terminals`,
`transcripts`, `trust`; `routes` says what a handler is. What a device may do decides `trust.access`; what a request
does, the domains.
"""
