"""The pure rules of a session: what its log says, what a request changes, and what is done then (S1, S3, S9, S10).

`agent.sessions` has the map.
"""
