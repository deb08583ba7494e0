"""What the driver in bash tells, as values (driver.rc has the format)."""

from __future__ import annotations

from typing import NamedTuple


class Ready(NamedTuple):
    """Nothing is run and nothing was taken: at the start, and after a command got lost on its way."""

    directory: str


class Started(NamedTuple):
    """The command was taken; an interrupt may be sent from now on."""

    number: int


class Ended(NamedTuple):
    """The command is over."""

    number: int
    status: int
    directory: str


Report = Ready | Started | Ended


class ReportReader:
    """Cuts a stream of bytes into reports."""

    def __init__(self) -> None:
        self._left = b""

    def feed(self, data: bytes) -> list[Report]:
        """The reports that are complete with this. What is none is skipped: a report cut by an interrupt."""
        *whole, self._left = (self._left + data).split(b"\0\n")
        reports = (_parse(text.decode(errors="replace")) for text in whole)
        return [report for report in reports if report is not None]


def _parse(text: str) -> Report | None:
    text = text.removeprefix("\n").removeprefix("-ne ")  # `echo` after `set -o posix; shopt -s xpg_echo`
    kind, _, rest = text.partition(" ")
    fields = rest.split(" ", 2)
    try:
        if kind == "start":
            return Started(int(fields[0]))
        if kind == "end":
            return Ended(int(fields[0]), int(fields[1]), fields[2])
    except (ValueError, IndexError):
        return None
    return Ready(rest) if kind == "ready" else None
