"""`agent sessions`: what runs on all devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from agent.cli.complete import complete_device
from agent.cli.main import App, Exit
from agent.cli.output import Cell, Printer, Style, short_device, short_ids
from agent.cli.text import clean

Row = dict[str, Any]
"""A session as `session.list` gives it: `agent.core.records.SessionRow`, without the cost of its import."""

UNTITLED = "Untitled session"
REMOTE = "Live on other devices"
HEAD = ("STATUS", "TITLE", "DEVICE", "BACKEND", "UPDATED", "ID")
_STYLES: dict[str, Style] = {"starting": "cyan", "idle": "", "working": "green", "needs-input": "yellow",
                             "ended": "dim", "failed": "red"}  # fmt: skip


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
@click.option("--watch", is_flag=True, help="Stay and show changes; JSON lines in a pipe.")
@click.option("--on", metavar="DEVICE", shell_complete=complete_device, help="Only those of this device.")
@click.pass_obj
def sessions(app: App, as_json: bool, watch: bool, on: str | None) -> int:
    """List the sessions of all devices, this one's first."""
    device = ""
    if on:
        from agent.cli.peers import find_device

        device = str(find_device(app.client, on)["id"])
    if watch:
        from agent.cli.watch import watch as follow

        return follow(app, "session", {"scope": "all"}, lambda rows: lines(of(rows, device), app.printer),
                      only=lambda row: not device or row["device"]["id"] == device)  # fmt: skip
    return show(of(app.client.call("session.list"), device), app.printer, as_json=as_json)


def of(rows: Sequence[Row], device: str) -> list[Row]:
    """Those of one device; of all, if that is empty."""
    return [row for row in rows if not device or row["device"]["id"] == device]


def show(rows: Sequence[Row], printer: Printer, *, as_json: bool) -> int:
    """Print them."""
    if as_json:
        printer.json(rows)
        return Exit.OK
    for line in lines(rows, printer):
        printer.line(line)
    if not rows:
        printer.hint("no sessions yet: start one with `agent new`")
    return Exit.OK


def lines(rows: Sequence[Row], printer: Printer) -> list[str]:
    """The table: local sessions, then those of others under their heading, which is there only if they are (R6)."""
    if not rows:
        return []
    rows = sorted(sorted(rows, key=lambda row: row["id"]), key=lambda row: row["updated_at"], reverse=True)  # R4
    short = short_ids([row["id"] for row in rows]) if printer.tty else {}
    local, remote = [row for row in rows if row["local"]], [row for row in rows if not row["local"]]
    cells = [_cells(row, short.get(row["id"], row["id"]), printer) for row in [*local, *remote]]
    head, *body = printer.table(HEAD, cells, shrink=("TITLE", "DEVICE", "BACKEND"))
    if not remote:
        return [head, *body]
    heading = [*([""] if local else []), printer.paint(REMOTE, "bold")]
    return [head, *body[: len(local)], *heading, *body[len(local) :]] if local else [*heading, head, *body]


def _cells(row: Row, shown: str, printer: Printer) -> list[Cell]:
    status = row["status"] if row["status"] in _STYLES else "idle"  # R7
    words = [status.replace("-", " ")]
    if row.get("stale"):
        words.append("(stale)")
    elif not row["local"] and not row["attachable"]:
        words.append("(not paired)")
    if row.get("queued"):
        words.append(f"+{row['queued']}")
    dim: Style = "dim" if row.get("stale") or not row["attachable"] else ""
    return [(" ".join(words), dim or _STYLES[status]), (title_of(row), dim), (device_of(row), dim),
            (row["backend"] or "-", dim), (printer.when(row["updated_at"]), dim), (shown, dim)]  # fmt: skip


def title_of(row: Row) -> str:
    """Its title, or that it has none."""
    return clean(row["title"]).strip() or UNTITLED


def device_of(row: Row) -> str:
    """The name of its device, or the short id."""
    return clean(row["device"]["name"]).strip() or short_device(row["device"]["id"])
