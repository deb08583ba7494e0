"""`agent backends`: what sessions can be made of, here or on another device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from agent.client.terminal_text import Style, clean
from agent.errors import BadParams
from agent.frontends.cli.complete import complete_backend, complete_device
from agent.frontends.cli.main import App, Exit
from agent.frontends.cli.output import Printer
from agent.frontends.cli.table import Column, Row, Table, tabbed

TABLE = Table(Column("NAME", least=24, typed=True), Column("STATE"), Column("WHAT", least=30, cut="wrapped"))
SECONDS = 45.0
"""A peer may have to be dialled, and looks at what it has."""


@click.command()
@click.argument("name", required=False, default="", shell_complete=complete_backend)
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
@click.option("--on", metavar="DEVICE", default="", shell_complete=complete_device, help="Those of that device.")
@click.pass_obj
def backends(app: App, name: str, as_json: bool, on: str) -> int:
    """List what sessions can be made of, what is missing for the others, and how to get it; or tell all of NAME."""
    rows = app.client.call("backend.list", {"device": on}, seconds=SECONDS)
    if name:
        rows = [_named(rows, name)]
    if as_json:
        app.printer.json(rows)
        return Exit.OK
    for line in whole(rows[0], app.printer) if name else lines(rows, app.printer):
        app.printer.line(line)
    if not name and not any(row["default"] and row["ready"] for row in rows):
        app.printer.hint("no backend that can be used is the default: say which with `agent new --backend NAME`")
    return Exit.OK


def _named(rows: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    for row in rows:
        if row["name"].casefold() == name.casefold():
            return row
    known = ", ".join(sorted(clean(row["name"]) for row in rows))
    raise BadParams(f"no backend {name!r}", hint=f"there are: {known}")


def whole(row: dict[str, Any], printer: Printer) -> list[str]:
    """All that is known of one backend, a line for each thing, none of them cut."""
    told = {
        "name": row["name"] + (" (default)" if row["default"] else ""),
        "state": "ready" if row["ready"] else "missing",
        "kind": row["kind"],
        "what": row["description"],
        "detail": row["detail"],
        "shells": ", ".join(row.get("shells", ())),
        "missing": row["missing"],
        "hint": row["hint"],
    }
    return [f"{printer.paint(name.ljust(8), 'bold')}{clean(text, 4096)}" for name, text in told.items() if text]


def lines(rows: Sequence[dict[str, Any]], printer: Printer) -> list[str]:
    """The table of backends: those that can be used, then the others."""
    rows = sorted(rows, key=lambda row: (not row["ready"], row["name"]))
    if not printer.tty:
        return [tabbed(_fields(row)) for row in rows]
    ready: list[Row] = []
    missing: dict[str, list[str]] = {}  # what is said of them -> their names
    for row in rows:
        name = clean(row["name"]) + (" (default)" if row["default"] else "")
        if row["ready"]:
            ready.append([name, ("ready", "green"), _about(row)])
        else:
            missing.setdefault(_about(row), []).append(name)
    dim: Style = "dim"
    others: list[Row] = []
    for about, names in missing.items():  # of another device there is one thing to say about all of them
        name, what = (names[0], about) if len(names) == 1 else (f"{len(names)} more", f"{', '.join(names)}: {about}")
        others.append([(name, dim), ("missing", dim), (what, dim)])
    return TABLE.lines(printer, ready + others)


def _about(row: dict[str, Any]) -> str:
    if row["ready"]:
        return ": ".join(filter(None, (row["description"], row["detail"] or ", ".join(row.get("shells", ())))))
    return "; ".join(filter(None, (row["missing"], row["hint"])))


def _fields(row: dict[str, Any]) -> list[str]:
    # In a pipe. What was there first stays in its place; more is added at the end.
    return [
        row["name"],
        "ready" if row["ready"] else "missing",
        _about(row),
        "default" if row["default"] else "",
        row["kind"],
    ]
