"""One shell session: turns are what the user's own shell runs, for a prompt or for a person who types."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal

from agent.adapters.backends.pty.hangup import end_session
from agent.adapters.backends.shell.box import Box
from agent.adapters.backends.shell.kept import KeptShell, TakenUp
from agent.adapters.backends.shell.launch import Shell
from agent.adapters.backends.shell.marks import MarkReader
from agent.adapters.backends.shell.performer import UNWATCHED, Performer
from agent.adapters.backends.shell.states import ShellStates
from agent.adapters.backends.shell.turn import AGAIN, QUIET, ShellTurn
from agent.adapters.backends.tasks import BackendTasks
from agent.adapters.backends.terminal.launch import RunningProgram
from agent.adapters.backends.terminal.screen import ProgramScreen
from agent.errors import BackendFailed
from agent.ports import (
    Described,
    Emit,
    Exited,
    Finished,
    Tail,
)
from agent.ports.terminal import Terminal
from agent.processes import ignores, process_name
from agent.protocol.events import Answer
from agent.protocol.model import NAME_MAX
from agent.protocol.names import clean
from agent.protocol.terminal import Size
from agent.tasks import owned

LOOK = 0.05
"""Seconds between two looks at a shell that is about to do something."""
THEMED = 0.15
"""Seconds without output after which a shell that waits for keys is at its prompt, though no mark says so."""
INTERRUPTED = 0.3
"""The same for a command that was interrupted, whose end the shell may have skipped."""
PRESSES = 3
"""Times that a shell in the foreground is interrupted before it counts as idle though no mark says so."""
LOST = 1.0
"""Seconds without output after which a key that the shell has not heard is pressed again."""

SPARED = "the start-up files are interrupted, and the prompt that waits runs next: interrupt once more to drop it"
IGNORED = "the shell ignores interrupts (`trap '' INT`): its own loops go on, and only `agent close SESSION` ends them"
NUL = "a command cannot hold NUL characters"


class ShellSession:
    """A session with the user's own shell (`ports.Backend`, `ports.RunsPrograms`, `ports.ShowsTerminal`).

    Output is taken as it is read: marks move `ShellStates`, the rest becomes text. One task emits what comes of that,
    and looks at what no mark tells. While it is behind, the terminal is not read.
    """

    def __init__(
        self,
        running: RunningProgram,
        shell: Shell,
        box: Box,
        emit: Emit,
        *,
        words: str = "",
        kept: KeptShell | None = None,
    ) -> None:
        """`words`: whole lines that the screen shows first, and the first turn says."""
        self._process, self._terminal = running.process, running.terminal
        self._box, self._count = box, max(box.taken(), box.offered(), kept.number if kept else 0)
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._states = ShellStates(running.process.pid, early=shell.kind == "fish")
        self._reader = MarkReader(box.nonce)
        self._full = False  # whether a program has the whole screen
        self._screen = ProgramScreen(running.terminal, secrets.token_hex(8), self._heard, typed=self._typed)
        self._screen.begin_with(words)
        self._screen.resize(UNWATCHED if kept is None else Size(*running.terminal.size))
        self._performer = Performer(shell, running, box, self._states, self._screen)
        self._performer.first_words = words + running.notes
        self._taken_up = TakenUp(kept, box, self._states, self._performer) if kept is not None else None
        self._exit = owned(self._process.wait(), "backends.shell.exit")
        self._exit.add_done_callback(lambda _: self._wake.set())
        self._tasks = BackendTasks(emit, "shell", release=self._release)
        self._tell = self._tasks.emit
        self._tasks.spawn(self._run(), "session")

    # --- the port ----------------------------------------------------------------------------------------------------

    @property
    def terminal(self) -> Terminal:
        """The shell's terminal as viewers see it (`ports.ShowsTerminal`)."""
        return self._screen

    def processes(self) -> tuple[int, ...]:
        """The process id of the shell, which leads the session of the terminal (`ports.RunsPrograms`)."""
        return () if self._exit.done() else (self._process.pid,)

    async def ready(self, seconds: float) -> bool:
        """Wait until the shell has its first prompt, asks a question, or has ended; whether that came in time."""
        until = self._loop.time() + seconds
        while not self._performer.at_prompt.is_set() and not self._exit.done():
            if self._loop.time() > until:
                return False
            quiet = self._loop.time() - self._performer.stirred_at
            if quiet >= QUIET and self._performer.questions.awaited(quiet) in {"line", "secret"}:
                return True
            if self._starts_with_question(quiet):
                return True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._performer.at_prompt.wait()
        return True

    @property
    def refused(self) -> str:
        """How the shell ended before it had a prompt, as a sentence; empty if it did not."""
        if not self._exit.done() or self._performer.at_prompt.is_set():
            return ""
        return f"the start-up files ended the shell: {self._last_word().reason}"

    async def begin(self, *, late: bool) -> None:
        """Tell what runs and where it starts; after `ready`, which was not in time if `late`."""
        if late:
            self._performer.carry(self._performer.guessed.overdue(self._states))
        self._performer.directory = self._states.directory
        await self._tell(Described(program=self._performer.program, cwd=self._performer.directory or None))

    async def prompt(self, text: str) -> None:
        """Have the shell run a text as its next line. Raises: BackendFailed, if it has ended."""
        if self._tasks.over or self._exit.done():
            raise BackendFailed("the shell has ended", hint="start another session: `agent new`")
        assert self._states.waiting is None, "one turn at a time"
        turn = ShellTurn(self._count + 1, text)
        if "\0" in text:
            self._performer.tell(Finished(status="error", error=NUL, cwd=self._performer.directory))
        elif not text.strip():
            self._performer.tell(Finished(status="complete", exit_status=0, cwd=self._performer.directory))
        else:
            self._count = turn.number
            self._box.put(turn.number, text)
            self._performer.carry(self._performer.guessed.look(self._states, 0.0, self._loop.time()))
            self._performer.carry(self._states.prompt(turn))
            self._performer.tell_late()
        self._wake.set()

    async def answer(self, request_id: str, answer: Answer) -> None:
        """Type an answer (`Questions.answer`). Raises: BadParams, TooLarge."""
        self._performer.questions.answer(self._turn, request_id, answer)
        self._wake.set()

    async def interrupt(self) -> None:
        """Stop the command: Ctrl-C first; asked again, SIGTERM, then SIGKILL for a program that does not listen.

        While start-up files are read it is they that are stopped; asked again, the prompt that waits for them, too.
        """
        turn = self._states.waiting or self._states.running
        if self._tasks.over or turn is None:
            return
        if turn is self._states.waiting and self._states.state == "starting" and not turn.spared:
            turn.spared = self._states.settling = True
            self._performer.press(self._terminal.interrupt_key())
            self._performer.tell(Described(note=SPARED))
            self._wake.set()
            return
        turn.interrupts += 1
        turn.pressed_at = None  # it is, as soon as the shell may be interrupted
        if turn is self._states.waiting and not turn.sent:
            self._performer.carry(self._states.give_up())
            if self._states.state == "starting":
                self._performer.press(self._terminal.interrupt_key())
        elif turn is self._states.running:
            self._look_at_interrupted(turn, self._loop.time(), 0.0)
            if ignores(self._states.pid, signal.SIGINT):
                self._performer.tell(Described(note=IGNORED))
        self._wake.set()

    async def close(self) -> None:
        """End every process of the terminal and wait for them. Idempotent; from within `emit` it returns at once."""
        await self._tasks.close()

    @property
    def _turn(self) -> ShellTurn | None:
        return self._states.running or self._states.waiting

    # --- output, as it is read ---------------------------------------------------------------------------------------

    def _typed(self, data: bytes) -> bytes:
        self._states.settling |= self._terminal.interrupts(data)
        return self._performer.typed(data)

    def _heard(self, data: bytes) -> bytes:
        now = self._performer.stirred_at = self._loop.time()
        self._screen.hurried = self._turn is not None
        self._performer.output.fit(self._screen.size)
        shown: list[bytes] = []
        for part in self._reader.feed(data):
            if isinstance(part, bytes):
                shown.append(part)
                self._performer.output.feed(part, now)
            elif part.pid in {self._states.pid, *self._states.around, self._terminal.foreground()}:
                self._performer.carry(self._states.mark(part))
        self._performer.say(self._performer.guessed.output(self._performer.output.take(now)))
        if self._turn is not None:
            self._turn.look_after = QUIET
        self._wake.set()
        return b"".join(shown)

    # --- the one task ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            while not self._exit.done():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._next_look()):
                        await self._wake.wait()
                self._wake.clear()
                await self._emit()
                if not self._exit.done():
                    self._look(self._loop.time())
                    await self._emit()
        finally:
            await self._tasks.release()
        self._performer.say(self._performer.guessed.output(self._performer.output.end()))
        if self._turn is not None:
            self._performer.questions.withdraw(self._turn)
        await self._emit()
        await self._tell(self._last_word())

    async def _emit(self) -> None:
        while self._performer.events:
            await self._tell(self._performer.events.popleft())
        self._performer.emitted()

    def _next_look(self) -> float | None:
        turn = self._turn
        due = self._performer.output.due(self._loop.time())
        if self._states.state in {"starting", "between", "cancelled"} or (
            turn is not None and (turn.interrupts or turn is self._states.waiting)
        ):
            return LOOK if self._states.running is None or due is None else min(LOOK, due)
        if turn is None:
            return due
        return turn.look_after if due is None else min(turn.look_after, due)

    def _look(self, now: float) -> None:
        """See what no mark tells: what was lost, and whether a program waits for a person."""
        self._performer.output.settle(now)
        self._performer.say(self._performer.guessed.output(self._performer.output.take(now)))
        moving = self._performer.output.moving(now)
        if moving is not None:
            self._performer.tell(Tail(self._performer.guessed.shown(moving)))
        self._note_full()
        quiet = now - self._performer.stirred_at
        self._performer.carry(self._performer.guessed.look(self._states, quiet, now))
        quiet = now - self._performer.stirred_at
        if self._taken_up is not None and quiet >= THEMED and self._edits():
            self._taken_up.at_rest(quiet)
        turn, quiet = self._turn, now - self._performer.stirred_at
        if self._states.state == "between" and quiet >= THEMED and self._edits():
            self._performer.carry(self._states.at_prompt())
        elif self._states.state == "cancelled" and quiet >= AGAIN:
            self._performer.press(self._terminal.interrupt_key())  # bash may lose one that comes before it reads
        if self._states.settling and quiet >= QUIET and not self._terminal.unread():
            self._states.settling = False
            self._performer.carry(self._states.offer())
        if turn is None:
            return
        if turn.interrupts:
            self._look_at_interrupted(turn, now, quiet)
        elif turn is self._states.waiting and self._states.state == "prompt":
            if quiet >= (THEMED if turn.lost else LOST) and not self._terminal.unread():
                self._performer.carry(self._states.offer_again())
        elif turn is self._states.running or self._states.state == "starting":
            self._performer.questions.look(turn, quiet, full=self._full, starts=self._starts_with_question(quiet))

    def _look_at_interrupted(self, turn: ShellTurn, now: float, quiet: float) -> None:
        # Not while the shell takes a prompt: bash may end when it is interrupted in the midst of what a key does.
        if turn.pressed_at is None:
            if turn is self._states.running or quiet >= INTERRUPTED:
                self._states.settling = True
                turn.press(self._terminal, self._screen.keyboard, self._states.pid, now)
        elif quiet >= INTERRUPTED and now - turn.pressed_at >= INTERRUPTED and self._edits():
            # A prompt tells so by a mark, when it is drawn anew if not before: what else has a line editor (`read` of
            # fish, `vared`) may have begun after the interrupt.
            if turn is self._states.running and turn.presses < PRESSES:
                turn.press(self._terminal, self._screen.keyboard, self._states.pid, now)
            else:
                self._performer.carry(self._states.seen_idle())
        elif now - turn.pressed_at >= AGAIN:
            turn.press_again(self._terminal, self._screen.keyboard, self._states.pid, now)

    def _starts_with_question(self, quiet: float) -> bool:
        """Whether start-up files wait for keys, and have said for what: fish sets its terminal before it asks."""
        return bool(self._performer.output.question) and self._performer.guessed.asks(self._states, quiet)

    def _edits(self) -> bool:
        """Whether the shell itself waits for keys: its line editor has the terminal."""
        return self._terminal.mode() == "raw" and self._terminal.foreground() == self._states.pid

    def _note_full(self) -> None:
        # A transcript cannot show what a program draws: the row says who has the screen. Some take the usual one (top).
        draws = self._states.running is not None and self._performer.output.homes >= (1 if self._screen.keys else 2)
        if (self._screen.full or (draws and self._terminal.mode() == "raw")) != self._full:
            self._full = not self._full
            name = clean(process_name(self._terminal.foreground()), NAME_MAX) or "a program"
            self._performer.tell(Described(screen=name if self._full else ""))

    def _last_word(self) -> Exited:
        status = self._process.returncode
        assert status is not None
        if status < 0:
            return Exited(status="failed", reason=f"the shell was ended by {signal.Signals(-status).name}")
        idle = self._states.state == "prompt" and not self._states.touched and self._turn is None
        why = "the shell ended while nobody typed, as TMOUT has it: " if idle else ""
        return Exited(status="ended", reason=f"{why}exit status {status}", exit_status=status)

    async def _release(self) -> None:
        await end_session(self._process.pid, leader_reaped=self._process.returncode is not None)
        await asyncio.wait([self._exit])
        status = self._process.returncode
        self._screen.finish(status if status is not None and status >= 0 else None)
        self._terminal.close()
        self._box.remove()
