"""`agent audit`: who did what on this device, with no word of what was said."""

from __future__ import annotations

from typing import Any

import click

from agent.cli.duration import seconds
from agent.cli.main import App, Exit
from agent.cli.output import Cell, Printer, Style, short_device, stamp_of
from agent.cli.text import clean

HEAD = ("TIME", "DEVICE", "DID", "SESSION", "LENGTH", "DETAIL")
LIMIT = 1000
_STYLES: dict[str, Style] = {"refused": "red", "paired": "green", "unpaired": "yellow"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the entries as JSON.")
@click.option("--since", metavar="WHEN", default="", help="Only from then on: a time (RFC 3339), or 30min, 8h, 2d ago.")
@click.option("--limit", type=click.IntRange(1, 5000), default=LIMIT, metavar="N", help="The newest N; default 1000.")
@click.pass_obj
def audit(app: App, *, as_json: bool, since: str, limit: int) -> int:
    """Show who attached, prompted, answered and paired here, oldest first."""
    entries = app.client.call("audit.list", {"since": _since(since, app.printer), "limit": limit})
    if as_json:
        app.printer.json([_whole(entry) for entry in entries])
        return Exit.OK
    for line in app.printer.table(HEAD, [_cells(entry, app.printer) for entry in entries], shrink=("DEVICE", "DETAIL")):
        app.printer.line(line)
    if not entries:
        app.printer.hint("nobody has done anything here yet")
    return Exit.OK


def _since(text: str, printer: Printer) -> str:
    ago = seconds(text)
    return text.strip() if ago is None else stamp_of(printer.now() - ago)


def _whole(entry: dict[str, Any]) -> dict[str, Any]:
    # Scripts get every field, also those that are left out on the wire because they are empty.
    return {"session": "", "length": 0, "detail": ""} | entry


def _cells(entry: dict[str, Any], printer: Printer) -> list[Cell]:
    whole, style = _whole(entry), _STYLES.get(entry["action"], "")
    name = clean(whole["name"]).strip() or short_device(whole["device"])
    return [
        printer.when(whole["at"]) if printer.tty else whole["at"],
        name,
        (whole["action"], style),
        clean(whole["session"]) or "-",
        str(whole["length"]) if whole["length"] else "-",
        clean(whole["detail"]) or "-",
    ]
