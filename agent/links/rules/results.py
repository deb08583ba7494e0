"""What another device answered, read row by row: what does not fit its type is left out, or told as its fault (T11)."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from msgspec import Raw, Struct

from agent.errors import RemoteFault, Undescribed
from agent.protocol.bounds import Rows
from agent.protocol.codec import typed
from agent.protocol.methods import RESULTS
from agent.protocol.model import SessionId, SessionKey, SessionRow

ROWS_MAX = 2000
"""Rows of one message that are looked at: twice as many as are listed of one device."""


class _Changes(Struct, frozen=True):
    # `messages.SessionsChanged`, its rows not read yet.
    changed: Raw = Raw(b"\x90")
    removed: Rows[SessionKey] = ()


def told_result(raw: Raw, method: str, name: str) -> Any:
    """What the device of that name answered to a request of `RESULTS`, as its type. Raises: RemoteFault."""
    try:
        return typed(raw, RESULTS[method])
    except Undescribed as exc:
        raise RemoteFault(
            f"{name} answered {method} as no lan-agent does: {exc}", hint="see what runs there, and in which version"
        ) from exc


def told_rows(raw: Raw) -> list[SessionRow]:
    """The rows of a list as a peer sent it; one that does not fit its type is left out, and not the others.

    Raises: Undescribed, if it is no list, or one without a bound.
    """
    rows = []
    for each in typed(raw, Rows[Raw])[:ROWS_MAX]:
        with suppress(Undescribed):
            rows.append(typed(each, SessionRow))
    return rows


def told_changes(raw: Raw) -> tuple[list[SessionRow], tuple[SessionId, ...]]:
    """Of a peer's `session.changed`: the rows that fit, and the ids that are gone. Raises: Undescribed."""
    changes = typed(raw, _Changes)
    return told_rows(changes.changed), changes.removed
