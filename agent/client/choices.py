"""Choices as a person names them: by number, id or name, by what they are for, or in one's own words beside them."""

from __future__ import annotations

from collections.abc import Sequence

from agent.client.terminal_text import clean
from agent.errors import BadParams
from agent.protocol.events import Choice

KINDS = {
    "yes": "allow_once",
    "y": "allow_once",
    "always": "allow_always",
    "no": "reject_once",
    "n": "reject_once",
    "never": "reject_always",
}
"""What a word stands for, as the kind of a choice. None stands for two: nothing is allowed that was not asked for."""
WORDS = ("yes", "no", "always", "never")
LISTED_MAX = 20
"""Choices that a hint lists."""


def chosen(choices: Sequence[Choice], text: str, *, own_words: bool = False) -> str:
    """The id of the one choice that a typed text means; with `own_words`, the text itself if it means none.

    A choice is given by its number, id or name, or as `yes`, `no`, `always` or `never` by its kind, never by its place
    (one agent lists "Always allow" first). `#2` is the number, where another choice is called 2. Raises: BadParams,
    also for a text that means several.
    """
    word = text.strip()
    found = _meant(choices, word)
    if len(found) == 1:
        return found[0].id
    if found:
        several = " or ".join(clean(choice.name or choice.id) for choice in found)
        raise BadParams(f"{clean(word)!r} may mean {several}", hint=f"give a number, as in #1: {listed(choices)}")
    if own_words and word:
        return word
    typed = repr(clean(word)) if word else "an empty line"
    raise BadParams(f"{typed} is none of the choices", hint=how_to_choose(choices))


def how_to_choose(choices: Sequence[Choice]) -> str:
    """How an answer names one of the choices, with the number, name and id of each, in one clean line."""
    words = usable_words(choices)
    also = f", or {', '.join(words)}" if words else ""
    return f"give a number, name or id{also}: {listed(choices)}"


def usable_words(choices: Sequence[Choice]) -> list[str]:
    """Which of `yes`, `no`, `always` and `never` mean one of the choices."""
    return [word for word in WORDS if len(_meant(choices, word)) == 1]


def listed(choices: Sequence[Choice]) -> str:
    """The choices in one clean line, each with its number and name, and its id if that is another word."""
    shown = [f"{number} = {called(choice)}" for number, choice in enumerate(choices[:LISTED_MAX], 1)]
    rest = len(choices) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def called(choice: Choice) -> str:
    """The name of a choice, and its id if that is another word, both cleaned."""
    name, key = clean(choice.name).strip(), clean(choice.id)
    return f"{name} ({key})" if name and name.casefold() != key.casefold() else name or key


def _meant(choices: Sequence[Choice], word: str) -> list[Choice]:
    if word.startswith("#") and (numbered := _numbered(choices, word[1:])):
        return numbered
    folded = word.casefold()
    by_id = [choice for choice in choices if word == choice.id]
    by_id = by_id or [choice for choice in choices if folded == choice.id.casefold()]
    by_name = [choice for choice in choices if folded == choice.name.strip().casefold()]
    found = (*_numbered(choices, word), *by_id, *by_name, *_of_kind(choices, folded))
    return list({choice.id: choice for choice in found}.values())


def _numbered(choices: Sequence[Choice], word: str) -> list[Choice]:
    return [choices[int(word) - 1]] if word.isdecimal() and 1 <= int(word[:9]) <= len(choices) else []


def _of_kind(choices: Sequence[Choice], word: str) -> list[Choice]:
    kind = KINDS.get(word)
    found = [choice for choice in choices if kind is not None and choice.kind == kind]
    # Of several that allow for longer than once, the one that says "always" is meant by that.
    exact = [choice for choice in found if word == "always" and word in choice.name.casefold().split()]
    return exact if len(exact) == 1 else found
