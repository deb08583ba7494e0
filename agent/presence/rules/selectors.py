"""Which of this device's own sessions a word names: an id, a unique prefix of one, or an exact title."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.errors import Ambiguous, SessionNotFound
from agent.protocol.model import SessionId

PREFIX_MIN = 4
"""Characters of an id that may stand for it."""


def select(selector: str, live: Mapping[SessionId, str], closed: Iterable[SessionId], device: str) -> SessionId:
    """A live session (id to title) before a closed one. Whoever may not see one leaves it out of both.

    Only a whole id is taken alone: a word that begins one id and is another one's title means neither, as everywhere
    (`lookup.find_session`). Raises: SessionNotFound, naming the device; Ambiguous.
    """
    past = list(closed)
    if (exact := SessionId(selector)) in live or exact in past:
        return exact
    titled = [session for session, title in live.items() if title == selector]
    found = sorted({*titled, *_beginning(selector, live)}) or sorted(_beginning(selector, past))
    if len(found) > 1:
        raise Ambiguous(f"{selector!r} matches {', '.join(found)}")
    if not found:
        raise SessionNotFound(f"no session {selector!r} on {device}")
    return found[0]


def _beginning(prefix: str, sessions: Iterable[SessionId]) -> list[SessionId]:
    return [session for session in sessions if session.startswith(prefix)] if len(prefix) >= PREFIX_MIN else []
