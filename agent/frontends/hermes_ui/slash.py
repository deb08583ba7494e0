"""What begins with `/`: commands of the terminal UI's own that work here, and those of the session's agent."""

from __future__ import annotations

from collections.abc import Iterable

from agent.client.text import clean
from agent.errors import BadParams
from agent.frontends.hermes_ui.frames import Json
from agent.protocol.events import Command

OURS = {
    "help": "Commands and keys",
    "sessions": "List and switch; with an id, switch",
    "new": "Show a new session",
    "title": "Show or set the title",
    "status": "What is known of the session",
    "usage": "How full the context is",
    "steer": "Stop the turn and go first",
    "queue": "What is typed waits for the turn",
    "history": "Read the transcript",
    "copy": "Copy a reply",
    "details": "How much is shown of thoughts and tools",
    "compact": "Show less space",
    "quit": "Leave; sessions go on",
}
"""Commands that the UI has itself, with what they do here; it asks its gateway for their names."""


def catalog() -> Json:
    """Result of `commands.catalog`: the UI's own commands that work here."""
    pairs = [[f"/{name}", about] for name, about in OURS.items()]
    return {
        "pairs": pairs,
        "canon": {name: name for name, _ in pairs},
        "categories": [{"name": "Sessions of all devices", "pairs": pairs}],
        "sub": {},
    }


def completions(text: str, commands: Iterable[Command]) -> Json:
    """Result of `complete.slash`: the commands that begin like the text, the agent's first."""
    typed = text.removeprefix("/").lower()
    known = [(command.name, command.description) for command in commands] + list(OURS.items())
    items = [{"text": clean(name), "display": f"/{clean(name)}", "meta": clean(about)}
             for name, about in known if name.lower().startswith(typed)]  # fmt: skip
    return {"items": items, "replace_from": 1}


def prompt_of(command: str, commands: Iterable[Command]) -> str:
    """The prompt that a command of the agent's is. Raises: BadParams, if the agent has no such command."""
    words = command.removeprefix("/").split(maxsplit=1)
    name = words[0] if words else ""
    if any(each.name == name for each in commands):
        return " ".join(["/" + name, *words[1:]])
    raise BadParams(f"there is no command /{clean(name)} here", hint="/help lists those that work")
