"""The pure rules of presence: each fact is a call with the time, and gives the changes that follow (R11).

`agent.presence` has the map.
"""
