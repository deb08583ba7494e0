"""What jobs print while no command runs: nobody's reply, so it waits for the next one."""

from __future__ import annotations

MAX = 65_536
"""Characters that are kept: the newest."""


class Background:
    """A bounded piece of text; the oldest of it leaves first and is counted."""

    def __init__(self) -> None:
        self._text, self._left_out = "", 0

    def __bool__(self) -> bool:
        return bool(self._text)

    def add(self, text: str) -> None:
        """Take more."""
        everything = self._text + text
        self._text = everything[-MAX:]
        self._left_out += len(everything) - len(self._text)

    def forget_blank_line(self) -> None:
        """Drop an empty line at its start."""
        self._text = self._text.removeprefix("\n")

    def take(self) -> str:
        """All of it; then there is none."""
        text = f"[{self._left_out:,} characters left out]\n{self._text}" if self._left_out else self._text
        self._text, self._left_out = "", 0
        return text
