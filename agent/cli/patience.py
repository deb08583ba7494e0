"""What a front end says and does while a request waits for a device that is out of reach (L8)."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agent.core.patience import PATIENCE, WAIT_MAX, Patient, Waiting, span
from agent.core.transcript import TEXT_MAX
from agent.protocol.times import unix_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.cli.main import App
    from agent.cli.stream import Stream

T = TypeVar("T")
SAY_EVERY = 60.0
"""Seconds after which it is said again that something waits."""
EXCERPT = 40
"""Characters of a prompt that name it."""
TAKE_BACK = "Ctrl-C takes it back"
_SENDS = frozenset({"prompt.submit", "request.answer", "session.interrupt", "session.close", "session.rename",
                    "session.configure"})  # fmt: skip
"""Methods that make something happen, so that it matters whether they were sent."""
GIVE_UP = "Ctrl-C gives up"
_ids = count(1)

wait_option: Callable[[Any], Any] = click.option(
    "--wait",
    type=click.FloatRange(min=0, max=WAIT_MAX),
    default=PATIENCE,
    metavar="S",
    help="Wait S seconds for a device that is out of reach; 600 without it, 0: fail at once.",
)
"""`--wait S` of every command that names a session."""


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
        hint = self._take_back if note.method in _SENDS else self._give_up
        return why(note, now, about=about) + (f"; {hint}" if hint else "")


def why(note: Waiting, now: float, *, about: str = "") -> str:
    """Why a request waits, in one line; `now` in Unix seconds. `about`: as `Said.line`."""
    state = "waiting"
    if note.method in _SENDS:
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
    from agent.cli.text import clean

    return ("sent, but not confirmed: " if doubtful else "not sent: ") + "\n".join(
        clean(line, TEXT_MAX) for line in text.split("\n")
    )


@contextmanager
def on_interrupt(act: Callable[[], object]) -> Iterator[None]:
    """Call `act` at Ctrl-C, for the block."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, act)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def saying(app: App) -> Callable[[Waiting], None]:
    """What says on stderr why something waits, and what Ctrl-C does about it."""
    from agent.cli.text import clean

    said = Said()

    def waiting(note: Waiting) -> None:
        if line := said.line(note):
            app.printer.talk(clean(line, 1000), "yellow")

    return waiting


async def patiently(app: App, stream: Stream, method: str, params: Patient, kind: type[T]) -> T:
    """The answer, however long it takes: what it waits for is said on stderr, and Ctrl-C takes it back.

    Raises: TakenBack, and as `Stream.insist`.
    """
    from agent.errors import PeerLost, TakenBack

    call = Call(saying(app))
    with on_interrupt(lambda: stream.take_back(call)):
        try:
            return await stream.insist(method, params, kind, call=call)
        except (PeerLost, TakenBack):
            if call.taken_back and method not in _SENDS:
                raise TakenBack("given up: nothing was sent") from None
            raise


_PATIENT = frozenset({"peer-unreachable", "peer-lost", "timed-out", "busy", "refused", "session-not-found"})
QUICKLY = 0.25
"""Seconds for which a request waits before a connection is opened over which it can be followed and taken back."""


def call(app: App, method: str, params: Patient, kind: type[T], *, wait: float, seconds: float = 30.0) -> T:
    """The result of one request of a command that does nothing else. Raises: as `patiently`.

    Asked quickly first: the connection that can wait costs the import of aiohttp, which is rarely needed.
    """
    import msgspec

    from agent.core.wire import typed
    from agent.errors import AgentError

    asked = msgspec.structs.replace(params, wait=min(wait, QUICKLY))
    try:
        told = app.client.call(method, msgspec.to_builtins(asked), seconds=seconds, patience=0.0)
        return typed(msgspec.Raw(msgspec.msgpack.encode(told)), kind)
    except AgentError as exc:
        if exc.kind not in _PATIENT or wait <= QUICKLY:
            raise
    return asyncio.run(_asked(app, method, params, kind, wait - QUICKLY))


async def _asked(app: App, method: str, params: Patient, kind: type[T], wait: float) -> T:
    from agent.cli.stream import streaming

    async with streaming(app.client.path, wait=wait) as stream:
        return await patiently(app, stream, method, params, kind)
