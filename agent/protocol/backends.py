"""`backend.list`: what sessions can be made of on a device."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from agent.protocol.bounds import Line, Rows, Word


class ListBackends(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Parameters of `backend.list`: the device whose backends to list."""

    device: Annotated[str, Meta(max_length=256)] = ""  # name, id or prefix; empty: this one; another gateway: itself


class BackendRow(Struct, frozen=True, kw_only=True):
    """One kind of session as `backend.list` and `agent backends --json` give it. Grows only."""

    name: Word
    kind: Word  # the entry point that makes it
    description: Line
    ready: bool  # whether a session can be made of it now
    default: bool  # taken when nobody says
    detail: Line = ""  # what was found; for the owner only
    missing: Line = ""  # what must be there first, as a sentence; empty if it is ready
    hint: Line = ""  # how to get it
    shells: Rows[Word] = ()  # of one that runs a shell: what `session.create` may name there, the user's own first


ELSEWHERE = "it cannot be used there yet"
ASK_THERE = "`agent backends` on that device says why"


def for_others(row: BackendRow) -> BackendRow:
    """The row as other devices get it: without paths, addresses and keys of this one."""
    return BackendRow(
        name=row.name,
        kind=row.kind,
        description=row.description,
        ready=row.ready,
        default=row.default,
        missing="" if row.ready else ELSEWHERE,
        hint="" if row.ready else ASK_THERE,
        shells=row.shells,
    )
