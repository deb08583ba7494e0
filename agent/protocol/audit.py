"""An entry of the audit log: which device did what here. Never text, a code or a key; only how long a text was."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from agent.protocol.bounds import Line, Stamp, Whole, Word

Action = Literal[
    "attached", "detached", "prompted", "withdrew", "answered", "typed", "interrupted", "created", "closed", "renamed",
    "configured", "shared", "forgotten",
    "paired", "unpaired", "refused",
]  # fmt: skip


WHO_MAX = 256
"""Characters of the name of a device in an entry."""


class AuditEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the log, and of `agent audit --json`. Grows only."""

    at: Stamp  # RFC 3339, UTC
    device: Word  # id of who did it (or of whom it was done to: paired, unpaired)
    name: Annotated[str, Meta(max_length=WHO_MAX)]  # as it was called then, cleaned
    action: Action
    session: Word = ""
    length: Whole = 0  # characters of a prompt or an answer
    title: Line = ""  # of the session as it is called now; not stored
    detail: Line = ""  # refused: method and kind of the error; paired: the role; shared: how; renamed: from what
