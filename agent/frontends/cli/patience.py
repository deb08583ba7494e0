"""What a command does while its request waits for a device that is out of reach (L8)."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agent.frontends.cli.parameters import Span
from agent.protocol.methods import Method, R
from agent.protocol.waiting import PATIENCE, WAIT_MAX, Patient, Waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.client.stream import Stream
    from agent.frontends.cli.main import App

Q = TypeVar("Q", bound=Patient)

START_SECONDS = 90.0
"""A peer may have to be dialled, and an agent to be started, before a new session answers."""
wait_option: Callable[[Any], Any] = click.option(
    "--wait",
    type=Span(0.0, WAIT_MAX),
    default=PATIENCE,
    metavar="S",
    help="Wait S seconds for a device that is out of reach; 600 without it, 0: fail at once.",
)
"""`--wait S` of every command that names a session."""


@contextmanager
def on_interrupt(act: Callable[[], object]) -> Iterator[None]:
    """Call `act` at Ctrl-C, as long as the block runs."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, act)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def saying(app: App) -> Callable[[Waiting], None]:
    """What says on stderr why something waits, and what Ctrl-C does about it."""
    from agent.client.pending import WaitingLines

    lines = WaitingLines()

    def waiting(note: Waiting) -> None:
        line = lines.line(note)
        if line:
            app.printer.talk(line, "yellow")

    return waiting


async def patiently(app: App, stream: Stream, method: Method[Q, R], params: Q) -> R:
    """The answer to a request, however long it takes: stderr says what it waits for, and Ctrl-C takes it back.

    Raises: TakenBack, and as `Stream.insist`.
    """
    from agent.client.pending import WaitingCall
    from agent.errors import PeerLost, TakenBack

    call = WaitingCall(saying(app))
    with on_interrupt(lambda: stream.take_back(call)):
        try:
            return await stream.insist(method, params, call=call)
        except (PeerLost, TakenBack):
            if call.taken_back and not method.changes:
                raise TakenBack("given up: nothing was sent") from None
            raise


_PATIENT = frozenset({"peer-unreachable", "peer-lost", "timed-out", "busy", "refused", "session-not-found"})
QUICKLY = 0.25
"""Seconds for which a request waits before a connection is opened over which it can be followed and taken back."""


def call(app: App, method: Method[Q, R], params: Q, *, wait: float, seconds: float = 30.0) -> R:
    """The result of one request of a command that does nothing else. Raises: as `patiently`.

    Asked quickly first: the connection that can wait costs the import of aiohttp, which is rarely needed.
    """
    import msgspec

    from agent.errors import AgentError
    from agent.protocol.codec import typed

    asked = msgspec.structs.replace(params, wait=min(wait, QUICKLY))
    try:
        told = app.client.call(method.name, msgspec.to_builtins(asked), seconds=seconds, patience=0.0)
        return typed(msgspec.Raw(msgspec.msgpack.encode(told)), method.result)
    except AgentError as exc:
        if exc.kind not in _PATIENT or wait <= QUICKLY:
            raise
    return asyncio.run(_asked(app, method, params, wait - QUICKLY))


async def _asked(app: App, method: Method[Q, R], params: Q, wait: float) -> R:
    from agent.client.stream import streaming

    async with streaming(app.client.path, wait=wait) as stream:
        return await patiently(app, stream, method, params)
