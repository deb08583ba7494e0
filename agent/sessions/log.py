"""The log of one hosted session: stored, then applied, published and offered to whoever attaches (S2, S4, S5).

Beside it `StoredRows`: the rows of sessions in the store, replaced one after the other.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from agent.errors import (
    AgentError,
    BadFrame,
    BadParams,
    LogDamaged,
    SessionEnded,
    SessionNotFound,
    StateError,
    StoreFull,
)
from agent.ports import Channel, Clock, Described, Exchange, LogCut, SessionMeta, Tail, TranscriptStore
from agent.protocol.events import (
    DAMAGED,
    NAMES,
    STREAMED,
    Event,
    MessageComplete,
    Payload,
    RequestClosed,
    RequestOpen,
    SessionInfo,
    UserMessage,
    as_wanted,
    mended,
    payload_of,
)
from agent.protocol.messages import Attach, Attached, History, Page, Snapshot
from agent.protocol.model import DeviceId, DeviceRef, ParticipantRef, SessionId, SessionRow, Share, Status
from agent.protocol.names import clean
from agent.protocol.prompts import QueuedPrompt
from agent.protocol.snapshot import LogTail
from agent.protocol.times import rfc3339
from agent.sessions.pages import read_page
from agent.sessions.rules.bounds import ID, bounded_text
from agent.sessions.rules.state import SessionMachine
from agent.sessions.viewers import Viewers

log = logging.getLogger(__name__)

CATCH_UP = 100
"""Events read at once for a viewer that resumes."""
CATCH_UP_SIZE = 1_048_576
"""Bytes of payload that are read at once for a viewer that resumes."""
RESTORED = 500
"""Events of which the snapshot is made after a restart."""
RESTORED_SIZE = 2_097_152
"""Bytes of payload of those events, at most."""
SLICE = 500
"""Events that are read back in one go; then the rest of the service has its turn."""
RETRY_STORE = 1.0
"""Seconds between attempts to store output on a full disk. The backend waits; nothing is lost."""
LINEAGE_MAX = 16
"""Ids of a backend's own that are kept for one session."""
NOTICE_MAX = 500
"""Characters of a notice of a backend to the owner."""


def copy_of(refusal: StoreFull) -> StoreFull:
    """A copy of an earlier refusal, to be raised for another request."""
    return StoreFull(str(refusal), hint=refusal.hint)


class SessionLog:
    """State, stored events, snapshot and viewers of one session. The caller serialises all writes."""

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
        home: str,
        at_terminal: Callable[[], Sequence[DeviceId]],
    ) -> None:
        """`home`: the user's home folder, for which `~` stands where a working directory is shown; empty: none.

        `at_terminal`: the devices that watch the session's terminal, each as often as it does.
        """
        self.meta = meta
        self.state = SessionMachine(
            meta.id, epoch=meta.epoch, title=meta.title, derived_title=meta.derived_title, cwd=meta.cwd
        )
        self.state.updated_at = meta.created_at
        self.state.named = bool(meta.title) and not meta.found
        self.viewers = Viewers(meta.id, name_of)
        self.refusal: StoreFull | None = None  # why output of the backend waits to be stored
        self.unread = False  # whether its log is still to be read, after a restart
        self.damage = ""  # what part of the log cannot be read: nothing is added to it then
        self.own = own
        self._store = store
        self._clock = clock
        self._changed = changed
        self._new_epoch = new_epoch
        self._home = home
        self._at_terminal = at_terminal
        self._epoch = meta.epoch  # under which events are added
        self._tail = LogTail()
        self._published = 0  # number of the last event that was shown
        self._requests: dict[str, RequestOpen] = {}  # open requests as shown
        self._row: SessionRow | None = None

    # --- writing -----------------------------------------------------------------------------------------------------

    async def write(self, payloads: Sequence[Payload]) -> None:
        """Store entries, then apply and publish them (S2). Raises: StoreFull, LogDamaged; nothing has happened then."""
        if self.refusal is not None:
            raise copy_of(self.refusal)
        if payloads:
            if self.damage:
                raise LogDamaged(self.damage)
            events = self._numbered(payloads)
            await self._store.append(self.meta.id, events)
            for event in events:
                self.state.apply(event)
            self._publish(events)

    def apply(self, payloads: Sequence[Payload]) -> list[Event]:
        """Apply entries to the state before they are stored; `write_applied` must follow with the events returned."""
        if self.damage or not payloads:
            return []
        events = self._numbered(payloads)
        for event in events:
            self.state.apply(event)
        return events

    def _numbered(self, payloads: Sequence[Payload]) -> list[Event]:
        if self.state.epochs.current != self._epoch:  # the first entries since the log was read back (S15)
            payloads = (SessionInfo(epoch=self._epoch), *payloads)
        return self.state.number(payloads, self._clock.time())

    async def write_applied(self, events: Sequence[Event]) -> None:
        """Store applied events, then publish them; on a full disk try until there is room.

        Output of a backend has no requester who could be refused.
        """
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

        Of a damaged log the readable part is taken, and `damage` says what is wrong.
        """
        self._epoch = self._new_epoch()
        if self.meta.unreadable:
            self._note_damage("its row")
        try:
            await self._read_state()
        except StateError as exc:
            self._note_damage(str(exc))
        try:
            await self._read_tail()
        except StateError as exc:
            self._note_damage(str(exc))
        self.unread = False

    async def _read_state(self) -> None:
        state, began = self.state, 0
        for count, event in enumerate(await self._outline(), 1):
            self._apply_stored(event)
            if event.type == "message.start":
                began = event.seq
            if count % SLICE == 0:
                await self._clock.sleep(0.0)  # the service goes on meanwhile
        self._published = state.seq  # all that there is for certain, should the rest fail
        last = await self._store.last_seq(self.meta.id)
        if state.reply.open or state.unprompted.open:
            for event in await self._store.read(self.meta.id, began, last - began):
                if event.type == "message.delta":
                    self._apply_stored(event)  # of a reply that was cut short, whatever was logged between them
        state.seq = self._published = last

    async def _outline(self) -> Sequence[Event]:
        try:
            return await self._store.outline(self.meta.id)
        except LogCut as exc:
            self._note_damage(str(exc))
            return exc.events

    def _apply_stored(self, event: Event) -> None:
        try:
            self.state.apply(event)
        except (BadFrame, ValueError) as exc:
            self._note_damage(f"event {event.seq}: {exc}")

    async def _read_tail(self) -> None:
        newest = await self._store.read_before(self.meta.id, self._published + 1, RESTORED, RESTORED_SIZE)
        whole = list(mended(newest, newest[0].seq - 1 if newest else 0))
        if whole != newest:
            self._note_damage(DAMAGED)
        for event in whole:
            self._show(event)
        self._tail.truncated |= bool(newest) and newest[0].seq > 1

    def _note_damage(self, what: str) -> None:
        if not self.damage:
            self.damage = f"the log of session {self.meta.id} is damaged ({what})"
            log.warning("a log is damaged", extra={"session": self.meta.id, "error": what})

    def _publish(self, events: Sequence[Event]) -> None:
        for event in events:
            self._show(event)
        self._published = events[-1].seq
        self.viewers.publish(events)
        if any(event.type not in STREAMED for event in events):  # a stream changes nothing that a list shows
            self.publish_row()

    def show_rows(self, rows: Tail) -> None:
        """Show the rows of the running turn that may still change, if one runs; nothing of it is stored."""
        self.viewers.show_rows(self.state.running, rows, self._published)

    def _show(self, event: Event) -> None:
        self._tail.apply(event)
        match payload_of(event) if event.type.startswith("request.") else None:
            case RequestOpen() as request:
                self._requests[request.request_id] = request
            case RequestClosed() as closed:
                self._requests.pop(closed.request_id, None)
            case _:
                pass

    # --- reading -----------------------------------------------------------------------------------------------------

    def attach(self, channel: Channel, device: DeviceId, request: Attach) -> Attached:
        """Attach a channel. Send it the result, then `catch_up`: every later event comes once, in order (S4)."""
        epochs, after = self.state.epochs, request.after
        resumes = after is not None and after <= self._published and epochs.includes(request.epoch, after)
        self.viewers.join(channel, device, after if resumes and after is not None else self._published, request)
        self.publish_row()
        return Attached(
            session_id=self.meta.id,
            epoch=epochs.current,
            seq=self._published,
            snapshot=None if resumes else self._snapshot(colours=request.colours),
            resumed=resumes,
            participants=self.viewers.participants(),
            requests=tuple(self._requests.values()),
            options=self.state.options,
            commands=self.state.commands,
            queue=self.queue(),
        )

    async def catch_up(self, channel: Channel) -> None:
        """Send a freshly attached channel the events that it has missed, then make it live."""
        viewer = self.viewers.of(channel)
        while viewer is not None and viewer in self.viewers:
            if viewer.cursor >= self._published:
                self.viewers.goes_live(viewer)
                return
            missed = await self._store.read(self.meta.id, viewer.cursor, CATCH_UP, CATCH_UP_SIZE)
            for event in mended(missed, viewer.cursor):
                await channel.drained()  # a long way back must not fill the queue and cut the channel off
                if viewer not in self.viewers or event.seq > self._published:
                    break
                self.viewers.catch_up(viewer, event)

    def detach(self, channel: Channel, remaining: int = 0) -> None:
        """Detach a channel; the session runs on (S6)."""
        if self.viewers.leave(channel, remaining):
            self.publish_row()

    async def history(self, request: History) -> Page:
        """A page of the log, newest event last. Raises: StateError, if the log cannot be read."""
        return await read_page(self._store, self.meta, request, self._published, self.state.epochs.current)

    async def exchanges(self, characters: int) -> list[Exchange]:
        """The newest whole turns that fit so many characters, oldest first (`ports.History`)."""
        prompts: dict[int, str] = {}
        replies: dict[int, list[str]] = {}
        for event in await self._store.outline(self.meta.id):
            match payload_of(event) if event.type in {"message.user", "message.complete"} else None:
                case UserMessage() as message:
                    prompts[message.turn] = message.text
                case MessageComplete() as reply if reply.turn in prompts:
                    replies.setdefault(reply.turn, []).append(reply.text)
                case _:
                    pass
        newest: list[Exchange] = []
        for turn in reversed(replies):
            exchange = Exchange(prompts[turn], "".join(replies[turn]))
            characters -= len(exchange.prompt) + len(exchange.reply)
            if characters < 0:
                break
            newest.append(exchange)
        return newest[::-1]

    def queue(self) -> tuple[QueuedPrompt, ...]:
        """What waits, shortened, the prompt that runs next first."""
        return tuple(waiting.shortened() for waiting in self.state.queue)

    async def text_of(self, prompt_id: str) -> str:
        """The text of a prompt of the log; empty, if there is none of that id. Raises: StateError."""
        for event in await self._store.outline(self.meta.id):
            payload = payload_of(event) if event.type == NAMES[UserMessage] else None
            if isinstance(payload, UserMessage) and payload.prompt_id == prompt_id:
                return payload.text
        return ""

    def ended_meta(self) -> SessionMeta:
        """The row of a session that has ended, as another one is made of it. Raises: BadParams, if it lives."""
        if self.state.status.live:
            raise BadParams("that session has not ended", hint=f"`agent attach {self.meta.id}` shows it")
        return self.closed_meta()

    def closed_meta(self) -> SessionMeta:
        """The row to store for this session once it is closed."""
        state = self.state
        return msgspec.structs.replace(self.titled_meta(), closed=True, cwd=state.cwd, updated_at=state.updated_at)

    @property
    def retitled(self) -> bool:
        """Whether the session is called otherwise than the stored row says."""
        return self.titled_meta() != self.meta

    def titled_meta(self) -> SessionMeta:
        """The stored row with the titles that the session has now."""
        state = self.state
        return msgspec.structs.replace(self.meta, title=state.title, derived_title=state.derived_title.text)

    def publish_row(self) -> None:
        """Report the session's row to `changed`, if it differs from the last one reported."""
        row = self.row()
        if row != self._row:
            self._row = row
            self._changed(row)

    def row(self) -> SessionRow:
        """The row of the session, as lists show it now."""
        state = self.state
        return SessionRow(
            id=self.meta.id,
            title=state.called,
            untitled=not state.title,
            status=Status.STARTING if self.unread else Status.FAILED if self.damage else state.status,
            device=self.own,
            local=True,
            attachable=True,
            backend=self.meta.backend,
            model=state.model,
            program=state.program,
            screen=state.screen,
            created_at=rfc3339(self.meta.created_at),
            updated_at=rfc3339(state.updated_at),
            participants=self._watching(),
            queued=state.queued,
            cwd=state.cwd,
            short_cwd=shortened(state.cwd, self._home),
            question=state.question,
            lineage=self.meta.lineage,
            share=self.meta.share,
        )

    def _watching(self) -> tuple[ParticipantRef, ...]:
        # Whoever is at the terminal follows the log, too, as a rule (`agent attach --raw`): such a client counts once.
        followers = Counter({each.device: each.count for each in self.viewers.participants()})
        counts = followers | Counter(self._at_terminal())
        return tuple(ParticipantRef(device, count) for device, count in sorted(counts.items()))

    def _snapshot(self, *, colours: bool) -> Snapshot:
        shown = as_wanted(self._tail, colours=colours)
        return Snapshot(session=self.row(), events=shown, truncated=self._tail.truncated)


def shortened(path: str, home: str) -> str:
    """A path with `~` for the home folder, as a shell shows it."""
    if home and path == home:
        return "~"
    return f"~{path.removeprefix(home)}" if home and path.startswith(f"{home}/") else path


class StoredRows:
    """Changes rows of live sessions in the store, one at a time; each change is in force once it is stored."""

    def __init__(
        self, store: TranscriptStore, live: Callable[[SessionId], bool], notice: Callable[[str], None]
    ) -> None:
        """`live` says whether a session is live: the row of a closed one stays as it is. `notice` informs the owner."""
        self._store = store
        self._live = live
        self._notice = notice
        self._lock = asyncio.Lock()

    async def share(self, session_log: SessionLog, share: Share) -> None:
        """Store what other devices may do with a session. Raises: SessionEnded, StoreFull."""
        async with self._lock:
            await self._put(session_log, msgspec.structs.replace(session_log.meta, share=share))
        session_log.publish_row()

    async def share_closed(self, closed: dict[SessionId, SessionMeta], session: SessionId, share: Share) -> None:
        """Store what other devices may read of a session that was closed. Raises: SessionNotFound, StoreFull."""
        async with self._lock:
            if session not in closed:
                raise SessionNotFound(f"the transcript of {session} was deleted")
            row = msgspec.structs.replace(closed[session], share=share)
            await self._store.put(row)
            if session in closed:  # it may be deleted meanwhile
                closed[session] = row

    async def described(self, session_log: SessionLog, event: Described) -> None:
        """Take from a backend's description what is not logged: a notice to the owner, ids of its own."""
        if event.notice:
            self._notice(f"{clean(bounded_text(event.notice, NOTICE_MAX), NOTICE_MAX)}: {session_log.meta.id}")
        if event.lineage or event.ours:
            await self._lineage(session_log, event)

    async def _lineage(self, session_log: SessionLog, event: Described) -> None:
        # The backend's own ids (S11): without them the session is not found again after a restart.
        new = tuple(bounded_text(each, ID) for each in event.lineage)
        async with self._lock:
            meta = session_log.meta
            known = (*(each for each in meta.lineage if each not in new), *new)[-LINEAGE_MAX:]
            row = msgspec.structs.replace(meta, lineage=known, found=meta.found and not event.ours)
            if row == meta:
                return
            try:
                await self._put(session_log, row)
            except AgentError as exc:
                log.warning("a session's lineage is not kept", extra={"session": meta.id, "error": str(exc)})
        session_log.publish_row()

    async def titled(self, session_log: SessionLog) -> None:
        """Store a session's title in its row, too: after a restart the row is listed before the log is read."""
        async with self._lock:
            if session_log.retitled:
                with suppress(AgentError):  # the log has it
                    await self._put(session_log, session_log.titled_meta())

    async def close(self, session_log: SessionLog) -> SessionMeta:
        """Store the last row of a session and return it. Raises: StoreFull."""
        async with self._lock:
            meta = session_log.closed_meta()
            await self._store.put(meta)
            return meta

    async def _put(self, session_log: SessionLog, meta: SessionMeta) -> None:
        if not self._live(meta.id):
            raise SessionEnded
        await self._store.put(meta)
        session_log.meta = meta
