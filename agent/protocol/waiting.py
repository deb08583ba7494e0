"""How long a request about a session waits for a device that is out of reach, and what its client gets (L8)."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from agent.protocol.bounds import Line, Stamp, Word
from agent.protocol.model import STOPPED, DeviceKey, DeviceRow, SessionId
from agent.protocol.times import span, unix_seconds

PATIENCE = 600.0
"""Seconds that a request waits unless it says otherwise, as long as a lost link is no error (L5)."""
WAIT_MAX = 86_400.0
"""Seconds that a request may wait at most."""

CallId = Annotated[str, Meta(max_length=64)]


class Patient(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of the requests about one session: they wait while its device is out of reach."""

    session_id: Annotated[str, Meta(min_length=1, max_length=256)]
    wait: Annotated[float, Meta(ge=0, le=WAIT_MAX)] | None = None  # seconds; None: `PATIENCE`; 0: fail at once
    call_id: CallId = ""  # chosen by the client: `request.waiting` names it, `request.cancel` takes it back


class Waiting(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`request.waiting`: a request of this client has not been answered, since a device is out of reach."""

    call_id: CallId
    session_id: Word
    method: Word
    device: DeviceKey
    name: Word  # of the device
    since: Stamp = ""  # RFC 3339: when it was there last; empty: not known
    reason: Line = ""  # how we know, or what else the request waits for
    sent: bool = False  # it went out before the link broke: whether it arrived shows when the device is back


class CancelCall(Struct, frozen=True, kw_only=True):
    """`request.cancel`: take a request back. Its answer says whether it was sent (`taken-back`: never)."""

    call_id: Annotated[str, Meta(min_length=1, max_length=64)]


P = TypeVar("P", bound="Patient")


def as_sent(request: P, session: SessionId) -> P:
    """The request as the session's own device gets it: without what only this gateway uses."""
    return msgspec.structs.replace(request, session_id=session, wait=None, call_id="")


def last_there(row: DeviceRow | None) -> str:
    """When (RFC 3339) a device that is out of reach was there last; empty if that is not known."""
    return "" if row is None else row.since or row.heard_at or ""


def out_of_reach(name: str, row: DeviceRow | None, now: float) -> str:
    """The error text for a device that is out of reach: since when, and how that is known. `now` in Unix seconds."""
    at = last_there(row)
    since = f" for {span(now - unix_seconds(at))}" if at else ""
    why = f" ({row.reason})" if row is not None and row.reason else ""
    return f"{name} is out of reach{since}{why}"


def to_do(row: DeviceRow | None) -> str | None:
    """The hint for a device that is out of reach, if there is a better one than that of the error itself."""
    return "start `agent up` on that device" if row is not None and row.reason == STOPPED else None
