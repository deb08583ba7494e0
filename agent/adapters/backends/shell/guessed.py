"""Follows a shell that tells nothing, or not enough: what is typed for it, and when it waits for more.

Prompts are typed as a person would type them. A command is over when what stood at the prompt waits for input again,
with no exit status; a shell whose line editor is off still tells that by its marks. Why it is so is always said.
Source: docs/design/shell.md, "Without marks".
"""

from __future__ import annotations

import re
from collections.abc import Callable

from agent.adapters.backends.pty.awaited_input import reads_terminal
from agent.adapters.backends.pty.terminal import PseudoTerminal
from agent.adapters.backends.pty.typing import LINE_MAX
from agent.adapters.backends.shell.launch import Shell, argv_of
from agent.adapters.backends.shell.questions import ENTER
from agent.adapters.backends.shell.states import Effect, Guessing, ShellStates
from agent.adapters.backends.shell.turn import AGAIN, ShellTurn
from agent.adapters.backends.terminal.launch import WRAPPER
from agent.adapters.backends.terminal.output import CommandOutput
from agent.adapters.backends.terminal.prompts import TypedLines, without_mark
from agent.adapters.backends.terminal.session import typed
from agent.processes import command_line, process_name
from agent.protocol.model import NAME_MAX
from agent.protocol.names import clean

QUIET = 0.1
"""Seconds without output before anybody looks whether the shell waits."""
KEYS_QUIET = 1.0
"""Those for one that has a line editor of its own: it is not seen to read."""
START_SECONDS = 10.0
"""Time for start-up files until prompts are typed without waiting any longer."""
TRIES = 3
"""How often the key is pressed in vain before text is typed instead."""
_OPEN = (
    "quote|dquote|bquote|cmdsubst|subsh|cursh|heredocd?|mathsubst|math|braceparam|array|function|cond|always|for|foreach"
    "|while|until|repeat|select|case|if|elif|elif-then|then|else|do|pipe|errpipe|cmdand|cmdor"
)
_MORE = re.compile(rf"(?:(?:(?:{_OPEN}) )*(?:{_OPEN})?>{{1,2}} ?|\.\.\. ?|::: ?)+")
"""What shells show before the next line of an unfinished command; zsh also says what is open."""
_QUOTED = {ord("\\"): "\\\\", ord("'"): "\\'", ord("\n"): "\\n"}
_NAME_MAX = 15  # characters of a process's name (Linux)


class GuessedShell:
    """Watches the shell of a session, and takes over where its marks do not tell. `reason` says why, once it has."""

    def __init__(
        self, shell: Shell, terminal: PseudoTerminal, pid: int, now: float, *, stands: Callable[[], str]
    ) -> None:
        """Watch from `now` on. `stands`: the text before the cursor."""
        self.reason, self._stands = "", stands
        self._shell, self._terminal, self._pid = shell, terminal, pid
        self._begun = now  # loop time
        self._name = shell.name[:_NAME_MAX]  # of the process
        self._seen = False  # it has told something by marks
        self.late = False  # the start-up files take long, which was told
        self._deaf = False  # it does not hear the key
        self._base = pid  # process group that stands at the prompt
        self._typed = TypedLines()

    def look(self, states: ShellStates, quiet: float, now: float) -> list[Effect]:
        """See whether the shell tells what it does, and if not, whether it waits."""
        if states.marked and not self._seen:
            self._seen, self._name = True, process_name(self._pid)  # a wrapper may have started it by another name
        if states.marked and (states.typing or self.late):
            return self._heeds_again(states)
        if quiet < QUIET:
            return []
        if states.typing:
            unknown = states.state != "prompt" or states.entered
            over = unknown and self._waits(quiet) and not self._wants_more(states.running, now)
            return states.seen_waiting() if over else []
        return self._judge(states, quiet, now)

    def _judge(self, states: ShellStates, quiet: float, now: float) -> list[Effect]:
        how, reason = "ends of commands are guessed", self._unmarked(states, quiet, now)
        if not reason and states.state == "prompt":
            how, reason = "prompts are typed", self._unheard(states, quiet)
        if reason:
            self.reason, states.typing = f"{how}, {reason}", True
            return [Guessing(self.reason), *states.seen_waiting()]
        if now - self._begun >= START_SECONDS and (late := self.overdue(states)):
            return late
        return states.offer() if self._terminal.mode() == "raw" else []

    def _heeds_again(self, states: ShellStates) -> list[Effect]:
        """Go back to the key, if the line editor is on again, or the start-up files have ended late."""
        if self._deaf or states.state != "prompt" or self._terminal.mode() != "raw":
            return []
        self.reason, self._base = "", self._pid
        self.late = states.typing = False
        return [Guessing(""), *states.offer()]

    def _unmarked(self, states: ShellStates, quiet: float, now: float) -> str:
        """Why the shell does not tell when commands end; empty if it does, or may."""
        if not self._shell.kind:
            return self._shell.unmarked if self._waits(quiet) else ""
        starting = states.state == "starting"
        if taker := self._taker():
            states.marked = False
            where = "in its start-up files" if starting else f"from {self._shell.name}"
            return f"{taker} took over {where}" if self._waits(quiet) else ""
        if not starting or now - self._begun < START_SECONDS:
            return ""
        base = self._terminal.foreground()
        if self.asks(states, quiet):
            return ""
        if base in {0, self._pid}:
            return "it tells nothing" if self._terminal.mode() == "raw" and self._waits(quiet) else ""
        self._base = base
        return f"{clean(process_name(base), NAME_MAX) or 'a program'} runs in its start-up files"

    def asks(self, states: ShellStates, quiet: float) -> bool:
        """Whether the start-up files wait for keys: a prompt that is typed would be an answer.

        It waits, has told nothing yet, and is still what was started; a shell that took its place looks the same.
        """
        own = command_line(self._pid) == [*argv_of(self._shell)]
        return states.state == "starting" and own and self._terminal.mode() == "raw" and quiet >= KEYS_QUIET

    def overdue(self, states: ShellStates) -> list[Effect]:
        """Tell once that the start-up files take longer than they have time for, if they still run."""
        before, self.late = self.late, states.state == "starting"
        told = self.late and not before
        return [Guessing(f"its start-up files are not done after {START_SECONDS:g} s")] if told else []

    def _unheard(self, states: ShellStates, quiet: float) -> str:
        """Why the shell does not hear the key; empty if it does, or may."""
        if self._terminal.mode() == "lines":
            return "its line editor is off" if self._waits(quiet) else ""
        turn = states.waiting
        self._deaf = turn is not None and turn.tries >= TRIES and not turn.taken and self._waits(quiet)
        return "its line editor does not know our key" if self._deaf else ""

    def _taker(self) -> str:
        """The program that has taken the shell's place (`exec`); empty: none, or this system does not tell."""
        name = process_name(self._pid)
        if name in {"", self._name} or WRAPPER in command_line(self._pid):
            return ""
        return clean(name, NAME_MAX)

    def _waits(self, quiet: float) -> bool:
        """Whether what stands at the prompt waits for input: what it runs has come to an end."""
        terminal = self._terminal
        if terminal.foreground() != self._base or terminal.mode() == "no-echo" or terminal.unread():
            return False
        return bool(reads_terminal(terminal, self._pid)) or (terminal.mode() == "raw" and quiet >= KEYS_QUIET)

    def _wants_more(self, turn: ShellTurn | None, now: float) -> bool:
        """Whether a prompt that was typed is unfinished: the shell has run none of it, and shows that it waits on.

        What stood there when a prompt was typed is no such sign, nor what still does after interrupts: they drop it.
        """
        if turn is None:
            return False
        row = self._stands().strip()
        shown = _MORE.match(row) if turn.unfinished else _MORE.fullmatch(row)  # an answer may stand behind it by now
        if turn.interrupts:
            early = turn.pressed_at is None or now - turn.pressed_at < AGAIN
            return turn.unfinished and (early or (shown is not None and turn.presses < TRIES))
        entering = turn.unfinished and turn.lines[:1] == [ENTER]
        turn.unfinished = entering or (shown is not None and not self._typed.stood(row))
        return turn.unfinished

    def keys(self, text: str, stands: tuple[str, str], *, marked: bool, pastes: bool) -> bytes:
        """What to type for a prompt, before and behind which so much `stands`; empty if no terminal takes it."""
        if "\n" in text and marked and self._shell.kind in {"bash", "zsh"}:
            text = f"eval $'{text.translate(_QUOTED)}'"  # line by line it would be as many commands
        data = typed(text, pastes=pastes)
        if self._terminal.mode() != "raw" and max(map(len, data.split(b"\r"))) > LINE_MAX:
            return b""
        self._typed.type(text, *stands, edits=self._terminal.mode() == "raw")
        return data

    def output(self, text: str) -> str:
        """More of the output without the lines that were typed."""
        return self._typed.without_echo(text)

    def shown(self, rows: str) -> str:
        """Rows that may still change, without the lines that were typed."""
        return self._typed.shown(rows)

    def rest(self, output: CommandOutput, *, marked: bool) -> str:
        """The rest of what a command has written that is over, without the prompt below it if that is not `marked`."""
        prompt = 0
        if self.reason and not marked:
            name, edits = process_name(self._terminal.foreground()), self._terminal.mode() == "raw"
            prompt = self._typed.prompt(output.at_cursor[0], name, edits=edits)
        text = self._typed.without_echo(output.end(prompt))
        return without_mark(text) if prompt else text
