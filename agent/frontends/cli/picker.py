"""Which session is meant, asked on a terminal: a list over all devices that typing narrows."""

from __future__ import annotations

import os
import signal
import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from agent.client.terminal_text import clean, fit
from agent.errors import SessionNotFound
from agent.frontends.cli.line_editor import InputEnded, LineEditor, Typed
from agent.frontends.cli.main import App
from agent.frontends.cli.parameters import Whole
from agent.frontends.cli.sessions import device_of, title_of

Row = dict[str, Any]
STDIN = 0
ALTERNATE, NORMAL = "\x1b[?1049h", "\x1b[?1049l"
HOME = "\x1b[H\x1b[J"
MOVES = {b"\x1b[A": -1, b"\x1bOA": -1, b"\x10": -1, b"\x1b[B": 1, b"\x1bOB": 1, b"\x0e": 1}
KEYS = "type to narrow · arrows choose · Enter attaches · Esc leaves"


def choose(app: App) -> str:
    """Ask which session, of all devices; the only one is taken at once.

    Raises: UsageError (without a terminal to ask on), SessionNotFound, Abort.
    """
    if not (sys.stdin.isatty() and app.printer.err_tty):
        raise click.UsageError("a session is needed: see `agent sessions`")
    known = app.client.call("session.list", {"all": True})
    rows = sorted((row for row in known if row["attachable"] or row.get("away")), key=_rank)
    if not rows:
        raise SessionNotFound("there is no session to attach to", hint="start one with `agent new --attach`")
    if len(rows) == 1:
        return str(rows[0]["id"])
    labels = [_label(number, row) for number, row in enumerate(rows, 1)]
    if app.printer.tty and not app.printer.dumb:
        return str(rows[_picked(app, labels)]["id"])
    for label in labels:
        app.printer.talk(label)
    chosen = click.prompt("session", type=Whole(1, len(rows)), default=1, err=True)
    return str(rows[int(chosen) - 1]["id"])


def _rank(row: Row) -> tuple[bool, bool, bool]:
    # Live ones of this device first, those that are over or out of reach last; newest first, as they came.
    return bool(row.get("away")), row["status"] in {"ended", "failed"}, not row["local"]


def _label(number: int, row: Row) -> str:
    state = "offline" if row.get("away") else row["status"].replace("-", " ")
    parts = [title_of(row), device_of(row), clean(row["backend"]) or "?", state]
    return f"{number:3}) {' · '.join(parts)}"


class PickList:
    """The labels that match what was typed, and which of them is meant."""

    def __init__(self, labels: Sequence[str]) -> None:
        """`labels` begin with their number and a bracket."""
        self._labels = labels
        self._editor = LineEditor()
        self._at = 0

    @property
    def matches(self) -> list[int]:
        """Indexes of the labels that have every word that was typed; of a number, that one."""
        typed = self._editor.text.casefold().split()
        if len(typed) == 1 and typed[0].isdecimal() and 0 < int(typed[0]) <= len(self._labels):
            return [int(typed[0]) - 1]
        return [i for i, label in enumerate(self._labels) if all(word in label.casefold() for word in typed)]

    @property
    def chosen(self) -> int | None:
        """The index of the label that is meant; None, if none matches."""
        matches = self.matches
        return matches[min(self._at, len(matches) - 1)] if matches else None

    def feed(self, data: bytes) -> bool | None:
        """Take keys; True once the choice is made, False if the person leaves without one."""
        if data == b"\x1b":
            return False
        if data in MOVES:
            self._at = min(max(self._at + MOVES[data], 0), max(len(self.matches) - 1, 0))
            return None
        before = self._editor.text
        for action in self._editor.feed(data):
            if isinstance(action, InputEnded):
                return False
            if isinstance(action, Typed):
                self._editor.put_back(action.text)
                if self.chosen is not None:
                    return True
        if self._editor.text != before:
            self._at = 0
        return None

    def lines(self, columns: int, rows: int) -> list[str]:
        """What the screen shows: what was typed, the matches around the one that is meant, and what keys do."""
        matches, room = self.matches, max(1, rows - 2)
        first = max(0, min(self._at - room // 2, len(matches) - room))
        shown = [
            fit(f"{'>' if i == self.chosen else ' '}{self._labels[i]}", columns - 1)
            for i in matches[first : first + room]
        ]
        typed = fit(f"session: {self._editor.text}", columns - 1)
        return [fit(KEYS, columns - 1), *(shown or ["  none matches"]), typed]


def _picked(app: App, labels: Sequence[str]) -> int:
    # The index of the label that the person picks, on a screen of its own, so that nothing of it stays. Raises: Abort.
    out, chooser = app.printer.out, PickList(labels)

    def draw(*_: object) -> None:
        size = os.get_terminal_size(out.fileno())
        out.write(HOME + "\n".join(chooser.lines(size.columns or 80, size.lines or 24)))
        out.flush()

    with _keys(draw):
        out.write(ALTERNATE)
        try:
            while True:
                draw()
                data = os.read(STDIN, 4096)
                done = chooser.feed(data) if data else False
                if done and chooser.chosen is not None:
                    return chooser.chosen
                if done is False:
                    raise click.Abort
        finally:
            out.write(NORMAL)
            out.flush()


@contextmanager
def _keys(resized: Any) -> Iterator[None]:
    # Keys come one by one for the block, without echo.
    before = termios.tcgetattr(STDIN)
    attributes = termios.tcgetattr(STDIN)
    attributes[3] &= ~(termios.ICANON | termios.ECHO)
    attributes[6][termios.VMIN], attributes[6][termios.VTIME] = 1, 0
    termios.tcsetattr(STDIN, termios.TCSADRAIN, attributes)
    handled = signal.signal(signal.SIGWINCH, resized)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, handled)
        termios.tcsetattr(STDIN, termios.TCSADRAIN, before)
