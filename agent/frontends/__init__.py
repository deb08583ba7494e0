"""Front ends: what people use. Each is a client of the control socket, and knows `agent.client` and the protocol only.

`cli` is the command line, `editors` the agent that editors talk to (`agent acp`), `hermes_ui` the gateway that Hermes's
terminal UI talks to (`agent hermes`). `page/` is no package: a browser runs it.
"""
