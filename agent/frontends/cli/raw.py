"""A session's terminal on this one, as it is: `agent attach --raw`, and Ctrl-V within `agent attach`.

docs/design/terminal.md has how bytes, sizes and answers of terminals go.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import click
import msgspec
from msgspec import Raw

from agent.client.follow import Hydrated, Mark, NextEvent, follow
from agent.client.pending import WaitingLines
from agent.client.stream import Note, ServiceLost, Stream, streaming
from agent.client.terminal_text import Style, clean
from agent.client.view import LinkBack, LinkLost, PeerStopped, ServiceAway, news_of, sentence
from agent.errors import AgentError, Forbidden, PeerUnreachable, ReadOnly, SessionEnded
from agent.frontends.cli.duration import counted
from agent.frontends.cli.main import App, Exit
from agent.frontends.cli.patience import saying
from agent.frontends.cli.raw_terminal import DetachKey, RawTerminal
from agent.protocol.events import SessionInfo, payload_of
from agent.protocol.methods import TERMINAL_ATTACH, TERMINAL_INPUT, TERMINAL_RESIZE, TERMINAL_TAKEN
from agent.protocol.model import SessionId
from agent.protocol.terminal import (
    TAKEN_EVERY,
    TerminalAttach,
    TerminalAttached,
    TerminalClosed,
    TerminalInput,
    TerminalOutput,
    TerminalResize,
    TerminalResized,
    TerminalTaken,
)
from agent.protocol.terminal_queries import without_queries
from agent.protocol.waiting import PATIENCE, Waiting

DETACH = "ctrl-]"
PIECE = 32_768
"""Bytes typed in one message."""
TYPED_MAX = 1_048_576
"""Bytes that wait to be sent; more are dropped, with a bell."""
LAST_WORD = 1.0
"""Seconds to wait for the end of the output of a session that has ended."""
NOTICE = 4.0
"""Seconds for which it is shown why something was not typed."""
KEEP_RETRY = 0.5
"""Seconds before what could not be typed is tried again."""
INSIDE = "LAN_AGENT_SESSION"
WHOLE_SCREEN = b"\x1b7\x1b[r\x1b8"
"""Has all of the terminal scroll, with the cursor where it is."""
BELL, CLEARED = b"\a", b"\x1b[m\x1b[H\x1b[2J"


class Within(NamedTuple):
    """The view of a session as text from which its terminal is shown, and to which the key leads back."""

    lent: Callable[[], AbstractContextManager[None]]  # the person's terminal, for as long as the block runs
    waiting: Callable[[Waiting], None]  # told why it takes long
    tell: Callable[[str, Style], None]  # prints a line of ours


def raw_attached_to(app: App, session: str, detach_key: str = DETACH, *, wait: float = PATIENCE) -> int:
    """Show a session's terminal on this one; the exit status. Raises: UsageError, without a terminal.

    `wait`: seconds for which a device that is out of reach is waited for, and what is typed meanwhile is kept.
    """
    key = DetachKey(detach_key)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("--raw needs a terminal; in a pipe use `agent prompt SESSION -` and `agent log SESSION`")
    return asyncio.run(_RawAttachment(app, session, key, wait).run())


async def shown_within(app: App, session: str, within: Within, *, wait: float) -> int:
    """Show a session's terminal in place of the text, until the key leads back, or it ends; the exit status.

    Raises: AgentError, if it cannot be shown; the person's terminal was not touched then.
    """
    return await _RawAttachment(app, session, DetachKey(DETACH), wait, within).run()


class _RawAttachment:
    def __init__(self, app: App, session: str, key: DetachKey, wait: float, within: Within | None = None) -> None:
        self._app = app
        self._tell = within.tell if within is not None else app.printer.talk
        self._within = within
        self._key = key
        self._leads = f"{key.name} {'leads back to the text' if within is not None else 'leaves'}"
        self._wait = wait
        self._waiting_lines = WaitingLines()
        self._mark = Mark(session)
        self._asked = clean(session)  # as it was named by who wants to return
        self._epoch = ""
        self._next = self._taken = 0  # offsets: the next byte to be shown, and what the gateway knows was taken
        self._typed = bytearray()
        self._there = asyncio.Event()  # whether the terminal is attached over the present connection
        self._some = asyncio.Event()
        self._took = asyncio.Event()
        self._other_size = asyncio.Event()
        self._covered = False  # whether a line of ours lies over the program's last one
        self._kept_since: float | None = None  # monotonic seconds: since when what is typed could not be sent
        self._refused = False  # whether we may only watch
        self._lost = ""  # what was typed after the program had ended
        self._end = ""

    async def run(self) -> int:
        self._left: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._terminal = RawTerminal(typed=self._take_keys, drained=self._took.set)
        async with streaming(self._app.client.path, wait=self._wait) as stream:
            stream.waiting = self._within.waiting if self._within is not None else saying(self._app)
            events = follow(stream, self._mark)
            first = await anext(events)  # the terminal is touched only once there is a session with one
            assert isinstance(first, Hydrated)
            session = self._mark.session
            if os.environ.get(INSIDE) == session:
                raise Forbidden("this terminal is that session", hint="attach from a terminal of your own")
            attached = await self._attach(stream)
            self._tell(f"-- {self._leads}; the session goes on", "dim")
            stream.waiting = self._waits
            lent = self._within.lent() if self._within is not None else nullcontext()
            with lent, self._terminal.raw(self._other_size.set, lambda number: self._leave(128 + number)):
                self._show(attached, again=False)
                async with asyncio.TaskGroup() as tasks:
                    jobs = [
                        tasks.create_task(self._follow(stream, events), name="cli.follow"),
                        tasks.create_task(self._type(stream), name="cli.type"),
                        tasks.create_task(self._tell_taken(stream), name="cli.taken"),
                        tasks.create_task(self._tell_size(stream), name="cli.size"),
                    ]
                    status = await self._left
                    await self._terminal.settle()
                    for job in jobs:
                        job.cancel()
        unread = self._lost + self._typed.decode(errors="ignore")
        if unread:  # never shown: it may be a password
            self._tell(f"-- {counted(len(unread), 'character')} that you typed did not reach the program", "yellow")
        if self._within is None:
            returns = f"`agent attach --raw {shlex.quote(self._asked)}` returns"
            self._tell(self._end or f"-- left {self._asked}; {returns}", "dim")
        return status

    def _leave(self, status: int, why: str = "") -> None:
        if not self._left.done():
            self._end = why
            self._left.set_result(status)

    # --- what the program writes -------------------------------------------------------------------------------------

    async def _attach(self, stream: Stream) -> TerminalAttached:
        rows, cols = self._terminal.size()
        after = self._next if self._epoch else None
        asked = TerminalAttach(session_id=self._mark.session, rows=rows, cols=cols, after=after, epoch=self._epoch)
        return await stream.insist(TERMINAL_ATTACH, asked)

    def _show(self, attached: TerminalAttached, *, again: bool) -> None:
        if not attached.resumed:
            if again:
                self._terminal.write(self._terminal.modes.undo() + CLEARED)
            self._terminal.write(attached.modes)
        self._terminal.write(without_queries(attached.data))
        if not attached.resumed and not self._terminal.modes.alternate:
            self._terminal.write(WHOLE_SCREEN)  # a program that has left gave back the lines of another window
        self._epoch, self._refused = attached.epoch, False
        self._there.set()
        self._next = self._taken = attached.offset + len(attached.data)

    async def _follow(self, stream: Stream, events: AsyncIterator[Note]) -> None:
        async for note in events:
            if self._left.done():
                return
            if isinstance(note, TerminalOutput | TerminalResized | TerminalClosed):
                if note.session_id == self._mark.session:
                    await self._take(stream, note)
            elif isinstance(note, Hydrated):
                await self._attach_again(stream)
            elif isinstance(note, NextEvent):
                if note.event.type == "session.info":
                    self._maybe_ended(payload_of(note.event))
            else:
                self._link(note)

    async def _take(self, stream: Stream, note: TerminalOutput | TerminalResized | TerminalClosed) -> None:
        match note:
            case TerminalOutput() if note.offset > self._next:
                await self._attach_again(stream)  # we were too slow for what is between
            case TerminalOutput():
                self._terminal.write(note.data[self._next - note.offset :])
                self._next = max(self._next, note.offset + len(note.data))
            case TerminalResized():  # what is outside the new size stays empty
                self._terminal.write(CLEARED if self._terminal.modes.alternate else WHOLE_SCREEN)
            case TerminalClosed():
                status = "" if note.exit_status is None else f" (exit status {note.exit_status})"
                self._leave(Exit.OK, f"-- the session has ended{status}")

    def _link(self, note: Note) -> None:
        news = news_of(note, self._mark.session)
        match news:
            case ServiceAway():
                self._there.clear()
                self._cover(sentence(news))
            case LinkLost(name=name):
                self._cover(f"link to {clean(name)} lost; retrying")  # what a screen showed meanwhile may be lost
            case PeerStopped():
                self._cover(sentence(news))
            case LinkBack():
                self._uncover()
            case _:
                pass

    async def _attach_again(self, stream: Stream) -> None:
        self._show(await self._attach(stream), again=True)
        self._uncover()

    def _maybe_ended(self, payload: object) -> None:
        if isinstance(payload, SessionInfo) and payload.status in {"ended", "failed"}:
            # `terminal.closed` comes after the last of the output, unless the program was gone before.
            status = Exit.OK if payload.status == "ended" else Exit.FAILED
            why = f"-- the session has {payload.status}: {clean(payload.note)}" if payload.note else ""
            asyncio.get_running_loop().call_later(LAST_WORD, self._leave, status, why or "-- the session has ended")

    async def _tell_taken(self, stream: Stream) -> None:
        while True:
            await self._took.wait()
            self._took.clear()
            taken = self._next - self._terminal.pending
            if taken - self._taken >= TAKEN_EVERY:
                self._taken = taken
                await stream.tell(TERMINAL_TAKEN, TerminalTaken(session_id=SessionId(self._mark.session), offset=taken))

    # --- what is said over it ----------------------------------------------------------------------------------------

    def _cover(self, text: str) -> None:
        rows, cols = self._terminal.size()
        line = f" {text} ({self._leads}) "[: cols - 1].encode(errors="replace")
        self._terminal.write(b"\x1b7\x1b[%d;1H\x1b[7m%s\x1b[m\x1b[K\x1b8" % (rows, line))
        self._covered = True

    def _waits(self, note: Waiting) -> None:
        line = self._waiting_lines.line(note)
        if line:
            self._cover(line.partition(";")[0])

    def _uncover(self) -> None:
        if self._covered:
            self._covered = False
            self._terminal.write(b"\x1b7\x1b[%d;1H\x1b[2K\x1b8" % self._terminal.size().rows)
            self._other_size.set()  # the program draws it again

    # --- what the person types ---------------------------------------------------------------------------------------

    def _take_keys(self, data: bytes) -> None:
        before = self._key.before(data)
        if not data or before is not None:
            self._leave(Exit.OK)
        if self._refused:
            return  # the terminal types by itself, too (mouse, focus): no bell for each of them
        self._typed += data if before is None else before
        if len(self._typed) > TYPED_MAX:
            self._typed.clear()
            self._terminal.write(BELL)
        self._some.set()

    async def _type(self, stream: Stream) -> None:
        # One message at a time: they arrive in order, and what is typed meanwhile goes with the next one.
        while True:
            await self._some.wait()
            await self._there.wait()
            data = bytes(self._typed[:PIECE])
            del self._typed[:PIECE]
            if not data:
                self._some.clear()
                continue
            asked = TerminalInput(session_id=self._mark.session, data=Raw(msgspec.msgpack.encode(data)))
            try:
                await stream.once(TERMINAL_INPUT, asked)
                self._kept_since = None
            except PeerUnreachable:
                await self._keep(stream, data)
            except ServiceLost:
                self._terminal.write(BELL)  # it may have arrived: nothing is typed twice
            except SessionEnded:
                self._lost += data.decode(errors="ignore")
            except AgentError as exc:
                self._refused = isinstance(exc, ReadOnly | Forbidden)
                self._terminal.write(BELL)
                self._cover(clean(str(exc)))
                asyncio.get_running_loop().call_later(NOTICE, self._uncover)

    async def _keep(self, stream: Stream, data: bytes) -> None:
        # It never went out: it is typed once the device is back, in order, unless that takes too long.
        now = stream.clock.monotonic()
        if self._kept_since is None:
            self._kept_since = now
        if now - self._kept_since >= self._wait:
            self._kept_since = None
            self._typed.clear()
            self._terminal.write(BELL)
            self._cover("not typed: the device is out of reach")
            return
        self._typed[:0] = data
        self._cover("the device is out of reach; what you type is typed when it is back")
        await stream.clock.sleep(KEEP_RETRY)

    async def _tell_size(self, stream: Stream) -> None:
        while True:
            await self._other_size.wait()
            self._other_size.clear()
            rows, cols = self._terminal.size()
            asked = TerminalResize(session_id=self._mark.session, rows=rows, cols=cols, repaint=True)
            try:
                await stream.once(TERMINAL_RESIZE, asked)
            except AgentError:
                continue  # one that may only watch, or a lost link: attaching again tells the size
