"""`agent backends`: what sessions can be made of, here or on another device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from agent.client.terminal_text import Style, clean
from agent.frontends.cli.complete import complete_device
from agent.frontends.cli.main import App, Exit
from agent.frontends.cli.output import Cell, Printer

HEAD = ("NAME", "STATE", "WHAT")
SECONDS = 45.0
"""A peer may have to be dialled, and looks at what it has."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
@click.option("--on", metavar="DEVICE", default="", shell_complete=complete_device, help="Those of that device.")
@click.pass_obj
def backends(app: App, as_json: bool, on: str) -> int:
    """List what sessions can be made of, what is missing for the others, and how to get it."""
    rows = app.client.call("backend.list", {"device": on}, seconds=SECONDS)
    if as_json:
        app.printer.json(rows)
        return Exit.OK
    for line in lines(rows, app.printer):
        app.printer.line(line)
    if not any(row["default"] and row["ready"] for row in rows):
        app.printer.hint("no backend that can be used is the default: say which with `agent new --backend NAME`")
    return Exit.OK


def lines(rows: Sequence[dict[str, Any]], printer: Printer) -> list[str]:
    """The table of backends: those that can be used, then the others."""
    ready: list[list[Cell]] = []
    missing: dict[str, list[str]] = {}  # what is said of them -> their names
    for row in sorted(rows, key=lambda row: row["name"]):
        name = clean(row["name"]) + (" (default)" if row["default"] else "")
        if row["ready"]:
            about = ": ".join(filter(None, (row["description"], row["detail"])))
            ready.append([name, ("ready", "green"), about or "-"])
        else:
            missing.setdefault("; ".join(filter(None, (row["missing"], row["hint"]))) or "-", []).append(name)
    dim: Style = "dim"
    others: list[list[Cell]] = []
    for about, names in missing.items():  # of another device there is one thing to say about all of them
        name, what = (names[0], about) if len(names) == 1 else (f"{len(names)} more", f"{', '.join(names)}: {about}")
        others.append([(name, dim), ("missing", dim), (what, dim)])
    return printer.table(HEAD, ready + others, shrink=("WHAT",))
