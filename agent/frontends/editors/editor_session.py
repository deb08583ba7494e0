"""One session, followed for the editor: replayed, streamed, prompted, asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

from agent.client.answers import submit_answer, too_late
from agent.client.follow import Mark, follow
from agent.client.pending import WaitingCall, WaitingLines
from agent.client.prompts import new_prompt, prompts_named
from agent.client.reading import VERBATIM
from agent.client.stream import Stream, first_error, streaming
from agent.client.terminal_text import one_line
from agent.client.turn_ends import StopReason
from agent.client.view import (
    Change,
    Hydration,
    LogEntry,
    LogReplaced,
    ParticipantJoined,
    ParticipantLeft,
    RowsMoved,
    SessionView,
    sentence,
)
from agent.errors import AgentError, NotRunning, PeerLost, TakenBack
from agent.frontends.editors.connection import EditorPeer
from agent.frontends.editors.options import changes, with_value
from agent.frontends.editors.outgoing import EditorTitle, SessionUpdate, Update
from agent.frontends.editors.questions import answer_from, elsewhere
from agent.frontends.editors.sessions import where
from agent.frontends.editors.turns import AwaitedTurns, Stop
from agent.frontends.editors.updates import EditorUpdates, commands_of
from agent.protocol.events import MessageStart, Option, RequestClosed, RequestOpen, SessionInfo
from agent.protocol.messages import Configure, History, Interrupt
from agent.protocol.methods import PROMPT_SUBMIT, PROMPT_WITHDRAW, SESSION_CONFIGURE, SESSION_HISTORY, SESSION_INTERRUPT
from agent.protocol.prompts import Withdraw
from agent.protocol.snapshot import compact
from agent.protocol.waiting import PATIENCE, Waiting

PAGE = 1000
REPLAYED_MAX = 20_000
"""Events of a log that are replayed at most, the newest; `agent log` has all."""


class EditorSession:
    """A session that the editor has opened. `run` follows it until it is cancelled or the service is gone for good."""

    def __init__(
        self,
        peer: EditorPeer,
        session: str,
        *,
        forms: bool,
        turns: AwaitedTurns | None = None,
        replay: bool,
        wait: float = PATIENCE,
    ) -> None:
        """`turns`: prompts that are waited for already, when the same session is opened again.

        `wait`: seconds for which a device that is out of reach is waited for.
        """
        loop = asyncio.get_running_loop()
        self._peer = peer
        self._forms = forms
        self._replays = replay
        self._wait = wait
        self._waiting_lines = WaitingLines(take_back="cancel takes it back", give_up="")
        self._sending: list[WaitingCall] = []  # prompts on their way
        self._mark = Mark(session)
        self._view = SessionView()
        self._stream: Stream | None = None
        self._updates = EditorUpdates("")
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._answered: set[str] = set()  # ids of open requests whose answers are on their way, or were sent
        self._failure: AgentError | None = None
        self.turns = turns or AwaitedTurns()
        self.options: tuple[Option, ...] = ()
        self.attached: asyncio.Future[None] = loop.create_future()
        self.replayed: asyncio.Future[None] = loop.create_future()
        self.told = asyncio.Event()  # the editor knows the session's id: updates may be sent

    @property
    def id(self) -> str:
        """The session's id; what was asked for, until it is attached."""
        return self._mark.session

    async def run(self, path: Path) -> None:
        """Follow the session. What goes wrong is told by the futures, or as a message of the session."""
        try:
            async with streaming(path, wait=self._wait) as stream, asyncio.TaskGroup() as tasks:
                self._stream = stream
                stream.waiting = lambda note: self._waits(tasks, note)
                await self._follow(stream, tasks)
        except* AgentError as group:
            await self._fail(first_error(group))
        finally:
            self._stream = None
            for future in (self.attached, self.replayed):
                future.cancel()  # nothing, if it is done

    async def _follow(self, stream: Stream, tasks: asyncio.TaskGroup) -> None:
        self._view = SessionView(stream.device)
        changes = self._view.changes(follow(stream, self._mark))
        first = await anext(changes)
        assert isinstance(first, Hydration)
        row = first.session
        assert row is not None
        self._updates = EditorUpdates(stream.device, verbatim=row.backend in VERBATIM, where=where(row))
        self.options = first.options
        self.attached.set_result(None)
        await self.told.wait()
        if self._replays and first.truncated and first.entries:
            await self._older(stream, first.entries[0].event.seq)
        for entry in first.entries:
            await self._show(entry)
        if row.title:
            await self._tell([EditorTitle(title=where(row) + one_line(row.title))])
        if first.commands:
            await self._tell([commands_of(first.commands)])
        self.replayed.set_result(None)
        self._ask_all(tasks)
        await self._stay(stream, changes, tasks)

    async def _older(self, stream: Stream, before: int) -> None:
        # Forward, as it was logged: pages that the service has shortened do not say where they begin.
        past, after = SessionView(), max(0, before - 1 - REPLAYED_MAX)
        if after:
            await self._note(f"earlier: `agent log {self.id}` in a terminal")
        while after < before - 1:
            asked = History(session_id=self.id, after=after, limit=PAGE)
            page = await stream.insist(SESSION_HISTORY, asked)
            for event in compact(event for event in page.events if event.seq < before):
                await self._show(past.entry(event))
            if not page.events:
                return
            after = page.events[-1].seq

    async def _stay(self, stream: Stream, changes: AsyncIterator[Change], tasks: asyncio.TaskGroup) -> None:
        async for change in changes:
            match change:
                case LogEntry():
                    await self._entry(stream, change, tasks)
                case Hydration():
                    await self._returned(stream, change, tasks)
                case ParticipantJoined() | ParticipantLeft() | RowsMoved():
                    pass  # an editor shows who works in it, not who looks on
                case _:
                    await self._note(sentence(change))

    async def _returned(self, stream: Stream, hydration: Hydration, tasks: asyncio.TaskGroup) -> None:
        if hydration.news is not None:
            await self._note(sentence(hydration.news))
        lost = self.turns.begin_anew() if hydration.anew else ()
        for entry in hydration.entries:
            await self._entry(stream, entry, tasks)
        unknown = PeerLost(sentence(LogReplaced()), hint="the prompt may have run: look before you repeat it")
        self.turns.fail_unknown(lost, unknown)
        if hydration.session is not None and hydration.session.status == "idle":
            self.turns.nothing_runs()
        await self._set_options(hydration.options)
        self._ask_all(tasks)

    # --- the log -----------------------------------------------------------------------------------------------------

    async def _entry(self, stream: Stream, entry: LogEntry, tasks: asyncio.TaskGroup) -> None:
        await self._tell(self._updates.take(entry, skip=self.turns.prompts))
        match entry.payload:
            case RequestOpen() as request if not entry.merged:
                self._ask(tasks, request)
            case RequestClosed(request_id=request_id):
                self._asked(request_id)
            case SessionInfo(options=options) if options is not None:
                await self._set_options(options)
            case _:
                pass
        if self.turns.see(entry.payload) and isinstance(entry.payload, MessageStart):
            stop = Stop(interrupts=(entry.payload.turn,))
            tasks.create_task(self._stop(stream, stop), name="acp.stop")  # entries go on meanwhile

    async def _stop(self, stream: Stream, stop: Stop) -> None:
        try:
            for prompt_id in stop.withdraws:
                await stream.insist(PROMPT_WITHDRAW, Withdraw(session_id=self.id, prompt_id=prompt_id))
            for turn in stop.interrupts:
                told = await stream.insist(SESSION_INTERRUPT, Interrupt(session_id=self.id, turn=turn))
                if told.queue:
                    await self._note(f"runs next: {prompts_named(told.queue)}")
        except AgentError as exc:
            what = "not taken back, but stopped when it begins" if stop.withdraws else "not interrupted"
            await self._note(f"{what}: {exc}")

    async def _show(self, entry: LogEntry) -> None:
        # Of the past. A prompt that is waited for has its end in there if the session was opened again.
        shown = self._updates.take(entry)
        if self._replays:
            await self._tell(shown)
        self.turns.see(entry.payload)

    async def _set_options(self, options: tuple[Option, ...]) -> None:
        before, self.options = self.options, options
        if options != before:
            await self._tell(changes(before, options))

    async def _tell(self, updates: Sequence[Update]) -> None:
        for update in updates:
            await self._peer.notify("session/update", SessionUpdate(session_id=self.id, update=update))

    def _waits(self, tasks: asyncio.TaskGroup, note: Waiting) -> None:
        line = self._waiting_lines.line(note) if self.told.is_set() else ""
        if line:
            tasks.create_task(self._note(line), name="acp.waits")

    async def _note(self, text: str) -> None:
        await self._tell(self._updates.note(text))

    async def _fail(self, reason: AgentError) -> None:
        self._failure = reason
        for future in (self.attached, self.replayed):
            if not future.done():
                future.set_exception(reason)
                future.exception()  # looked at: not every caller waits for both
        self.turns.fail(reason)
        if self.told.is_set():
            await self._note(f"{reason}; open the session again to go on ({reason.hint})")

    # --- what the editor wants ---------------------------------------------------------------------------------------

    def _connected(self) -> Stream:
        if self._stream is None:
            raise self._failure or NotRunning("the session is not connected")
        return self._stream

    async def prompt(self, text: str) -> StopReason:
        """Run one prompt to the end of its turn. Raises: AgentError, also for a turn that failed."""
        params = new_prompt(self.id, text)
        stream = self._connected()
        waiting = self.turns.sent(params.prompt_id)
        call = WaitingCall(stream.waiting)
        self._sending.append(call)
        try:
            try:
                told = await stream.insist(PROMPT_SUBMIT, params, call=call)
            except TakenBack:
                return "cancelled"
            finally:
                self._sending.remove(call)
            await self._stop(stream, self.turns.accepted(waiting, told))
            return await waiting.done
        finally:
            self.turns.over(params.prompt_id)

    async def cancel(self) -> None:
        """Stop what the editor waits for, and what is not sent yet; the running turn, if it waits for nothing."""
        if self._stream is not None:
            for call in self._sending:
                self._stream.take_back(call)
        stop = self.turns.cancel()
        if self._stream is not None:
            await self._stop(self._stream, stop)

    async def close(self) -> None:
        """End for the editor what it waits for: what runs goes on, and what waits is taken back if that can be now."""
        for prompt_id in self.turns.leave():
            if self._stream is not None:
                with suppress(AgentError):
                    asked = Withdraw(session_id=self.id, prompt_id=prompt_id, wait=0.0)
                    await self._stream.insist(PROMPT_WITHDRAW, asked)

    async def configure(self, option: str, value: str) -> None:
        """Set an option of the session. Raises: BadParams, BackendFailed, and what the service tells."""
        params = Configure(session_id=self.id, option=option, value=value)
        await self._connected().insist(SESSION_CONFIGURE, params)
        await self._set_options(with_value(self.options, option, value))

    # --- what the session asks ---------------------------------------------------------------------------------------

    def _ask_all(self, tasks: asyncio.TaskGroup) -> None:
        for gone in self._asking.keys() - self._view.requests.keys():
            self._asked(gone)
        for request in self._view.requests.values():
            self._ask(tasks, request)

    def _ask(self, tasks: asyncio.TaskGroup, request: RequestOpen) -> None:
        if request.request_id not in self._asking:
            job = tasks.create_task(self._question(request), name="acp.ask")
            self._asking[request.request_id] = job

    def _asked(self, request_id: str) -> None:
        job = self._asking.pop(request_id, None)
        if job is not None and request_id not in self._answered:
            job.cancel()
        self._answered.discard(request_id)

    async def _question(self, request: RequestOpen) -> None:
        try:
            answer = await answer_from(self._peer, self.id, request, forms=self._forms)
            if answer is not None:
                self._answered.add(request.request_id)
                why = too_late(await submit_answer(self._connected(), self.id, request, answer), request)
                if why:
                    await self._note(why)
                return
        except AgentError as exc:
            await self._note(f"not answered from here: {exc}")
        if request.request_id in self._asking and not self.turns.stopping:
            await self._note(elsewhere(self.id, request))
