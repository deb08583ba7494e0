"""The log of one hosted session: stored, then applied, published and offered to whoever attaches (S2, S4, S5)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import msgspec

from agent.errors import BadFrame, LogDamaged, StateError, StoreFull
from agent.ports import Channel, Clock, Exchange, LogCut, SessionMeta, TranscriptStore
from agent.protocol.events import (
    DAMAGED,
    STREAMED,
    Event,
    MessageComplete,
    Payload,
    RequestClosed,
    RequestOpen,
    SessionInfo,
    UserMessage,
    mended,
    payload_of,
)
from agent.protocol.messages import Attached, History, Page, Snapshot
from agent.protocol.model import DeviceId, DeviceRef, ParticipantRef, SessionRow, Status
from agent.protocol.snapshot import Tail
from agent.protocol.times import rfc3339
from agent.sessions.pages import read_page
from agent.sessions.rules.state import Session
from agent.sessions.viewers import Viewers

log = logging.getLogger(__name__)

CATCH_UP = 100
"""Events read at once for a viewer that resumes."""
CATCH_UP_SIZE = 1_048_576
"""Bytes of payload of those, at most."""
RESTORED = 500
"""Events of which the snapshot is made after a restart."""
RESTORED_SIZE = 2_097_152
"""Bytes of payload of those, at most."""
SLICE = 500
"""Events that are read back in one go; then the rest of the service has its turn."""
RETRY_STORE = 1.0
"""Seconds between attempts to store output on a full disk. The program waits; nothing is lost."""


def again(refusal: StoreFull) -> StoreFull:
    """The same refusal, to be raised once more."""
    return StoreFull(str(refusal), hint=refusal.hint)


class Journal:
    """State, store, snapshot and viewers of one session. The caller serialises what writes."""

    def __init__(
        self,
        meta: SessionMeta,
        *,
        own: DeviceRef,
        store: TranscriptStore,
        clock: Clock,
        name_of: Callable[[DeviceId], str],
        changed: Callable[[SessionRow], None],
        new_epoch: Callable[[], str],
    ) -> None:
        self.meta = meta
        self.session = Session(meta.id, epoch=meta.epoch, title=meta.title, cwd=meta.cwd)
        self.session.updated_at = meta.created_at
        self.session.named = bool(meta.title) and not meta.found
        self.viewers = Viewers(meta.id, name_of)
        self.refusal: StoreFull | None = None  # why what the program said waits to be stored
        self.unread = False  # whether its log is still to be read, after a restart
        self.damage = ""  # what of its log cannot be read: nothing is added to it then
        self.own = own
        self._store = store
        self._clock = clock
        self._changed = changed
        self._new_epoch, self._life = new_epoch, meta.epoch  # the epoch under which events are added
        self._tail = Tail()
        self._published = 0  # number of the last event that was shown
        self._asked: dict[str, RequestOpen] = {}  # open requests as shown
        self._row: SessionRow | None = None

    # --- writing -----------------------------------------------------------------------------------------------------

    async def write(self, payloads: Sequence[Payload]) -> None:
        """Store, then apply and publish (S2). Raises: StoreFull, and then nothing has happened."""
        if self.refusal is not None:
            raise again(self.refusal)
        if payloads:
            if self.damage:
                raise LogDamaged(self.damage)
            events = self._numbered(payloads)
            await self._store.append(self.meta.id, events)
            for event in events:
                self.session.apply(event)
            self._publish(events)

    def apply(self, payloads: Sequence[Payload]) -> list[Event]:
        """Move the state before anything is stored; `write_applied` must follow with what this gave."""
        if self.damage or not payloads:
            return []
        events = self._numbered(payloads)
        for event in events:
            self.session.apply(event)
        return events

    def _numbered(self, payloads: Sequence[Payload]) -> list[Event]:
        if self.session.lives.epoch != self._life:  # the first ones since the log was read back (S15)
            payloads = (SessionInfo(epoch=self._life), *payloads)
        return self.session.number(payloads, self._clock.time())

    async def write_applied(self, events: Sequence[Event]) -> None:
        """Store, then publish; on a full disk try until there is room: output of a program has nobody to be refused."""
        while events:
            try:
                await self._store.append(self.meta.id, events)
            except StoreFull as exc:
                if self.refusal is None:
                    log.warning("transcripts cannot be written; a session waits", extra={"session": self.meta.id})
                self.refusal = exc
                await self._clock.sleep(RETRY_STORE)
            else:
                self.refusal = None
                self._publish(events)
                return

    async def restore(self) -> None:
        """Rebuild state and snapshot from the store, as after a restart of the service.

        Of a damaged log it takes what can be read, and `damage` tells what is wrong.
        """
        self._life = self._new_epoch()
        if self.meta.unreadable:
            self._is_damaged("its row")
        try:
            await self._read_state()
        except StateError as exc:
            self._is_damaged(str(exc))
        try:
            await self._read_tail()
        except StateError as exc:
            self._is_damaged(str(exc))
        self.unread = False

    async def _read_state(self) -> None:
        session, began = self.session, 0
        for count, event in enumerate(await self._outline(), 1):
            self._restored(event)
            if event.type == "message.start":
                began = event.seq
            if count % SLICE == 0:
                await self._clock.sleep(0.0)  # the service goes on meanwhile
        self._published = session.seq  # all that there is for certain, should the rest fail
        last = await self._store.last_seq(self.meta.id)
        if session.reply.open or session.unasked.open:
            for event in await self._store.read(self.meta.id, began, last - began):
                if event.type == "message.delta":
                    self._restored(event)  # of a reply that was cut short, whatever was logged between them
        session.seq = self._published = last

    async def _outline(self) -> Sequence[Event]:
        try:
            return await self._store.outline(self.meta.id)
        except LogCut as exc:
            self._is_damaged(str(exc))
            return exc.events

    def _restored(self, event: Event) -> None:
        try:
            self.session.apply(event)
        except (BadFrame, ValueError) as exc:
            self._is_damaged(f"event {event.seq}: {exc}")

    async def _read_tail(self) -> None:
        newest = await self._store.read_before(self.meta.id, self._published + 1, RESTORED, RESTORED_SIZE)
        whole = list(mended(newest, newest[0].seq - 1 if newest else 0))
        if whole != newest:
            self._is_damaged(DAMAGED)
        for event in whole:
            self._show(event)
        self._tail.truncated |= bool(newest) and newest[0].seq > 1

    def _is_damaged(self, what: str) -> None:
        if not self.damage:
            self.damage = f"the log of session {self.meta.id} is damaged ({what})"
            log.warning("a log is damaged", extra={"session": self.meta.id, "error": what})

    def _publish(self, events: Sequence[Event]) -> None:
        for event in events:
            self._show(event)
        self._published = events[-1].seq
        self.viewers.publish(events)
        if any(event.type not in STREAMED for event in events):  # a stream changes nothing that a list shows
            self.notice()

    def _show(self, event: Event) -> None:
        self._tail.apply(event)
        match payload_of(event) if event.type.startswith("request.") else None:
            case RequestOpen() as asked:
                self._asked[asked.request_id] = asked
            case RequestClosed() as closed:
                self._asked.pop(closed.request_id, None)
            case _:
                pass

    # --- reading -----------------------------------------------------------------------------------------------------

    def attach(self, channel: Channel, device: DeviceId, after: int | None, epoch: str, count: int) -> Attached:
        """Attach a channel. Send it this answer, then `catch_up`: what follows comes once, in order (S4)."""
        lives = self.session.lives
        resumes = after is not None and after <= self._published and lives.include(epoch, after)
        cursor = after if resumes and after is not None else self._published
        self.viewers.join(channel, device, cursor, count)
        self.notice()
        return Attached(
            session_id=self.meta.id,
            epoch=lives.epoch,
            seq=self._published,
            snapshot=None if resumes else self._snapshot(),
            resumed=resumes,
            participants=self.viewers.participants(),
            requests=tuple(self._asked.values()),
            options=self.session.options,
            commands=self.session.commands,
        )

    async def catch_up(self, channel: Channel) -> None:
        """Send a freshly attached channel what it has missed, then make it live. What is stored is what was shown."""
        viewer = self.viewers.of(channel)
        while viewer is not None and viewer in self.viewers:
            if viewer.cursor >= self._published:
                viewer.live = True
                return
            missed = await self._store.read(self.meta.id, viewer.cursor, CATCH_UP, CATCH_UP_SIZE)
            for event in mended(missed, viewer.cursor):
                await channel.drained()  # a long way back must not fill the queue and cut the channel off
                if viewer not in self.viewers or event.seq > self._published:
                    break
                self.viewers.catch_up(viewer, event)

    def detach(self, channel: Channel, remaining: int = 0) -> None:
        """Let a channel go; the session runs on (S6)."""
        if self.viewers.leave(channel, remaining):
            self.notice()

    async def history(self, asked: History) -> Page:
        """A page of the log, newest last. Raises: StateError, if it cannot be read."""
        return await read_page(self._store, self.meta, asked, self._published, self.session.lives.epoch)

    async def exchanges(self, characters: int) -> list[Exchange]:
        """The newest whole turns that fit so many characters, oldest first (`ports.History`)."""
        asked: dict[int, str] = {}
        replies: dict[int, list[str]] = {}
        for event in await self._store.outline(self.meta.id):
            match payload_of(event) if event.type in {"message.user", "message.complete"} else None:
                case UserMessage() as said:
                    asked[said.turn] = said.text
                case MessageComplete() as reply if reply.turn in asked:
                    replies.setdefault(reply.turn, []).append(reply.text)
                case _:
                    pass
        newest: list[Exchange] = []
        for turn in reversed(replies):
            exchange = Exchange(asked[turn], "".join(replies[turn]))
            characters -= len(exchange.prompt) + len(exchange.reply)
            if characters < 0:
                break
            newest.append(exchange)
        return newest[::-1]

    def closed_meta(self) -> SessionMeta:
        """The session's row for the store, once it is closed."""
        return msgspec.structs.replace(self.meta, closed=True, title=self.session.title, cwd=self.session.cwd)

    def notice(self) -> None:
        """Tell the change of the row, if it has changed."""
        row = self.row()
        if row != self._row:
            self._row = row
            self._changed(row)

    def row(self) -> SessionRow:
        """The session as lists show it."""
        session = self.session
        return SessionRow(
            id=self.meta.id,
            title=session.title,
            status=Status.STARTING if self.unread else Status.FAILED if self.damage else session.status,
            device=self.own,
            local=True,
            attachable=True,
            backend=self.meta.backend,
            model=session.model,
            created_at=rfc3339(self.meta.created_at),
            updated_at=rfc3339(session.updated_at),
            participants=tuple(ParticipantRef(p.device, p.count) for p in self.viewers.participants()),
            queued=session.queued,
            cwd=session.cwd,
            lineage=self.meta.lineage,
            share=self.meta.share,
        )

    def _snapshot(self) -> Snapshot:
        return Snapshot(session=self.row(), events=tuple(self._tail), truncated=self._tail.truncated)
