"""`agent set`: what of a session may be set (its model, its mode, …), and setting it, on any device."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

import click
import msgspec
from click.shell_completion import CompletionItem

from agent.client.stream import streaming
from agent.client.terminal_text import clean, one_line
from agent.errors import AgentError, BadParams
from agent.frontends.cli.complete import complete_session
from agent.frontends.cli.main import App, Exit
from agent.frontends.cli.output import Printer
from agent.frontends.cli.patience import patiently, wait_option
from agent.frontends.cli.shown_options import option_name, option_value
from agent.frontends.cli.table import Column, Table
from agent.paths import control_socket_path
from agent.protocol.events import Choice, Option
from agent.protocol.messages import Attach, Configure
from agent.protocol.methods import SESSION_ATTACH, SESSION_CONFIGURE

OPTIONS = Table(
    Column("OPTION", typed=True),
    Column("NAME", least=12),
    Column("VALUE", least=12, typed=True),
    Column("CHOICES", least=16, cut="wrapped", typed=True),
    left_out=("NAME",),
)
CHOICES = Table(
    Column("VALUE", typed=True),
    Column("NAME", least=12),
    Column("NOW", optional=True),
    Column("DESCRIPTION", optional=True, least=16, cut="wrapped"),
    left_out=("NAME",),
)
COMPLETE_SECONDS = 1.0
"""A shell that waits longer for completions feels broken."""


def complete_option(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completions of an option: ids of the session's options, with their names as help."""
    return [
        CompletionItem(clean(option.id), help=_help(f"{option_name(option)}: {option_value(option)}", option))
        for option in _there(ctx)
        if option.id.startswith(incomplete)
    ]


def complete_value(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completions of a value: what the option takes, with names as help."""
    try:
        option = pick(_there(ctx), str(ctx.params.get("option")))
    except BadParams:
        return []
    return [
        CompletionItem(clean(choice.id), help=_help(clean(choice.name), choice))
        for choice in option.choices
        if choice.id.startswith(incomplete)
    ]


def _there(ctx: click.Context) -> Sequence[Option]:
    async def ask() -> Sequence[Option]:
        async with asyncio.timeout(COMPLETE_SECONDS), streaming(control_socket_path(os.environ)) as stream:
            asked = Attach(session_id=str(ctx.params.get("session")), wait=0)
            return (await stream.once(SESSION_ATTACH, asked)).options

    try:
        return asyncio.run(ask())
    except (AgentError, TimeoutError, BaseExceptionGroup):
        return []


@click.command()
@click.argument("session", shell_complete=complete_session)
@click.argument("option", required=False, shell_complete=complete_option)
@click.argument("value", required=False, shell_complete=complete_value)
@click.option("--json", "as_json", is_flag=True, help="Print what is set as JSON.")
@wait_option
@click.pass_obj
def set(app: App, session: str, option: str | None, value: str | None, *, as_json: bool, wait: float) -> int:  # noqa: A001 - its name
    """Show or set what of a session may be set: its model, its mode, other options.

    OPTION and VALUE are given by id or name. Without VALUE, what the option takes; without OPTION, all of them.
    """
    return asyncio.run(_set(app, session, option, value, as_json=as_json, wait=wait))


async def _set(app: App, session: str, option: str | None, value: str | None, *, as_json: bool, wait: float) -> int:
    printer = app.printer
    async with streaming(app.client.path, wait=wait) as stream:
        attached = await patiently(app, stream, SESSION_ATTACH, Attach(session_id=session))
        found = None if option is None else pick(attached.options, option)
        if found is not None and value is not None:
            chosen = pick_value(found, value)
            # An agent that rests is started for it.
            asked = Configure(session_id=attached.session_id, option=found.id, value=chosen)
            await patiently(app, stream, SESSION_CONFIGURE, asked)
            found = msgspec.structs.replace(found, value=chosen)
            if not as_json:
                printer.talk(f"{option_name(found)}: {option_value(found)}")
                return Exit.OK
    if as_json:
        rows = [row_of(each) for each in attached.options]
        printer.json(rows if found is None else row_of(found))
    elif found is not None:
        _print_choices(printer, found)
    elif attached.options:
        _print_options(printer, attached.options)
    else:
        printer.talk("nothing of this session may be set")
    return Exit.OK


def row_of(option: Option) -> dict[str, object]:
    """An option as `--json` prints it. Grows only."""
    return {
        "id": option.id, "name": option.name, "value": option.value, "category": option.category,
        "choices": [
            {"id": choice.id, "name": choice.name, "description": choice.description} for choice in option.choices
        ],
        "description": option.description,
    }  # fmt: skip


def pick(options: Sequence[Option], word: str) -> Option:
    """The option of that id, name or category, the id first. Raises: BadParams."""
    for names in (_ids, _names, _categories):
        for option in options:
            if word.casefold() == names(option).casefold():
                return option
    there = ", ".join(clean(option.id) for option in options)
    raise BadParams(f"there is no option {clean(word)!r}", hint=f"there are: {there or 'none'}")


def pick_value(option: Option, word: str) -> str:
    """The id of what an option takes, by id or name. Raises: BadParams."""
    for names in (_ids, _names):
        for choice in option.choices:
            if word.casefold() == names(choice).casefold():
                return choice.id
    there = ", ".join(clean(choice.id) for choice in option.choices)
    raise BadParams(f"{clean(option.id)} takes no {clean(word)!r}", hint=f"it takes: {there or 'nothing'}")


def _help(words: str, told: Option | Choice) -> str:
    return f"{words}: {one_line(told.description)}" if told.description else words


def _ids(named: Option | Choice) -> str:
    return named.id


def _names(named: Option | Choice) -> str:
    return named.name.strip()


def _categories(option: Option) -> str:
    return option.category


def _print_options(printer: Printer, options: Sequence[Option]) -> None:
    rows = [
        (option.id, option.name, option.value, ", ".join(choice.id for choice in option.choices)) for option in options
    ]
    for line in OPTIONS.lines(printer, rows):
        printer.line(line)


def _print_choices(printer: Printer, option: Option) -> None:
    if option.description:
        printer.talk(f"{option_name(option)}: {one_line(option.description)}", "dim")
    rows = [
        (choice.id, choice.name, "set" if choice.id == option.value else "", one_line(choice.description))
        for choice in option.choices
    ]
    for line in CHOICES.lines(printer, rows):
        printer.line(line)
