"""What other devices say, checked before it is used or shown (T10)."""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw, Struct

from agent.core.bounded import Rows
from agent.core.methods import RESULTS
from agent.core.names import UNTITLED, clean
from agent.core.records import TITLE_MAX, SessionId, SessionKey, SessionRow
from agent.core.wire import typed
from agent.errors import RemoteFault, Undescribed
from agent.protocol.times import rfc3339, unix_seconds

_ID = re.compile(r"[a-z2-7]{16}")
"""The ids that this program makes. Of any other form one could be a word that somebody types for a title (R13)."""
LINEAGE_MAX = 16
FIXED = 376
"""Bytes of the names and short values of a row."""
LINEAGE_ID_MAX = 128
"""Bytes of an id in a lineage; a longer one is left out, for it would be no id if it were cut."""
ROWS_MAX = 2000
"""Rows of one message that are looked at: twice as many as are listed of one device."""


class _Changes(Struct, frozen=True):
    # `messages.SessionsChanged`, its rows not read yet.
    changed: Raw = Raw(b"\x90")
    removed: Rows[SessionKey] = ()


@lru_cache(maxsize=4096)
def dialable(host: str, *, heard: bool) -> bool:
    """Whether a connection may be tried there. What was only heard must be an address of a local network."""
    try:
        ip = ipaddress.IPv6Address(host) if ":" in host else ipaddress.IPv4Address(host)
    except ValueError:
        return False
    if ip.is_multicast or ip.is_unspecified or host == "255.255.255.255":
        return False
    return not (heard and ip.is_global)


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


def usable(row: SessionRow, now: float) -> SessionRow | None:
    """A row as a peer told it, cleaned and bounded (T10); None if its id or times have not their form."""
    if not _ID.fullmatch(row.id):
        return None
    try:
        updated_at = rfc3339(min(unix_seconds(row.updated_at), now))
        created_at = row.created_at and rfc3339(unix_seconds(row.created_at))
    except (ValueError, OverflowError, OSError):
        return None
    return msgspec.structs.replace(
        row,
        title=clean(row.title, TITLE_MAX) or UNTITLED,
        backend=clean(row.backend, 64),
        model=clean(row.model, 128),
        cwd=clean(row.cwd, 512),
        created_at=created_at,
        updated_at=updated_at,
        participants=row.participants[:64],
        lineage=tuple(each for each in row.lineage[:LINEAGE_MAX] if len(each.encode()) <= LINEAGE_ID_MAX),
    )


def row_size(row: SessionRow) -> int:
    """Bytes that a row has in a message, about: as JSON at most twice as many, if all of its text must be escaped."""
    texts = [row.title, row.backend, row.model, row.cwd, row.device.name, *row.lineage]
    texts += [each.device for each in row.participants]
    return FIXED + len(texts) * 4 + len(row.participants) * 24 + sum(len(each.encode()) for each in texts)
