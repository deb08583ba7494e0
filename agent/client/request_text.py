"""What a session asks, as a person reads it: what it is about, the question, the ways to answer."""

from __future__ import annotations

from agent.client.choices import called
from agent.client.reading import places
from agent.client.styled_lines import INDENT, Line, block, painted_patch, shown
from agent.client.terminal_text import clean, one_line
from agent.protocol.events import Choice, Field, RequestOpen

DETAIL_MAX = 400
"""Lines shown of what a request is about: a person allows what stands there, so rather too many."""

_TYPES = {
    "text": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "yes or no",
    "choice": "one of these",
    "choices": "any of these, with commas",
}


def asked_line(request: RequestOpen) -> str:
    """What a session asks, in one clean line."""
    return one_line(request.prompt) or f"The session waits for {'a key' if request.kind == 'keys' else 'input'}"


def request_lines(request: RequestOpen, *, fields: bool = True, ids: bool = False) -> list[Line]:
    """A request in lines: its subject, what is asked, and the choices (or fields) with their numbers.

    `ids`: for whoever answers from a script, also the ids of the choices.
    """
    told: list[Line] = [
        *subject_lines(request),
        (f"? {asked_line(request)}{_of_tool(request)}", "yellow"),
        *_choices(request.choices, "  ", ids=ids, own_words=request.own_words),
    ]
    if request.kind != "form":
        return told
    if fields:
        for field in request.fields:
            told += field_lines(field)
    return [*told, ("  (decline refuses to fill it in)", "dim")]


def subject_lines(request: RequestOpen) -> list[Line]:
    """What a request is about in lines: the command or the diff, where it would run, which files it names."""
    told = _detail(request.detail)
    if request.cwd:
        told.append((f"{INDENT}in {clean(request.cwd, DETAIL_MAX)}", "dim"))
    if request.locations:
        told.append((f"{INDENT}at {places(request.locations)}", "dim"))
    return told


def _of_tool(request: RequestOpen) -> str:
    tool = one_line(request.tool_name or request.tool)
    return f" ({tool})" if tool and tool.casefold() not in asked_line(request).casefold() else ""


def _detail(detail: str) -> list[Line]:
    lines = detail.splitlines()
    if any(line.startswith("@@ ") for line in lines):
        return painted_patch(lines, DETAIL_MAX)
    return block(lines, DETAIL_MAX)


def _choices(choices: tuple[Choice, ...], indent: str, *, ids: bool = False, own_words: bool) -> list[Line]:
    told: list[Line] = []
    for number, choice in enumerate(choices, 1):
        name = called(choice) if ids else clean(choice.name) or clean(choice.id)
        told.append((f"{indent}{number}) {name}", "yellow"))
        if choice.description:
            told.append((f"{indent}   {shown(one_line(choice.description))}", "dim"))
    return [*told, (f"{indent}(or in your own words)", "dim")] if own_words else told


def field_lines(field: Field) -> list[Line]:
    """A field of a form in lines: its name, what it takes, what it is, and its choices."""
    takes = [_TYPES[field.type]]
    if field.required and field.default is None:
        takes.append("required")
    if field.default is not None:
        takes.append(f"default {default_of(field)}")
    title = f": {clean(field.title)}" if field.title and field.title != field.name else ""
    told: list[Line] = [(f"  {clean(field.name)} ({', '.join(takes)}){title}", "yellow")]
    told += [(f"    {shown(line)}", "dim") for line in field.description.splitlines()]
    return told + _choices(field.choices, "    ", own_words=field.own_words)


def default_of(field: Field) -> str:
    """What an empty answer to a field means, in words."""
    if isinstance(field.default, bool):
        return "yes" if field.default else "no"
    told = str(field.default)
    return clean(next((choice.name for choice in field.choices if choice.id == told), told), 60)
