"""`agent hermes`: Hermes's own terminal UI on the sessions of every device. See docs/hermes.md.

We are the gateway that the UI talks to, in the generation of hermes-agent 0.19: JSON-RPC 2.0 over a WebSocket of this
machine. Towards our service this is one more client of the control socket, so that it outlives restarts of it.

Nouns: the gateway (`ui_gateway`), the session that is shown (`ui_session`) and how the UI gets to another one
(`switcher`), a log's entries as events of Hermes's protocol (`event_mapping`, `activity`), the question that is shown
(`questions`), the connection (`connection`), the UI's program (`process`), what it lists and knows of a session
(`session_list`, `session_info`). The messages are in `incoming` and `outgoing`. What is the same for every front end is
in `client`.
"""
