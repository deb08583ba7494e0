"""How gateways reach each other: TLS with pins, messages over a WebSocket, dialling."""
