"""Reads results and rows that another device sent: a misfit is left out, or is an error of that device (T11)."""

from __future__ import annotations

from contextlib import suppress

from msgspec import Raw, Struct

from agent.errors import RemoteFault, Undescribed
from agent.protocol.bounds import Rows
from agent.protocol.codec import typed
from agent.protocol.methods import Method, P, R
from agent.protocol.model import SessionId, SessionKey, SessionRow

ROWS_MAX = 2000
"""Rows of one message that are read: twice as many as are listed of one device."""


class _Changes(Struct, frozen=True):
    # `messages.SessionsChanged`, its rows not read yet.
    changed: Raw = Raw(b"\x90")
    removed: Rows[SessionKey] = ()


def read_result(raw: Raw, method: Method[P, R], name: str) -> R:
    """The result that the device called `name` answered to a request, as its type. Raises: RemoteFault."""
    try:
        return typed(raw, method.result)
    except Undescribed as exc:
        hint = "see what runs there, and in which version"
        raise RemoteFault(f"{name} answered {method.name} as no lan-agent does: {exc}", hint=hint) from exc


def read_rows(raw: Raw) -> list[SessionRow]:
    """The session rows of a list that a peer sent; a row that does not fit the type is left out.

    Raises: Undescribed, if it is no list, or too long a one.
    """
    rows = []
    for each in typed(raw, Rows[Raw])[:ROWS_MAX]:
        with suppress(Undescribed):
            rows.append(typed(each, SessionRow))
    return rows


def read_changes(raw: Raw) -> tuple[list[SessionRow], tuple[SessionId, ...]]:
    """The rows and the removed ids of a peer's `session.changed`. Raises: Undescribed."""
    changes = typed(raw, _Changes)
    return read_rows(changes.changed), changes.removed
