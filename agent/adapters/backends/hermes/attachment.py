"""The hold that we have on one live session: its ids, and whether its events are ours to have."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from agent.adapters.backends.hermes import history, wire
from agent.adapters.backends.hermes.hub import Hub, HubMember
from agent.adapters.backends.hermes.inbox import EventInbox
from agent.adapters.backends.hermes.wire import LiveSession, Refusal, SessionSnapshot
from agent.errors import BackendFailed
from agent.ports import Described, Exchange, Start

TAKEN = "taken-"
"""Before a durable id in the lineage: that session was taken over from its window before."""


class Attachment:
    """The hold on one session; `live` lasts as long as the gateway keeps it in memory, `stored` for good.

    Only a conversation that is condensed gets another `stored`. `driven`: another window has its events, which is not
    to be changed unasked. `mine`: started here, or taken over. `found`: neither, and it is listed only while the
    gateway has it. `taken`: from its window, which may be open still.
    """

    def __init__(self, hub: Hub, start: Start, inbox: EventInbox, member: HubMember) -> None:
        """`member` is handed what happens in the session, and puts that into `inbox`."""
        self._hub = hub
        self._start = start
        self._inbox = inbox
        self._member = member
        self.live = self.stored = ""
        self.driven = False
        self.mine = not start.found
        self.found = start.found
        self.taken = any(key.startswith(TAKEN) for key in start.lineage)

    async def join(self, cwd: str, log: list[Exchange]) -> tuple[Described, SessionSnapshot | None]:
        """Create, resume or join the session; tell what it is, and how it stands if known. Raises: BackendFailed.

        `log` is what is known of it: of a session that a window has prompted since, that window has the events.
        """
        start, snapshot = self._start, None
        row = self._hub.row_of(start.lineage)
        if start.found and row is None:
            raise BackendFailed("it does not run any more")
        if row is not None:
            snapshot = await self._take_up(row, log)
        elif start.lineage:
            snapshot = await self.resume()
        else:
            asked: dict[str, Any] = {"cols": 100}
            if cwd:
                asked["cwd"] = cwd
            created = wire.read(await self.call("session.create", asked), SessionSnapshot)
            await self._claim(created)
            return self.ids(model=created.info.model if created.info is not None else None), None
        return self.ids(model=row.model if row is not None else None), snapshot

    async def _take_up(self, row: LiveSession, log: list[Exchange]) -> SessionSnapshot | None:
        self.live, self.stored = row.id, row.session_key or row.id
        self.mine = self.mine or self._hub.own is not None
        self.driven = not (self.mine or self._hub.newer)
        if self.mine and self._hub.shared:
            self.driven = history.goes_beyond(await self.turns(), log)
        if not self.found:
            self._hub.started.add(self.live)
        await self._hub.adopt(self.live, self._member)
        return None if self.driven else await self.activate()

    def ids(self, *, model: str | None = None) -> Described:
        """Describe the lineage of the session, its durable id last."""
        taken = (TAKEN + self.stored,) if self.taken else ()
        return Described(lineage=(self.live, *taken, self.stored), model=model or None, ours=self.taken)

    async def call(self, method: str, params: dict[str, Any]) -> Raw:
        """Send the gateway a request. Raises: Refusal, Unreached, BackendFailed."""
        with self._inbox.asking():
            return await self._hub.call(method, params)

    async def activate(self) -> SessionSnapshot:
        """Have the session's events from now on. Raises: Refusal, if it does not live any more; BackendFailed."""
        return wire.read(await self.call("session.activate", {"session_id": self.live}), SessionSnapshot)

    async def take_over(self) -> SessionSnapshot:
        """Have the events that another window had until now. Raises: Refusal, BackendFailed."""
        self.driven, self.mine = False, True
        self.taken, self.found = self.taken or self.found, False
        return await self.activate()

    async def resume(self) -> SessionSnapshot:
        """Bring a conversation back from where it is stored. Raises: BackendFailed."""
        stored = self.stored or self._start.lineage[-1]
        try:
            result = await self.call("session.resume", {"session_id": stored, "cols": 100})
        except Refusal as exc:
            if exc.error.code == wire.UNKNOWN_STORED:
                raise BackendFailed("Hermes does not have that conversation any more") from None
            raise
        snapshot = wire.read(result, SessionSnapshot)
        await self._claim(snapshot)
        return snapshot

    async def turns(self) -> list[history.PastTurn]:
        """The conversation's turns; reading them takes it from nobody. Raises: BackendFailed."""
        result = await self.call("session.history", {"session_id": self.live})
        return history.turns_of(wire.read(result, SessionSnapshot).messages)

    async def _claim(self, snapshot: SessionSnapshot) -> None:
        self._hub.drop(self.live, self._member)
        self.live, self.stored = snapshot.session_id, snapshot.stored or snapshot.session_id
        self.driven, self.mine = False, True
        if not self.found:
            self._hub.started.add(self.live)
        await self._hub.adopt(self.live, self._member)
