"""The turns of one Hermes session as they run, and what of its past the log does not have."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from agent.adapters.backends.hermes import history, mapping
from agent.adapters.backends.hermes.history import GOES_ON, PastTool, PastTurn
from agent.adapters.backends.hermes.mapping import (
    BegunPayload,
    DonePayload,
    FailedPayload,
    InfoPayload,
    TextPayload,
    payload,
)
from agent.adapters.backends.hermes.questions import HermesQuestions
from agent.adapters.backends.hermes.redact import Redactor
from agent.adapters.backends.hermes.wire import GatewayEvent
from agent.ports import (
    TURN_OVER,
    BackendEvent,
    Described,
    Emit,
    Exchange,
    Finished,
    Prompted,
    Said,
    ToolFinished,
    ToolStarted,
)
from agent.protocol.events import TurnStatus, Usage
from agent.protocol.turn_causes import TurnCause

BY = "hermes"
"""Who prompts at a window of Hermes: it does not say more."""
PAST_MAX = 100
"""Turns of the past that are taken into the log."""
LOG_MAX = 200
"""Turns that are kept to compare with."""


@dataclass
class HermesTurn:
    """The turn that runs. `ours`: it was prompted through us. `muted`: the log has another one running, which waits."""

    text: str
    ours: bool = False
    muted: bool = False
    interrupting: bool = False
    error: str = ""
    read: int | None = None  # parts of it that were read; None: it is streamed
    idle: int = 0  # times that the gateway was seen idle meanwhile
    said: list[str] = field(default_factory=list)
    part: int = 0  # where in `said` the newest part begins
    tools: set[str] = field(default_factory=set)
    worked: bool = False  # whether a tool was used


class TurnTracker:
    """Tells everything that happens in a session in the order in which it happened, each thing once."""

    def __init__(self, emit: Emit, redactor: Redactor, questions: HermesQuestions) -> None:
        self._emit = emit
        self._redactor = redactor
        self.questions = questions
        self.turn: HermesTurn | None = None
        self.settled = True  # whether the gateway takes the next prompt without stopping something
        self.log: list[Exchange] = []
        self.model: str | None = None  # as it was told last
        self._token, self._count = secrets.token_hex(4), 0

    @property
    def free(self) -> bool:
        """Whether a prompt may be handed to the gateway now."""
        return self.turn is None and self.settled

    # --- events ------------------------------------------------------------------------------------------------------

    async def begin(self, text: str, *, ours: bool = False, muted: bool = False) -> HermesTurn:
        """Begin a turn, and tell that unless it is ours."""
        self.turn = turn = HermesTurn(text, ours=ours, muted=muted)
        self.settled = False
        if not ours:
            await self._emit(Prompted(text=text, by=BY))
        return turn

    async def happened(self, event: GatewayEvent) -> None:
        """Take an event of a turn, or about the session; the turn it belongs to was begun."""
        turn = self.turn
        if turn is not None:
            turn.idle = 0
        match event.type:
            case "message.complete":
                await self._complete(payload(event.payload, DonePayload))
                return
            case "error" if turn is not None:
                turn.error = self._line(payload(event.payload, FailedPayload).message)
                return
            case "session.info":
                await self._informed(payload(event.payload, InfoPayload))
            case "tool.start" if turn is not None:
                turn.tools.add(mapping.tool_id(event.payload))
                turn.worked = True
                turn.part = len(turn.said)
            case "tool.complete" if turn is not None:
                turn.tools.discard(mapping.tool_id(event.payload))
                over = self.questions.tool_over(mapping.command_of(event.payload), last=not turn.tools)
                await self.tell(over)
        await self.tell(mapping.shown(event.type, event.payload, self._redactor))

    async def tell(self, events: list[BackendEvent]) -> None:
        """Pass on those of the events that the log is to have."""
        for event in events:
            if isinstance(event, Described) and event.model is not None:
                if event.model == self.model:
                    continue
                self.model = event.model
            if self.turn is not None and not isinstance(event, Described):
                if self.turn.muted:
                    continue
                if isinstance(event, Said):
                    self.turn.said.append(event.text)
            await self._emit(event)

    async def finish(
        self, status: TurnStatus, error: str = "", usage: Usage | None = None, *, cause: TurnCause = ""
    ) -> None:
        """End the turn that runs, and tell how."""
        turn = self.turn
        if turn is None:
            return
        if turn.interrupting and status != "complete":
            status, error = "interrupted", ""
        await self.tell(self.questions.clear(TURN_OVER[status]))
        self.turn = None
        self._keep(Exchange(turn.text, "".join(turn.said)))
        if not turn.muted:
            await self._emit(Finished(status=status, error=error, usage=usage, cause=cause))

    async def _complete(self, done: DonePayload) -> None:
        turn, text = self.turn, done.text or ""
        if turn is None:
            return
        status, said = done.turn_status, "".join(turn.said)
        part = "".join(turn.said[turn.part :])
        error = turn.error
        if status == "error" and not said:
            error = error or self._line(text)
        elif part or _bare(text) not in _bare(said):
            await self.tell(mapping.pieces(history.missing(part, text) or history.missing(said, text)))
        empty = status == "complete" and not (turn.said or turn.worked or turn.text.startswith("/"))
        await self.finish(status, error, done.used, cause="empty" if empty else "")

    async def _informed(self, info: InfoPayload) -> None:
        if info.running is not False:
            return
        self.settled = self.turn is None
        if self.turn is not None and self.turn.error:
            await self.finish("error", self.turn.error)
            self.settled = True

    def begun(self, event: GatewayEvent) -> str | None:
        """What was asked, as an event that begins a turn tells it (newer gateways); None, if it begins none."""
        if event.type == "message.start":
            return payload(event.payload, BegunPayload).prompt
        if event.type == "message.delta" and payload(event.payload, TextPayload).text:
            return ""
        return None

    # --- the past ----------------------------------------------------------------------------------------------------

    async def catch_up(
        self, turns: list[PastTurn], running: PastTurn | None, *, muted: bool = False, reading: bool = False
    ) -> bool:
        """Tell what has happened meanwhile, the turn that runs included.

        `muted`: the log has another turn running. `reading`: a turn that runs is not streamed to us, but read in parts.
        False, if the turn that the log has running is unknown over there.
        """
        turn, log = self.turn, [*self.log]
        if turn is not None:
            log.append(Exchange(turn.text, "".join(turn.said)))
        whole = [*turns, running] if running is not None else turns
        found = history.unseen(log, whole)
        if log and found.last is None:
            if running is None:
                return turn is None
            found = history.Unseen(turns=(running,))
            await self.finish("error", "Hermes does not know of it any more")
        goes_on = running is not None and not found.turns
        await self._go_on(found, over=not goes_on, muted=muted)
        if running is None or goes_on:
            await self._import_all(found.turns)
        else:
            await self._import_all(found.turns[:-1])
            await self.begin(running.prompt, muted=muted)
            await self._parts(running.parts)
        if self.turn is not None and running is not None:
            self.turn.read = len(running.parts) if reading else None
        return True

    async def _go_on(self, found: history.Unseen, *, over: bool, muted: bool) -> None:
        # The rest of the log's last turn; `over`: that is all of it.
        turn = self.turn
        if turn is not None:
            if found.last is not None and turn.read is not None:
                await self._parts(found.last.parts[turn.read :])
            else:
                await self.tell(mapping.pieces(found.rest))
            if over:
                await self.finish("complete")
        elif not over and found.last is not None:
            await self.begin(GOES_ON, muted=muted)
            await self.tell(mapping.pieces(found.rest))
        elif found.rest:
            await self._import(PastTurn(GOES_ON, (found.rest,)))

    async def _import_all(self, turns: tuple[PastTurn, ...]) -> None:
        if len(turns) > PAST_MAX:
            await self._emit(Described(note=f"{len(turns) - PAST_MAX} earlier turns are not shown"))
        for each in turns[-PAST_MAX:]:
            await self._import(each)

    async def _import(self, turn: PastTurn) -> None:
        await self._emit(Prompted(text=turn.prompt, by=BY, past=True))
        await self._parts(turn.parts)
        await self._emit(Finished(status="complete"))
        self._keep(Exchange(turn.prompt, turn.reply))

    async def _parts(self, parts: tuple[str | PastTool, ...]) -> None:
        before: str | PastTool = ""
        for part in parts:
            if isinstance(part, PastTool):
                self._count += 1
                tool_id = f"past-{self._token}-{self._count}"
                title = self._redactor.redacted(part.context or part.name)
                await self.tell([ToolStarted(tool_id=tool_id, title=title, tool=part.name, tool_name=part.name)])
                await self.tell([ToolFinished(tool_id=tool_id, status="complete")])
            else:
                gap = "\n\n" if before and isinstance(before, str) else ""
                await self.tell(mapping.pieces(gap + part))
            before = part

    def _keep(self, exchange: Exchange) -> None:
        self.log = history.logged([*self.log, exchange])[-LOG_MAX:]

    def _line(self, text: str | None) -> str:
        return self._redactor.redacted(" ".join((text or "").split()))[:1000]


def _bare(text: str) -> str:
    return "".join(text.split())
