"""Output that goes on above a line that is being typed, without garbling either."""

from __future__ import annotations

from agent.client.terminal_text import Style, fit, leaves_open, width
from agent.frontends.cli.output import Printer

ERASE = "\r\x1b[K"


class SplitScreen:
    """Where a followed session is printed.

    With an input line (`lively`: stdin and stdout are a terminal) all goes to stdout: while something is typed,
    output is held back to whole lines and printed above it. Without, what the session says goes to stdout and the
    talk to stderr.
    """

    def __init__(self, printer: Printer, *, lively: bool) -> None:
        self.printer, self.lively = printer, lively
        self._open = False  # output stands in the middle of a line
        self._drawn = False  # the input line is on the screen
        self._typed = False  # and has text on it
        self._prompt = ""
        self._shown = ""
        self._cursor = 0
        self._held = ""

    def text(self, text: str) -> None:
        """Print more of the session's own output."""
        if not text:
            return
        if self._drawn and self._typed:
            text = self._held + text
            end = text.rfind("\n") + 1
            whole, self._held = text[:end], text[end:]
            if whole:
                self._erase()
                self._write(whole)
                self._draw()
            return
        self._erase()
        self._write(text)

    def line(self, text: str, style: Style = "") -> None:
        """Print a line of the session's own output."""
        start = "\n" if self._held or self._open else ""
        self.text(f"{start}{self.printer.paint(text, style)}\n")

    def notice(self, text: str, style: Style = "dim") -> None:
        """Print a line about the session, for the person."""
        if self.lively:
            self.line(text, style)
            return
        self.end_line()
        self.printer.talk(text, style)

    def end_line(self) -> None:
        """Begin a new line unless one has just begun."""
        if self._held or self._open:
            self.text("\n")

    def edit(self, prompt: str, text: str, cursor: int = 0) -> None:
        """Show the input line, its cursor on that character; with neither prompt nor text, take it away."""
        if not self.lively:
            return
        shown = text.replace("\n", "⏎").replace("\t", " ")
        if self._drawn and (prompt, shown, cursor) == (self._prompt, self._shown, self._cursor):
            return
        self._erase()
        self._prompt = prompt
        self._shown = shown
        self._cursor = cursor
        self._typed = bool(text)
        if not self._typed and self._held:
            held, self._held = self._held, ""
            self._write(held)
        if prompt or text:
            if self._open and not text:
                return  # the session is in the middle of a line: the prompt can wait, typing cannot
            self._draw()

    def close(self) -> None:
        """Leave the terminal at the start of a line."""
        self.edit("", "")
        if self._open and self.printer.tty:
            self._write("\n")
        self.printer.out.flush()

    def _write(self, text: str) -> None:
        self.printer.out.write(text)
        self.printer.out.flush()
        self._open = leaves_open(text, before=self._open)

    def _erase(self) -> None:
        if self._drawn:
            self.printer.out.write(ERASE)
            self._drawn = False

    def _draw(self) -> None:
        room = (self.printer.columns or 80) - width(self._prompt) - 1
        shown, behind = window(self._shown, self._cursor, room)
        if self._open:
            self.printer.out.write("\n")
            self._open = False
        back = f"\x1b[{behind}D" if behind else ""
        self.printer.out.write(self.printer.paint(self._prompt, "cyan") + shown + back)
        self.printer.out.flush()
        self._drawn = True


def window(text: str, cursor: int, room: int) -> tuple[str, int]:
    """The part of a line around its cursor that fits so many columns; how many of them stand behind the cursor."""
    before, after = text[:cursor], text[cursor:]
    if width(text) <= room:
        return text, width(after)
    after = fit(after, max(room // 3, room - width(before)))
    left = room - width(after)
    if width(before) > left:
        start = len(before)
        while start and width(before[start - 1 :]) < left:
            start -= 1
        before = "…" + before[start:] if left > 0 else ""
    return before + after, width(after)
