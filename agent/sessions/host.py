"""The sessions hosted here: create, find, prompt, attach, close; and all of them again after a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from functools import partial

import msgspec

from agent.errors import AgentError, SessionEnded, SessionNotFound, TooLarge
from agent.observers import Observers
from agent.ports import BackendType, Channel, Clock, SessionMeta, TranscriptStore
from agent.problems import Problems
from agent.protocol.audit import Action
from agent.protocol.messages import (
    Answered,
    AnswerRequest,
    Attach,
    Attached,
    CreateSession,
    Interrupt,
    Interrupted,
    SessionLost,
    SessionStalled,
    Submit,
    Submitted,
)
from agent.protocol.methods import SESSION_LOST, SESSION_STALLED
from agent.protocol.model import DeviceId, DeviceRef, Sender, SessionId, SessionRow, Share
from agent.protocol.names import clean_title
from agent.protocol.prompts import QueuedPrompt, Withdraw, Withdrawn
from agent.sessions.adoption import Adoption
from agent.sessions.archive import Archive, Retention
from agent.sessions.creation import PROMPT_MAX, Default, as_before, new_meta, prepared
from agent.sessions.index import Capacity, HostedIndex
from agent.sessions.log import SessionLog, StoredRows
from agent.sessions.rules.answers import answer_result
from agent.sessions.session import HostedSession
from agent.sessions.viewers import Attachments, Noted
from agent.tasks import child, failures, keep, spawn, to_the_end

log = logging.getLogger(__name__)

REST_AFTER = 1800.0
"""Seconds after which an idle program that comes back by itself is stopped."""
NOT_SHARED = "the session is not shared any more"
READ_AT_ONCE = 2
"""Logs that are read side by side: as many as the store reads."""


class Sessions:
    """All sessions that are hosted here: `run` them until cancelled; requests come in as method calls."""

    def __init__(
        self,
        *,
        own: DeviceRef,
        store: TranscriptStore,
        clock: Clock,
        backends: Mapping[str, BackendType],
        default: Default,
        name_of: Callable[[DeviceId], str],
        new_id: Callable[[], str],
        trusts: Callable[[DeviceId], bool],
        problems: Problems,
        retention: Retention,
        home: str = "",
    ) -> None:
        """`trusts`: whether another device's prompts may still run (`trust_changed` follows). `home`: the user's."""
        self._own = own
        self._store = store
        self._clock = clock
        self._backends = backends
        self._default = default
        self._name_of = name_of
        self._new_id = new_id
        self._trusts = trusts
        self._problems = problems
        self._home = home
        self.changed: Observers[[Iterable[SessionRow], Iterable[SessionId]]] = Observers()
        """Observers of changed session rows, and of the ids of sessions that are no longer listed."""
        self.noted: Observers[[Action, DeviceId, SessionId, int]] = Observers()
        """Observers of what devices do to sessions: action, device, session, characters of the text."""
        self.index = HostedIndex(own.name)
        self._hosted = self.index.hosted
        self._closed = self.index.closed
        self._log_reader = LogReader(self._host)
        self.prompting = Prompting(self.ready, self.noted.notify)
        self._capacity = Capacity(own, self.index)
        self._stalled = ""
        self._stored_rows = StoredRows(store, self._hosted.__contains__, problems.notice)
        self.attachments = Attachments(own.id, self.noted.notify, self._terminal_changed)
        self._adoption = Adoption(
            backends=backends,
            hosted=self._hosted,
            closed=self._closed,
            store=store,
            clock=clock,
            new_id=new_id,
            host=self._restore,
            close=self._close,
        )
        self.archive = Archive(
            own=own,
            index=self.index,
            store=store,
            clock=clock,
            retention=retention,
            ready=self._log_reader.wait,
            close=self._close,
            noted=self.noted.notify,
            finish=lambda work, name: to_the_end(self._running, work, name),
        )
        self._group: asyncio.TaskGroup | None = None

    # --- life --------------------------------------------------------------------------------------------------------

    async def run(self, ready: Callable[[], None]) -> None:
        """List what was there, call `ready`, read the logs, serve until cancelled; then end every program."""
        async with asyncio.TaskGroup() as group:
            self._drop_all()
            self._group = group
            await self._list()
            spawn(group, keep(self._log_reader.run, "sessions.restore", self._clock), "sessions.restore")
            ready()
            spawn(group, keep(self._adoption.run, "sessions.found", self._clock), "sessions.found")
            spawn(group, keep(self.archive.run, "sessions.archive", self._clock), "sessions.archive")
            while True:
                await self._clock.sleep(REST_AFTER / 4)
                for hosted in list(self._hosted.values()):
                    await hosted.rest(self._clock.time() - REST_AFTER)

    async def _list(self) -> None:
        # As far as the store knows without reading a log; newest first.
        active = await self._store.last_active()
        live: list[SessionMeta] = []
        for meta in await self._store.sessions():
            if meta.closed:
                self.archive.restore(meta, active.get(meta.id, meta.created_at))
            else:
                live.append(meta)
        for meta in sorted(live, key=lambda meta: active.get(meta.id, meta.created_at), reverse=True):
            hosted = self._hosted[meta.id] = self._make(meta)
            hosted.log.state.updated_at = active.get(meta.id, meta.created_at)
            self._log_reader.add(hosted)
        self.changed.notify(self.index.rows(), ())

    async def _restore(self, meta: SessionMeta) -> HostedSession:
        hosted = self._make(meta)
        await hosted.restore()
        self._host(hosted)
        return hosted

    def _drop_all(self) -> None:
        # What a run that failed has hosted ended with it: all are brought back from the store, viewers come back too.
        for session in list(self._hosted):
            for channel in self.attachments.of(session):
                channel.close("the sessions of this device are being restored")
            self._unlist(session)
        self._closed.clear()
        self._log_reader.forget()

    def _make(self, meta: SessionMeta) -> HostedSession:
        session_log = SessionLog(
            meta,
            own=self._own,
            store=self._store,
            clock=self._clock,
            name_of=self._name_of,
            changed=self._row_changed,
            new_epoch=self._new_id,
            home=self._home,
            at_terminal=partial(self.attachments.at_terminal, meta.id),
        )
        backend = self._backends.get(meta.backend)
        return HostedSession(session_log, backend, self._running, self._may_prompt, self._stored_rows.described)

    @property
    def _running(self) -> asyncio.TaskGroup:
        assert self._group is not None, "sessions are hosted while run() runs"
        return self._group

    def _row_changed(self, row: SessionRow) -> None:
        self.changed.notify((row,), ())
        hosted = self._hosted.get(row.id)
        if hosted is not None and hosted.log.retitled:
            spawn(self._running, self._stored_rows.titled(hosted.log), f"sessions.title-{row.id}")

    def _terminal_changed(self, session: SessionId) -> None:
        hosted = self._hosted.get(session)
        if hosted is not None:
            hosted.log.publish_row()

    def _host(self, hosted: HostedSession) -> None:
        session = hosted.log.meta.id
        self._hosted[session] = hosted
        if hosted.log.damage:
            self._problems.problem(f"log of {session}", hosted.log.damage)
        spawn(self._running, self._run(hosted), f"sessions.run-{session}")
        hosted.log.publish_row()

    async def _run(self, hosted: HostedSession) -> None:
        # A bug of ours must not take the other sessions along, nor leave one that takes prompts and does nothing.
        session = hosted.log.meta.id
        try:
            await hosted.run()
        except* Exception as exc:  # noqa: BLE001 - recorded
            failures().note(f"sessions.run-{session}", exc)
        else:
            return
        try:
            await hosted.fail("the service has a bug; its log says more")
        except Exception as exc:  # noqa: BLE001 - recorded; it cannot be ended until the service restarts
            failures().note(f"sessions.fail-{session}", exc)
            self._unlist(session)

    # --- requests ----------------------------------------------------------------------------------------------------

    async def create(self, request: CreateSession, by: Sender, before: SessionMeta | None = None) -> SessionId:
        """Start a session and return its id. If it fails nothing is left of it (L6).

        `before`: one that has ended, whose conversation an agent goes on with.
        Raises: BackendFailed, BadParams, Busy, TooLarge, StoreFull.
        """
        backend, request, command = prepared(request, self._backends, self._default, self._own.name)
        meta = new_meta(request, backend, by.device, self._new_id, now=self._clock.time(), before=before)
        hosted = self._make(meta)
        try:
            with self._capacity.reserve(by.device):
                await to_the_end(self._running, self._store.put(meta), f"sessions.put-{meta.id}")
                self._host(hosted)
            await hosted.start()
            if command and not backend.takes_command:
                await hosted.submit(f"{meta.id}-command", command, by)
        except BaseException:
            # Also when the requester has left before the answer: nobody knows the id (L6).
            spawn(self._running, self._discard(hosted), f"sessions.discard-{meta.id}")
            raise
        self.noted.notify("created", by.device, meta.id, len(command))
        return meta.id

    async def _discard(self, hosted: HostedSession) -> None:
        # Neither listed nor stored: there is nothing to read later in a session that nobody got.
        session = hosted.log.meta.id
        if session in self._hosted:
            await _tried(hosted.close("nobody waited for it"), "an orphan could not be closed", session)
        hosted.end()
        self._unlist(session)
        await _tried(self._store.remove(session), "an orphan could not be removed", session)

    async def answer(self, request: AnswerRequest, by: Sender) -> Answered:
        """Answer a request (S9). Raises: SessionNotFound, RequestNotFound, Ambiguous, BadParams, StoreFull."""
        hosted = await self.ready(request.session_id)
        closed, first = await hosted.answer(request.request_id, request.answer, by)
        if first:  # of a secret nothing is kept, not even its length
            length = len(closed.answer) if isinstance(closed.answer, str) else 0
            self.noted.notify("answered", by.device, hosted.log.meta.id, length)
        return answer_result(request, by, closed, first=first)

    async def attach(self, channel: Channel, device: DeviceId, request: Attach) -> Attached:
        """Attach a channel; `catch_up` must follow once this is sent. Raises: SessionNotFound, SessionEnded."""
        hosted = await self.ready(request.session_id)
        self.attachments.join(channel, device, hosted.log.meta.id)
        attached = hosted.log.attach(channel, device, request)
        return msgspec.structs.replace(attached, stalled=self._stalled)

    async def catch_up(self, channel: Channel, session: SessionId) -> None:
        """Send an attached channel the events that it has missed, then everything as it comes."""
        hosted = self._hosted.get(session)
        if hosted:
            await hosted.log.catch_up(channel)

    def detach(self, channel: Channel, selector: str, remaining: int = 0) -> None:
        """Detach a channel from a session, or set how many clients behind it remain.

        Raises: SessionNotFound, SessionEnded.
        """
        hosted = self.get(selector)
        hosted.log.detach(channel, remaining)
        if not remaining:
            self.attachments.leave(channel, hosted.log.meta.id)

    def drop(self, channel: Channel) -> None:
        """Detach a channel that is gone from every session."""
        for session in self.attachments.drop(channel):
            hosted = self._hosted.get(session)
            if hosted:
                hosted.log.detach(channel)

    def stalled(self, reason: str) -> None:
        """Tell viewers why nothing can be stored, so that no event comes; empty: it can be stored again."""
        self._stalled = reason
        for session, hosted in self._hosted.items():
            hosted.log.viewers.notify(SESSION_STALLED, SessionStalled(session_id=session, reason=reason))

    def _may_prompt(self, device: DeviceId) -> bool:
        return device == self._own.id or self._trusts(device)

    def trust_changed(self) -> None:
        """Drop waiting prompts of devices that are trusted no longer (T4)."""
        for session, hosted in self._hosted.items():
            work = _tried(hosted.trust_changed(), "prompts were not dropped", session)
            spawn(self._running, work, f"sessions.drop-{session}")

    async def rename(self, selector: str, title: str, by: Sender) -> None:
        """Give a session another title. Raises: SessionNotFound, SessionEnded, StoreFull."""
        hosted = await self.ready(selector)
        await hosted.rename(clean_title(title))
        self.noted.notify("renamed", by.device, hosted.log.meta.id, 0)

    async def configure(self, selector: str, option: str, value: str, by: Sender) -> None:
        """Set an option of a session. Raises: SessionNotFound, SessionEnded, BadParams, BackendFailed."""
        hosted = await self.ready(selector)
        await hosted.configure(option, value)
        self.noted.notify("configured", by.device, hosted.log.meta.id, 0)

    async def share(self, selector: str, share: Share, by: Sender) -> None:
        """Let other devices use a session, watch it, or not know of it; in force once it is stored.

        Other devices that watch a session which becomes private get `session.lost`: it no longer exists for them.
        Of one that was closed it counts for the transcript. Raises: SessionNotFound, SessionEnded (it closes just now),
        Ambiguous, StoreFull.
        """
        session = self.index.find(selector).id
        hosted = self._hosted.get(session)
        rows = self._stored_rows
        work = rows.share_closed(self._closed, session, share) if hosted is None else rows.share(hosted.log, share)
        await to_the_end(self._running, work, "sessions.share")
        self.noted.notify("shared", by.device, session, 0)
        if hosted is not None and share == "private":
            self._let_go_of_others(hosted)

    def _let_go_of_others(self, hosted: HostedSession) -> None:
        # Terminals look at rights themselves (`HostedTerminals.rights_changed`).
        session = hosted.log.meta.id
        for channel in self.attachments.of(session):
            if channel.device is not None:
                hosted.log.detach(channel)
                self.attachments.leave(channel, session)
                lost = SessionLost(session_id=session, reason=NOT_SHARED, kind=SessionNotFound.kind)
                channel.notify(SESSION_LOST, lost)

    async def close(self, selector: str, by: Sender) -> None:
        """End a session; its log stays. Raises: SessionNotFound, SessionEnded, StoreFull."""
        hosted = await self.ready(selector)
        await to_the_end(self._running, self._close(hosted, f"closed by {by.name}"), "sessions.close")
        self.noted.notify("closed", by.device, hosted.log.meta.id, 0)

    async def _close(self, hosted: HostedSession, reason: str) -> None:
        await hosted.close(reason)
        meta = await self._stored_rows.close(hosted.log)
        self._closed[meta.id] = meta
        hosted.end()
        self._unlist(meta.id)

    def _unlist(self, session: SessionId) -> None:
        if self._hosted.pop(session, None):
            self._problems.problem(f"log of {session}", "")
            self.attachments.forget(session)
            self.changed.notify((), (session,))

    def get(self, selector: str) -> HostedSession:
        """By id, unique prefix or title. Raises: SessionNotFound, SessionEnded (it was closed), Ambiguous."""
        return self.index.get(selector)

    async def ready(self, selector: str) -> HostedSession:
        """As `get`, once its log is read. Raises: SessionNotFound, SessionEnded (it was closed), Ambiguous."""
        hosted = self.get(selector)
        await self._log_reader.wait(hosted)
        return hosted


async def restart(sessions: Sessions, selector: str, by: Sender) -> SessionId:
    """Start a session that has ended anew, as another one that is shared as it was; its id.

    Raises: SessionNotFound, Ambiguous, BadParams (it has not ended), and as `Sessions.create`.
    """
    try:
        before = (await sessions.ready(selector)).log.ended_meta()
    except SessionEnded:
        before = sessions.index.find(selector)  # it was closed
    return await sessions.create(as_before(before), by, before)


async def _tried(work: Coroutine[None, None, None], failure: str, session: SessionId) -> None:
    # Nobody waits for the work: if it raises, the log says which failure that is.
    try:
        await work
    except AgentError as exc:
        log.warning(failure, extra={"session": session, "error": str(exc)})
    except Exception as exc:  # noqa: BLE001 - recorded
        failures().note(failure, exc)


class Prompting:
    """Prompts to the sessions here: accepted, listed, taken back; and the interrupt of the turn that one started."""

    def __init__(self, ready: Callable[[str], Awaitable[HostedSession]], noted: Noted) -> None:
        """`ready` finds a session by a selector, once its log is read. `noted` takes what a device did to one."""
        self._ready = ready
        self._noted = noted

    async def submit(self, request: Submit, sender: Sender) -> Submitted:
        """Accept a prompt and say its turn. Raises: SessionNotFound, SessionEnded, Busy, TooLarge, StoreFull."""
        if len(request.text) > PROMPT_MAX:
            raise TooLarge(f"a prompt of {len(request.text):,} characters; {PROMPT_MAX:,} are allowed")
        hosted = await self._ready(request.session_id)
        verdict = await hosted.submit(request.prompt_id, request.text, sender, steer=request.steer)
        if verdict.status != "duplicate":
            self._noted("prompted", sender.device, hosted.log.meta.id, len(request.text))
        return Submitted(
            turn=verdict.turn, status=verdict.status, position=verdict.position, session_id=hosted.log.meta.id
        )

    async def queue(self, selector: str) -> tuple[QueuedPrompt, ...]:
        """What waits in a session, shortened, what runs next first. Raises: SessionNotFound, SessionEnded."""
        return (await self._ready(selector)).log.queue()

    async def withdraw(self, request: Withdraw, by: Sender) -> Withdrawn:
        """Take back a prompt that waits (S12).

        Raises: SessionNotFound, SessionEnded, PromptNotFound, Forbidden, StoreFull (then it still waits), StateError.
        """
        hosted = await self._ready(request.session_id)
        told, taken = await hosted.withdraw(request.prompt_id, by)
        if taken:
            self._noted("withdrew", by.device, hosted.log.meta.id, len(told.text))
        return told

    async def interrupt(self, request: Interrupt, by: Sender) -> Interrupted:
        """Stop the running turn, with `all` what waits too, as far as `by` may take it back.

        Raises: SessionNotFound, SessionEnded; with `all` StoreFull: then nothing has happened.
        """
        hosted = await self._ready(request.session_id)
        dropped: tuple[QueuedPrompt, ...] = ()
        if request.all:
            told, dropped = await hosted.interrupt_all(by, request.turn)
        else:
            told = hosted.interrupt(request.turn)
        self._noted("interrupted", by.device, hosted.log.meta.id, 0)
        for prompt in dropped:
            self._noted("withdrew", by.device, hosted.log.meta.id, len(prompt.text))
        return told


class LogReader:
    """Reads logs back after a restart, in the order of `add`, while the service answers; `wait` has one read next."""

    def __init__(self, restored: Callable[[HostedSession], None]) -> None:
        """`restored` takes each session whose log is read."""
        self._restored = restored
        self._waiting: dict[SessionId, HostedSession] = {}
        self._wanted: list[SessionId] = []

    def add(self, hosted: HostedSession) -> None:
        """Have the log of a session read, after those that were added before."""
        hosted.log.unread = True
        self._waiting[hosted.log.meta.id] = hosted

    def forget(self) -> None:
        """Give up all sessions whose logs are not read yet; whoever waits for one gets an error."""
        for hosted in self._waiting.values():
            hosted.give_up("the sessions of this device are being restored")
        self._waiting.clear()
        self._wanted.clear()

    async def run(self) -> None:
        """Read the logs of all sessions that were added."""
        async with asyncio.TaskGroup() as group:
            for number in range(READ_AT_ONCE):
                child(group, self._work(), f"sessions.restore-{number}")

    async def wait(self, hosted: HostedSession) -> None:
        """Return once the log of a session is read, as the next one."""
        if not hosted.read.is_set():
            self._wanted.append(hosted.log.meta.id)
            await hosted.read.wait()

    async def _work(self) -> None:
        while self._waiting:
            hosted = self._next()
            try:
                await hosted.restore()
            except Exception as exc:  # noqa: BLE001 - recorded; the others are read all the same, and this one is listed
                failures().note(f"sessions.restore-{hosted.log.meta.id}", exc)
                hosted.give_up("the service has a bug; its log says more")
            self._restored(hosted)

    def _next(self) -> HostedSession:
        while self._wanted:
            hosted = self._waiting.pop(self._wanted.pop(0), None)
            if hosted is not None:
                return hosted
        return self._waiting.pop(next(iter(self._waiting)))
