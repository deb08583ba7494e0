"""A request that waits for a device which is out of reach: what it is called, what a person is told of it (L8)."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count

from agent.client.text import clean
from agent.protocol.events import TEXT_MAX
from agent.protocol.times import unix_seconds
from agent.protocol.waiting import Waiting, span

SAY_EVERY = 60.0
"""Seconds after which it is said again that something waits."""
EXCERPT = 40
"""Characters of a prompt that name it."""
TAKE_BACK = "Ctrl-C takes it back"
SENDS = frozenset({"prompt.submit", "request.answer", "session.interrupt", "session.close", "session.rename",
                    "session.configure"})  # fmt: skip
"""Methods that make something happen, so that it matters whether they were sent."""
GIVE_UP = "Ctrl-C gives up"
_ids = count(1)


class Call:
    """One request that may wait: what is told of it, and whether it is to be taken back."""

    def __init__(self, waiting: Callable[[Waiting], None] | None = None) -> None:
        """`waiting` is told each time why there is no answer yet."""
        self.id = f"{next(_ids)}"
        self.note: Waiting | None = None  # the last one
        self.first = True  # whether none came before it
        self.taken_back = False
        self._waiting = waiting

    def told(self, note: Waiting) -> None:
        """The request waits."""
        self.first = self.note is None
        self.note = note
        if self._waiting is not None:
            self._waiting(note)


class Said:
    """Which lines about waiting a person was shown: the first of each kind, then one a minute."""

    def __init__(self, *, take_back: str = TAKE_BACK, give_up: str = GIVE_UP) -> None:
        """`take_back`, `give_up`: what a person does who no longer wants it; empty: nothing is said of it."""
        self._take_back, self._give_up = take_back, give_up
        self._what: tuple[str, str, bool, str] | None = None
        self._at = 0.0

    def line(self, note: Waiting, now: float | None = None, *, about: str = "") -> str:
        """The line to show; empty: nothing new. `now`: Unix seconds, default the present.

        `about`: the text of which one it is, if there are several.
        """
        now = time.time() if now is None else now  # noqa: TID251 - compared with times of the wall clock
        what = (note.method, note.device, note.sent, about)
        if what == self._what and now - self._at < SAY_EVERY:
            return ""
        self._what, self._at = what, now
        hint = self._take_back if note.method in SENDS else self._give_up
        return why(note, now, about=about) + (f"; {hint}" if hint else "")


def why(note: Waiting, now: float, *, about: str = "") -> str:
    """Why a request waits, in one line; `now` in Unix seconds. `about`: as `Said.line`."""
    state = "waiting"
    if note.method in SENDS:
        state = "sent, but not confirmed" if note.sent else "not sent yet"
    if about:
        state = f"{excerpt(about)}: {state}"
    if not note.since:
        return f"{state}: {note.name}: {note.reason}" if note.reason else f"{state}: {note.name} is out of reach"
    try:
        away = span(now - unix_seconds(note.since))
    except ValueError:
        return f"{state}: {note.name} is out of reach"
    return f"{state}: {note.name} is out of reach for {away}"


def excerpt(text: str) -> str:
    """The beginning of a prompt in quotes, by which a person knows which one is meant."""
    words = " ".join(text.split())
    return f'"{words[: EXCERPT - 1]}\u2026"' if len(words) > EXCERPT else f'"{words}"'


def not_sent(text: str, *, doubtful: bool = False) -> str:
    """A prompt that is given back, so that it can be copied. `doubtful`: it went out, and perhaps arrived."""
    return ("sent, but not confirmed: " if doubtful else "not sent: ") + "\n".join(
        clean(line, TEXT_MAX) for line in text.split("\n")
    )
