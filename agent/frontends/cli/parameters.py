"""What options and arguments take, each with a message that names the accepted forms: spans, times, whole numbers.

click's own numbers say `not a valid float range` and `0<=x<=65535`, so no command uses them.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from agent.frontends.cli.duration import FORMS, seconds, spoken
from agent.frontends.cli.output import stamp_of

if TYPE_CHECKING:
    Parameter = click.ParamType[Any]
else:
    Parameter = click.ParamType  # not generic before click 8.4


class Span(Parameter):
    """How long: `90` seconds, `30min`, `8h`, `2d`; its value is seconds."""

    name = "time"

    def __init__(self, least: float = 0.0, most: float | None = None) -> None:
        """From `least` to `most` seconds."""
        self.least = least
        self.most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds that were typed; a default is seconds already."""
        found = seconds(value) if isinstance(value, str) else float(value)
        if found is None:
            self.fail(f"{value!r} is not a time like {FORMS}", param, ctx)
        if found < self.least or (self.most is not None and found > self.most):
            most = f" to {spoken(self.most)}" if self.most is not None else " or more"
            self.fail(f"takes {spoken(self.least)}{most}, not {value}", param, ctx)
        return found


class Whole(Parameter):
    """A whole number between bounds."""

    name = "number"

    def __init__(self, least: int = 0, most: int | None = None) -> None:
        """From `least` to `most`."""
        self.least = least
        self.most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number that was typed."""
        text = str(value).strip()
        digits = text.removeprefix("-")
        number = int(text) if digits.isascii() and digits.isdecimal() and len(digits) <= 18 else None
        if number is None or number < self.least or (self.most is not None and number > self.most):
            bounds = f"from {self.least} to {self.most}" if self.most is not None else f"of {self.least} or more"
            self.fail(f"takes a whole number {bounds}, not {text!r}", param, ctx)
        return number


class Moment(Parameter):
    """When: an age as a `Span`, a day or a time, of this machine's zone if none is said; its value is RFC 3339."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The time that was typed, with its zone."""
        text = str(value).strip()
        now = time.time()  # noqa: TID251 - agent.clock imports asyncio, which the start-up budget has no room for
        ago = seconds(text)
        try:
            if ago is not None:
                return stamp_of(now - ago)
            if text in {"today", "yesterday"}:
                midnight = datetime.fromtimestamp(now).astimezone().replace(hour=0, minute=0, second=0)
                return stamp_of((midnight - timedelta(days=text == "yesterday")).timestamp())
            moment = datetime.fromisoformat(text)
            return text if moment.tzinfo else stamp_of(moment.timestamp())
        except (ValueError, OverflowError, OSError):
            self.fail(f"{text!r} is neither an age like {FORMS}, nor a time like 2026-01-31 or 2026-01-31T12:00Z",
                      param, ctx)  # fmt: skip
