"""The one rule of a log: each append continues the numbers of the last."""

from __future__ import annotations

from collections.abc import Sequence

from agent.protocol.events import Event
from agent.protocol.model import SessionId


def check_sequence(session: SessionId, last: int | None, events: Sequence[Event]) -> None:
    """Refuse events that do not continue a log whose newest number is `last` (None: no such session was put).

    Raises: ValueError. It is a bug of ours, never the doing of a user or a peer.
    """
    if last is None:
        raise ValueError(f"append to session {session}, which was never put")
    for expected, event in enumerate(events, last + 1):
        if event.seq != expected:
            raise ValueError(f"event {event.seq} of session {session} where {expected} was due")
