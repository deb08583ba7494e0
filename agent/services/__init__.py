"""What the gateway does, independent of sockets: presence, sessions, peers, pairing."""
