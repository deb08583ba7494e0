"""`agent peers`: the devices on this network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import click

from agent.client.control_socket import Client
from agent.client.terminal_text import Style, clean
from agent.errors import Ambiguous, DeviceNotFound
from agent.frontends.cli.confusables import warnings
from agent.frontends.cli.main import App, Exit
from agent.frontends.cli.output import Printer, duration_since, short_device
from agent.frontends.cli.parameters import Span
from agent.frontends.cli.table import Below, Column, Table, tabbed
from agent.frontends.cli.table import Row as Line

Row = dict[str, Any]
"""A device as `peer.list` gives it: `agent.protocol.model.DeviceRow`, without the cost of its import."""

_STYLES: dict[str, Style] = {"online": "green", "stale": "yellow", "offline": "dim"}
TABLE = Table(
    Column("NAME", least=24, cut="middle", typed=True),
    Column("STATE", least=20),
    Column("SESSIONS", least=8),
    Column("ADDRESS", least=21, cut="middle"),
    Column("HEARD"),
    left_out=("HEARD", "ADDRESS", "SESSIONS"),
)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
@click.option("--watch", is_flag=True, help="Stay and show changes; JSON lines in a pipe.")
@click.option("--wait", type=Span(), metavar="S", help="Wait up to S seconds for another device.")
@click.pass_obj
def peers(app: App, as_json: bool, watch: bool, wait: float | None) -> int:
    """List the devices on this network, this one first."""
    if watch:
        from agent.frontends.cli.watch import watch as follow

        return follow(app, "peer", {}, lambda rows: lines(rows, app.printer), as_json=as_json)
    if not as_json:
        tell_reach(app)
    rows = app.client.call("peer.list")
    if wait and all(row["self"] for row in rows):
        from agent.frontends.cli.watch import wait_for

        rows = wait_for(app, "peer", {}, wait, lambda found: any(not row["self"] for row in found))
    return show(rows, app.printer, as_json=as_json)


def tell_reach(app: App) -> dict[str, Any]:
    """Say on stderr what keeps devices from finding or trusting each other, as `agent status` knows it; its report."""
    report: dict[str, Any] = app.client.call("gateway.status")
    for problem in report.get("reach", ()):  # a service that runs on from an older version tells none
        app.printer.talk(f"problem: {problem}", "red")
    return report


def show(rows: Sequence[Row], printer: Printer, *, as_json: bool) -> int:
    """Print the devices, as a table or as JSON."""
    if as_json:
        printer.json(rows)
        return Exit.OK
    for line in lines(rows, printer):
        printer.line(line)
    if all(row["self"] for row in rows):
        printer.hint(
            "no other device yet: run `agent up` on one in the same network, or wait with `agent peers --watch`"
        )
    return Exit.OK


def lines(rows: Sequence[Row], printer: Printer) -> list[str]:
    """The table of devices, this one first."""
    ordered = sorted(rows, key=lambda row: not row["self"])
    doubts = warnings(rows)
    if not printer.tty:
        return [tabbed(_fields(row, doubts.get(row["id"], ""))) for row in ordered]
    told: list[Line] = []
    for row in ordered:
        told += _cells(row, printer, doubts.get(row["id"], ""))
    return TABLE.lines(printer, told)


def _cells(row: Row, printer: Printer, doubt: str) -> list[Line]:
    dim: Style = "dim" if row["state"] == "offline" else ""
    name = device_name(row) + (" (this device)" if row["self"] else "")
    heard = "" if row["self"] else printer.when(row["heard_at"])
    cells: Line = [(name, dim), (_state(row, printer), _STYLES.get(row["state"], "")), (_sessions(row), dim),
                   (_address(row), dim), (heard, dim)]  # fmt: skip
    return [cells, *([Below((doubt, "yellow"))] if doubt else [])]  # where no long name pushes it out


def _fields(row: Row, doubt: str) -> list[str]:
    # In a pipe. What was there first stays in its place; more is added at the end.
    return [
        device_name(row),
        row["state"],
        str(row["sessions"]),
        ",".join(_addresses(row)),
        row["heard_at"] or "",
        row["id"],
        "this device" if row["self"] else "paired" if row["paired"] else "not paired",
        str(row["working"]),
        str(row["needs_input"]),
        row.get("since") or "",
        row.get("reason", ""),
        doubt,
    ]


def device_word(name: str, device: str) -> str:
    """A word for a device in a command to copy. Its name is somebody's choice: only a harmless one is taken."""
    return name if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) else short_device(device)


def device_name(row: Row) -> str:
    """The name of a device, else where it is (R7)."""
    name = clean(str(row.get("name") or "")).strip()
    return name or (_address(row) if row.get("addresses") else clean(str(row["id"])))


def _state(row: Row, printer: Printer) -> str:
    text = str(row["state"])
    if not row["paired"] and not row["self"]:
        text += ", not paired"
    if row["state"] == "offline" and row.get("since") and not printer.narrow:
        text += f"{'' if row['paired'] else ','}{duration_since(row['since'], printer.now())}"
    return f"{text} ({row['reason']})" if row.get("reason") else text


def _sessions(row: Row) -> str:
    parts = [
        f"{row[key]} {label}" for key, label in (("working", "working"), ("needs_input", "needs input")) if row[key]
    ]
    if row.get("remembered"):
        return f"{row['remembered']} as last known"
    return f"{row['sessions']} ({', '.join(parts)})" if parts else str(row["sessions"])


def _addresses(row: Row) -> list[str]:
    return [f"[{host}]:{row['port']}" if ":" in host else f"{host}:{row['port']}" for host in row["addresses"]]


def _address(row: Row) -> str:
    first, *more = _addresses(row) or [""]
    return f"{first} +{len(more)}" if more else first


def find_device(client: Client, wanted: str) -> Row:
    """The one device of that name, id or unique prefix. Raises: DeviceNotFound, Ambiguous, and what `call` does."""
    rows: list[Row] = client.call("peer.list")
    bare = wanted.lower().replace("-", "")
    for matches in (
        [row for row in rows if row["id"] == bare],
        [row for row in rows if row["name"] == wanted],
        [row for row in rows if row["name"].lower() == wanted.lower()],
        [row for row in rows if bare and row["id"].startswith(bare)],
        [row for row in rows if row["name"].lower().startswith(wanted.lower())],
    ):
        if len(matches) > 1:
            listed = "\n".join(f"{device_name(row)} ({row['id']})" for row in matches)
            raise Ambiguous(f"several devices match {wanted!r}:\n{listed}")
        if matches:
            return matches[0]
    from agent.protocol.names import meant

    near = meant(wanted, (row["name"] for row in rows))
    raise DeviceNotFound(f"no device {wanted!r}", hint=f"{near}see `agent peers`")
