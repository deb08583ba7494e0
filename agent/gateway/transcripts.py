"""`session.past`, `session.search` and `session.forget`: what was said, here and on every device that can be asked."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from agent.errors import Forbidden
from agent.gateway.forwarder import Forwarder, There
from agent.gateway.routes import Caller, Route, Routes
from agent.links.survey import Answers, Survey
from agent.presence.rules.registry import Registry
from agent.presence.rules.sanitised_rows import sanitised
from agent.protocol.methods import SESSION_FORGET, SESSION_PAST, SESSION_SEARCH
from agent.protocol.model import DeviceId, SessionId, SessionRow
from agent.protocol.transcripts import (
    HITS_MAX,
    PAST_MAX,
    Forget,
    Forgotten,
    Found,
    ListPast,
    Past,
    Scope,
    Search,
)
from agent.sessions.host import Sessions
from agent.trust.access import AccessControl


class TranscriptHandlers:
    """Handlers of requests about what was said. Another device gets what it may read here, and nothing else (L7)."""

    def __init__(
        self, *, registry: Registry, sessions: Sessions, access: AccessControl, forwarder: Forwarder, survey: Survey
    ) -> None:
        self._registry = registry
        self._sessions = sessions
        self._access = access
        self._forwarder = forwarder
        self._survey = survey

    def routes(self) -> Routes:
        """List the handlers of transcripts, each with its method."""
        return (
            Route(SESSION_PAST, self.past),
            Route(SESSION_SEARCH, self.search),
            Route(SESSION_FORGET, self.forget),
        )

    async def past(self, request: ListPast, caller: Caller) -> Past:
        """List sessions that are over.

        Raises: DeviceNotFound; of a session that is `named` as `find_own`, and Forbidden, for one of another device.
        """
        here, others = self._asked(request.scope, request.device, caller)
        own = Past(sessions=())
        if here:
            sees = self._access.of(caller.channel.device).sees
            named = request.named
            if named and caller.channel.device is None:  # from here it may be named as in lists: DEVICE/TITLE
                named = await self._deletable(caller, Forget(session_id=named))
            own = self._sessions.archive.past(request.limit, sees, named)
            shown = self._access.shown(caller.channel.device, own.sessions)
            own = structs.replace(own, sessions=tuple(shown))
        if not others:
            return own
        asked = structs.replace(request, scope="local", device="")
        answers = await self._survey.ask(others, SESSION_PAST, asked)
        if request.device and answers.failed:
            raise answers.failed[0].error
        rows = [*own.sessions, *self._rows_of(answers)]
        rows.sort(key=lambda row: row.updated_at, reverse=True)
        return Past(
            sessions=tuple(rows[:PAST_MAX]),
            more=own.more or len(rows) > PAST_MAX or any(each.result.more for each in answers.given),
            unreached=answers.unreached,
        )

    def _rows_of(self, answers: Answers[Past]) -> Sequence[SessionRow]:
        # What is listed as live, whoever says otherwise, is not over (R13).
        now = self._sessions.archive.now()
        return [
            structs.replace(row, device=each.device, local=False, attachable=False, closed=True, participants=())
            for each in answers.given
            for sent in each.result.sessions
            if (row := sanitised(sent, now)) is not None and self._registry.session(row.id) is None
        ]

    async def search(self, request: Search, caller: Caller) -> Found:
        """Search what was said. Raises: BadParams, DeviceNotFound, StateError (this device cannot be searched)."""
        here, others = self._asked(request.scope, request.device, caller)
        own = Found(hits=())
        if here:
            sees = self._access.of(caller.channel.device).sees
            own = await self._sessions.archive.search(request.text, request.limit, sees)
        if not others:
            return own
        asked = structs.replace(request, scope="local", device="")
        answers = await self._survey.ask(others, SESSION_SEARCH, asked)
        if request.device and answers.failed:
            raise answers.failed[0].error
        hits = [*own.hits]
        for each in answers.given:
            hits += (structs.replace(hit, device=each.device) for hit in each.result.hits)
        hits.sort(key=lambda hit: hit.at, reverse=True)
        behind = [each.device.name for each in answers.given if each.result.indexing]
        return Found(
            hits=tuple(hits[:HITS_MAX]),
            more=own.more or len(hits) > HITS_MAX or any(each.result.more for each in answers.given),
            indexing=(*own.indexing, *behind),
            unreached=answers.unreached,
        )

    async def forget(self, request: Forget, caller: Caller) -> Forgotten:
        """Delete the transcript of a session here that is over. Raises: Forbidden, for one of another device."""
        return await self._sessions.archive.forget(await self._deletable(caller, request), caller.sender())

    async def _deletable(self, caller: Caller, request: Forget) -> SessionId:
        where = await self._forwarder.locate(caller.channel, request)
        if isinstance(where, There):
            name = self._registry.name_of(where.device)
            hint = f"run it on {name}: `agent forget {where.session or where.selector}`"
            raise Forbidden(f"only {name} itself deletes the transcripts of its sessions", hint=hint)
        return where.session

    def _asked(self, scope: Scope, device: str, caller: Caller) -> tuple[bool, list[DeviceId]]:
        # Whether this device's own sessions are asked for, and which other devices' (none, by another device: L7).
        if caller.remote:
            return True, []
        if device:
            found = self._registry.find_device(device)
            return found == self._registry.own, [] if found == self._registry.own else [found]
        return scope != "remote", [] if scope == "local" else self._survey.devices()
