"""`agent audit`: who did what on this device, with no word of what was said."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from agent.client.terminal_text import Style, clean
from agent.frontends.cli.main import App, Exit
from agent.frontends.cli.output import Printer, short_device
from agent.frontends.cli.parameters import Moment, Whole
from agent.frontends.cli.table import Cell, Column, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.client.stream import Stream
    from agent.protocol.audit import AuditEntry

TABLE = Table(
    Column("TIME"),
    Column("DEVICE", least=12, typed=True),
    Column("DID"),
    Column("SESSION", typed=True),
    Column("LENGTH"),
    Column("DETAIL", least=24, cut="wrapped"),
    left_out=("LENGTH",),
)
GROWING = Table(
    *(
        column._replace(reserved=reserved)
        for column, reserved in zip(TABLE.columns, (19, 12, 11, 16, 6, 6), strict=True)
    ),
    left_out=("LENGTH",),
)
"""What comes later should stand under what is there."""
LIMIT, LIMIT_MAX = 1000, 5000
_STYLES: dict[str, Style] = {"refused": "red", "paired": "green", "unpaired": "yellow"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the entries as JSON; with --follow one a line.")
@click.option("--since", type=Moment(), metavar="WHEN",
              help="Only from then on: 30min, 8h, 2d ago; today, yesterday, 2026-01-31, 2026-01-31T12:00.")  # fmt: skip
@click.option("--limit", type=Whole(1, LIMIT_MAX), default=LIMIT, metavar="N",
              help="The newest N; default 1000.")  # fmt: skip
@click.option("--follow", "stay", is_flag=True, help="Stay and print what comes.")
@click.pass_obj
def audit(app: App, *, as_json: bool, since: str | None, limit: int, stay: bool) -> int:
    """Show who attached, prompted, answered and paired here, oldest first."""
    asked = {"since": since or "", "limit": limit}
    if stay:
        import asyncio

        asyncio.run(_Follow(app, as_json=as_json).run(asked))
        return Exit.OK
    entries = app.client.call("audit.list", asked)
    if as_json:
        app.printer.json([_whole(entry) for entry in entries])
        return Exit.OK
    for line in TABLE.lines(app.printer, [_cells(entry, app.printer) for entry in entries]):
        app.printer.line(line)
    if not entries:
        app.printer.hint(f"nobody has done anything here {'since then' if since else 'yet'}")
    return Exit.OK


class _Follow:
    # The log and what comes, each entry once, whatever connections to the service were lost.

    def __init__(self, app: App, *, as_json: bool) -> None:
        self._path = app.client.path
        self._printer = app.printer
        self._as_json = as_json
        self._head = not as_json
        self._last = ""  # time of the newest entry shown
        self._shown: Counter[AuditEntry] = Counter()  # those of that time

    async def run(self, asked: dict[str, Any]) -> None:
        from agent.client.stream import ConnectionBack, ConnectionLost, streaming
        from agent.client.view import ServiceAway, sentence
        from agent.protocol.messages import AuditNoted

        async with streaming(self._path) as stream:
            self._show(await self._watch(stream, asked))
            async for note in stream.notes():
                if isinstance(note, AuditNoted):
                    self._show(note.entries)
                elif isinstance(note, ConnectionLost):
                    self._printer.talk(sentence(ServiceAway()), "yellow")
                elif isinstance(note, ConnectionBack):
                    again = {"since": self._last or asked["since"], "limit": LIMIT_MAX}
                    self._show(self._unseen(await self._watch(stream, again)))

    @staticmethod
    async def _watch(stream: Stream, asked: dict[str, Any]) -> tuple[AuditEntry, ...]:
        from agent.protocol.messages import ListAudit
        from agent.protocol.methods import AUDIT_WATCH

        return await stream.insist(AUDIT_WATCH, ListAudit(**asked))

    def _unseen(self, entries: Sequence[AuditEntry]) -> list[AuditEntry]:
        seen, fresh = self._shown.copy(), []
        for entry in entries:
            if seen[_stored(entry)] > 0:
                seen[_stored(entry)] -= 1
            else:
                fresh.append(entry)
        return fresh

    def _show(self, entries: Sequence[AuditEntry]) -> None:
        import msgspec

        for entry in entries:
            if entry.at != self._last:
                self._last = entry.at
                self._shown.clear()
            self._shown[_stored(entry)] += 1
        rows = [msgspec.to_builtins(entry) for entry in entries]
        if self._as_json:
            for row in rows:
                self._printer.json_line(_whole(row))
            return
        cells = [
            [_clock(row["at"]) if self._printer.tty else row["at"], *_cells(row, self._printer)[1:]] for row in rows
        ]
        for line in GROWING.lines(self._printer, cells, head=self._head):
            self._printer.line(line)
        self._head = False
        self._printer.out.flush()


def _stored(entry: AuditEntry) -> AuditEntry:
    # Without the title, which may be another one when the entry comes again.
    import msgspec

    return msgspec.structs.replace(entry, title="")


def _clock(stamp: str) -> str:
    # An age would be wrong a moment after it was printed.
    try:
        return datetime.fromisoformat(stamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return clean(stamp, 40)


def _whole(entry: dict[str, Any]) -> dict[str, Any]:
    # Scripts get every field, also those that are left out on the wire because they are empty.
    return {"session": "", "length": 0, "detail": "", "title": ""} | entry


def _cells(entry: dict[str, Any], printer: Printer) -> list[Cell]:
    whole, style = _whole(entry), _STYLES.get(entry["action"], "")
    return [
        printer.when(whole["at"]),
        clean(whole["name"]).strip() or short_device(whole["device"]),
        (whole["action"], style),
        f"{whole['title']} ({whole['session']})" if whole["title"] and printer.tty else whole["session"],
        str(whole["length"] or ""),
        whole["detail"],
        *([] if printer.tty else [whole["title"]]),  # in a pipe fields only grow
    ]
