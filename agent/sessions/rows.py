"""The rows of sessions in the store: replaced one after the other, so that no change undoes another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec

from agent.errors import AgentError, SessionEnded
from agent.ports import Described, SessionMeta, TranscriptStore
from agent.protocol.model import SessionId, Share
from agent.protocol.names import clean
from agent.sessions.rules.bounds import ID, whole
from agent.sessions.session import Hosted

log = logging.getLogger(__name__)

LINEAGE_MAX = 16
"""Ids of its own that a program may have told."""
NOTICE_MAX = 500
"""Characters of what a program tells the owner."""


class Filing:
    """Changes of rows that are in the store already, in force once they are stored."""

    def __init__(
        self, store: TranscriptStore, hosted: Mapping[SessionId, Hosted], notice: Callable[[str], None]
    ) -> None:
        """`hosted`: the live ones; the row of a closed one stays as it is. `notice` tells the owner."""
        self._store = store
        self._hosted = hosted
        self._notice = notice
        self._lock = asyncio.Lock()

    async def share(self, hosted: Hosted, share: Share) -> None:
        """What other devices may do with it. Raises: SessionEnded, StoreFull."""
        async with self._lock:
            await self._put(hosted, msgspec.structs.replace(hosted.journal.meta, share=share))
        hosted.journal.notice()

    async def described(self, hosted: Hosted, told: Described) -> None:
        """What a program told of itself beside what is logged."""
        if told.notice:
            self._notice(f"{clean(whole(told.notice, NOTICE_MAX), NOTICE_MAX)}: {hosted.journal.meta.id}")
        if told.lineage or told.ours:
            await self._lineage(hosted, told)

    async def _lineage(self, hosted: Hosted, told: Described) -> None:
        # Its own ids (S11): without them it is not found again after a restart.
        new = tuple(whole(each, ID) for each in told.lineage)
        async with self._lock:
            meta = hosted.journal.meta
            known = (*(each for each in meta.lineage if each not in new), *new)[-LINEAGE_MAX:]
            row = msgspec.structs.replace(meta, lineage=known, found=meta.found and not told.ours)
            if row == meta:
                return
            try:
                await self._put(hosted, row)
            except AgentError as exc:
                log.warning("a session's lineage is not kept", extra={"session": meta.id, "error": str(exc)})
        hosted.journal.notice()

    async def titled(self, hosted: Hosted) -> None:
        """Keep its title in its row, too: after a restart it is listed before its log is read."""
        async with self._lock:
            meta, title = hosted.journal.meta, hosted.journal.session.title
            if meta.title != title:
                with suppress(AgentError):  # the log has it
                    await self._put(hosted, msgspec.structs.replace(meta, title=title))

    async def close(self, hosted: Hosted) -> SessionMeta:
        """Its last row. Raises: StoreFull."""
        async with self._lock:
            meta = hosted.journal.closed_meta()
            await self._store.put(meta)
            return meta

    async def _put(self, hosted: Hosted, meta: SessionMeta) -> None:
        if meta.id not in self._hosted:
            raise SessionEnded
        await self._store.put(meta)
        hosted.journal.meta = meta
