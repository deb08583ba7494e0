"""The prompts that an editor waits for, from being sent to the end of their turns."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterable
from typing import NamedTuple

from agent.client.turn_ends import StopReason, turn_end
from agent.errors import AgentError, BackendFailed, PeerLost
from agent.protocol.events import MessageStart, Payload, TurnComplete, UserMessage
from agent.protocol.messages import Submitted

MISSED = "`agent log SESSION` in a terminal shows it"


class Stop(NamedTuple):
    """What must be done for an editor that has cancelled its prompts."""

    interrupts: tuple[int, ...] = ()  # turns that run; 0: whichever does
    withdraws: tuple[str, ...] = ()  # ids of prompts that wait


class AwaitedPrompt:
    """A prompt of the editor's, until its turn is over."""

    def __init__(self, prompt_id: str) -> None:
        self.id = prompt_id
        self.done: asyncio.Future[StopReason] = asyncio.get_running_loop().create_future()
        self.turn: int | None = None  # None: not known yet
        self.started = False
        self.stopped = False  # the editor has cancelled it


class AwaitedTurns:
    """The prompts that the editor waits for, and the turns that must not run on should they begin all the same."""

    def __init__(self) -> None:
        self._waiting: dict[str, AwaitedPrompt] = {}  # by prompt id
        self._doomed: set[int] = set()

    @property
    def prompts(self) -> Container[str]:
        """Ids of the prompts that the editor shows itself."""
        return self._waiting.keys()

    @property
    def stopping(self) -> bool:
        """Whether the editor has cancelled a turn that is not over."""
        return any(each.stopped for each in self._waiting.values())

    def sent(self, prompt_id: str) -> AwaitedPrompt:
        """Begin to wait for a prompt that is on its way."""
        waiting = self._waiting[prompt_id] = AwaitedPrompt(prompt_id)
        return waiting

    def over(self, prompt_id: str) -> None:
        """Forget a prompt: the editor has its answer."""
        self._waiting.pop(prompt_id, None)

    def accepted(self, waiting: AwaitedPrompt, told: Submitted) -> Stop:
        """Note that the session has taken a prompt; what must be done if it was cancelled meanwhile."""
        waiting.turn = told.turn
        waiting.started = waiting.started or told.status == "started"
        return self._stop([waiting] if waiting.stopped and not waiting.done.done() else [])

    def cancel(self) -> Stop:
        """Stop whatever the editor waits for, or whichever turn runs if it waits for none.

        A prompt that waits behind somebody else's turn ends for the editor now. It is withdrawn; should its turn begin
        all the same, as on a device of an earlier version, it is stopped then.
        """
        waiting = [each for each in self._waiting.values() if not each.done.done()]
        for each in waiting:
            each.stopped = True
        return self._stop(waiting) if waiting else Stop(interrupts=(0,))

    def see(self, payload: Payload | None) -> bool:
        """Take an entry of the log, after it was shown; whether the turn that begins must be interrupted."""
        match payload:
            case UserMessage(prompt_id=prompt_id, turn=turn) if prompt_id in self._waiting:
                self._waiting[prompt_id].turn = turn
            case MessageStart(turn=turn) if turn:
                if turn in self._doomed:
                    self._doomed.discard(turn)
                    return True
                for waiting in self._of(turn):
                    waiting.started = True
            case TurnComplete() as done:
                self._doomed.discard(done.turn)
                for waiting in self._of(done.turn):
                    _end(waiting, done)
            case _:
                pass
        return False

    def nothing_runs(self) -> None:
        """End every known turn: the session is idle, and how they ended was told while nobody listened (S14)."""
        for waiting in self._waiting.values():
            if waiting.turn is None or waiting.done.done():
                continue
            if waiting.stopped:
                waiting.done.set_result("cancelled")
            else:
                _fails(waiting, PeerLost("the turn is over, and how it ended was not heard", hint=MISSED))

    def begin_anew(self) -> list[AwaitedPrompt]:
        """Forget the numbers of the turns, since the log is another one; the prompts whose turn was known (S15)."""
        known = [each for each in self._waiting.values() if each.turn is not None and not each.done.done()]
        for waiting in known:
            waiting.turn, waiting.started = None, False
        self._doomed.clear()
        return known

    def fail_unknown(self, prompts: Iterable[AwaitedPrompt], reason: AgentError) -> None:
        """End those of some prompts that the new log has told nothing of, with a reason."""
        for waiting in prompts:
            if waiting.turn is None and not waiting.done.done():
                _fails(waiting, reason)

    def leave(self) -> tuple[str, ...]:
        """End every prompt as cancelled: the editor closes the session. Returns the ids of those that wait."""
        open_ones = [each for each in self._waiting.values() if not each.done.done()]
        for each in open_ones:
            each.done.set_result("cancelled")
        return tuple(each.id for each in open_ones if not each.started)

    def fail(self, reason: AgentError) -> None:
        """End every prompt with a reason: nothing more will be heard of the session."""
        for waiting in self._waiting.values():
            if not waiting.done.done():
                _fails(waiting, reason)

    def _of(self, turn: int) -> list[AwaitedPrompt]:
        return [each for each in self._waiting.values() if each.turn == turn and not each.done.done()]

    def _stop(self, prompts: Iterable[AwaitedPrompt]) -> Stop:
        interrupts, withdraws = [], []
        for each in prompts:
            if each.turn is None:
                continue  # on its way: `accepted` follows
            if each.started:
                interrupts.append(each.turn)
                continue
            withdraws.append(each.id)
            self._doomed.add(each.turn)
            if not each.done.done():
                each.done.set_result("cancelled")
        return Stop(tuple(interrupts), tuple(withdraws))


def _end(waiting: AwaitedPrompt, done: TurnComplete) -> None:
    end = turn_end(done)
    if waiting.stopped:
        waiting.done.set_result("cancelled")
    elif end.stop is None:
        _fails(waiting, BackendFailed(end.reason or "the turn failed", hint=""))
    else:
        waiting.done.set_result(end.stop)


def _fails(waiting: AwaitedPrompt, reason: AgentError) -> None:
    waiting.done.set_exception(reason)
    waiting.done.exception()  # looked at: sending it may fail first, and then nobody asks for this one
