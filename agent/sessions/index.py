"""The index of this device's sessions, live and closed: how one is found, and how many there may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from agent.errors import Busy, SessionEnded
from agent.ports import SessionMeta
from agent.presence.rules.selectors import OwnSession, find_own
from agent.protocol.model import DeviceId, DeviceRef, SessionId, SessionRow, Share
from agent.sessions.session import HostedSession

Sees = Callable[[SessionId, Share], bool]
"""Whether a session, shared like that, is there for whoever asks."""
SESSIONS_MAX = 256
"""Live sessions on one device."""
FROM_OTHER_MAX = 64
"""Live sessions that one other device has started here."""


def sees_all(session: SessionId, share: Share) -> bool:  # noqa: ARG001 - the type above
    """Whether the owner sees a session: always."""
    return True


class HostedIndex:
    """The sessions of this device by id: live ones (`hosted`), and `closed` ones, of which only the log is left."""

    def __init__(self, device: str) -> None:
        """`device` is the name of this one, for errors."""
        self.hosted: dict[SessionId, HostedSession] = {}
        self.closed: dict[SessionId, SessionMeta] = {}
        self._device = device

    def rows(self, among: Iterable[SessionId] | None = None) -> list[SessionRow]:
        """Rows of all listed sessions, or of those `among` these."""
        wanted = self.hosted if among is None else among
        return [hosted.log.row() for session in wanted if (hosted := self.hosted.get(session))]

    def get(self, selector: str) -> HostedSession:
        """The session with that id, unique prefix or title, unless it was closed.

        Raises: SessionNotFound, SessionEnded (it was closed), Ambiguous.
        """
        hosted = self.hosted.get(SessionId(selector)) or self.hosted.get(self.find(selector).id)
        if hosted is None:
            raise SessionEnded
        return hosted

    def find(self, selector: str, sees: Sees = sees_all) -> SessionMeta:
        """The stored row of a session, live or closed. A session that one does not see is in no error, either.

        Raises: SessionNotFound, Ambiguous.
        """
        exact = SessionId(selector)
        meta = self.hosted[exact].log.meta if exact in self.hosted else self.closed.get(exact)
        if meta is not None and sees(exact, meta.share):
            return meta
        known = {
            session: OwnSession(hosted.log.state.called, "live" if hosted.log.state.status.live else "ended")
            for session, hosted in self.hosted.items()
            if sees(session, hosted.log.meta.share)
        }
        for session, meta in self.closed.items():
            if sees(session, meta.share):
                known[session] = OwnSession(meta.title or meta.derived_title, "closed")
        found = find_own(selector, known, self._device)
        return self.hosted[found].log.meta if found in self.hosted else self.closed[found]

    def title_of(self, session: SessionId) -> str:
        """The title of a session, live or closed; empty, if it has none or is not known."""
        hosted = self.hosted.get(session)
        meta = self.closed.get(session)
        return hosted.log.state.title if hosted is not None else meta.title if meta is not None else ""

    def created_by(self, device: DeviceId) -> int:
        """How many live sessions a device has created here."""
        return sum(hosted.log.meta.creator == device for hosted in self.hosted.values())

    def programs(self) -> dict[SessionId, tuple[int, ...]]:
        """Ids of the processes of each live session, as far as its backend tells."""
        return {session: hosted.runner.processes() for session, hosted in self.hosted.items()}


class Capacity:
    """How many sessions this device, and each other device, may run here."""

    def __init__(self, own: DeviceRef, index: HostedIndex) -> None:
        self._own = own
        self._index = index
        self._reserved: Counter[DeviceId] = Counter()  # creators of sessions that are not listed yet

    @contextmanager
    def reserve(self, creator: DeviceId) -> Iterator[None]:
        """Reserve room for one session until it is listed or was not created, so that a burst finds no gap.

        Raises: Busy, if there are too many sessions in all, or of the creator.
        """
        reserved = self._reserved
        if len(self._index.hosted) + reserved.total() >= SESSIONS_MAX:
            raise Busy(
                f"{SESSIONS_MAX} sessions are open on {self._own.name}", hint="end some of them: `agent close SESSION`"
            )
        started = self._index.created_by(creator) + reserved[creator]
        if creator != self._own.id and started >= FROM_OTHER_MAX:
            raise Busy(
                f"{FROM_OTHER_MAX} sessions of this device are open there",
                hint="end some of them: `agent close SESSION`",
            )
        reserved[creator] += 1
        try:
            yield
        finally:
            reserved[creator] -= 1
            if not reserved[creator]:
                del reserved[creator]
