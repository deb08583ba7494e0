"""Adoption of sessions that run already: backends offer what they find, and the host lists it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from functools import partial

import msgspec

from agent.errors import AgentError
from agent.ports import BackendType, Clock, FindsSessions, Offer, SessionMeta, TranscriptStore, kind_of
from agent.protocol.model import SessionId
from agent.protocol.names import clean_title
from agent.sessions.rules.bounds import ID, bounded_text
from agent.sessions.session import HostedSession
from agent.tasks import keep, spawn

log = logging.getLogger(__name__)

FOUND_MAX = 128
"""Sessions that are adopted of one backend at a time; of more, the first ones offered."""


class Adoption:
    """Lists the sessions that backends offer, and closes them once they are offered no more. `run` until cancelled."""

    def __init__(
        self,
        *,
        backends: Mapping[str, BackendType],
        hosted: Mapping[SessionId, HostedSession],
        closed: MutableMapping[SessionId, SessionMeta],
        store: TranscriptStore,
        clock: Clock,
        new_id: Callable[[], str],
        host: Callable[[SessionMeta], Awaitable[HostedSession]],
        close: Callable[[HostedSession, str], Awaitable[None]],
    ) -> None:
        """`host` lists a session that is in the store."""
        self._backends = backends
        self._hosted = hosted
        self._closed = closed
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._host, self._close = host, close

    async def run(self) -> None:
        """Watch the offers of every backend that finds sessions, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name, backend in self._backends.items():
                if isinstance(backend, FindsSessions):
                    spawn(
                        group,
                        keep(partial(self._watch, name, backend), f"sessions.find-{name}", self._clock),
                        f"sessions.find-{name}",
                    )

    async def _watch(self, name: str, backend: FindsSessions) -> None:
        async def offered(offers: Sequence[Offer]) -> None:
            await self._offered(name, offers)

        await backend.watch(offered)

    async def _offered(self, name: str, offers: Sequence[Offer]) -> None:
        keys = {bounded_text(offer.key, ID): offer for offer in offers[:FOUND_MAX]}
        here = [hosted for hosted in self._hosted.values() if hosted.log.meta.backend == name]
        known = {key: hosted for hosted in here for key in hosted.log.meta.lineage}
        for hosted in here:
            meta = hosted.log.meta
            if meta.found and not any(key in keys for key in meta.lineage):
                await self._attempt(self._close(hosted, "it ended where it ran"), meta.id)
        for key, offer in keys.items():
            there = known.get(key)
            if there is None:
                meta = self._meta(name, key, offer)
                await self._attempt(self._begin(meta), meta.id)
            else:  # also a session that was created here: it ran on while this service was restarted
                await self._attempt(there.join(), there.log.meta.id)

    def _meta(self, name: str, key: str, offer: Offer) -> SessionMeta:
        # A closed session that runs again goes on in the same log.
        for meta in self._closed.values():
            if meta.backend == name and meta.found and key in meta.lineage:
                return msgspec.structs.replace(meta, closed=False)
        return SessionMeta(
            id=SessionId(self._new_id()),
            epoch=self._new_id(),
            backend=name,
            created_at=self._clock.time(),
            title=clean_title(bounded_text(offer.title)),
            cwd=bounded_text(offer.cwd, 4096),
            lineage=(key,),
            found=True,
            kind=kind_of(self._backends[name]),
        )

    async def _begin(self, meta: SessionMeta) -> None:
        await self._store.put(meta)
        self._closed.pop(meta.id, None)
        hosted = await self._host(meta)
        await hosted.join()

    async def _attempt(self, work: Awaitable[None], session: SessionId) -> None:
        # An offer that fails must not keep the others away; it comes again.
        try:
            await work
        except AgentError as exc:
            log.info("a session that was found is not joined", extra={"session": session, "error": str(exc)})
