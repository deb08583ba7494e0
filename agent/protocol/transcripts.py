"""Transcripts on the wire: sessions that are over, full-text search in all of them, and forgetting one."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from agent.protocol.bounds import Count, Line, Rows, Stamp
from agent.protocol.events import Id
from agent.protocol.model import DeviceRef, SessionKey, SessionRow

QUERY_MAX = 1024
"""Characters of a query."""
HITS_MAX = 200
"""Hits of one answer."""
PAST_MAX = 1000
"""Closed sessions of one answer."""

Selector = Annotated[str, Meta(max_length=256)]
Scope = Literal["all", "local", "remote"]


class DeviceUnreached(Struct, frozen=True):
    """A device that was to be asked and did not answer."""

    device: DeviceRef
    reason: Line


class ListPast(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Parameters of `session.past`: the newest closed sessions; with `named`, the one session that it means."""

    scope: Scope = "local"
    device: Selector = ""  # only those of that device
    limit: Annotated[int, Meta(ge=1, le=PAST_MAX)] = 100  # of each device
    named: Selector = ""  # id, unique prefix or title; also of a session that is live


class Past(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result of `session.past`, newest first."""

    sessions: Rows[SessionRow]
    more: bool = False  # there are older ones
    unreached: Rows[DeviceUnreached] = ()


class Search(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Parameters of `session.search`: words, `"phrases"` and beginnings (`wor*`), which must all be in one event."""

    text: Annotated[str, Meta(max_length=QUERY_MAX)]
    scope: Scope = "local"
    device: Selector = ""  # only sessions of that device
    limit: Annotated[int, Meta(ge=1, le=HITS_MAX)] = 20  # of each device


class Hit(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event that has all the words, with the part of its text around the first of them."""

    session_id: SessionKey
    title: Line
    device: DeviceRef
    seq: Count
    type: Id
    at: Stamp  # RFC 3339
    excerpt: Annotated[str, Meta(max_length=1024)]  # one line
    marks: Rows[tuple[Count, Count]] = ()  # places in the excerpt, from and to, of what was found
    closed: bool = False  # the session is over and in no list of live ones


class Found(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result of `session.search`, newest first."""

    hits: Rows[Hit]
    more: bool = False  # there are older ones
    indexing: Rows[Line] = ()  # names of devices with transcripts that are not indexed yet
    unreached: Rows[DeviceUnreached] = ()


class Forget(Struct, frozen=True, kw_only=True):
    """Parameters of `session.forget`: an ended session of this device."""

    session_id: Annotated[str, Meta(min_length=1, max_length=256)]


class Forgotten(Struct, frozen=True, kw_only=True):
    """Result of `session.forget`: which one the selector named."""

    session_id: SessionKey
    title: Line
