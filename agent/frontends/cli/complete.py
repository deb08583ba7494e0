"""Completion of device and session names, from the running service: quick, and silent when there is none."""

from __future__ import annotations

import os
from typing import Any

import click
from click.shell_completion import CompletionItem

from agent.client.control_socket import Client
from agent.client.terminal_text import clean
from agent.errors import AgentError
from agent.paths import control_socket_path

SECONDS = 0.5
"""A shell that waits longer feels broken."""


def complete_device(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completions of `--on`: names of other devices."""
    rows = _ask("peer.list")
    names = [clean(row["name"]) or row["id"] for row in rows if not row["self"]]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def complete_session(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completions of a session: ids, with their titles as help."""
    return [
        CompletionItem(row["id"], help=f"{clean(row['title'])} ({clean(row['device']['name'])})")
        for row in _ask("session.list", {"all": True})
        if row["id"].startswith(incomplete)
    ]


def complete_backend(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completions of `--backend`: names of the device that `--on` names, with what each is as help."""
    return [
        CompletionItem(clean(row["name"]), help=clean(row["description"] if row["ready"] else row["missing"]))
        for row in _ask("backend.list", {"device": ctx.params.get("on") or ""})
        if row["name"].startswith(incomplete)
    ]


def _ask(method: str, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    try:
        rows = Client(control_socket_path(os.environ), seconds=SECONDS).call(method, params)
    except AgentError:
        return []
    return rows if isinstance(rows, list) else []
