"""What the list of a gateway tells of a session that its events do not: a new title, a turn that nobody told us of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agent.adapters.backends.hermes import history
from agent.adapters.backends.hermes.attachment import Attachment
from agent.adapters.backends.hermes.history import PastTurn
from agent.adapters.backends.hermes.hub import Hub
from agent.adapters.backends.hermes.takeover import BACK_NOTE, Takeover
from agent.adapters.backends.hermes.turns import TurnTracker
from agent.adapters.backends.hermes.wire import LiveSession, SessionSnapshot
from agent.ports import Described, Emit

SURE = 2
"""Looks at the list that must agree: what happens in between may not have been told yet."""


class SessionGone(Exception):
    """The session was closed at the gateway."""


class RowTracker:
    """Compares one session's row with what is known; one that another window drives is read when its row changes."""

    def __init__(
        self,
        hub: Hub,
        at: Attachment,
        tracker: TurnTracker,
        takeover: Takeover,
        *,
        emit: Emit,
        hydrate: Callable[[SessionSnapshot], Awaitable[None]],
        caught_up: Callable[[list[PastTurn], PastTurn | None, bool], Awaitable[None]],
    ) -> None:
        self._hub = hub
        self._at = at
        self._tracker = tracker
        self._takeover = takeover
        self._emit = emit
        self._hydrate = hydrate
        self._caught_up = caught_up
        self._unlisted = self._strange = 0
        self._title: str | None = None
        self._read: tuple[int, str] | None = None  # how it was listed when its conversation was read last
        self._turns = 0  # that it had when it was idle
        self._count = -1  # messages that it had when they were compared last

    def anew(self) -> None:
        """Forget how the session was listed before: the connection is a new one."""
        self._read = None
        self._strange = 0
        self._unlisted = 0

    async def look(self, row: LiveSession | None) -> None:
        """Take how the session is listed now; None: not at all. Raises: BackendFailed, SessionGone."""
        if row is None:
            self._not_listed()
            return
        self._unlisted = 0
        if row.session_key and row.session_key != self._at.stored:
            self._at.stored = row.session_key
            await self._emit(self._at.ids())
        if row.title and row.title != self._title:
            self._title = row.title
            await self._emit(Described(title=row.title))
        if self._at.driven:
            await self._read_there(row)
            return
        tracker, idle = self._tracker, row.status == "idle"
        if (turn := tracker.turn) is not None:
            turn.idle = turn.idle + 1 if idle else 0
            if turn.idle >= SURE:  # it ended and nobody told us, or told another window
                turns = await self._at.turns()
                await self._caught_up(turns, None, False)
        elif idle:
            tracker.settled, self._strange = True, 0
            await self._compare(row)
        elif row.status != "starting":
            self._strange += 1
            if self._strange >= (SURE if tracker.settled else 2 * SURE):
                await self._elsewhere(row)

    async def _compare(self, row: LiveSession) -> None:
        # A turn that was over before it was noticed: another window has prompted it, and has its events since.
        if self._count == row.message_count or self._hub.own is not None or self._hub.newer:
            return
        self._count = row.message_count
        if history.goes_beyond(await self._at.turns(), self._tracker.log):
            await self._elsewhere(row)

    async def _elsewhere(self, row: LiveSession) -> None:
        # It works, and nothing is heard of it: another window has prompted it.
        self._strange = 0
        if self._hub.own is not None or self._hub.newer:
            await self._hydrate(await self._at.activate())
            return
        self._at.driven, self._read = True, None
        self._turns = len(await self._at.turns()) - (row.status != "idle")
        await self._emit(Described(note=BACK_NOTE))
        await self._read_there(row)

    def _not_listed(self) -> None:
        self._unlisted += 1
        if self._unlisted < SURE or self._at.found:
            return  # the services close one that was found
        if self._at.driven:  # the other window was closed: the next prompt brings it back
            self._at.driven, self._at.live = False, ""
            return
        if self._at.live:
            raise SessionGone

    async def _read_there(self, row: LiveSession) -> None:
        idle, sign = row.status in {"idle", "starting"}, (row.message_count, row.status)
        await self._tracker.tell(self._takeover.elsewhere(waits=row.status == "waiting"))
        if idle and sign == self._read:
            return
        turns, running = await self._at.turns(), None
        if idle:
            self._turns = len(turns)
        elif turns and (len(turns) > self._turns if self._read else not turns[-1].reply):
            running = turns.pop()
        self._read = sign
        await self._caught_up(turns, running, not idle)
