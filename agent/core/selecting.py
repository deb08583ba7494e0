"""Which of this device's own sessions a word names: an id, a unique prefix of one, or an exact title."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.core.records import SessionId
from agent.errors import Ambiguous, SessionNotFound

PREFIX_MIN = 4
"""Characters of an id that may stand for it."""


def select(selector: str, live: Mapping[SessionId, str], closed: Iterable[SessionId], device: str) -> SessionId:
    """A live session (id to title) before a closed one. Whoever may not see one leaves it out of both.

    Raises: SessionNotFound, naming the device; Ambiguous.
    """
    if (exact := SessionId(selector)) in live:
        return exact
    titled = [session for session, title in live.items() if title == selector]
    if len(titled) > 1:
        raise Ambiguous(f"{selector!r} is the title of {', '.join(sorted(titled))}")
    if titled:
        return titled[0]
    for among in (live, closed):
        found = [session for session in among if session.startswith(selector)] if len(selector) >= PREFIX_MIN else []
        if len(found) > 1:
            raise Ambiguous(f"{selector!r} matches {', '.join(sorted(found))}")
        if found:
            return found[0]
    raise SessionNotFound(f"no session {selector!r} on {device}")
