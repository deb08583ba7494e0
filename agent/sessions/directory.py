"""The sessions of this device, live and closed, and how they are found."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.errors import SessionEnded
from agent.ports import SessionMeta
from agent.presence.rules.selectors import select
from agent.protocol.model import DeviceId, SessionId, SessionRow, Share
from agent.sessions.session import Hosted

Sees = Callable[[SessionId, Share], bool]
"""Whether a session, shared like that, is there for whoever asks."""


def sees_all(session: SessionId, share: Share) -> bool:  # noqa: ARG001 - the type above
    """The owner's view."""
    return True


class Directory:
    """`hosted` are listed; of the `closed` ones only the log is left."""

    def __init__(self, device: str) -> None:
        """`device`: the name of this one."""
        self.hosted: dict[SessionId, Hosted] = {}
        self.closed: dict[SessionId, SessionMeta] = {}
        self._device = device

    def rows(self, among: Iterable[SessionId] | None = None) -> list[SessionRow]:
        """Every listed session, or those `among` these."""
        wanted = self.hosted if among is None else among
        return [hosted.journal.row() for session in wanted if (hosted := self.hosted.get(session))]

    def get(self, selector: str) -> Hosted:
        """By id, unique prefix or exact title. Raises: SessionNotFound, SessionEnded (it was closed), Ambiguous."""
        hosted = self.hosted.get(SessionId(selector)) or self.hosted.get(self.find(selector).id)
        if hosted is None:
            raise SessionEnded
        return hosted

    def find(self, selector: str, sees: Sees = sees_all) -> SessionMeta:
        """What is known of a session, a closed one too. Those that one does not see are not there, in no error either.

        Raises: SessionNotFound, Ambiguous.
        """
        metas = {session: hosted.journal.meta for session, hosted in self.hosted.items()}
        live = {
            session: self.hosted[session].journal.session.title
            for session, meta in metas.items()
            if sees(session, meta.share)
        }
        closed = [session for session, meta in self.closed.items() if sees(session, meta.share)]
        found = select(selector, live, closed, self._device)
        return metas.get(found) or self.closed[found]

    def created_by(self, device: DeviceId) -> int:
        """How many live sessions a device has started here."""
        return sum(hosted.journal.meta.creator == device for hosted in self.hosted.values())

    def programs(self) -> dict[SessionId, tuple[int, ...]]:
        """The live sessions, each with the ids of the processes that it runs, as far as its backend tells."""
        return {session: hosted.program.processes() for session, hosted in self.hosted.items()}
