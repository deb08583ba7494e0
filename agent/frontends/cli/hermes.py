"""`agent hermes`: the command."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from agent.frontends.cli.complete import complete_device, complete_session
from agent.frontends.cli.main import App, check_text
from agent.frontends.cli.patience import wait_option

if TYPE_CHECKING:
    from agent.protocol.messages import CreateSession

FIRST = "hermes"
"""The backend that new sessions are made of, where there is one of that name."""
BACKENDS_SECONDS = 45.0
"""A peer may have to be dialled, and looks at what it has."""


@click.command()
@click.argument("session", required=False, default="", shell_complete=complete_session)
@click.option(
    "--on", metavar="DEVICE", default="", shell_complete=complete_device, help="New sessions: on that device."
)
@click.option("--backend", metavar="B", default="", help="New sessions: what they are made of.")
@click.option("--hermes", "program", metavar="PATH", default="hermes", help="Hermes's program, if not on PATH.")
@wait_option
@click.pass_obj
def hermes(app: App, *, session: str, on: str, backend: str, program: str, wait: float) -> int:
    """Start Hermes's terminal UI on the sessions of all devices; with SESSION, on that one first.

    Ctrl+X lists and switches. Hermes itself must be installed here, but nothing of it runs besides its terminal UI.
    Sessions go on when it leaves.
    """
    from agent.frontends.hermes_ui.process import SavedTerminal, argv_of, left_its_screen

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("Hermes's terminal UI needs a terminal")
    argv = argv_of(program)
    make = _making(app, on, backend)
    with SavedTerminal() as terminal:
        status = asyncio.run(_run(app, argv, session, make, wait))
        terminal.restore(broken=left_its_screen(status))
    return status if status >= 0 else 128 - status


def _making(app: App, on: str, backend: str) -> CreateSession:
    from agent.protocol.messages import CreateSession

    if not backend:
        rows = app.client.call("backend.list", {"device": on}, seconds=BACKENDS_SECONDS)
        backend = FIRST if any(row["name"] == FIRST and row["ready"] for row in rows) else ""
    cwd = ""  # of another device: its own affair
    if not on:
        with suppress(FileNotFoundError):  # it was removed meanwhile
            cwd = os.getcwd()  # noqa: PTH109 - as the shell has it
        check_text(cwd, "the name of the session's directory")
    return CreateSession(device=on, backend=backend, cwd=cwd)


async def _run(app: App, argv: list[str], session: str, make: CreateSession, wait: float) -> int:
    from agent.frontends.hermes_ui.connection import listening
    from agent.frontends.hermes_ui.process import run
    from agent.frontends.hermes_ui.session_list import SessionList
    from agent.frontends.hermes_ui.ui_gateway import UiGateway

    async with asyncio.TaskGroup() as tasks:
        listing = SessionList(app.client.path)
        watching = tasks.create_task(listing.run(), name="hermes.list")
        await listing.ready
        serving = UiGateway(listing, tasks, session=session, make=make, wait=wait)
        async with listening(serving.serve) as listener:
            status = await run(argv, listener.url)
        serving.end()
        watching.cancel()
    return status
