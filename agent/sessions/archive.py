"""Transcripts: read, searched, forgotten, and removed once they are too old or too large; and sessions that are over.

A session is over when its program has ended or it was closed. Search reads the logs of live ones, too.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from heapq import nlargest
from typing import Any

import msgspec
from msgspec import Struct

from agent.errors import AgentError, BadParams, Busy
from agent.ports import Clock, SessionMeta, TranscriptStore
from agent.protocol.messages import History, Page
from agent.protocol.model import DeviceRef, Sender, SessionRow, Status
from agent.protocol.names import UNTITLED
from agent.protocol.searching import excerpt, searchable, terms_of
from agent.protocol.times import rfc3339
from agent.protocol.transcripts import Forgotten, Found, Hit, Past
from agent.sessions.index import HostedIndex, Sees
from agent.sessions.pages import read_page
from agent.sessions.session import HostedSession
from agent.sessions.viewers import Noted

log = logging.getLogger(__name__)

FIRST_AFTER, EVERY = 60.0, 6 * 3600.0
"""Seconds after the start, and between two looks, at which old transcripts are removed."""
DAY, MIB = 86_400.0, 1 << 20


class Retention(Struct, frozen=True):
    """How long transcripts of sessions that are over are kept."""

    keep_days: int = 0  # 0: for ever
    max_mb: int = 0  # MiB of all transcripts; 0: any number


class Archive:
    """The transcripts of this device, and its sessions that are over. `run` until cancelled."""

    def __init__(
        self,
        *,
        own: DeviceRef,
        index: HostedIndex,
        store: TranscriptStore,
        clock: Clock,
        retention: Retention,
        ready: Callable[[HostedSession], Awaitable[None]],
        close: Callable[[HostedSession, str], Awaitable[None]],
        noted: Noted,
        finish: Callable[[Coroutine[Any, Any, None], str], Awaitable[None]],
    ) -> None:
        """`ready` waits until a session's log is read, `close` takes one off the list of live ones.

        `noted` takes what a device did to a session; `finish` does some work to its end, whoever leaves meanwhile.
        """
        self._own = own
        self._index = index
        self._store = store
        self._clock = clock
        self._retention = retention
        self._ready = ready
        self._close = close
        self._noted = noted
        self._finish = finish

    async def run(self) -> None:
        """Finish what a restart cut short, then remove old transcripts, until cancelled."""
        half = [meta for meta in await self._store.sessions() if meta.forgotten]
        for meta in half:
            await self._store.remove(meta.id)
        if half:
            await self._store.purge()
        await self._clock.sleep(FIRST_AFTER)
        while True:
            try:
                await self._retain()
            except AgentError as exc:  # a full disk, or one that was opened again meanwhile
                log.warning("old transcripts were not removed", extra={"error": str(exc)})
            await self._clock.sleep(EVERY)

    def restore(self, meta: SessionMeta, last_active: float) -> None:
        """Take a closed session that the store has, after a restart; `last_active` in Unix seconds."""
        if not meta.forgotten:  # else `run` goes on removing it
            at = meta.updated_at or last_active
            self._index.closed[meta.id] = msgspec.structs.replace(meta, updated_at=at)

    def now(self) -> float:
        """The present time, in Unix seconds."""
        return self._clock.time()

    async def size(self) -> int:
        """Bytes that all transcripts take, with their index. Raises: StateError."""
        return await self._store.size()

    # --- looking -----------------------------------------------------------------------------------------------------

    def past(self, limit: int, sees: Sees, named: str = "") -> Past:
        """The newest closed sessions, as far as they are seen; with `named` the one, live or closed, that it means.

        Raises: SessionNotFound, Ambiguous.
        """
        if named:
            meta = self._index.find(named, sees)
            hosted = self._index.hosted.get(meta.id)
            return Past(sessions=(self._row(meta) if hosted is None else hosted.log.row(),))
        seen = [meta for meta in self._index.closed.values() if sees(meta.id, meta.share)]
        newest = nlargest(limit, seen, key=_over_at)
        return Past(sessions=tuple(self._row(meta) for meta in newest), more=len(seen) > len(newest))

    def _row(self, meta: SessionMeta) -> SessionRow:
        return SessionRow(
            id=meta.id,
            title=_called(meta),
            untitled=not meta.title,
            status=Status.ENDED,
            device=self._own,
            local=True,
            attachable=False,
            backend=meta.backend,
            model="",
            created_at=rfc3339(meta.created_at),
            updated_at=rfc3339(_over_at(meta)),
            cwd=meta.cwd,
            lineage=meta.lineage,
            share=meta.share,
            closed=True,
        )

    async def history(self, request: History) -> Page:
        """A page of a log, of a closed session too. Raises: SessionNotFound, Ambiguous, StateError."""
        meta = self._index.find(request.session_id)
        hosted = self._index.hosted.get(meta.id)
        if hosted is not None:
            await self._ready(hosted)
            return await hosted.log.history(request)
        return await read_page(self._store, meta, request, await self._store.last_seq(meta.id), meta.epoch)

    async def search(self, text: str, limit: int, sees: Sees) -> Found:
        """The newest events of sessions that are seen which have all the words. Raises: BadParams, StateError."""
        terms = terms_of(text)
        if not terms:
            raise BadParams("there is no word to search for", hint='like: pump, "exact phrase", begin*')
        metas = {each: hosted.log.meta for each, hosted in self._index.hosted.items()} | self._index.closed
        among = {each for each, meta in metas.items() if sees(each, meta.share)}
        matches = await self._store.search(terms, limit, among)
        hits = []
        for match in matches.found:
            meta, event = metas[match.session], match.event
            hosted = self._index.hosted.get(meta.id)
            shown = excerpt(searchable(event), terms)
            hits.append(
                Hit(
                    session_id=meta.id,
                    title=_called(meta) if hosted is None else hosted.log.state.called or UNTITLED,
                    device=self._own,
                    seq=event.seq,
                    type=event.type,
                    at=event.at,
                    excerpt=shown.text,
                    marks=shown.marks,
                    closed=hosted is None,
                )
            )
        return Found(hits=tuple(hits), more=matches.more, indexing=(self._own.name,) if matches.unread else ())

    # --- forgetting --------------------------------------------------------------------------------------------------

    async def forget(self, selector: str, by: Sender) -> Forgotten:
        """Delete the transcript of a session that is over; nothing of it is left in the file when this returns.

        Raises: SessionNotFound, Ambiguous, Busy (it is live), StoreFull.
        """
        meta = self._index.find(selector)
        hosted = self._index.hosted.get(meta.id)
        if hosted is not None:
            await self._ready(hosted)
        title = _called(meta) if hosted is None else hosted.log.state.called
        await self._finish(self._delete(meta), f"sessions.forget-{meta.id}")
        self._noted("forgotten", by.device, meta.id, 0)
        return Forgotten(session_id=meta.id, title=title)

    async def _delete(self, meta: SessionMeta) -> None:
        await self._remove(meta)
        await self._store.purge()

    async def _remove(self, meta: SessionMeta) -> None:
        hosted = self._index.hosted.get(meta.id)
        if hosted is not None:
            if hosted.log.unread or (hosted.log.state.status.live and not hosted.log.damage):
                raise Busy(f"the session {meta.id} is live", hint=f"close it first: `agent close {meta.id}`")
            await self._close(hosted, "")
        # Marked first: what a crash leaves of it is removed at the next start (`run`).
        await self._store.put(msgspec.structs.replace(meta, closed=True, forgotten=True))
        self._index.closed.pop(meta.id, None)
        await self._store.remove(meta.id)

    async def _retain(self) -> None:
        removed = 0
        for over_at, meta in self._over():
            days = (self._clock.time() - over_at) / DAY
            if not 0 < self._retention.keep_days < days and not await self._too_large():
                break  # those that follow are newer
            await self._remove(meta)
            log.info("a transcript was removed", extra={"session": meta.id, "days": round(days, 1)})
            removed += 1
        if removed:
            await self._store.purge()
            log.info("old transcripts were removed", extra={"sessions": removed, "bytes": await self._store.size()})

    async def _too_large(self) -> bool:
        return 0 < self._retention.max_mb * MIB < await self._store.size()

    def _over(self) -> Iterator[tuple[float, SessionMeta]]:
        # Oldest first.
        over = [(_over_at(meta), meta.id) for meta in self._index.closed.values()]
        over += (
            (hosted.log.state.updated_at, session)
            for session, hosted in self._index.hosted.items()
            if not hosted.log.unread and not hosted.log.state.status.live
        )
        for at, session in sorted(over):
            hosted = self._index.hosted.get(session)
            meta = hosted.log.meta if hosted is not None else self._index.closed.get(session)
            if meta is not None:
                yield at, meta


def _called(meta: SessionMeta) -> str:
    return meta.title or meta.derived_title or UNTITLED


def _over_at(meta: SessionMeta) -> float:
    return meta.updated_at or meta.created_at
