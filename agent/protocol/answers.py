"""Checks whether an answer fits its question, and a value its option, while a person can still mend it."""

from __future__ import annotations

from collections.abc import Sequence

from agent.errors import BadParams, TooLarge
from agent.protocol.events import Answer, Choice, Field, Option, RequestOpen, Scalar

LINE_MAX = 4000
"""Bytes of a typed answer: a terminal's line buffer holds 4096 (termios(3), N_TTY)."""


DECLINE = "decline"
"""The answer to a form by which a person refuses to fill it in."""


def checked(request: RequestOpen, answer: Answer) -> Answer:
    """The answer as the program gets it. Raises: BadParams (not one of the choices, not text), TooLarge."""
    if request.kind == "choices":
        return _chosen(request.choices, answer, "", own_words=request.own_words)
    if request.kind == "form":
        return _form(request.fields, answer)
    if not isinstance(answer, str):
        raise BadParams("this question takes text")
    if len(answer.encode(errors="replace")) > LINE_MAX:
        raise TooLarge(f"an answer of more than {LINE_MAX:,} bytes", hint="a terminal takes no longer line")
    return answer


def checked_option(options: Sequence[Option], option: str, value: str) -> str:
    """The id of a value that an option takes, given by id or name. Raises: BadParams."""
    for known in options:
        if known.id == option:
            return _chosen(known.choices, value, f"{option}: ")
    there = ", ".join(known.id for known in options)
    raise BadParams(f"there is no option {option!r}", hint=f"there are: {there or 'none'}")


def _chosen(choices: Sequence[Choice], answer: object, where: str, *, own_words: bool = False) -> str:
    # An id before any name: one choice may be called what another one's id is, and allow more.
    found = {choice.id for choice in choices if answer == choice.id}
    found = found or {choice.id for choice in choices if answer == choice.name}
    if len(found) == 1:
        return found.pop()
    if own_words and not found and isinstance(answer, str) and answer.strip():
        return answer
    listed = ", ".join(choice.id for choice in choices[:20])
    why = "is the name of several choices" if found else "is not one of the choices"
    raise BadParams(f"{where}{answer!r} {why}", hint=f"choose one of: {listed}")


def _form(fields: Sequence[Field], answer: Answer) -> Answer:
    if answer == DECLINE:
        return answer
    if isinstance(answer, str):
        raise BadParams("a form takes its fields", hint=f"an object, or {DECLINE!r}")
    if not fields:
        return answer
    known = {field.name: field for field in fields}
    strange = [name for name in answer if name not in known]
    if strange:
        raise BadParams(f"the form has no field {strange[0]!r}", hint=f"there are: {', '.join(known)}")
    missing = [f.name for f in fields if f.required and answer.get(f.name) is None and f.default is None]
    if missing:
        raise BadParams(f"the form needs {missing[0]!r}")
    return {name: _value(known[name], value) for name, value in answer.items() if value is not None}


def _value(field: Field, value: Scalar | list[str]) -> Scalar | list[str]:
    match field.type, value:
        case "text", str():
            return value
        case "boolean", bool():
            return value
        case "integer", int() if not isinstance(value, bool):
            return value
        case "number", int() | float() if not isinstance(value, bool):
            return value
        case "choice", str():
            return _chosen(field.choices, value, f"{field.name}: ", own_words=field.own_words)
        case "choices", list():
            return [_chosen(field.choices, each, f"{field.name}: ", own_words=field.own_words) for each in value]
        case _:
            raise BadParams(f"{field.name!r} takes {_KINDS[field.type]}")


_KINDS = {
    "text": "text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "choice": "one of its choices",
    "choices": "a list of its choices",
}
