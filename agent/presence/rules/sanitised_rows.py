"""Session rows that another device sent: cleaned and bounded before they are used or shown (T10), and their size."""

from __future__ import annotations

import re

import msgspec

from agent.protocol.model import PROGRAM_MAX, SessionRow
from agent.protocol.names import UNTITLED, clean, clean_title
from agent.protocol.times import rfc3339, unix_seconds

_ID = re.compile(r"[a-z2-7]{16}")
"""The ids that this program makes. Of any other form one could be a word that somebody types for a title (R13)."""
QUESTION_MAX = 256
"""Characters of the first words of a question."""
LINEAGE_MAX = 16
FIXED = 412
"""Bytes of the field names and short values of a row."""
LINEAGE_ID_MAX = 128
"""Bytes of an id in a lineage; a longer one is left out, for it would be no id if it were cut."""


def sanitised(row: SessionRow, now: float) -> SessionRow | None:
    """The row that a peer sent, cleaned and bounded (T10); None if its id or a time is malformed."""
    if not _ID.fullmatch(row.id):
        return None
    try:
        updated_at = rfc3339(min(unix_seconds(row.updated_at), now))
        created_at = row.created_at and rfc3339(unix_seconds(row.created_at))
    except (ValueError, OverflowError, OSError):
        return None
    return msgspec.structs.replace(
        row,
        title=clean_title(row.title) or UNTITLED,
        backend=clean(row.backend, 64),
        model=clean(row.model, 128),
        program=clean(row.program, PROGRAM_MAX),
        screen=clean(row.screen, PROGRAM_MAX),
        cwd=clean(row.cwd, 512),
        short_cwd=clean(row.short_cwd, 512),
        question=clean_title(row.question, QUESTION_MAX),
        created_at=created_at,
        updated_at=updated_at,
        participants=row.participants[:64],
        lineage=tuple(each for each in row.lineage[:LINEAGE_MAX] if len(each.encode()) <= LINEAGE_ID_MAX),
    )


def row_size(row: SessionRow) -> int:
    """About how many bytes a row takes in a message; as JSON at most twice as many, if all text must be escaped."""
    texts = [row.title, row.backend, row.model, row.program, row.cwd, row.short_cwd, row.question, row.device.name]
    texts += [row.screen, *row.lineage]
    texts += [each.device for each in row.participants]
    return FIXED + len(texts) * 4 + len(row.participants) * 24 + sum(len(each.encode()) for each in texts)
