"""Lists that stay: redrawn on a terminal, one JSON line a change in a pipe."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from agent.client.stream import ConnectionBack, ConnectionLost, Stream, streaming
from agent.client.view import ServiceAway, sentence
from agent.frontends.cli.main import App, Exit
from agent.frontends.cli.output import Printer
from agent.protocol.methods import PEER_CHANGED, PEER_WATCH, SESSION_CHANGED, SESSION_WATCH, Method, NotificationKind

Row = dict[str, Any]
Subject = Literal["peer", "session"]
_WATCHES: dict[Subject, tuple[Method[Any, Any], NotificationKind[Any]]] = {
    "peer": (PEER_WATCH, PEER_CHANGED),
    "session": (SESSION_WATCH, SESSION_CHANGED),
}
HOME, WIPE_LINE, WIPE_BELOW = "\x1b[H", "\x1b[2K", "\x1b[J"
BEGIN, END = "\x1b[?2026h", "\x1b[?2026l"
"""Around what a terminal is to show at once (synchronised output); others pass over it."""


def watch(
    app: App,
    subject: Subject,
    params: Row,
    draw: Callable[[Sequence[Row]], list[str]],
    *,
    as_json: bool,
    only: Callable[[Row], bool] = lambda _row: True,
) -> int:
    """Show a list and its changes until Ctrl-C.

    In a pipe, or with `as_json`, every line is a row as `--json` has it: all of them first, then each that changed; one
    that is gone comes a last time with `"removed": true`.
    """
    asyncio.run(_Watch(app, subject, params, None if as_json or not app.printer.tty else draw, only).run())
    return Exit.OK


def wait_for(
    app: App, subject: Subject, params: Row, seconds: float, enough: Callable[[Sequence[Row]], bool]
) -> list[Row]:
    """The list once it is `enough`, or as it is after so many seconds."""

    async def run() -> list[Row]:
        rows: dict[str, Row] = {}
        async with streaming(app.client.path) as stream:
            try:
                async with asyncio.timeout(seconds):
                    rows.update(await _present(stream, subject, params))
                    if enough(list(rows.values())):
                        return list(rows.values())
                    async for note in stream.notes():
                        if isinstance(note, ConnectionBack):
                            rows = await _present(stream, subject, params)
                        elif isinstance(note, _WATCHES[subject][1].params):
                            _merge(rows, note)
                        if enough(list(rows.values())):
                            break
            except TimeoutError:
                pass
        return list(rows.values())

    return asyncio.run(run())


async def _present(stream: Stream, subject: Subject, params: Row) -> dict[str, Row]:
    method = _WATCHES[subject][0]
    found = await stream.once(method, msgspec.convert(params, method.params))
    return {row["id"]: row for row in msgspec.to_builtins(found)}


def _merge(rows: dict[str, Row], note: msgspec.Struct) -> tuple[list[Row], list[Row]]:
    # Applies a change; what is new or other now, and what is gone.
    told = msgspec.to_builtins(note)
    gone = [row for row in (rows.pop(one, None) for one in told["removed"]) if row is not None]
    rows.update({row["id"]: row for row in told["changed"]})
    return told["changed"], gone


class _Watch:
    def __init__(
        self,
        app: App,
        subject: Subject,
        params: Row,
        draw: Callable[[Sequence[Row]], list[str]] | None,
        only: Callable[[Row], bool],
    ) -> None:
        """`draw` makes the lines of a screen; without it rows are printed as JSON, one a line."""
        self._printer, self._path = app.printer, app.client.path
        self._subject = subject
        self._params = params
        self._draw = draw
        self._only = only
        self._rows: dict[str, Row] = {}
        self._drawn: tuple[list[str], int] | None = None  # lines on the screen, and its height

    async def run(self) -> None:
        async with streaming(self._path) as stream:
            await self._restart(stream)
            async with asyncio.TaskGroup() as tasks:
                if self._draw is not None:
                    tasks.create_task(self._tick(), name="cli.redraw")
                    asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, self._redraw_all)
                async for note in stream.notes():
                    if isinstance(note, ConnectionLost):
                        self._printer.talk(sentence(ServiceAway()), "yellow")
                    elif isinstance(note, ConnectionBack):
                        self._drawn = None  # what was said meanwhile goes
                        await self._restart(stream)
                    elif isinstance(note, _WATCHES[self._subject][1].params):
                        changed, gone = _merge(self._rows, note)
                        self._show(changed, gone)

    async def _restart(self, stream: Stream) -> None:
        before, self._rows = self._rows, await _present(stream, self._subject, self._params)
        changed = [row for row in self._rows.values() if before.get(row["id"]) != row]
        self._show(changed, [row for one, row in before.items() if one not in self._rows])

    async def _tick(self) -> None:
        # Ages grow while nothing happens.
        while True:
            await asyncio.sleep(5.0)
            self._show([], [])

    def _show(self, changed: Sequence[Row], gone: Sequence[Row]) -> None:
        if self._draw is not None:
            self._redraw(self._draw(list(self._rows.values())), news=bool(changed or gone))
            return
        for row in changed:
            if self._only(row):
                self._printer.json_line(row)
        for row in gone:
            if self._only(row):
                self._printer.json_line({**row, "removed": True})

    def _redraw_all(self) -> None:
        self._drawn = None  # the terminal has another size
        self._show([], [])

    def _redraw(self, lines: list[str], *, news: bool) -> None:
        if self._printer.dumb:  # it keeps all that it was ever told, so ages alone are no reason
            if news or self._drawn is None:
                self._drawn = (lines, 0)
                self._printer.out.write("\n".join(lines) + "\n\n")
                self._printer.out.flush()
            return
        height = self._printer.rows
        lines = _at_most(lines, height - 1, self._printer)
        if (lines, height) == self._drawn:
            return
        # Line by line over what is there: a screen that is wiped first flickers.
        begin = HOME + (WIPE_BELOW if self._drawn is None else "")
        text = "".join(f"{WIPE_LINE}{line}\n" for line in lines)
        self._drawn = (lines, height)
        self._printer.out.write(f"{BEGIN}{begin}{text}{WIPE_BELOW}{END}")
        self._printer.out.flush()


def _at_most(lines: list[str], most: int, printer: Printer) -> list[str]:
    # What does not fit would scroll away the beginning, again and again.
    if len(lines) <= most:
        return lines
    kept = lines[: max(0, most - 1)]
    return [*kept, printer.paint(f"… {len(lines) - len(kept)} more lines", "dim")]
