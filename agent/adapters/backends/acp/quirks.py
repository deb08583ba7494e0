"""What single agents do differently from others, by the name and version they give themselves: one table.

What every agent is protected from is no quirk and has no row: one prompt at a time; open questions are answered
`cancelled` before `session/cancel`; an error after our cancel is an interrupt, after which the agent is started anew;
so is one that answers the next prompt with nothing; replays are dropped; updates may come between turns; unknown ones
are kept; tool output is read wherever it is (docs/design/acp.md has them all, with their tests).
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

Version = tuple[int, ...]


class Quirks(Struct, frozen=True, kw_only=True):
    """How one agent is to be treated. The defaults are for agents that are sound."""

    recycle: Literal["never", "in-tools", "always"] = "never"
    """When it is started anew after an interrupt: never, if a tool ran or a question was open, always."""
    heeds_eof: bool = True
    """Whether it ends when its input does."""
    files_by_minute: bool = False
    """Whether a session must not be loaded in the clock minute in which it was last opened: that would destroy it."""
    postpones: str = ""
    """What its reply to a prompt begins with if it has lost step and will not work on it."""


class QuirkRow(Struct, frozen=True, kw_only=True):
    """The quirks of agents with these names, before that version (of all versions, if it is empty)."""

    names: tuple[str, ...]
    before: Version = ()
    quirks: Quirks
    seen: str
    """What was seen, in which version."""


TABLE: tuple[QuirkRow, ...] = (
    QuirkRow(
        names=("@zed-industries/claude-agent-acp", "@zed-industries/claude-code-acp"),
        quirks=Quirks(recycle="always", heeds_eof=False),
        seen="0.23.1: after a cancel every prompt returns at once and empty, its text comes with the next one;"
        " does not end with its input",
    ),
    QuirkRow(
        names=("codex-acp",),
        before=(1,),
        quirks=Quirks(heeds_eof=False),
        seen="0.16.0: does not end with its input",
    ),
    QuirkRow(
        names=("hermes-agent",),
        quirks=Quirks(recycle="in-tools", postpones="Queued for the next turn"),
        seen="0.19.0: a cancel while it asks or uses a tool is answered by an error,"
        " then every prompt is queued for ever",
    ),
    QuirkRow(
        names=("gemini-cli",),
        quirks=Quirks(files_by_minute=True),
        seen="0.61.0: names session files by the minute in which they were opened. A load in that minute fails"
        " (`Invalid session identifier`, `No previous sessions found`), and the next process deletes the file",
    ),
)


def quirks_of(name: str, version: str) -> Quirks:
    """The quirks of an agent, by its `agentInfo`."""
    parsed = parse(version)
    for row in TABLE:
        if name in row.names and (not row.before or parsed < row.before):
            return row.quirks
    return Quirks()


def parse(version: str) -> Version:
    """The numbers that a version begins with; a version without any is older than all."""
    found = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in found[1].split(".")) if found else ()
