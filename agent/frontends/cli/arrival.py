"""Before a session is followed: which one, and what it is."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from agent.client.text import clean, session_title
from agent.errors import SessionNotFound
from agent.frontends.cli.main import App
from agent.frontends.cli.output import local_time
from agent.frontends.cli.sessions import device_of, title_of
from agent.protocol.events import Command
from agent.protocol.model import SessionRow

COMMANDS_MAX = 12
"""Commands of an agent that are named."""


def choose(app: App) -> str:
    """Ask which session, of all devices. Raises: UsageError, without a terminal to ask on."""
    if not (sys.stdin.isatty() and app.printer.err_tty):
        raise click.UsageError("a session is needed: see `agent sessions`")
    known = app.client.call("session.list", {"all": True})
    rows = [row for row in known if row["attachable"] or row.get("away")]
    if not rows:
        raise SessionNotFound("there is no session to attach to", hint="start one with `agent new --attach`")
    rows.sort(key=lambda row: (not row["local"], bool(row.get("away"))))
    for number, row in enumerate(rows, 1):
        away = row.get("away")
        state = "offline" if away else row["status"]
        app.printer.talk(f"{number:3}) {title_of(row)} · {device_of(row)} · {state}", "dim" if away else "")
    chosen = click.prompt("session", type=click.IntRange(1, len(rows)), default=1, err=True)
    return str(rows[int(chosen) - 1]["id"])


def banner(row: SessionRow) -> list[str]:
    """What a person needs to know of the session first."""
    title, device = session_title(row.title), clean(row.device.name) or row.device.id
    parts = [f"-- {title}", f"on {device}", clean(row.backend) or "?"]
    if row.model:
        parts.append(clean(row.model))
    if row.created_at:
        parts.append(f"since {local_time(row.created_at)}")
    return [" · ".join(parts)]


def commands_line(commands: Sequence[Command]) -> str:
    """The commands that the agent knows, in one line."""
    named = [f"/{clean(command.name)}" for command in commands[:COMMANDS_MAX]]
    rest = len(commands) - len(named)
    return f"-- commands: {' '.join(named)}" + (f" and {rest} more" if rest else "")
