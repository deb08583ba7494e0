"""The pure rules of trust: how two devices pair, who is in the household, and what a device may do (T3, T4, T12).

`agent.trust` has the map.
"""
