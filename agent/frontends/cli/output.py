"""What commands print: data on stdout, talk on stderr, colour that never alone carries meaning."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from agent.client.terminal_text import Style, clean
from agent.protocol.characters import escaped, unsafe
from agent.protocol.times import span, unix_seconds

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
NARROW = 72
"""Columns of a terminal from which on there is room for more than what is essential."""


class Printer:
    """The two streams of a command, and what they are connected to."""

    def __init__(self, *, color: Literal["auto", "always", "never"] = "auto", environ: Mapping[str, str]) -> None:
        self.out: TextIO = sys.stdout
        self.err: TextIO = sys.stderr
        for stream in (self.out, self.err):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a name must not break a terminal that cannot show it
        self.tty = self.out.isatty()
        self.err_tty = self.err.isatty()
        self.dumb = environ.get("TERM", "") == "dumb"
        plain = bool(environ.get("NO_COLOR")) or self.dumb
        self.always = color == "always"  # in data for programs, too
        self.color = color == "always" or (color == "auto" and self.tty and not plain)
        self.err_color = color == "always" or (color == "auto" and self.err_tty and not plain)
        self._environ = environ
        self.make_way: Callable[[], None] = lambda: None
        """Takes away what is drawn over, before anything is said beside it."""

    @property
    def columns(self) -> int | None:
        """Width of the terminal that stdout is; None for a pipe, which takes lines of any length."""
        if not self.tty:
            return None
        if self._environ.get("COLUMNS", "").isdecimal():
            return int(self._environ["COLUMNS"]) or 80
        try:
            return os.get_terminal_size(self.out.fileno()).columns or 80
        except (OSError, ValueError):
            return 80

    @property
    def narrow(self) -> bool:
        """Whether stdout is a terminal that has room for the essential words alone."""
        return self.columns is not None and self.columns < NARROW

    @property
    def rows(self) -> int:
        """Height of the terminal that stdout is; 24 if it does not say."""
        try:
            return os.get_terminal_size(self.out.fileno()).lines or 24
        except (OSError, ValueError):
            return 24

    def now(self) -> float:
        """The present time, in Unix seconds."""
        return time.time()  # noqa: TID251 - agent.clock imports asyncio, which the start-up budget has no room for

    def line(self, text: str = "") -> None:
        """Print a line of data on stdout."""
        self.out.write(text + "\n")

    def talk(self, text: str, style: Style = "") -> None:
        """Print a line for the person on stderr, each of its lines cleaned."""
        told = "\n".join(clean(line, 4096) for line in text.splitlines() or [""])
        self.make_way()
        self.out.flush()
        self.err.write(self._painted(told, style, self.err_color) + "\n")
        self.err.flush()

    def beside(self, text: str) -> None:
        """Print a line about a list: below it on a terminal; in a pipe on stderr, for it is no row."""
        if self.tty:
            self.line(self.paint(text, "dim"))
        else:
            self.talk(text, "dim")

    def ask(self, label: str) -> None:
        """Print what stands before what is typed, on stderr."""
        self.err.write(clean(label))
        self.err.flush()

    def hint(self, text: str) -> None:
        """Say on stderr what to do next."""
        self.talk(f"  hint: {text}", "dim")

    def error(self, message: str, hint: str = "") -> None:
        """Say on stderr what went wrong, and what to do."""
        first, *more = message.splitlines() or [""]
        self.talk("\n".join([f"agent: {first}", *(f"  {line}" for line in more)]), "red")
        if hint:
            self.hint(hint)

    def json(self, value: Any) -> None:
        """Print one JSON document: indented on a terminal, one line in a pipe."""
        self.line(as_json(value, indent=2 if self.tty else None))

    def json_line(self, value: Any) -> None:
        """Print one line of JSON, at once."""
        self.line(as_json(value))
        self.out.flush()

    def paint(self, text: str, style: Style) -> str:
        """Text in a style, if stdout takes colours."""
        return self._painted(text, style, self.color)

    @staticmethod
    def _painted(text: str, style: Style, color: bool) -> str:
        # It begins with a reset: what somebody's text left painted must not hide what we say.
        return f"\x1b[0;{_CODES[style]}m{text}\x1b[0m" if style and color else text

    def when(self, stamp: str | None) -> str:
        """An RFC 3339 time: as it is in a pipe, as an age on a terminal; empty for none."""
        if not stamp:
            return ""
        return age(stamp, self.now()) if self.tty else stamp


def as_json(value: Any, indent: int | None = None) -> str:
    """A value as JSON, one line without `indent`; what a terminal obeys is escaped, which JSON does not ask for."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return unsafe.sub(lambda found: escaped(found.group()), text)


def age(stamp: str, now: float) -> str:
    """How long ago an RFC 3339 time is, in one unit; the text itself if it is none."""
    try:
        seconds = int(now - datetime.fromisoformat(stamp).timestamp())
    except ValueError:
        return clean(stamp, 40)
    if seconds < 5:
        return "now"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit} ago"
    return f"{seconds}s ago"


def duration_since(stamp: str, now: float) -> str:
    """How long something has lasted that began at an RFC 3339 time, with a space before it; empty, if that is none."""
    try:
        return f" for {span(now - unix_seconds(stamp))}"
    except ValueError:
        return ""


def local_time(stamp: str) -> str:
    """An RFC 3339 time as a clock on the wall shows it, with the date."""
    try:
        return datetime.fromisoformat(stamp).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return clean(stamp, 40)


def stamp_of(unix: float) -> str:
    """Unix seconds as RFC 3339 in UTC."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def short_device(device: str) -> str:
    """A device id as people read it: `xxxx-xxxx`."""
    device = clean(device, 16)
    return f"{device[:4]}-{device[4:8]}"


def short_ids(ids: Sequence[str], least: int = 4) -> dict[str, str]:
    """The shortest prefix of each id that no other one has, of `least` characters or more."""
    ordered = sorted(set(ids))
    short = {}
    for i, one in enumerate(ordered):
        beside = [other for other in ordered[max(0, i - 1) : i + 2] if other != one]
        short[one] = one[: max([least, *(_shared(one, other) + 1 for other in beside)])]
    return short


def _shared(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))
