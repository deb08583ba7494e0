"""`agent hermes`: Hermes's own terminal UI on the sessions of every device. See docs/hermes.md.

We are the gateway that the UI talks to, in the generation of hermes-agent 0.19: JSON-RPC 2.0 over a WebSocket of this
machine. Towards our service this is one more client of the control socket, so that it outlives restarts of it.
"""
