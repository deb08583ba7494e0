"""One session of an ACP agent: turns, questions, options, and an agent that comes back when it has ended."""

from __future__ import annotations

import asyncio
import contextlib

from msgspec import Raw

from agent.adapters.backends.acp.agent_process import Life
from agent.adapters.backends.acp.asking import Asking
from agent.adapters.backends.acp.handshake import Session
from agent.adapters.backends.acp.options import Options
from agent.adapters.backends.acp.schema import AUTH_REQUIRED, AgentResponse, Garbage, Other, Strange, Updated
from agent.adapters.backends.acp.supervisor import Upkeep
from agent.adapters.backends.acp.timeouts import Patience
from agent.adapters.backends.acp.turn import Outcome, Turn, answered, outcome_of
from agent.adapters.backends.acp.updates import Updates, joined
from agent.adapters.backends.tasks import BackendTasks
from agent.errors import AgentError, BackendFailed
from agent.ports import Described, Emit, Finished, Said
from agent.protocol.events import Answer
from agent.protocol.jsonrpc import Notification, Request, Response
from agent.protocol.names import clean


class AcpSession:
    """`ports.Backend`: an agent on its standard input and output (docs/design/acp.md).

    One task reads the agent, in order, and only as fast as `emit` takes events; others start it, cancel a turn and
    end it. All of them end before `close` returns.
    """

    def __init__(self, name: str, upkeep: Upkeep, emit: Emit, patience: Patience) -> None:
        self._name, self._upkeep, self._patience = name, upkeep, patience
        self._options = Options()
        self._updates = Updates(self._options)
        self._replaying = True  # until our next prompt, content is a replay
        self._turn: Turn | None = None
        self._known, self._remembers = Described(), False
        self._after_cancel = False  # whether the last turn was cancelled: some agents are out of step then
        self._tasks = BackendTasks(emit, "acp", release=upkeep.end, failed=self._broken)
        self._spawn = self._tasks.spawn
        self._tell = self._tasks.emit
        self._asking = Asking(self._tell)
        upkeep.tell(started=self._started, opened=self._opened, waits=self._waits)

    async def open(self, known: Described, *, remembers: bool) -> None:
        """Start the agent and open its session; tell once what is known then, `known` included.

        `remembers`: there is something that a new agent would not know. A session that can only be loaded later is
        loaded for the first prompt. Raises: BackendFailed.
        """
        self._known, self._remembers = known, remembers
        await self._upkeep.ready(now=True)

    async def prompt(self, text: str) -> None:
        """Start a turn. Raises: BackendFailed, if the session is closed."""
        if self._tasks.over:
            raise BackendFailed("the session is closed", hint="start another one: `agent new`")
        assert self._turn is None, "one turn at a time"
        self._turn = Turn(text)
        self._spawn(self._begin(self._turn), "begin")

    async def answer(self, request_id: str, answer: Answer) -> None:
        """Hand over an answer; one that is no longer asked for is dropped."""
        if self._asking.answer(request_id, answer) and self._turn is not None:
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
        """Set an option. Raises: BadParams, BackendFailed."""
        life = await self._upkeep.ready()
        await self._set(life, option, value)
        await self._tell(self._options.described())

    def may_rest(self) -> bool:
        """Whether the agent can be ended and comes back with all it knows."""
        busy = self._turn is not None or self._asking.open or self._updates.tools.running
        return not busy and self._upkeep.returns

    def processes(self) -> tuple[int, ...]:
        """`ports.RunsPrograms`: the agent."""
        return self._upkeep.processes()

    async def close(self) -> None:
        """End the agent and all that it has started. Idempotent. From within `emit`, they end after it has returned."""
        await self._tasks.close()

    # --- the agent ---------------------------------------------------------------------------------------------------

    def _started(self, life: Life) -> None:
        self._replaying = True
        self._spawn(self._read(life), "read")

    async def _opened(self, life: Life, session: Session) -> None:
        """Tell what the agent told with its session, all at once, and set again what people have set."""
        self._options.opened(session.state)
        for option, value in self._options.to_set_again():
            with contextlib.suppress(BackendFailed):  # then people see what it is
                await self._set(life, option, value)
        known, self._known = self._known, Described()
        for event in (*self._updates.events(), self._options.described()):
            if isinstance(event, Described):
                known = joined(known, event)
        if session.forgotten and self._remembers:
            note = f"{self._name} has forgotten what was said before: {session.forgotten}"
            known = joined(known, Described(note=note))
        await self._tell(joined(known, Described(lineage=(life.session,))))

    async def _waits(self) -> None:
        await self._tell(Described(note=f"{self._name} can go on with this session within a minute"))

    async def _set(self, life: Life, option: str, value: str) -> None:
        method, params = self._options.setting(life.session, option, value)
        self._options.was_set(option, value, await life.agent.call(method, params, self._patience.call))

    async def _read(self, life: Life) -> None:
        while life.connection.open:
            await self._heard(life, await life.connection.receive())
        how = f"{self._name} {await life.process.ended()}"
        if life.leaving:
            return
        self._upkeep.retire()
        turn = self._turn
        if turn is not None and turn.number:
            await self._finish(turn, Outcome("interrupted" if turn.cancelled.is_set() else "error", how))
        elif turn is None and life.session:
            await self._asking.take_back()
            await self._tell(Described(note=f"{how}; the next prompt starts it again"))
        await self._upkeep.end()

    async def _heard(self, life: Life, messages: list[Other | AgentResponse]) -> None:
        for message in messages:
            if life.leaving:
                return  # what it says now belongs to no turn any more
            if isinstance(message, Updated):
                if message.session == life.session or not life.session:
                    (self._updates.replayed if self._replaying else self._updates.take)(message.update)
            elif isinstance(message, Strange):
                if not self._replaying:
                    self._updates.take_strange(message)
            else:
                await self._tell_updates(life)
                await self._heard_other(life, message)
        await self._tell_updates(life)

    async def _heard_other(self, life: Life, message: Request[Raw] | Notification | AgentResponse | Garbage) -> None:
        turn = self._turn
        match message:
            case Request():
                stopping = turn is not None and turn.cancelled.is_set()
                await self._asking.request(life.connection, message, stopping=stopping)
            case Notification():
                # What begins with "_" is the extension of one agent.
                if not await self._asking.notice(message) and not message.method.startswith("_"):
                    self._updates.take_strange(Strange(message.method, message.params))
            case Response() if turn is not None and turn.number == message.id:
                await self._replied(life, turn, message)
            case Garbage() if not life.noted:
                life.noted = True
                note = Described(note=f"{self._name} wrote what is no message: {clean(message.text, 200)}")
                if life.session:
                    await self._tell(note)
                else:
                    self._known = joined(self._known, note)
            case _:
                pass

    # --- a turn ------------------------------------------------------------------------------------------------------

    async def _begin(self, turn: Turn) -> None:
        if (life := self._upkeep.life) is None or not life.there or not life.session:
            preparing = self._spawn(self._prepare(turn), "prepare")
            stopped = self._spawn(turn.stopped(), "stopped")
            await asyncio.wait({preparing, stopped}, return_when=asyncio.FIRST_COMPLETED)
            for task in (preparing, stopped):
                task.cancel()
            await asyncio.wait({preparing, stopped})
            life = self._upkeep.life
        if life is not None and life.leaving and not turn.problem:
            turn.problem = f"{self._name} has ended"
        if turn.cancelled.is_set() or turn.problem or life is None:
            cancelled = turn.cancelled.is_set()
            await self._finish(turn, Outcome("interrupted") if cancelled else Outcome("error", turn.problem))
            return
        self._replaying, self._remembers = False, True
        turn.content_before = self._updates.content
        prompt = {"sessionId": life.session, "prompt": [{"type": "text", "text": turn.text}]}
        turn.number = life.connection.send("session/prompt", prompt)

    async def _prepare(self, turn: Turn) -> None:
        try:
            await self._upkeep.ready()
        except AgentError as exc:
            turn.problem = exc.in_full

    async def _replied(self, life: Life, turn: Turn, reply: AgentResponse) -> None:
        silent = self._updates.content == turn.content_before
        outcome = outcome_of(turn, reply, life.agent.quirks, silent=silent, after_cancel=self._after_cancel)
        if reply.error is not None and reply.error.code == AUTH_REQUIRED and outcome.status == "error":
            outcome = Outcome("error", life.agent.needs_login(reply.error))
        told = answered(reply)
        self._updates.used_by(told.usage, told.meta)
        await self._finish(turn, outcome)

    async def _finish(self, turn: Turn, outcome: Outcome) -> None:
        if turn.ending:
            return
        turn.ending = True
        if outcome.recycle:
            self._upkeep.retire()
        await self._asking.take_back()
        self._updates.end_turn(outcome.status)
        await self._tell(*self._updates.events())
        self._after_cancel = turn.cancelled.is_set() and not outcome.recycle
        self._turn = None
        turn.over.set()
        await self._tell(Finished(status=outcome.status, error=outcome.error, usage=self._updates.usage))
        if outcome.recycle:
            await self._upkeep.end()

    async def _cancel(self, turn: Turn) -> None:
        turn.in_tools = bool(self._asking.open) or self._updates.tools.running
        if await self._asking.take_back():
            await asyncio.sleep(self._patience.gap)
        life = self._upkeep.life
        if turn.ending or life is None:
            return
        life.connection.notify("session/cancel", {"sessionId": life.session})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience.cancel):
                await turn.over.wait()
        await self._abandon(turn, f"{self._name} did not stop and was ended")

    async def _abandon(self, turn: Turn, why: str) -> None:
        await self._finish(turn, Outcome("interrupted", why, recycle=True))

    async def _broken(self) -> None:
        if self._turn is not None:
            await self._finish(self._turn, Outcome("error", "see the service's log on that device", recycle=True))

    async def _tell_updates(self, life: Life) -> None:
        if life.session and (events := self._updates.events()):
            turn = self._turn
            if turn is not None and not turn.beginning:
                turn.beginning = next((event.text for event in events if isinstance(event, Said)), "")
            await self._tell(*events)
