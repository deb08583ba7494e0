"""Bounds of what a backend sends: one event of the log must fit its types, and one frame."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from msgspec.structs import replace

from agent.protocol.bounds import NUMBER_MAX, amount, number
from agent.protocol.events import (
    DIFFS_MAX,
    LOCATIONS_MAX,
    TEXT_MAX,
    Choice,
    Command,
    Diff,
    Field,
    Location,
    Option,
    PlanEntry,
    Usage,
)
from agent.protocol.excerpts import left_out, shortened, shortened_diff
from agent.protocol.names import clean

SHORT = 4096
"""Characters of a title or a question."""
ID = 128
"""Characters of an id."""
NOTE = 1024
"""Characters of the description of a choice, and of the hint of a command."""
DETAIL = 65_536
"""Characters of the detail of a question."""
CHOICES_MAX = 64
"""Choices of a question, and fields of a form."""
PLAN_MAX = 128
"""Steps of a plan."""
EVENT = 200_000
"""Characters of one event: 800 KB if each takes four bytes, which fits a frame."""
T = TypeVar("T")


def bounded_text(text: str, limit: int = sys.maxsize) -> str:
    """The first `limit` characters of a text, with lone surrogates replaced, which no store and no frame takes."""
    text = text[:limit]
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


class CharacterBudget:
    """The character budget of one event. Each method cuts its argument to what is left, and spends that."""

    def __init__(self) -> None:
        self._left = EVENT

    def text(self, text: str, limit: int) -> str:
        """The beginning of `text`, at most `limit` characters."""
        kept = bounded_text(text, min(limit, self._left))
        self._left -= len(kept)
        return kept

    def shown(self, text: str, limit: int) -> str:
        """A text that people read: cut to `limit` characters in its middle, where it says so."""
        return self.text(shortened(text, min(limit, self._left)), limit)

    def choices(self, choices: Sequence[Choice], most: int) -> tuple[Choice, ...]:
        """Choices of a question, at most `most`, each text cut to its limit."""
        return self._many(
            choices[:most],
            lambda c: Choice(
                id=self.text(c.id, ID),
                name=self.text(c.name, SHORT),
                kind=self.text(c.kind, ID),
                description=self.text(c.description, NOTE),
            ),
        )

    def fields(self, fields: Sequence[Field]) -> tuple[Field, ...]:
        """Fields of a form, each text cut to its limit."""
        return self._many(fields[:CHOICES_MAX], self._field)

    def options(self, options: Sequence[Option]) -> tuple[Option, ...]:
        """Options of a session, each text cut to its limit: what may be chosen first, then what it means."""
        kept = self._many(options[:32], self._option)
        return tuple(self._described(one, told) for one, told in zip(kept, options, strict=False))

    def commands(self, commands: Sequence[Command]) -> tuple[Command, ...]:
        """Commands of an agent, each text cleaned and cut to its limit."""
        return self._many(
            commands[:256],
            lambda c: Command(
                name=self._cleaned(c.name, ID),
                description=self._cleaned(c.description, SHORT),
                hint=self._cleaned(c.hint, NOTE),
            ),
        )

    def plan(self, entries: Sequence[PlanEntry]) -> tuple[PlanEntry, ...]:
        """Entries of a plan, each text cut to its limit; the last one says how many are left out."""
        if (more := len(entries) - PLAN_MAX) > 0:
            entries = [*entries[: PLAN_MAX - 1], PlanEntry(text=left_out(more + 1, "steps"))]
        return self._many(
            entries, lambda e: replace(e, text=self.shown(e.text, SHORT), priority=self.text(e.priority, ID))
        )

    def diffs(self, diffs: Sequence[Diff]) -> tuple[Diff, ...]:
        """Diffs of files, each path and patch cut to its limit."""
        return self._many(diffs[:DIFFS_MAX], self._diff)

    def locations(self, locations: Sequence[Location]) -> tuple[Location, ...]:
        """Places in files, each path cut to its limit."""
        return self._many(
            locations[:LOCATIONS_MAX], lambda at: Location(path=self.text(at.path, SHORT), line=number(at.line))
        )

    def usage(self, usage: Usage | None) -> Usage | None:
        """The usage of a model, with numbers that a frame and a store can hold."""
        if usage is None:
            return None
        return Usage(
            used=number(usage.used),
            size=number(usage.size),
            cost=amount(usage.cost),
            currency=self.text(usage.currency, ID),
        )

    def _diff(self, diff: Diff) -> Diff:
        path = self.text(diff.path, SHORT)
        kept = shortened_diff(diff, min(DETAIL, self._left))
        return replace(kept, path=path, patch=self.text(kept.patch, TEXT_MAX))

    def _field(self, field: Field) -> Field:
        default = self.text(field.default, SHORT) if isinstance(field.default, str) else field.default
        if isinstance(default, int | float) and not abs(default) <= NUMBER_MAX:
            default = None  # nor is NaN
        return replace(
            field,
            name=self.text(field.name, ID),
            title=self.text(field.title, SHORT),
            description=self.shown(field.description, SHORT),
            choices=self.choices(field.choices, 64),
            default=default,
        )

    def _option(self, option: Option) -> Option:
        return Option(
            id=self.text(option.id, ID),
            name=self._cleaned(option.name, SHORT),
            value=self.text(option.value, ID),
            choices=self.choices([replace(choice, description="") for choice in option.choices[:256]], 256),
            category=self.text(option.category, ID),
        )

    def _described(self, option: Option, told: Option) -> Option:
        choices = (
            replace(choice, description=self._cleaned(same.description, NOTE))
            for choice, same in zip(option.choices, told.choices, strict=False)
        )
        return replace(option, description=self._cleaned(told.description, NOTE), choices=tuple(choices))

    def _cleaned(self, text: str, limit: int) -> str:
        return self.text(clean(bounded_text(text, limit), limit), limit)

    def _many(self, items: Iterable[T], make: Callable[[T], T]) -> tuple[T, ...]:
        kept: list[T] = []
        for item in items:
            if self._left <= 0:
                break
            kept.append(make(item))
        return tuple(kept)
