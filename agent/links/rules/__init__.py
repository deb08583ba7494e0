"""The pure rules of links: which one stays, who is sent what, and what another device's words are worth (L2, L4, L10).

`agent.links` has the map.
"""
