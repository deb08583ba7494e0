"""One session of an ACP agent: turns, questions, options, and an agent that comes back when it has ended."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from msgspec import Raw

from agent.adapters.backends.acp.handshake import OpenedSession
from agent.adapters.backends.acp.last_opened import LastOpened
from agent.adapters.backends.acp.options import SessionOptions
from agent.adapters.backends.acp.orphans import Orphans
from agent.adapters.backends.acp.questions import QuestionDelivery
from agent.adapters.backends.acp.running_agent import AgentProgram, RunningAgent
from agent.adapters.backends.acp.schema import AUTH_REQUIRED, AgentResponse, Garbage, Other, Strange, Unread, Updated
from agent.adapters.backends.acp.supervisor import AgentSupervisor
from agent.adapters.backends.acp.timeouts import Timeouts
from agent.adapters.backends.acp.turn import AgentTurn, Outcome, outcome_of, prompt_answer
from agent.adapters.backends.acp.updates import UpdateMapper, joined
from agent.adapters.backends.launching import heed_keyboard, working_folder
from agent.adapters.backends.tasks import BackendTasks
from agent.errors import IN_THE_LOG, AgentError, BackendFailed
from agent.ports import TURN_OVER, Described, Emit, Finished, Said, Start
from agent.ports.backends import no_history
from agent.protocol.events import Answer
from agent.protocol.jsonrpc import Notification, Request, Response
from agent.protocol.names import clean

_ALL = 1 << 30  # characters: whether there is anything at all


class AcpSession:
    """A session with an agent on its standard input and output (`ports.Backend`, docs/design/acp.md).

    One task reads the agent, in order, and only as fast as `emit` takes events; others start it, cancel a turn and end
    it. All of them end before `close` returns.
    """

    def __init__(self, name: str, supervisor: AgentSupervisor, emit: Emit, timeouts: Timeouts) -> None:
        self._name = name
        self._supervisor = supervisor
        self._timeouts = timeouts
        self._options = SessionOptions()
        self._updates = UpdateMapper(self._options)
        self._replaying = True  # until our next prompt, content is a replay
        self._turn: AgentTurn | None = None
        self._known, self._remembers = Described(), False
        self._after_cancel = False  # whether the last turn was cancelled: some agents are out of step then
        self._tasks = BackendTasks(emit, "acp", release=supervisor.end, failed=self._broken)
        self._spawn = self._tasks.spawn
        self._tell = self._tasks.emit
        self._questions = QuestionDelivery(self._tell, self._updates.tools.facts)
        supervisor.observe(started=self._started, opened=self._opened, waits=self._waits)

    async def open(self, known: Described, *, remembers: bool) -> None:
        """Start the agent and open its session; tell once what is known then, `known` included.

        `remembers`: there is something that a new agent would not know. A session that can only be loaded later is
        loaded for the first prompt. Raises: BackendFailed.
        """
        self._known, self._remembers = known, remembers
        await self._supervisor.ready(now=True)

    async def prompt(self, text: str) -> None:
        """Start a turn of the agent. Raises: BackendFailed, if the session is closed."""
        if self._tasks.over:
            raise BackendFailed("the session is closed", hint="start another one: `agent new`")
        assert self._turn is None, "one turn at a time"
        self._turn = AgentTurn(text)
        self._spawn(self._begin(self._turn), "begin")

    async def answer(self, request_id: str, answer: Answer) -> None:
        """Hand an answer to the agent; one that is no longer asked for is dropped."""
        if self._questions.answer(request_id, answer) and self._turn is not None:
            self._turn.refused = True

    async def interrupt(self) -> None:
        """Cancel the turn as the protocol has it; asked again, end the agent."""
        turn = self._turn
        if turn is None or self._tasks.over:
            return
        turn.interrupts += 1
        turn.cancelled.set()
        if turn.number and turn.interrupts == 1:
            self._spawn(self._cancel(turn), "cancel")
        elif turn.number and turn.interrupts == 2:
            self._spawn(self._abandon(turn, f"{self._name} was ended"), "abandon")

    async def choose(self, option: str, value: str) -> None:
        """Set an option of the session (`ports.HasOptions`). Raises: BadParams, BackendFailed."""
        agent = await self._supervisor.ready()
        await self._set(agent, option, value)
        await self._tell(self._options.described())

    def may_rest(self) -> bool:
        """Whether the agent can be ended and comes back with all it knows (`ports.Rests`)."""
        busy = self._turn is not None or self._questions.open or self._updates.tools.running
        return not busy and self._supervisor.returns

    def processes(self) -> tuple[int, ...]:
        """The process id of the agent, if it runs (`ports.RunsPrograms`)."""
        return self._supervisor.processes()

    async def close(self) -> None:
        """End the agent and all that it has started. Idempotent. From within `emit`, they end after it has returned."""
        await self._tasks.close()

    # --- the agent ---------------------------------------------------------------------------------------------------

    def _started(self, agent: RunningAgent) -> None:
        self._replaying = True
        self._spawn(self._read(agent), "read")

    async def _opened(self, agent: RunningAgent, session: OpenedSession) -> None:
        """Tell what the agent told with its session, all at once, and set again what people have set."""
        self._options.opened(session.state)
        for option, value in self._options.to_set_again():
            with contextlib.suppress(BackendFailed):  # then people see what it is
                await self._set(agent, option, value)
        known, self._known = self._known, Described()
        for event in (*self._updates.events(), self._options.described()):
            if isinstance(event, Described):
                known = joined(known, event)
        if session.forgotten and self._remembers:
            note = f"{self._name} has forgotten what was said before: {session.forgotten}"
            known = joined(known, Described(note=note))
        await self._tell(joined(known, Described(lineage=(agent.session,))))

    async def _waits(self) -> None:
        await self._tell(Described(note=f"{self._name} can go on with this session within a minute"))

    async def _set(self, agent: RunningAgent, option: str, value: str) -> None:
        method, params = self._options.setting(agent.session, option, value)
        self._options.was_set(option, value, await agent.client.call(method, params, self._timeouts.call))

    async def _read(self, agent: RunningAgent) -> None:
        while agent.connection.open:
            await self._heard(agent, await agent.connection.receive())
        how = f"{self._name} {await agent.process.ended()}"
        if agent.leaving:
            return
        self._supervisor.retire()
        turn = self._turn
        if turn is not None and turn.number:
            await self._finish(turn, Outcome("interrupted" if turn.cancelled.is_set() else "error", how))
        elif turn is None and agent.session:
            await self._questions.take_back(how)
            await self._tell(Described(note=f"{how}; the next prompt starts it again"))
        await self._supervisor.end()

    async def _heard(self, agent: RunningAgent, messages: list[Other | AgentResponse]) -> None:
        for message in messages:
            if agent.leaving:
                return  # what it says now belongs to no turn any more
            if isinstance(message, Updated):
                if message.session == agent.session or not agent.session:
                    (self._updates.replayed if self._replaying else self._updates.take)(message.update)
            elif isinstance(message, Strange | Unread):
                if not self._replaying:
                    self._updates.take_strange(message)
            else:
                await self._tell_updates(agent)
                await self._heard_other(agent, message)
        await self._tell_updates(agent)

    async def _heard_other(
        self, agent: RunningAgent, message: Request[Raw] | Notification | AgentResponse | Garbage
    ) -> None:
        turn = self._turn
        match message:
            case Request():
                stopping = turn is not None and turn.cancelled.is_set()
                await self._questions.request(agent.connection, message, stopping=stopping)
            case Notification():
                # What begins with "_" is the extension of one agent.
                if not await self._questions.notice(message) and not message.method.startswith("_"):
                    self._updates.take_strange(Strange(message.method, message.params))
            case Response() if turn is not None and turn.number == message.id:
                await self._replied(agent, turn, message)
            case Garbage() if not agent.noted:
                agent.noted = True
                note = Described(note=f"{self._name} wrote what is no message: {clean(message.text, 200)}")
                if agent.session:
                    await self._tell(note)
                else:
                    self._known = joined(self._known, note)
            case _:
                pass

    # --- a turn ------------------------------------------------------------------------------------------------------

    async def _begin(self, turn: AgentTurn) -> None:
        if (agent := self._supervisor.agent) is None or not agent.reachable or not agent.session:
            preparing = self._spawn(self._prepare(turn), "prepare")
            stopped = self._spawn(turn.stopped(), "stopped")
            await asyncio.wait({preparing, stopped}, return_when=asyncio.FIRST_COMPLETED)
            for task in (preparing, stopped):
                task.cancel()
            await asyncio.wait({preparing, stopped})
            agent = self._supervisor.agent
        if agent is not None and agent.leaving and not turn.problem:
            turn.problem = f"{self._name} has ended"
        if turn.cancelled.is_set() or turn.problem or agent is None:
            cancelled = turn.cancelled.is_set()
            await self._finish(turn, Outcome("interrupted") if cancelled else Outcome("error", turn.problem))
            return
        self._replaying, self._remembers = False, True
        turn.content_before = self._updates.content
        self._updates.begin_turn()
        prompt = {"sessionId": agent.session, "prompt": [{"type": "text", "text": turn.text}]}
        turn.number = agent.connection.send("session/prompt", prompt)

    async def _prepare(self, turn: AgentTurn) -> None:
        try:
            await self._supervisor.ready()
        except AgentError as exc:
            turn.problem = exc.in_full

    async def _replied(self, agent: RunningAgent, turn: AgentTurn, reply: AgentResponse) -> None:
        told = prompt_answer(reply)
        self._updates.heed(told.meta)
        self._updates.used_by(told.usage, told.meta)
        silent = self._updates.content == turn.content_before
        outcome = outcome_of(
            turn,
            reply,
            agent.client.quirks,
            silent=silent,
            after_cancel=self._after_cancel,
            complaint=self._updates.complaint,
        )
        if reply.error is not None and reply.error.code == AUTH_REQUIRED and outcome.status == "error":
            outcome = Outcome("error", agent.client.needs_login(reply.error))
        await self._finish(turn, outcome)

    async def _finish(self, turn: AgentTurn, outcome: Outcome) -> None:
        if turn.ending:
            return
        turn.ending = True
        if outcome.recycle:
            self._supervisor.retire()
        await self._questions.take_back(TURN_OVER[outcome.status])
        self._updates.end_turn(outcome.status)
        await self._tell(*self._updates.events())
        self._after_cancel = turn.cancelled.is_set() and not outcome.recycle
        self._turn = None
        turn.over.set()
        usage = self._updates.usage
        await self._tell(Finished(status=outcome.status, error=outcome.error, usage=usage, cause=outcome.cause))
        if outcome.recycle:
            await self._supervisor.end()

    async def _cancel(self, turn: AgentTurn) -> None:
        turn.in_tools = bool(self._questions.open) or self._updates.tools.running
        if await self._questions.take_back(TURN_OVER["interrupted"]):
            await asyncio.sleep(self._timeouts.gap)
        agent = self._supervisor.agent
        if turn.ending or agent is None:
            return
        agent.connection.notify("session/cancel", {"sessionId": agent.session})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeouts.cancel):
                await turn.over.wait()
        await self._abandon(turn, f"{self._name} did not stop and was ended")

    async def _abandon(self, turn: AgentTurn, why: str) -> None:
        await self._finish(turn, Outcome("interrupted", why, recycle=True))

    async def _broken(self) -> None:
        if self._turn is not None:
            await self._finish(self._turn, Outcome("error", f"reading {self._name} failed; {IN_THE_LOG}", recycle=True))

    async def _tell_updates(self, agent: RunningAgent) -> None:
        if agent.session and (events := self._updates.events()):
            turn = self._turn
            if turn is not None and not turn.beginning:
                turn.beginning = next((event.text for event in events if isinstance(event, Said)), "")
            await self._tell(*events)


async def start_session(
    program: AgentProgram,
    start: Start,
    emit: Emit,
    *,
    cwd: str,
    orphans: Orphans,
    last_opened: LastOpened,
    timeouts: Timeouts,
) -> AcpSession:
    """Start an agent and open its session; `cwd` is used where none was asked for.

    A restored session whose directory is gone goes on in the user's home and says so. Raises: BackendFailed.
    """
    folder, note = _folder(start.cwd or cwd, restored=start.restored)
    heed_keyboard()
    known = start.lineage[-1] if start.lineage else ""
    supervisor = AgentSupervisor(
        program, folder, start.session, known=known, orphans=orphans, last_opened=last_opened, timeouts=timeouts
    )
    session = AcpSession(program.name, supervisor, emit, timeouts)
    remembers = start.restored and (start.history is no_history or bool(await start.history(_ALL)))
    try:
        await session.open(Described(cwd=str(folder), note=note), remembers=remembers)
    except BaseException:
        await session.close()
        raise
    return session


def _folder(cwd: str, *, restored: bool) -> tuple[Path, str]:
    try:
        return working_folder(cwd), ""
    except BackendFailed as exc:
        if not restored:
            raise
        return Path.home(), f"{exc}: it goes on in your home directory"
