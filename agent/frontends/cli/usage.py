"""Wrong usage in our own words: what is wrong, and what was perhaps meant. Imported only to say that.

click's words differ from version to version and name its own types; here each error is one line about the command.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

import click

from agent.frontends.cli.examples import EXAMPLES

WORDS = {
    "ls": "sessions", "list": "sessions", "ps": "sessions", "session": "sessions", "serve": "up", "start": "up",
    "service": "up", "daemon": "up", "run": "new", "create": "new", "open": "attach", "connect": "attach",
    "send": "prompt", "ask": "prompt", "say": "prompt", "reply": "answer", "approve": "answer", "cancel": "interrupt",
    "stop": "interrupt", "kill": "close", "end": "close", "rm": "close", "delete": "close", "mv": "rename",
    "logs": "log", "history": "log", "show": "log", "invite": "pair", "accept": "join", "remove": "unpair",
    "nodes": "peers", "hosts": "peers", "models": "backends", "agents": "backends", "info": "status",
    "quit": "close", "exit": "close", "export": "log --export md",
}  # fmt: skip
"""What other programs call it -> our command."""
_NO_COMMAND = re.compile(r"No such command '(.*)'\.", re.DOTALL)
_EXTRA = re.compile(r"unexpected extra arguments? \((.*)\)", re.DOTALL)


def wrong_usage(error: click.UsageError, commands: Iterable[str]) -> tuple[str, str]:
    """What a person is told of wrong usage, and the hint. `commands`: those that there are."""
    asked = error.ctx.command_path if error.ctx else "agent"
    example = next((f"like `{line}`; " for line, _ in EXAMPLES.get(asked.partition(" ")[2], ())), "")
    details = f"see `{asked} --help`"
    match error:
        case click.NoSuchOption():
            meant = " or ".join(f"`{name}`" for name in _options_like(error))
            told = (
                f"`{asked}` has no option {error.option_name}",
                f"did you mean {meant}? {details}" if meant else details,
            )
        case click.BadOptionUsage():
            told = f"{error.option_name} needs a value{_metavar(error)}", details
        case click.MissingParameter():
            told = f"`{asked}` needs {_name_of(error)}", example + details
        case click.BadParameter():
            name = _name_of(error)
            told = (f"{name}: " if name else "") + error.message.rstrip("."), details
        case _ if (unknown := _NO_COMMAND.fullmatch(error.message)) is not None:
            told = f"there is no command {unknown[1]!r}", _command_meant(unknown[1], list(commands))
        case _ if (extra := _EXTRA.search(error.message)) is not None:
            told = f"`{asked}` does not take {extra[1]!r}", example + details
        case _:
            told = error.message, details
    return told


def _command_meant(word: str, commands: list[str]) -> str:
    folded = word.casefold()
    if folded == "version":
        return "did you mean `agent --version`?"
    near = [WORDS[folded]] if WORDS.get(folded, "").partition(" ")[0] in commands else []
    near = near or get_close_matches(folded, commands, 2)
    near = near or [name for name in commands if len(folded) > 1 and name.startswith(folded)]
    if not near:
        return "`agent --help` lists the commands"
    lines = [f"agent {name}" for name in near[:2]]
    return f"did you mean {' or '.join(map('`{}`'.format, lines))}?"


def _options_like(error: click.NoSuchOption) -> list[str]:
    # `-json`, as other programs have it, is `--json`; click tells only its first letter.
    typed = error.option_name
    params = error.ctx.command.params if error.ctx else []
    names = [name for param in params if isinstance(param, click.Option) for name in param.opts if name[:2] == "--"]
    near = get_close_matches(typed, names, 2) or [name for name in names if name.startswith(f"-{typed}")]
    return near[:2] if len(typed) > 2 or len(near) <= 2 else []


def _metavar(error: click.BadOptionUsage) -> str:
    params = error.ctx.command.params if error.ctx else []
    for param in params:
        if error.option_name in param.opts:
            choices = getattr(param.type, "choices", None)
            return f": {_listed(choices)}" if choices else f": {error.option_name} {param.metavar or 'VALUE'}"
    return ""


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def _name_of(error: click.BadParameter) -> str:
    # An option as it is typed, an argument by the name that the help gives it.
    param = error.param
    if param is None:
        return ""
    if isinstance(param, click.Option):
        return max(param.opts, key=len)
    return (param.metavar or (param.name or "").upper()).strip("[]").removesuffix("...")
