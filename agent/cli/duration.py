"""Spans of time on the command line: `90`, `30min`, `8h`, `2d`."""

from __future__ import annotations

import re

import click

_UNITS = {"": 1.0, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(s|min|h|d|)")


def seconds(text: str) -> float | None:
    """A span in seconds, which stand without a unit too; None for anything else."""
    found = _SPAN.fullmatch(text.strip())
    return float(found[1]) * _UNITS[found[2]] if found else None


def span(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """The callback of an option that takes one: its value becomes seconds."""
    if value is None:
        return None
    found = seconds(value)
    if not found:
        raise click.BadParameter(f"{value!r} is not a time like 90, 30min, 8h or 2d", ctx, param)
    return found
