"""The pure rules of a session: what its log says, and what follows."""
