"""A follower of one live session of a gateway: what happens in it, in order, and prompts for it."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque

from agent.adapters.backends.hermes import history, wire
from agent.adapters.backends.hermes.attachment import Attachment
from agent.adapters.backends.hermes.hub import Hub
from agent.adapters.backends.hermes.inbox import EventInbox
from agent.adapters.backends.hermes.listing import RowTracker, SessionGone
from agent.adapters.backends.hermes.mapping import TextPayload, payload
from agent.adapters.backends.hermes.questions import HermesQuestions
from agent.adapters.backends.hermes.redact import Redactor
from agent.adapters.backends.hermes.takeover import LEFT, Takeover
from agent.adapters.backends.hermes.turns import TurnTracker
from agent.adapters.backends.hermes.wire import (
    GatewayEvent,
    GatewayQuestion,
    LiveSession,
    MissedEvents,
    Refusal,
    SessionSnapshot,
    Unreached,
)
from agent.errors import BackendFailed
from agent.ports import BackendEvent, Emit, Exited, Finished, Start

HISTORY = 400_000
"""Characters of the log that are compared with what the gateway has."""


class SessionFollower:
    """Follows one session for the hub (`HubMember`), with one task that does everything in order.

    What comes meanwhile waits in the inbox. `prompt`: waits until the gateway is free for it. One that another window
    drives is read from time to time.
    """

    def __init__(self, hub: Hub, start: Start, emit: Emit, redactor: Redactor) -> None:
        """`emit` ends the task that calls it, once the session was closed."""
        self._hub = hub
        self._start = start
        self._emit = emit
        self.inbox, self.wake = EventInbox(), asyncio.Event()
        self.at = Attachment(hub, start, self.inbox, self)
        self.tracker = TurnTracker(
            self._emit, redactor, HermesQuestions(redactor, remote_secrets=hub.config.remote_secrets)
        )
        self.takeover = Takeover(secrets.token_hex(4))
        self.prompt: str | None = None
        self.later: deque[BackendEvent] = deque()  # to be told by the task
        self.over = False  # whether it has ended at the gateway
        self._snapshot: SessionSnapshot | None = None
        self._row: LiveSession | None = None
        self._looked = self._back = self._lost = False
        self._seq, self._epoch = 0, hub.epoch
        self._listing = RowTracker(
            hub,
            self.at,
            self.tracker,
            self.takeover,
            emit=self._emit,
            hydrate=self._hydrate,
            caught_up=self._caught_up,
        )
        self._doubtful = False  # whether it is not known if a prompt has arrived
        self._half = ""  # what was said of a reply when we came into it, until its next piece has come

    # --- hub.HubMember -----------------------------------------------------------------------------------------------

    async def heard(self, item: GatewayEvent | GatewayQuestion) -> None:
        """Take what happened in the session; wait while too much waits here."""
        await self.inbox.put(item)
        self.wake.set()

    def seen(self, row: LiveSession | None) -> None:
        """Note how the gateway lists the session now."""
        self._row, self._looked = row, True
        self.wake.set()

    def back(self) -> None:
        """Note that the connection to the gateway is a new one."""
        self._back, self._lost = True, False
        self.wake.set()

    def lost(self) -> None:
        """Note that there was no connection to the gateway for too long."""
        self._lost = True
        self.wake.set()

    async def join(self, cwd: str) -> None:
        """Create, resume or join the session, and tell its ids. Raises: BackendFailed."""
        if self._start.found or self._start.restored:
            self.tracker.log = history.logged(await self._start.history(HISTORY))
        told, self._snapshot = await self.at.join(cwd, self.tracker.log)
        self.tracker.model = told.model
        await self._emit(told)

    # --- the one task ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow the session of the gateway until it is over."""
        if self._snapshot is not None:
            await self._hydrate(self._snapshot)
        elif (row := self._hub.rows.get(self.at.live)) is not None:
            self.seen(row)  # one that another window drives is read at once: nobody should prompt it before
        self.wake.set()
        while not self.over:
            await self.wake.wait()
            self.wake.clear()
            try:
                await self._step()
            except SessionGone:
                self.over = True
                await self._emit(Exited(status="ended", reason="it was closed at the Hermes gateway"))
            except Unreached:
                continue  # `back` or `lost` comes
            except BackendFailed as exc:
                await self._fail(exc.in_full)

    async def _step(self) -> None:
        while self.inbox:
            await self._one(self.inbox.take())
        while self.later:
            await self._emit(self.later.popleft())
        if self._back:
            self._back = False
            await self._again()
        if self._lost:
            self._lost = False
            trouble = self._hub.trouble
            await self._fail(Unreached("the Hermes gateway is gone", hint=trouble.hint if trouble else None).in_full)
        if self._looked:
            self._looked = False
            await self._listing.look(self._row)
        if self.prompt is not None:
            await self._hand_over(self.prompt)

    async def _one(self, item: GatewayEvent | GatewayQuestion) -> None:
        tracker = self.tracker
        if isinstance(item, GatewayQuestion):
            asked = tracker.questions.question(item)
            if asked is None:
                await self._hub.respond(wire.no_handler(item.id))
            await tracker.tell(asked or [])
            return
        if item.seq is not None:
            if item.seq <= self._seq:
                return  # told twice: when it happened, and when it was asked for
            self._seq = item.seq
        if item.type.startswith("message.") and self._half and await self._in_half(item):
            return
        prompt = tracker.begun(item)
        if prompt is not None and tracker.turn is None:
            await tracker.begin(prompt or await self._asked_there(), muted=self.prompt is not None)
        told = tracker.questions.event(item)
        told = tracker.questions.ended(item) if told is None else told
        await (tracker.tell(told) if told is not None else tracker.happened(item))

    async def _in_half(self, item: GatewayEvent) -> bool:
        # Hermes 0.19 notes a piece, then looks whom to send it: who came in between is told it by both. Where the end
        # of the half reads like that piece, what there is a moment later says whether it was said once or twice.
        half, self._half = self._half, ""
        piece = _piece(item)
        if not piece or not half.endswith(piece):
            return False
        try:
            snapshot = await self.at.activate()
        except BackendFailed:
            return False
        now = _reply_of(snapshot)
        since = "".join(_piece(each) for each in self.inbox if isinstance(each, GatewayEvent))
        return bool(now) and _agree(half + since, now) and not _agree(half + piece + since, now)

    async def _asked_there(self) -> str:
        # Older gateways do not tell what was asked.
        try:
            turns = await self.at.turns()
        except BackendFailed:
            return ""
        return turns[-1].prompt if turns else ""

    async def _fail(self, why: str) -> None:
        self._doubtful = False
        if self.tracker.turn is not None:
            await self.tracker.finish("error", why)
        elif self.prompt is not None:
            self.prompt = None
            await self.tracker.tell(self.takeover.over())
            await self._emit(Finished(status="error", error=why))

    # --- prompts -----------------------------------------------------------------------------------------------------

    async def _hand_over(self, text: str) -> None:
        tracker, takeover = self.tracker, self.takeover
        left = self.at.driven and takeover.decided is False
        if takeover.stopped or left:
            error = "" if takeover.stopped else LEFT
            self.prompt = None
            await tracker.tell(takeover.over())
            await self._emit(Finished(status="interrupted", error=error))
            return
        if tracker.turn is not None:
            return  # until it is over
        if self.at.driven and takeover.decided is None:
            await tracker.tell(takeover.ask())
            return
        try:
            await self._hub.reached()
        except BackendFailed as exc:
            await self._fail(exc.in_full)
            return
        if self.at.driven:
            await self._take_over()
        if tracker.free:
            self.prompt = None
            await tracker.begin(text, ours=True)
            await self._submit(text)

    async def _take_over(self) -> None:
        snapshot = await self.at.take_over()
        await self.tracker.tell([*self.takeover.over(), *self.takeover.elsewhere(waits=False)])
        await self._emit(self.takeover.taken())
        await self._emit(self.at.ids())
        await self._hydrate(snapshot)

    async def _submit(self, text: str) -> None:
        self._doubtful = True
        try:
            await self.at.call("prompt.submit", {"session_id": self.at.live, "text": text})
        except Refusal as exc:
            self._doubtful, self.tracker.settled = False, True
            if exc.error.code != wire.UNKNOWN_SESSION:
                raise
            await self.at.resume()
            await self.at.call("prompt.submit", {"session_id": self.at.live, "text": text})
        self._doubtful = False

    # --- where it stands ---------------------------------------------------------------------------------------------

    async def _again(self) -> None:
        self._listing.anew()
        if self.at.driven or (self.at.found and self.at.live not in self._hub.rows):
            return
        try:
            snapshot = await self.at.activate()
        except Refusal:
            if self.at.found and self._hub.own is None:
                return  # it is gone: it is closed when the list is told
            await self.tracker.tell(self.tracker.questions.clear("Hermes was started again"))
            snapshot = await self.at.resume()
            self._seq = 0
            await self._emit(self.at.ids())
        else:
            if self._hub.newer and await self._missed():
                return
        await self._hydrate(snapshot)

    async def _missed(self) -> bool:
        # Newer gateways number events and keep the newest of them.
        asked = {"session_id": self.at.live, "last_seen": self._seq}
        missed = wire.read(await self.at.call("session.events.since", asked), MissedEvents)
        known, self._epoch = self._epoch == missed.epoch, missed.epoch
        if not known or missed.truncated:
            self._seq = missed.latest_seq
            return False
        for event in wire.events(missed, self.at.live):
            await self._one(event)
        await self._opened(missed.open_requests)
        return True

    async def _opened(self, opened: list[wire.OpenQuestion]) -> None:
        for each in opened:
            await self._one(GatewayQuestion(each.id, each.method, self.at.live, each.params))

    async def _hydrate(self, snapshot: SessionSnapshot) -> None:
        turns, running = history.turns_of(snapshot.messages), None
        if (inflight := snapshot.inflight) is not None:
            running = history.PastTurn(inflight.user or "", (inflight.assistant,) if inflight.assistant else ())
            if turns and turns[-1].prompt == running.prompt and not turns[-1].parts:
                turns.pop()
        await self._caught_up(turns, running, snapshot.running)
        self._half = (inflight.assistant or "") if inflight is not None else ""
        await self._opened(snapshot.open_requests)

    async def _caught_up(self, turns: list[history.PastTurn], running: history.PastTurn | None, working: bool) -> None:
        tracker, turn = self.tracker, self.tracker.turn
        known = await tracker.catch_up(turns, running, muted=self.prompt is not None, reading=self.at.driven)
        if running is None:
            tracker.settled = not working
        if not known and turn is not None:
            if self._doubtful and not turn.interrupting:
                tracker.turn, self.prompt = None, turn.text  # it never arrived
            else:
                await tracker.finish("error", "Hermes was stopped before it had answered")
        self._doubtful = False


def _piece(event: GatewayEvent) -> str:
    # Of a reply; empty, if it is another event.
    return payload(event.payload, TextPayload).text or "" if event.type == "message.delta" else ""


def _reply_of(snapshot: SessionSnapshot) -> str:
    if snapshot.inflight is not None:
        return snapshot.inflight.assistant or ""
    turns = history.turns_of(snapshot.messages)
    return turns[-1].reply if turns else ""  # it is over meanwhile


def _agree(one: str, other: str) -> bool:
    # Whether one of them begins with the other.
    return one.startswith(other) or other.startswith(one)
