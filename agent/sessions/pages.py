"""Pages of a session's log, straight from the store: what one costs depends on the page, never on the log (T11)."""

from __future__ import annotations

from collections.abc import Sequence

from agent.ports import SessionMeta, TranscriptStore
from agent.protocol.events import Event, as_wanted, mended
from agent.protocol.messages import History, Page
from agent.protocol.snapshot import compact

PAGE_MAX = 524_288
"""Bytes of payload in one page: half of the largest frame."""


async def read_page(store: TranscriptStore, meta: SessionMeta, request: History, last: int, epoch: str) -> Page:
    """A page of a log, newest event last, of which events up to `last` may be shown. Raises: StateError."""
    before, after = _within(request.before, last + 1), _within(request.after, last)
    if after is not None:
        found = await store.read(meta.id, after, request.limit, PAGE_MAX)
        events: Sequence[Event] = list(mended(found, after))
        more = bool(events) and events[-1].seq < last
    else:
        found = await store.read_before(meta.id, last + 1 if before is None else before, request.limit, PAGE_MAX)
        events = list(mended(found, found[0].seq - 1 if found else 0))
        more = bool(events) and events[0].seq > 1
    first = events[0].seq if events else 0
    if after is None:
        events = compact(events)
    shown = as_wanted((event for event in events if event.seq <= last), colours=request.colours)
    return Page(session_id=meta.id, epoch=epoch, seq=last, events=shown, more=more, first=first)


def _within(seq: int | None, highest: int) -> int | None:
    return None if seq is None else min(seq, highest)  # the store's numbers end at 63 bits, a client's do not
