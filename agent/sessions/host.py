"""The sessions hosted here: create, find, prompt, attach, close; and all of them again after a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping

import msgspec

from agent.errors import AgentError, SessionNotFound, TooLarge
from agent.observers import Observers
from agent.ports import BackendType, Channel, Clock, SessionMeta, TranscriptStore
from agent.protocol.audit import Action
from agent.protocol.messages import (
    Answered,
    AnswerRequest,
    Attach,
    Attached,
    CreateSession,
    History,
    Page,
    SessionLost,
    SessionStalled,
    Submit,
    Submitted,
)
from agent.protocol.model import TITLE_MAX, DeviceId, DeviceRef, Sender, SessionId, SessionRow, Share
from agent.protocol.names import clean
from agent.sessions.adoption import Found
from agent.sessions.attachments import Attachments
from agent.sessions.capacity import Capacity
from agent.sessions.creation import PROMPT_MAX, check_command, choose_backend, new_meta, told_of
from agent.sessions.directory import Directory
from agent.sessions.log import Journal
from agent.sessions.pages import read_page
from agent.sessions.restoring import Restoring
from agent.sessions.rows import Filing
from agent.sessions.session import Hosted
from agent.tasks import failures, keep, spawn, to_the_end

log = logging.getLogger(__name__)

REST_AFTER = 1800.0
"""Seconds after which an idle program that comes back by itself is stopped."""
NOT_SHARED = "the session is not shared any more"


class Sessions:
    """Every session of this device."""

    def __init__(
        self,
        *,
        own: DeviceRef,
        store: TranscriptStore,
        clock: Clock,
        backends: Mapping[str, BackendType],
        default_backend: str,
        name_of: Callable[[DeviceId], str],
        new_id: Callable[[], str],
        trusts: Callable[[DeviceId], bool],
        notice: Callable[[str], None],
        problem: Callable[[str, str], None],
    ) -> None:
        """`trusts`: whether another device's prompts may still run (`trust_changed` follows). `notice` tells the owner.

        `problem`: something is wrong, and what; empty once it is not.
        """
        self._own = own
        self._store = store
        self._clock = clock
        self._backends = backends
        self._default = default_backend
        self._name_of = name_of
        self._new_id = new_id
        self._trusts = trusts
        self._problem = problem
        self.changed: Observers[[Iterable[SessionRow], Iterable[SessionId]]] = Observers()
        """Told each row that lists would show differently, and the sessions that are listed no more."""
        self.noted: Observers[[Action, DeviceId, SessionId, int]] = Observers()
        """Told what a device did to a session, and how many characters its text had."""
        self.directory = Directory(own.name)
        self._hosted = self.directory.hosted
        self._closed = self.directory.closed
        self._restoring = Restoring(self._host)
        self._capacity = Capacity(own, self.directory)
        self._stalled = ""
        self._filing = Filing(store, self._hosted, notice)
        self.attachments = Attachments(own.id, self.noted.tell)
        self._found = Found(
            backends=backends,
            hosted=self._hosted,
            closed=self._closed,
            store=store,
            clock=clock,
            new_id=new_id,
            host=self._restore,
            close=self._close,
        )
        self._group: asyncio.TaskGroup | None = None

    # --- life --------------------------------------------------------------------------------------------------------

    async def run(self, ready: Callable[[], None]) -> None:
        """List what was there, call `ready`, read the logs, serve until cancelled; then end every program."""
        async with asyncio.TaskGroup() as group:
            self._drop_all()
            self._group = group
            await self._list()
            spawn(group, keep(self._restoring.run, "sessions.restore", self._clock), "sessions.restore")
            ready()
            spawn(group, keep(self._found.run, "sessions.found", self._clock), "sessions.found")
            while True:
                await self._clock.sleep(REST_AFTER / 4)
                for hosted in list(self._hosted.values()):
                    await hosted.rest(self._clock.time() - REST_AFTER)

    async def _list(self) -> None:
        # As far as the store tells without reading a log; newest first.
        active = await self._store.last_active()
        live: list[SessionMeta] = []
        for meta in await self._store.sessions():
            if meta.closed:
                self._closed[meta.id] = meta
            else:
                live.append(meta)
        for meta in sorted(live, key=lambda meta: active.get(meta.id, meta.created_at), reverse=True):
            hosted = self._hosted[meta.id] = self._make(meta)
            hosted.journal.session.updated_at = active.get(meta.id, meta.created_at)
            self._restoring.add(hosted)
        self.changed.tell(self.directory.rows(), ())

    async def _restore(self, meta: SessionMeta) -> Hosted:
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
        self._restoring.forget()

    def _make(self, meta: SessionMeta) -> Hosted:
        journal = Journal(
            meta,
            own=self._own,
            store=self._store,
            clock=self._clock,
            name_of=self._name_of,
            changed=self._row_changed,
            new_epoch=self._new_id,
        )
        backend = self._backends.get(meta.backend)
        return Hosted(journal, backend, self._running, self._may_prompt, self._filing.described)

    @property
    def _running(self) -> asyncio.TaskGroup:
        assert self._group is not None, "sessions are hosted while run() runs"
        return self._group

    def _row_changed(self, row: SessionRow) -> None:
        self.changed.tell((row,), ())
        hosted = self._hosted.get(row.id)
        if hosted is not None and row.title != hosted.journal.meta.title:
            spawn(self._running, self._filing.titled(hosted), f"sessions.title-{row.id}")

    def _host(self, hosted: Hosted) -> None:
        self._hosted[session := hosted.journal.meta.id] = hosted
        if hosted.journal.damage:
            self._problem(f"log of {session}", hosted.journal.damage)
        spawn(self._running, self._run(hosted), f"sessions.run-{session}")
        hosted.journal.notice()

    async def _run(self, hosted: Hosted) -> None:
        # A bug of ours must not take the other sessions along, nor leave one that takes prompts and does nothing.
        session = hosted.journal.meta.id
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

    async def create(self, asked: CreateSession, by: Sender) -> SessionId:
        """Start a session. Raises: BackendFailed, BadParams, Busy, TooLarge, StoreFull; nothing is left then (L6)."""
        name = asked.backend or self._default
        backend = choose_backend(name, self._backends, self._own.name)
        command = check_command(asked)
        asked = msgspec.structs.replace(asked, backend=name, command=asked.command if backend.takes_command else ())
        meta = new_meta(asked, backend, SessionId(self._new_id()), self._new_id(), by.device, now=self._clock.time())
        hosted = self._make(meta)
        try:
            with self._capacity.place(by.device):
                await to_the_end(self._running, self._store.put(meta), f"sessions.put-{meta.id}")
                self._host(hosted)
            await hosted.start()
            if command and not backend.takes_command:
                await hosted.submit(f"{meta.id}-command", command, by)
        except BaseException:
            # Also when the one who asked has left before the answer: nobody knows the id (L6).
            spawn(self._running, self._discard(hosted), f"sessions.discard-{meta.id}")
            raise
        self.noted.tell("created", by.device, meta.id, len(command))
        return meta.id

    async def _discard(self, hosted: Hosted) -> None:
        # Neither listed nor stored: of what nobody got there is nothing to read later.
        session = hosted.journal.meta.id
        if session in self._hosted:
            await _tried(hosted.close("nobody waited for it"), "an orphan could not be closed", session)
        hosted.end()
        self._unlist(session)
        await _tried(self._store.remove(session), "an orphan could not be removed", session)

    async def submit(self, asked: Submit, sender: Sender) -> Submitted:
        """Accept a prompt. Raises: SessionNotFound, SessionEnded, Busy, TooLarge, StoreFull."""
        if len(asked.text) > PROMPT_MAX:
            raise TooLarge(f"a prompt of {len(asked.text):,} characters; {PROMPT_MAX:,} are allowed")
        hosted = await self.ready(asked.session_id)
        verdict = await hosted.submit(asked.prompt_id, asked.text, sender, steer=asked.steer)
        if verdict.status != "duplicate":
            self.noted.tell("prompted", sender.device, hosted.journal.meta.id, len(asked.text))
        return Submitted(
            turn=verdict.turn, status=verdict.status, position=verdict.position, session_id=hosted.journal.meta.id
        )

    async def answer(self, asked: AnswerRequest, by: Sender) -> Answered:
        """Answer a request (S9). Raises: SessionNotFound, RequestNotFound, Ambiguous, BadParams, StoreFull."""
        hosted = await self.ready(asked.session_id)
        closed, first = await hosted.answer(asked.request_id, asked.answer, by)
        if first:  # of a secret nothing is kept, its length neither
            length = len(closed.answer) if isinstance(closed.answer, str) else 0
            self.noted.tell("answered", by.device, hosted.journal.meta.id, length)
        return told_of(asked, by, closed, first=first)

    async def attach(self, channel: Channel, device: DeviceId, asked: Attach) -> Attached:
        """Attach a channel; `catch_up` must follow once this is sent. Raises: SessionNotFound, SessionEnded."""
        hosted = await self.ready(asked.session_id)
        self.attachments.join(channel, device, hosted.journal.meta.id)
        attached = hosted.journal.attach(channel, device, asked.after, asked.epoch, asked.viewers)
        return msgspec.structs.replace(attached, stalled=self._stalled)

    async def catch_up(self, channel: Channel, session: SessionId) -> None:
        """Send an attached channel what it has missed, then everything as it comes."""
        if hosted := self._hosted.get(session):
            await hosted.journal.catch_up(channel)

    def detach(self, channel: Channel, selector: str, remaining: int = 0) -> None:
        """Let a channel go. Raises: SessionNotFound, SessionEnded."""
        hosted = self.get(selector)
        hosted.journal.detach(channel, remaining)
        if not remaining:
            self.attachments.leave(channel, hosted.journal.meta.id)

    def drop(self, channel: Channel) -> None:
        """A channel is gone: it watches nothing any more."""
        for session in self.attachments.drop(channel):
            if hosted := self._hosted.get(session):
                hosted.journal.detach(channel)

    def stalled(self, reason: str) -> None:
        """Nothing can be stored any more, and why; empty: it can again. Those who watch are told: they see nothing."""
        self._stalled = reason
        for session, hosted in self._hosted.items():
            hosted.journal.viewers.tell("session.stalled", SessionStalled(session_id=session, reason=reason))

    def _may_prompt(self, device: DeviceId) -> bool:
        return device == self._own.id or self._trusts(device)

    def trust_changed(self) -> None:
        """Drop waiting prompts of devices that are trusted no longer (T4)."""
        for session, hosted in self._hosted.items():
            spawn(self._running, self._drop_prompts(hosted), f"sessions.drop-{session}")

    async def _drop_prompts(self, hosted: Hosted) -> None:
        try:
            await hosted.trust_changed()
        except AgentError as exc:
            log.warning("prompts were not dropped", extra={"session": hosted.journal.meta.id, "error": str(exc)})

    async def rename(self, selector: str, title: str, by: Sender) -> None:
        """Give a session another title. Raises: SessionNotFound, SessionEnded, StoreFull."""
        hosted = await self.ready(selector)
        await hosted.rename(clean(title, TITLE_MAX))
        self.noted.tell("renamed", by.device, hosted.journal.meta.id, 0)

    async def configure(self, selector: str, option: str, value: str, by: Sender) -> None:
        """Set an option of a session. Raises: SessionNotFound, SessionEnded, BadParams, BackendFailed."""
        hosted = await self.ready(selector)
        await hosted.configure(option, value)
        self.noted.tell("configured", by.device, hosted.journal.meta.id, 0)

    def interrupt(self, selector: str, by: Sender, turn: int = 0) -> None:
        """Stop the running turn (only `turn`, if it is given). Raises: SessionNotFound, SessionEnded."""
        hosted = self.get(selector)
        hosted.interrupt(turn)
        self.noted.tell("interrupted", by.device, hosted.journal.meta.id, 0)

    async def share(self, selector: str, share: Share, by: Sender) -> None:
        """Let other devices use a session, watch it, or not know of it; in force once it is stored.

        Other devices that watch one that becomes private are told `session.lost`: there is none for them.
        Raises: SessionNotFound, SessionEnded, StoreFull.
        """
        hosted = self.get(selector)
        await to_the_end(self._running, self._filing.share(hosted, share), "sessions.share")
        self.noted.tell("shared", by.device, hosted.journal.meta.id, 0)
        if share == "private":
            self._let_go_of_others(hosted)

    def _let_go_of_others(self, hosted: Hosted) -> None:
        # Terminals look at rights themselves (`Terminals.rights_changed`).
        session = hosted.journal.meta.id
        for channel in self.attachments.of(session):
            if channel.device is not None:
                hosted.journal.detach(channel)
                self.attachments.leave(channel, session)
                told = SessionLost(session_id=session, reason=NOT_SHARED, kind=SessionNotFound.kind)
                channel.notify("session.lost", told)

    async def close(self, selector: str, by: Sender) -> None:
        """End a session; its log stays. Raises: SessionNotFound, SessionEnded, StoreFull."""
        hosted = await self.ready(selector)
        await to_the_end(self._running, self._close(hosted, f"closed by {by.name}"), "sessions.close")
        self.noted.tell("closed", by.device, hosted.journal.meta.id, 0)

    async def _close(self, hosted: Hosted, reason: str) -> None:
        await hosted.close(reason)
        meta = await self._filing.close(hosted)
        self._closed[meta.id] = meta
        hosted.end()
        self._unlist(meta.id)

    def _unlist(self, session: SessionId) -> None:
        if self._hosted.pop(session, None):
            self._problem(f"log of {session}", "")
            self.attachments.forget(session)
            self.changed.tell((), (session,))

    async def history(self, asked: History) -> Page:
        """A page of a log, of a closed session too. Raises: SessionNotFound."""
        meta = self.directory.find(asked.session_id)
        if hosted := self._hosted.get(meta.id):
            await self._restoring.wait(hosted)
            return await hosted.journal.history(asked)
        return await read_page(self._store, meta, asked, await self._store.last_seq(meta.id), meta.epoch)

    def get(self, selector: str) -> Hosted:
        """By id, unique prefix or exact title. Raises: SessionNotFound, SessionEnded (it was closed), Ambiguous."""
        return self.directory.get(selector)

    async def ready(self, selector: str) -> Hosted:
        """As `get`, once its log is read. Raises: SessionNotFound, SessionEnded (it was closed), Ambiguous."""
        hosted = self.get(selector)
        await self._restoring.wait(hosted)
        return hosted


async def _tried(work: Coroutine[None, None, None], failure: str, session: SessionId) -> None:
    # Nobody waits for it: if it raises, the log says which failure that is.
    try:
        await work
    except AgentError as exc:
        log.warning(failure, extra={"session": session, "error": str(exc)})
    except Exception as exc:  # noqa: BLE001 - recorded
        failures().note(failure, exc)
