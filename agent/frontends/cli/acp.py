"""`agent acp`: the command."""

from __future__ import annotations

import asyncio
import sys

import click

from agent.frontends.cli.complete import complete_device, complete_session
from agent.frontends.cli.main import App, Exit
from agent.frontends.cli.patience import wait_option


@click.command()
@click.argument("session", required=False, default="", shell_complete=complete_session)
@click.option(
    "--on", metavar="DEVICE", default="", shell_complete=complete_device, help="New sessions: on that device."
)
@click.option("--backend", metavar="B", default="", help="New sessions: what they are made of.")
@wait_option
@click.pass_obj
def acp(app: App, *, session: str, on: str, backend: str, wait: float) -> int:
    """Be an agent for an editor (Zed, JetBrains): it speaks the Agent Client Protocol on stdin and stdout.

    With SESSION the editor has that one; without, it can open every session of all devices and start new ones.
    The session goes on when the editor leaves.
    """
    if session and (on or backend):
        raise click.UsageError("--on and --backend are for new sessions: give them without SESSION")
    if sys.stdin.isatty():
        app.printer.talk(
            "this is for editors: name it in their settings as the command of an agent; Ctrl-D leaves",
            "dim",
        )
    asyncio.run(_run(app, session, on, backend, wait))
    return Exit.OK


async def _run(app: App, session: str, on: str, backend: str, wait: float) -> None:
    from agent.frontends.editors.connection import EditorPeer
    from agent.frontends.editors.editor_agent import EditorAgent
    from agent.frontends.editors.pipes import Pipes

    pipes = Pipes(sys.stdin.fileno(), sys.stdout.fileno())
    await EditorAgent(app.client.path, EditorPeer(pipes), session=session, device=on, backend=backend, wait=wait).run()
    await pipes.flush()
