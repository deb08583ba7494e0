"""What a line editor or a terminal shows of the texts that are typed there, and the prompts that stand before them.

Neither is part of a reply. A prompt is known by what stood at the cursor when a text was typed; where it has changed,
as with the directory, by the shell that draws it. Source: docs/design/terminal.md, "Prompts".
"""

from __future__ import annotations

import re
from collections import deque

from agent.protocol.terminal_lines import plain

PROMPTS_MAX = 8
"""Prompts that are known again."""
SHELLS = {"sh", "bash", "dash", "ash", "ksh", "mksh", "yash", "zsh", "fish", "csh", "tcsh", "elvish", "nu"}
"""Names of programs whose questions at the end of a reply are prompts, if they ask the same again."""
_OWN_ROW = {"zsh", "fish"}
"""Those that see to it that their prompt begins a row."""
_USUAL = {"$ ", "# ", "% ", "> "}
"""Prompts of shells that have none of the user's: known before anything was typed."""
_ALIKE = 2
"""Characters at the beginning that a prompt keeps when it changes, at least; and half of all with those at its end."""
_UNENDED = re.compile(r"\x1b\[(?:1;7m[%#]|2m[⏎¶])\x1b\[0m *\n?\Z")
"""What zsh and fish write behind a line that has no end, and the blanks that lead to the next row."""


class TypedLines:
    """What was typed on one terminal and comes back, and the prompts there."""

    def __init__(self) -> None:
        self._prompts = deque[str](maxlen=PROMPTS_MAX)  # what stood before the cursor
        self._behind = ""  # what stood behind it: a prompt at the right, or what the line editor suggests
        self._echo: list[str] = []  # lines that have not come back
        self._more = 0  # prompts that may come for the lines behind the first one

    def type(self, text: str, before: str, behind: str, *, edits: bool) -> None:
        """Note a text that is typed at the cursor, what stands there, and whether what reads it `edits` lines."""
        if before.strip():
            self._prompts.append(before)
        self._behind = behind.strip()
        self._echo = text.strip().split("\n")
        self._more = 0 if edits else len(self._echo) - 1

    def without_echo(self, text: str) -> str:
        """More of what the terminal shows, without the lines that were typed."""
        while self._echo and text:
            line, _, rest = text.partition("\n")
            if not self._is_echo(line, self._echo[0]):
                self._echo = []
                break
            text, self._echo = rest, self._echo[1:]
        return text if self._echo or not text else self._without_more(text)

    def shown(self, rows: str) -> str:
        """Rows that may still change, without what was typed: it may be coming back just now."""
        for typed in self._echo:
            line, ended, rest = rows.partition("\n")
            back = self._is_echo(line, typed)
            if not ended and (back or typed.startswith(plain(line).strip())):
                return ""
            if not back:
                break
            rows = rest
        return rows

    def _is_echo(self, line: str, typed: str) -> bool:
        line, typed = plain(line).rstrip(), typed.rstrip()
        return line.endswith(typed) or line.removesuffix(self._behind).rstrip().endswith(typed)

    def _without_more(self, text: str) -> str:
        # A shell without a line editor asks for each further line when it has read it all already.
        while self._more and text.startswith("> "):
            text, self._more = text[2:], self._more - 1
        self._more = 0
        return text

    def stood(self, row: str) -> bool:
        """Whether each word of a row was a prompt when something was typed."""
        return {*row.split()} <= {each.strip() for each in self._prompts}

    def prompt(self, before: str, shell: str, *, edits: bool) -> int:
        """How many characters before the cursor are the prompt for what comes next.

        `shell` is the name of what waits there; whether it `edits` lines, or leaves that to the terminal.
        """
        if edits and (shell in _OWN_ROW or any(_alike(each, before) for each in self._prompts)):
            return len(before)
        if not self._prompts and shell in SHELLS and before in _USUAL:
            return len(before)
        return max((len(each) for each in self._prompts if before.endswith(each)), default=0)


def _alike(prompt: str, other: str) -> bool:
    """Whether a prompt may have become another one, but for something in the midst of it."""
    same = 0
    while same < min(len(prompt), len(other)) and prompt[same] == other[same]:
        same += 1
    end = 0
    while end < min(len(prompt), len(other)) - same and prompt[-1 - end] == other[-1 - end]:
        end += 1
    return same >= _ALIKE and end > 0 and 2 * (same + end) >= len(prompt.rstrip())


def without_mark(text: str) -> str:
    """The end of a reply without what a shell writes behind a line that has no end."""
    return _UNENDED.sub("", text)
