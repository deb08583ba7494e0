"""What one session asks people: which questions are open, and how those before were closed (S9). Pure."""

from __future__ import annotations

from agent.errors import Ambiguous, RequestNotFound
from agent.protocol.events import RequestClosed, RequestOpen

CLOSED_MAX = 256
"""Closed requests that are remembered, so that who answers again hears who was first."""


class Requests:
    """The questions of one session, open and closed."""

    def __init__(self) -> None:
        self.open: dict[str, RequestOpen] = {}
        self._closed: dict[str, RequestClosed] = {}

    def find(self, request_id: str) -> RequestOpen | RequestClosed:
        """The request of that id, as it stands; without one, the only open one. Raises: RequestNotFound, Ambiguous."""
        if not request_id:
            if len(self.open) > 1:
                raise Ambiguous(f"several questions are open: {', '.join(self.open)}", hint="name the REQUEST")
            if not self.open:
                raise RequestNotFound("the session asks nothing at the moment")
            return next(iter(self.open.values()))
        found = self._closed.get(request_id) or self.open.get(request_id)
        if found is None:
            raise RequestNotFound(f"the session has no question {request_id}")
        return found

    def apply(self, entry: RequestOpen | RequestClosed) -> None:
        """Take an entry of the log."""
        if isinstance(entry, RequestOpen):
            self.open[entry.request_id] = entry
            self._closed.pop(entry.request_id, None)  # a program that was restarted counts from 1 again
            return
        self.open.pop(entry.request_id, None)
        self._closed[entry.request_id] = entry
        if len(self._closed) > CLOSED_MAX:
            del self._closed[next(iter(self._closed))]

    def expired(self) -> tuple[RequestClosed, ...]:
        """How all that are open are closed when nobody needs their answers any more."""
        return tuple(RequestClosed(turn=r.turn, request_id=r.request_id, status="expired") for r in self.open.values())
