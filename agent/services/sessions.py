"""The sessions hosted here: create, find, prompt, attach, close; and all of them again after a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from agent.core.messages import Answered as AnsweredResult
from agent.core.messages import AnswerRequest, Attach, Attached, CreateSession, History, Page, Submit, Submitted
from agent.core.names import clean
from agent.core.records import TITLE_MAX, DeviceId, DeviceRef, Sender, SessionId, SessionRow
from agent.errors import (
    AgentError,
    Ambiguous,
    Busy,
    SessionEnded,
    SessionNotFound,
    TooLarge,
)
from agent.ports import BackendType, Channel, Clock, SessionMeta, TranscriptStore
from agent.services.asked import PROMPT_MAX, check_command, choose_backend
from agent.services.hosted import Hosted
from agent.services.journal import Journal
from agent.services.lasting import spawn, to_the_end

log = logging.getLogger(__name__)

SESSIONS_MAX = 256
"""Live sessions on one device."""
PREFIX_MIN = 4
"""Characters of an id that may stand for it."""

RowsChanged = Callable[[Iterable[SessionRow], Iterable[SessionId]], None]


class Sessions:
    """Every session of this device. `changed` is told each row that lists would show differently."""

    def __init__(
        self,
        *,
        own: DeviceRef,
        store: TranscriptStore,
        clock: Clock,
        backends: Mapping[str, BackendType],
        default_backend: str,
        name_of: Callable[[DeviceId], str],
        changed: RowsChanged,
        new_id: Callable[[], str],
    ) -> None:
        self._own, self._store, self._clock, self._backends = own, store, clock, backends
        self._default, self._name_of, self._changed, self._new_id = default_backend, name_of, changed, new_id
        self._hosted: dict[SessionId, Hosted] = {}
        self._closed: dict[SessionId, SessionMeta] = {}
        self._attached: dict[Channel, set[SessionId]] = {}
        self._watched: dict[Channel, set[SessionId]] = {}  # once attached over a channel that is still open
        self._group: asyncio.TaskGroup | None = None

    # --- life --------------------------------------------------------------------------------------------------------

    async def run(self, ready: Callable[[], None]) -> None:
        """Bring back what was there, call `ready`, serve until cancelled; then end every program."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for meta in await self._store.sessions():
                if meta.closed:
                    self._closed[meta.id] = meta
                else:
                    await self._restore(meta)
            ready()
            await asyncio.Event().wait()

    async def _restore(self, meta: SessionMeta) -> None:
        hosted = self._make(meta)
        try:
            await hosted.restore()
        except AgentError as exc:
            log.warning("a session could not be restored", extra={"session": meta.id, "error": str(exc)})
        except Exception:
            # One log that this version cannot read must not keep the others away.
            log.exception("a session could not be restored", extra={"session": meta.id})
        else:
            self._host(hosted)

    def _make(self, meta: SessionMeta) -> Hosted:
        journal = Journal(
            meta,
            own=self._own,
            store=self._store,
            clock=self._clock,
            name_of=self._name_of,
            changed=lambda row: self._changed((row,), ()),
        )
        return Hosted(journal, self._backends.get(meta.backend), self._running)

    @property
    def _running(self) -> asyncio.TaskGroup:
        assert self._group is not None, "sessions are hosted while run() runs"
        return self._group

    def _host(self, hosted: Hosted) -> None:
        session = hosted.journal.meta.id
        self._hosted[session] = hosted
        self._running.create_task(self._run(hosted), name=f"sessions.run-{session}")
        hosted.journal.notice()

    async def _run(self, hosted: Hosted) -> None:
        # A bug of ours must not take the other sessions along, nor leave one that takes prompts and does nothing.
        session = hosted.journal.meta.id
        try:
            await hosted.run()
        except* Exception:
            log.exception("a session broke", extra={"session": session})
        else:
            return
        try:
            await hosted.fail("the service has a bug; its log says more")
        except Exception:
            log.exception("a session cannot be ended until the service restarts", extra={"session": session})
            self._unlist(session)

    # --- requests ----------------------------------------------------------------------------------------------------

    async def create(self, asked: CreateSession, by: Sender) -> SessionId:
        """Start a session. Raises: BackendFailed, BadParams, Busy, TooLarge, StoreFull; nothing is left then (L6)."""
        if len(self._hosted) >= SESSIONS_MAX:
            raise Busy(f"{SESSIONS_MAX} sessions are open on {self._own.name}", hint="`agent close` some")
        name = asked.backend or self._default
        backend = choose_backend(name, self._backends, self._own.name)
        command = check_command(asked)
        meta = SessionMeta(
            id=SessionId(self._new_id()),
            epoch=self._new_id(),
            backend=name,
            created_at=self._clock.time(),
            title=clean(asked.title, TITLE_MAX),
            cwd=asked.cwd,
            command=asked.command if backend.takes_command else (),
        )
        hosted = self._make(meta)
        try:
            await to_the_end(self._running, self._store.put(meta), f"sessions.put-{meta.id}")
            self._host(hosted)
            await hosted.start()
            if command and not backend.takes_command:
                await hosted.submit(f"{meta.id}-command", command, by)
        except BaseException:
            # Also when the one who asked has left before the answer: nobody knows the id (L6).
            spawn(self._running, self._discard(hosted), f"sessions.discard-{meta.id}")
            raise
        return meta.id

    async def _discard(self, hosted: Hosted) -> None:
        try:
            if hosted.journal.meta.id in self._hosted:
                await self._close(hosted, "nobody waited for it")
            else:
                await self._store.put(hosted.journal.closed_meta())
        except AgentError as exc:
            log.warning("an orphan could not be closed", extra={"session": hosted.journal.meta.id, "error": str(exc)})
        except Exception:
            log.exception("an orphan could not be closed", extra={"session": hosted.journal.meta.id})
            hosted.end()
            self._unlist(hosted.journal.meta.id)

    async def submit(self, asked: Submit, sender: Sender) -> Submitted:
        """Accept a prompt. Raises: SessionNotFound, SessionEnded, Busy, TooLarge, StoreFull."""
        if len(asked.text) > PROMPT_MAX:
            raise TooLarge(f"a prompt of {len(asked.text):,} characters; {PROMPT_MAX:,} are allowed")
        hosted = self.get(asked.session_id)
        verdict = await hosted.submit(asked.prompt_id, asked.text, sender)
        return Submitted(
            turn=verdict.turn, status=verdict.status, position=verdict.position, session_id=hosted.journal.meta.id
        )

    async def answer(self, asked: AnswerRequest, by: Sender) -> AnsweredResult:
        """Answer a request (S9). Raises: SessionNotFound, RequestNotFound, Ambiguous, BadParams, StoreFull."""
        closed, first = await self.get(asked.session_id).answer(asked.request_id, asked.answer, by)
        if closed.status == "expired":
            return AnsweredResult(status="expired", request_id=closed.request_id)
        # The same device saying the same again is a retry over a new link, not a second opinion (L5).
        retried = closed.by == by and closed.answer in (asked.answer, "")
        return AnsweredResult(
            status="accepted" if first or retried else "already-answered", by=closed.by, request_id=closed.request_id
        )

    def attach(self, channel: Channel, device: DeviceId, asked: Attach) -> Attached:
        """Attach a channel; `catch_up` must follow once this is sent. Raises: SessionNotFound, SessionEnded."""
        hosted = self.get(asked.session_id)
        attached = hosted.journal.attach(channel, device, asked.after, asked.epoch, asked.viewers)
        for table in (self._attached, self._watched):
            table.setdefault(channel, set()).add(attached.session_id)
        channel.busy(attached=True)
        return attached

    async def catch_up(self, channel: Channel, session: SessionId) -> None:
        """Send an attached channel what it has missed, then everything as it comes."""
        if hosted := self._hosted.get(session):
            await hosted.journal.catch_up(channel)

    def detach(self, channel: Channel, selector: str, remaining: int = 0) -> None:
        """Let a channel go. Raises: SessionNotFound, SessionEnded."""
        hosted = self.get(selector)
        hosted.journal.detach(channel, remaining)
        if not remaining:
            self._forget(channel, hosted.journal.meta.id)

    def drop(self, channel: Channel) -> None:
        """A channel is gone: it watches nothing any more."""
        self._watched.pop(channel, None)
        for session in self._attached.pop(channel, set()):
            if hosted := self._hosted.get(session):
                hosted.journal.detach(channel)

    async def rename(self, selector: str, title: str) -> None:
        """Give a session another title. Raises: SessionNotFound, SessionEnded, StoreFull."""
        await self.get(selector).rename(clean(title, TITLE_MAX))

    def interrupt(self, selector: str) -> None:
        """Stop the running turn. Raises: SessionNotFound, SessionEnded."""
        self.get(selector).interrupt()

    async def close(self, selector: str, by: Sender) -> None:
        """End a session; its log stays. Raises: SessionNotFound, SessionEnded, StoreFull."""
        closing = self._close(self.get(selector), f"closed by {by.name}")
        await to_the_end(self._running, closing, "sessions.close")

    async def _close(self, hosted: Hosted, reason: str) -> None:
        await hosted.close(reason)
        meta = hosted.journal.closed_meta()
        await self._store.put(meta)
        self._closed[meta.id] = meta
        hosted.end()
        self._unlist(meta.id)

    def _unlist(self, session: SessionId) -> None:
        if self._hosted.pop(session, None):
            for channel in [channel for channel, sessions in self._attached.items() if session in sessions]:
                self._forget(channel, session)
            for watched in self._watched.values():
                watched.discard(session)
            self._changed((), (session,))

    async def history(self, asked: History) -> Page:
        """A page of a log, of a closed session too. Raises: SessionNotFound."""
        try:
            journal = self.get(asked.session_id).journal
        except SessionEnded:
            journal = self._make(self._closed[self._match(asked.session_id, self._closed)]).journal
            await journal.restore()
        return await journal.history(asked.before, asked.after, asked.limit)

    def watched_by(self, device: DeviceId) -> bool:
        """Whether another device has a session here attached, or had over its link one that still works (L4)."""
        for channel, sessions in self._watched.items():
            if channel.device == device:
                rows = (hosted.journal.row() for session in sessions if (hosted := self._hosted.get(session)))
                if channel in self._attached or any(row.status in {"working", "needs-input"} for row in rows):
                    return True
        return False

    # --- looking up --------------------------------------------------------------------------------------------------

    def rows(self) -> list[SessionRow]:
        """Every listed session."""
        return [hosted.journal.row() for hosted in self._hosted.values()]

    def get(self, selector: str) -> Hosted:
        """By id, unique prefix or exact title. Raises: SessionNotFound, SessionEnded (it was closed), Ambiguous."""
        if hosted := self._hosted.get(SessionId(selector)):
            return hosted
        titled = [hosted for hosted in self._hosted.values() if hosted.journal.session.title == selector]
        if len(titled) > 1:
            raise Ambiguous(f"{selector!r} is the title of {', '.join(each.journal.meta.id for each in titled)}")
        if titled:
            return titled[0]
        try:
            return self._hosted[self._match(selector, self._hosted)]
        except SessionNotFound:
            self._match(selector, self._closed)
            raise SessionEnded from None

    def _match(self, selector: str, among: Iterable[SessionId]) -> SessionId:
        found = [session for session in among if session.startswith(selector)] if len(selector) >= PREFIX_MIN else []
        if not found:
            raise SessionNotFound(f"no session {selector!r} on {self._own.name}")
        if len(found) > 1:
            raise Ambiguous(f"{selector!r} matches {', '.join(sorted(found))}")
        return found[0]

    def _forget(self, channel: Channel, session: SessionId) -> None:
        sessions = self._attached.get(channel, set())
        sessions.discard(session)
        if not sessions:
            self._attached.pop(channel, None)
            channel.busy(attached=False)
