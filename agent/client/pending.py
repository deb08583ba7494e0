"""A request that waits for a device that is out of reach, and the lines that say so (L8)."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count

from agent.client.prompts import excerpt
from agent.client.terminal_text import clean
from agent.protocol.methods import METHODS
from agent.protocol.times import span, unix_seconds
from agent.protocol.waiting import Waiting

LINE_MAX = 1000
"""Characters of a line that says why something waits."""
SAY_EVERY = 60.0
"""Seconds after which it is said again that something waits."""
TAKE_BACK = "Ctrl-C takes it back"
GIVE_UP = "Ctrl-C gives up"
SENDS = frozenset(row.name for row in METHODS.values() if row.changes)
"""Methods that make something happen, so that it matters whether they were sent."""
_ids = count(1)


class WaitingCall:
    """A request that may wait for its answer: the last note that it waits, and whether it is to be taken back."""

    def __init__(self, waiting: Callable[[Waiting], None] | None = None) -> None:
        """`waiting` is given each note that says why there is no answer yet."""
        self.id = f"{next(_ids)}"
        self.note: Waiting | None = None  # the last one
        self.first = True  # whether none came before it
        self.taken_back = False
        self._waiting = waiting

    def waits(self, note: Waiting) -> None:
        """Keep a note that the request waits, and pass it on."""
        self.first = self.note is None
        self.note = note
        if self._waiting is not None:
            self._waiting(note)


class WaitingLines:
    """Which lines about waiting a person was shown: the first of each kind, then one a minute."""

    def __init__(self, *, take_back: str = TAKE_BACK, give_up: str = GIVE_UP) -> None:
        """`take_back`, `give_up`: what a person does who no longer wants it; empty: nothing is said of it."""
        self._take_back, self._give_up = take_back, give_up
        self._what: tuple[str, str, bool, str] | None = None
        self._at = 0.0

    def line(self, note: Waiting, now: float | None = None, *, about: str = "") -> str:
        """The clean line to show; "" if it says nothing new. `now`: Unix seconds, default the present.

        `about`: the text of the prompt that waits, if there are several.
        """
        now = time.time() if now is None else now  # noqa: TID251 - compared with times of the wall clock
        what = (note.method, note.device, note.sent, about)
        if what == self._what and now - self._at < SAY_EVERY:
            return ""
        self._what = what
        self._at = now
        hint = self._take_back if note.method in SENDS else self._give_up
        return why(note, now, about=about) + (f"; {hint}" if hint else "")


def why(note: Waiting, now: float, *, about: str = "") -> str:
    """Why a request waits, in one clean line; `now` in Unix seconds, `about` as for `WaitingLines.line`."""
    state = "waiting"
    if note.method in SENDS:
        state = "sent, but not confirmed" if note.sent else "not sent yet"
    if about:
        state = f"{excerpt(about)}: {state}"
    return clean(f"{state}: {note.name}{_reason(note, now)}", LINE_MAX)


def _reason(note: Waiting, now: float) -> str:
    if not note.since:
        return f": {note.reason}" if note.reason else " is out of reach"
    try:
        return f" is out of reach for {span(now - unix_seconds(note.since))}"
    except ValueError:
        return " is out of reach"
