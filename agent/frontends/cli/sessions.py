"""`agent sessions`: what runs on all devices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from agent.client.terminal_text import Style, clean, session_title
from agent.frontends.cli.complete import complete_device
from agent.frontends.cli.duration import counted
from agent.frontends.cli.main import App, Exit
from agent.frontends.cli.output import Cell, Printer, short_device, short_ids

Row = dict[str, Any]
"""A session as `session.list` gives it: `agent.protocol.model.SessionRow`, without the cost of its import."""

REMOTE = "Live on other devices"
AWAY = "Out of reach, as last known"
HEAD = ("STATUS", "TITLE", "DEVICE", "BACKEND", "UPDATED", "ID")
_STYLES: dict[str, Style] = {"starting": "cyan", "idle": "", "working": "green", "needs-input": "yellow",
                             "ended": "dim", "failed": "red"}  # fmt: skip


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
@click.option("--watch", is_flag=True, help="Stay and show changes; JSON lines in a pipe.")
@click.option("--on", metavar="DEVICE", shell_complete=complete_device, help="Only those of this device.")
@click.option("--all", "everything", is_flag=True, help="Also those of devices that are out of reach, as last known.")
@click.pass_obj
def sessions(app: App, as_json: bool, watch: bool, on: str | None, *, everything: bool) -> int:
    """List the sessions of all devices, this one's first."""
    device = ""
    if on:
        from agent.frontends.cli.peers import find_device

        device = str(find_device(app.client, on)["id"])
    if watch:
        from agent.frontends.cli.watch import watch as follow

        asked = {"scope": "all", "all": everything or app.printer.tty}  # on a terminal they are folded
        return follow(app, "session", asked,
                      lambda rows: [*lines(shown(of(rows, device), everything), app.printer),
                                    *([] if everything else folded(of(rows, device), {}, app.printer))],
                      only=lambda row: not device or row["device"]["id"] == device)  # fmt: skip
    if as_json:
        app.printer.json(of(app.client.call("session.list", {"all": everything}), device))
        return Exit.OK
    rows = of(app.client.call("session.list", {"all": True}), device)
    devices = {row["id"]: row for row in app.client.call("peer.list") if device in ("", row["id"])}
    refused = refusing(devices.values(), app.printer)
    status = show(shown(rows, everything), app.printer, as_json=False, quiet=bool(rows or refused))
    for line in [*([] if everything else folded(rows, devices, app.printer)), *refused]:
        app.printer.line(line)
    return status


def shown(rows: Sequence[Row], everything: bool) -> list[Row]:
    """The sessions that are listed: the live ones, unless everything is asked for."""
    return [row for row in rows if everything or not row.get("away")]


def folded(rows: Sequence[Row], devices: Mapping[str, Row], printer: Printer) -> list[str]:
    """A line for each device that is out of reach: since when, and how many sessions it had (R12)."""
    away: dict[str, list[Row]] = {}
    for row in rows:
        if row.get("away"):
            away.setdefault(row["device"]["id"], []).append(row)
    told = []
    for device, its in sorted(away.items(), key=lambda each: device_of(each[1][0]).casefold()):
        row = devices.get(device) or {}
        told.append(
            f"{device_of(its[0])} is offline{_since(row.get('since') or row.get('heard_at'), printer.now())}: "
            f"{counted(len(its), 'session')} (agent sessions --all)"
        )
    return [printer.paint(line, "dim") for line in told]


def refusing(devices: Iterable[Row], printer: Printer) -> list[str]:
    """A line for each paired device that is there and does not accept this one: why it has no sessions (R14)."""
    there = [row for row in devices if row["paired"] and row["state"] == "online" and row.get("reason")]
    told = sorted(f"{clean(row['name']) or short_device(row['id'])} {clean(row['reason'])}" for row in there)
    return [printer.paint(line, "dim") for line in told]


def of(rows: Sequence[Row], device: str) -> list[Row]:
    """The sessions of one device; of all, if `device` is empty."""
    return [row for row in rows if not device or row["device"]["id"] == device]


def _since(stamp: str | None, now: float) -> str:
    from agent.protocol.waiting import span

    try:
        return f" for {span(now - datetime.fromisoformat(stamp or '').timestamp())}"
    except ValueError:
        return ""


def show(rows: Sequence[Row], printer: Printer, *, as_json: bool, quiet: bool = False) -> int:
    """Print the sessions; `quiet`: that there are none needs no word."""
    if as_json:
        printer.json(rows)
        return Exit.OK
    for line in lines(rows, printer):
        printer.line(line)
    if not rows and not quiet:
        printer.hint("no sessions yet: start one with `agent new`")
    return Exit.OK


def lines(rows: Sequence[Row], printer: Printer) -> list[str]:
    """The table of sessions: local ones, then those of others under a heading, which is there only if they are (R6)."""
    if not rows:
        return []
    rows = sorted(sorted(rows, key=lambda row: row["id"]), key=lambda row: row["updated_at"], reverse=True)  # R4
    short = short_ids([row["id"] for row in rows]) if printer.tty else {}
    parts = {
        "": [row for row in rows if row["local"]],
        REMOTE: [row for row in rows if not row["local"] and not row.get("away")],
        AWAY: [row for row in rows if row.get("away")],
    }
    cells = [_cells(row, short.get(row["id"]) or row["id"], printer) for part in parts.values() for row in part]
    head, *body = printer.table(HEAD, cells, shrink=("TITLE", "DEVICE", "BACKEND"))
    told: list[str] = []
    for name, part in parts.items():
        if not part:
            continue
        heading = [printer.paint(name, "bold")] if name else []
        told += [*([""] if told else []), *heading, *([] if told else [head]), *body[: len(part)]]
        del body[: len(part)]
    return told


def _cells(row: Row, shown: str, printer: Printer) -> list[Cell]:
    status = row["status"] if row["status"] in _STYLES else "idle"  # R7
    words = [status.replace("-", " ")]
    if row.get("away"):
        words.append("(offline)")
    elif row.get("stale"):
        words.append("(stale)")
    elif not row["local"] and not row["attachable"]:
        words.append("(not paired)")
    if row.get("queued"):
        words.append(f"+{row['queued']}")
    dim: Style = "dim" if row.get("stale") or not row["attachable"] else ""
    return [(" ".join(words), dim or _STYLES[status]), (title_of(row), dim), (device_of(row), dim),
            (row["backend"] or "-", dim), (printer.when(row["updated_at"]), dim), (shown, dim)]  # fmt: skip


def title_of(row: Row) -> str:
    """The title of a session, or that it has none."""
    return session_title(row["title"])


def device_of(row: Row) -> str:
    """The name of a session's device, or the short id."""
    return clean(row["device"]["name"]).strip() or short_device(row["device"]["id"])
