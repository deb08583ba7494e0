"""`agent peers`: the devices on this network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from agent.client.control_socket import Client
from agent.client.terminal_text import Style, clean
from agent.errors import Ambiguous, DeviceNotFound
from agent.frontends.cli.confusables import warnings
from agent.frontends.cli.main import App, Exit
from agent.frontends.cli.output import Cell, Printer

Row = dict[str, Any]
"""A device as `peer.list` gives it: `agent.protocol.model.DeviceRow`, without the cost of its import."""

_STYLES: dict[str, Style] = {"online": "green", "stale": "yellow", "offline": "dim"}
HEAD = ("NAME", "STATE", "SESSIONS", "ADDRESS", "HEARD")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
@click.option("--watch", is_flag=True, help="Stay and show changes; JSON lines in a pipe.")
@click.option("--wait", type=click.FloatRange(min=0), metavar="S", help="Wait up to S seconds for another device.")
@click.pass_obj
def peers(app: App, as_json: bool, watch: bool, wait: float | None) -> int:
    """List the devices on this network, this one first."""
    if watch:
        from agent.frontends.cli.watch import watch as follow

        return follow(app, "peer", {}, lambda rows: lines(rows, app.printer))
    rows = app.client.call("peer.list")
    if wait and all(row["self"] for row in rows):
        from agent.frontends.cli.watch import wait_for

        rows = wait_for(app, "peer", {}, wait, lambda found: any(not row["self"] for row in found))
    return show(rows, app.printer, as_json=as_json)


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
    cells = [_cells(row, printer, doubts.get(row["id"], "")) for row in ordered]
    return printer.table(HEAD, cells, shrink=("NAME", "STATE", "ADDRESS"))


def _cells(row: Row, printer: Printer, doubt: str) -> list[Cell]:
    dim: Style = "dim" if row["state"] == "offline" else ""
    name = device_name(row) + (" (this device)" if row["self"] else "") + (f" {doubt}" if doubt else "")
    heard = "-" if row["self"] else printer.when(row["heard_at"])
    return [(name, dim), (_state(row, printer), _STYLES.get(row["state"], "")), (_sessions(row), dim),
            (_address(row, whole=printer.columns is None), dim), (heard, dim)]  # fmt: skip


def device_name(row: Row) -> str:
    """The name of a device, else where it is (R7)."""
    name = clean(str(row.get("name") or "")).strip()
    return name or (_address(row, whole=False) if row.get("addresses") else clean(str(row["id"])))


def _state(row: Row, printer: Printer) -> str:
    words = [str(row["state"])]
    if row["state"] == "offline" and row.get("since"):
        words.append(f"since {printer.when(row['since'])}")
    if row.get("reason"):
        words.append(f"({row['reason']})")
    text = " ".join(words)
    return text if row["paired"] or row["self"] else f"{text}, not paired"


def _sessions(row: Row) -> str:
    parts = [
        f"{row[key]} {label}" for key, label in (("working", "working"), ("needs_input", "needs input")) if row[key]
    ]
    return f"{row['sessions']} ({', '.join(parts)})" if parts else str(row["sessions"])


def _address(row: Row, *, whole: bool) -> str:
    shown = [f"[{host}]:{row['port']}" if ":" in host else f"{host}:{row['port']}" for host in row["addresses"]]
    if not shown:
        return "-"
    return ",".join(shown) if whole or len(shown) == 1 else f"{shown[0]} +{len(shown) - 1}"


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
    raise DeviceNotFound(f"no device {wanted!r}")
