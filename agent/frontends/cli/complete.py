"""Completion of what the running service knows by name: quick, and silent when there is no service."""

from __future__ import annotations

import os
import re
from collections import Counter
from typing import Any

import click
from click.shell_completion import CompletionItem

from agent.client.control_socket import Client
from agent.client.terminal_text import clean
from agent.errors import AgentError
from agent.paths import control_socket_path

SECONDS = 0.5
"""A shell that waits longer feels broken."""

_PLAIN = re.compile(r"[\w.][\w.,:@%+=-]*")
"""A title that a shell takes as one word, and `find_session` not as `DEVICE/TITLE`."""


def complete_device(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completions of `--on`: names of other devices."""
    rows = _ask("peer.list")
    names = [clean(row["name"]) or row["id"] for row in rows if not row["self"]]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def complete_session(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completions of a session: its title, if that means no other one and no shell takes it apart; else its id."""
    return _named(_ask("session.list", {"all": True}), incomplete)


def _named(rows: list[dict[str, Any]], incomplete: str) -> list[CompletionItem]:
    titles = Counter(row["title"].casefold() for row in rows)
    wanted = incomplete.casefold()
    found = []
    for row in rows:
        named = titles[row["title"].casefold()] == 1 and _PLAIN.fullmatch(row["title"])
        for word in ([row["title"]] if named else []) + [row["id"]]:
            if word.casefold().startswith(wanted):
                found.append(CompletionItem(word, help=f"{clean(row['title'])} ({clean(row['device']['name'])})"))
                break
    return found


def complete_past_session(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completions of a session of this device that is over."""
    past = _ask_for("session.past", {"limit": 200})
    rows = past.get("sessions", []) if isinstance(past, dict) else []
    return _named(rows, incomplete)


def complete_backend(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completions of `--backend`: names of the device that `--on` names, with what each is as help."""
    return [
        CompletionItem(clean(row["name"]), help=clean(row["description"] if row["ready"] else row["missing"]))
        for row in _ask("backend.list", {"device": ctx.params.get("on") or ""})
        if row["name"].startswith(incomplete)
    ]


def complete_shell(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completions of `--shell`: those of the device that `--on` names, the user's own first; else files."""
    if incomplete[:1] in {"/", "~", "."}:
        return [CompletionItem(incomplete, type="file")]
    rows = _ask("backend.list", {"device": ctx.params.get("on") or ""})
    names = dict.fromkeys(clean(name) for row in rows for name in row.get("shells", ()))
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def complete_prompt(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completions of a prompt: ids of those that wait in the session named before, with their texts as help."""
    return [
        CompletionItem(clean(row["prompt_id"]), help=f"{clean(row['text'], 60)} ({clean(row['sender']['name'])})")
        for row in _ask("prompt.list", {"session_id": ctx.params.get("session") or "", "wait": 0})
        if row["prompt_id"].startswith(incomplete)
    ]


def _ask(method: str, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    rows = _ask_for(method, params)
    return rows if isinstance(rows, list) else []


def _ask_for(method: str, params: dict[str, Any] | None) -> object:
    try:
        return Client(control_socket_path(os.environ), seconds=SECONDS).call(method, params)
    except AgentError:
        return None
