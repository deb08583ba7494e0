"""A form filled in line by line, each field checked as it is typed."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec
from msgspec import Meta

from agent.client.choices import chosen
from agent.client.request_text import default_of
from agent.client.terminal_text import clean, fit
from agent.errors import BadParams
from agent.protocol.answers import DECLINE, checked
from agent.protocol.events import Answer, Field, RequestOpen, Scalar

LABEL_MAX = 40
"""Columns of what stands before the input."""
INTEGER_MAX = 2**63 - 1
"""What every encoding of the wire carries."""
_decoder = msgspec.json.Decoder(
    dict[str, str | Annotated[int, Meta(ge=-INTEGER_MAX, le=INTEGER_MAX)] | float | bool | list[str] | None]
)
_TRUTH = {"y": True, "yes": True, "true": True, "n": False, "no": False, "false": False}


class FormInput:
    """The fields of a request of the kind `form`, asked one after the other."""

    def __init__(self, request: RequestOpen) -> None:
        self.request = request
        self._values: dict[str, Scalar | list[str]] = {}
        self._at = 0

    @property
    def field(self) -> Field | None:
        """The field that is asked now; None for a form without fields."""
        return self.request.fields[self._at] if self._at < len(self.request.fields) else None

    @property
    def label(self) -> str:
        """What stands before the input of the field that is asked now."""
        if self.field is None:
            return "JSON: "
        default = "" if self.field.default is None else f" [{default_of(self.field)}]"
        return fit(clean(self.field.name) + default, LABEL_MAX) + ": "

    def take(self, text: str) -> Answer | None:
        """Take a typed line; the whole answer once it is complete. An empty line means the default, or nothing.

        `decline` refuses; the first line may be a JSON object with all fields. Raises: BadParams.
        """
        if text.strip() == DECLINE:
            return DECLINE
        if self.field is None or (self._at == 0 and text.lstrip().startswith("{")):
            return checked(self.request, from_json(text))
        self._values.update(self._checked(self.field, text))
        self._at += 1
        if self._at < len(self.request.fields):
            return None
        values = self._values
        self._values = {}  # refused after all, it is asked from its beginning
        self._at = 0
        return values

    def _checked(self, field: Field, text: str) -> dict[str, Scalar | list[str]]:
        value = value_of(field, text)
        try:
            answer = checked(msgspec.structs.replace(self.request, fields=(field,)), {field.name: value})
        except BadParams:
            if text.strip():
                raise
            return {}  # a default that does not fit its own field: whoever asks knows what is meant by it
        return answer if isinstance(answer, dict) else {}


def from_json(text: str) -> Answer:
    """A form's answer as scripts give it. Raises: BadParams."""
    if text.strip() == DECLINE:
        return DECLINE
    try:
        return _decoder.decode(text.encode())
    except (ValueError, RecursionError):
        hint = f'such as {{"name": "value"}}; {DECLINE} refuses'
        raise BadParams("a form is answered by a JSON object", hint=hint) from None


def value_of(field: Field, text: str) -> Scalar | list[str]:
    """What a typed line means for a field; None: left out. Raises: BadParams."""
    word = text.strip()
    if not word:
        return _default(field)
    match field.type:
        case "text":
            return text
        case "integer" | "number":
            return _number(field, word)
        case "boolean":
            if word.lower() not in _TRUTH:
                raise BadParams(f"{clean(field.name)} is yes or no")
            return _TRUTH[word.lower()]
        case "choice":
            return chosen(field.choices, word, own_words=field.own_words)
        case "choices":
            return _several(field, word)


def _several(field: Field, word: str) -> list[str]:
    # All that means no choice is one answer in one's own words, commas and all.
    found: list[str] = []
    own: list[str] = []
    for each in (each.strip() for each in word.split(",") if each.strip()):
        try:
            found.append(chosen(field.choices, each))
        except BadParams:
            if not field.own_words:
                raise
            own.append(each)
    return [*found, *([", ".join(own)] if own else [])]


def _default(field: Field) -> Scalar | list[str]:
    if field.required and field.default is None:
        raise BadParams(f"{clean(field.name)} is needed", hint=f"{DECLINE} refuses the whole form")
    return [str(field.default)] if field.type == "choices" and field.default is not None else field.default


def _number(field: Field, word: str) -> int | float:
    try:
        value = int(word) if field.type == "integer" else float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or abs(value) > INTEGER_MAX:
        raise BadParams(f"{clean(field.name)} is a {'whole number' if field.type == 'integer' else 'number'}")
    return value
