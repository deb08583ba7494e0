"""A shell that outlived the service which started it, and the prompt that it was running then.

Whoever kept the terminal hands it over. Bytes that came in between may be lost, marks among them, so what became of the
prompt is read from the box: every command runs exactly once, and its status is known.
Source: docs/design/shell.md, "When the service is away".
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from agent.adapters.backends.pty.terminal import PseudoTerminal
from agent.adapters.backends.shell.box import Box
from agent.adapters.backends.shell.performer import MISSING, Performer
from agent.adapters.backends.shell.states import Effect, ShellStates
from agent.adapters.backends.shell.turn import ShellTurn
from agent.adapters.backends.terminal.launch import RunningProgram
from agent.processes import find_process

LOOK = 0.2
"""Seconds between two looks at a process where the system does not tell when it ends."""
SURE = 1.0
"""Seconds of quiet at the prompt after which a prompt that was taken and is not known to be done is over."""


class KeptProcess:
    """A process that another service started (`ProgramProcess`); it is no child of this one.

    `returncode` is None for as long as it runs, and afterwards too: only its parent can know it.
    """

    def __init__(self, pid: int, started: int) -> None:
        """`started` as `agent.processes.Process` has it: another process may have the number by now."""
        self.pid, self._started = pid, started
        self.returncode: int | None = None
        self.gone = not self._runs()

    async def wait(self) -> int | None:
        """Return when the process is gone."""
        if not self.gone and hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                await self._watch(os.pidfd_open(self.pid))
        while not self.gone:
            self.gone = not self._runs()
            if not self.gone:
                await asyncio.sleep(LOOK)
        return self.returncode

    async def _watch(self, descriptor: int) -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        self.gone = True

    def _runs(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, PermissionError):  # the latter: by now another user's process has the number
            return False
        row = find_process(self.pid)
        return row is None or (not row.zombie and self._started in {0, row.started})


@dataclass(frozen=True, kw_only=True)
class KeptShell:
    """What is handed over of a shell that still runs."""

    pid: int
    started: int  # as `agent.processes.Process` has it
    ends: tuple[int, int]  # both descriptors of its terminal (`PseudoTerminal.ends`)
    box: Path
    number: int = 0  # of the prompt that was accepted and has not ended; 0: none
    text: str = ""  # of that prompt

    def running(self) -> RunningProgram:
        """The shell and its terminal, as one that was just started has them."""
        return RunningProgram(KeptProcess(self.pid, self.started), PseudoTerminal.kept(*self.ends))


class TakenUp:
    """Finds out what became of the prompt that was open when the service went away."""

    def __init__(self, kept: KeptShell, box: Box, states: ShellStates, performer: Performer) -> None:
        self._box, self._states, self._performer = box, states, performer
        self._turn = ShellTurn(kept.number, kept.text) if kept.number else None
        if self._turn is not None and box.taken() < kept.number:
            box.put(kept.number, kept.text)
            states.waiting = self._turn
        elif self._turn is not None:
            self._turn.sent = self._turn.taken = self._turn.unseen = True
            states.running, states.state = self._turn, "running"
            performer.output.begin()
            performer.say(MISSING)

    def at_rest(self, quiet: float) -> None:
        """Go on, now that the shell is seen to wait at its prompt."""
        self._performer.carry(self._effects(quiet))

    def _effects(self, quiet: float) -> list[Effect]:
        turn, states, done = self._turn, self._states, self._box.done()
        if turn is not None and (turn is states.running or turn is states.waiting):
            if done is not None and done.number == turn.number:
                return states.seen_over(turn, done.status)
            if self._box.taken() >= turn.number:
                row = find_process(states.pid)  # on a busy machine it may only not have come to it
                return states.seen_over(turn, None) if quiet >= SURE and not (row and row.running) else []
        return states.at_prompt() if states.state == "starting" else []
