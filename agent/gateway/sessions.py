"""`session.*`, `prompt.*`, `request.answer`, `backend.list`: of this device, and starting sessions on others."""

from __future__ import annotations

from msgspec import structs

from agent.errors import AgentError, Forbidden
from agent.gateway.forwarder import Forwarder, There
from agent.gateway.guard import InsideGuard
from agent.gateway.routes import Caller, Route, Routes, SessionRoute
from agent.links.peers import Peers
from agent.links.proxy import Proxy
from agent.links.rules.peer_results import read_result
from agent.ports import Channel, Followed
from agent.presence.rules.registry import Registry
from agent.protocol import methods
from agent.protocol.backends import BackendRow, ListBackends, for_others
from agent.protocol.messages import (
    Answered,
    AnswerRequest,
    Attach,
    Attached,
    Configure,
    Created,
    CreateSession,
    Detach,
    History,
    Interrupt,
    Interrupted,
    Nothing,
    OnSession,
    Page,
    Rename,
    SessionLost,
    Submit,
    Submitted,
)
from agent.protocol.model import Participant, SessionId
from agent.protocol.prompts import QueuedPrompt, Withdraw, Withdrawn
from agent.sessions.catalog import BackendCatalog
from agent.sessions.host import Sessions, restart


class SessionHandlers:
    """Handlers of requests about sessions; other devices are reached by `proxy` and `forwarder`."""

    def __init__(
        self,
        *,
        registry: Registry,
        sessions: Sessions,
        backends: BackendCatalog,
        peers: Peers,
        proxy: Proxy,
        forwarder: Forwarder,
        guard: InsideGuard,
    ) -> None:
        self._registry = registry
        self._sessions = sessions
        self._backends = backends
        self._peers = peers
        self._proxy = proxy
        self._forwarder = forwarder
        self._guard = guard

    def routes(self) -> Routes:
        """List the handlers of requests about sessions and backends, each with its method."""
        return (
            Route(methods.SESSION_CREATE, self.create),
            Route(methods.BACKEND_LIST, self.list_backends),
            SessionRoute(methods.SESSION_ATTACH, self.attach, self.attach_there),
            SessionRoute(methods.SESSION_DETACH, self.detach, self.detach_there),
            SessionRoute(methods.SESSION_RESTART, self.restart),
            SessionRoute(methods.SESSION_CLOSE, self.close),
            SessionRoute(methods.SESSION_RENAME, self.rename),
            SessionRoute(methods.SESSION_CONFIGURE, self.configure),
            SessionRoute(methods.SESSION_INTERRUPT, self.interrupt),
            SessionRoute(methods.SESSION_HISTORY, self.history),
            SessionRoute(methods.SESSION_PARTICIPANTS, self.participants),
            SessionRoute(methods.PROMPT_SUBMIT, self.submit),
            SessionRoute(methods.PROMPT_LIST, self.queue),
            SessionRoute(methods.PROMPT_WITHDRAW, self.withdraw),
            SessionRoute(methods.REQUEST_ANSWER, self.answer),
        )

    # --- making sessions ---------------------------------------------------------------------------------------------

    async def create(self, request: CreateSession, caller: Caller) -> Created:
        """Start a session, here or on the device that is named."""
        if request.device and not caller.remote:
            device = self._registry.find_device(request.device)
            if device != self._registry.own:
                self._guard.refuse(caller.channel, methods.SESSION_CREATE.name)
                if request.share != "all":
                    hint = "run the command on that device"
                    raise Forbidden("only a session of this device can be private from the start", hint=hint)
                if request.wait:  # only until it can be sent: what was sent once is not sent again
                    await self._forwarder.reach(caller.channel, device, methods.SESSION_CREATE, request)
                return await self._proxy.create(device, structs.replace(request, wait=0.0, call_id=""))
        return Created(await self._sessions.create(request, caller.sender()))

    async def restart(self, session: SessionId, request: OnSession, caller: Caller) -> Created:
        """Start a session that has ended anew, as another one."""
        return Created(await restart(self._sessions, session, caller.sender()))

    async def list_backends(self, request: ListBackends, caller: Caller) -> tuple[BackendRow, ...]:
        """List what sessions can be made of, those that are ready first.

        Another device learns less, and never of a third one (L7).
        Raises: DeviceNotFound, Ambiguous, and what `Peers.call` does.
        """
        if caller.remote:
            return tuple(for_others(row) for row in await self._backends.rows())
        device = self._registry.find_device(request.device) if request.device else self._registry.own
        if device == self._registry.own:
            return tuple(await self._backends.rows())
        row = self._registry.device(device)
        raw = await self._peers.call(device, methods.BACKEND_LIST, ListBackends())
        return read_result(raw, methods.BACKEND_LIST, row.name if row else device)

    # --- watching ----------------------------------------------------------------------------------------------------

    async def attach(self, session: SessionId, request: Attach, caller: Caller) -> Followed[Attached]:
        """Hydrate a client, then send it every event."""
        request = structs.replace(request, session_id=session)
        attached = await self._sessions.attach(caller.channel, caller.device, request)
        return Followed(attached, lambda: self._catch_up(caller.channel, session))

    async def _catch_up(self, channel: Channel, session: SessionId) -> None:
        # What goes wrong with one session ends no connection: others are watched over it.
        try:
            await self._sessions.catch_up(channel, session)
        except AgentError as exc:
            self._sessions.detach(channel, session)
            channel.notify(methods.SESSION_LOST, SessionLost(session_id=session, reason=str(exc)))

    async def attach_there(self, there: There, request: Attach, caller: Caller) -> object:
        """Attach a client to the relay of a session elsewhere."""

        async def attach(session: SessionId) -> object:
            return await self._proxy.attach(caller.channel, there.device, session, request)

        return await self._forwarder.ask(caller.channel, there, methods.SESSION_ATTACH, request, attach)

    async def detach(self, session: SessionId, request: Detach, caller: Caller) -> Nothing:
        """Send a client no more, unless so many stay behind its connection."""
        self._sessions.detach(caller.channel, session, request.viewers)
        return Nothing()

    async def detach_there(self, there: There, request: Detach, caller: Caller) -> Nothing:
        """Take a client out of the relay of a session elsewhere."""
        if there.session is not None:  # else it never was attached
            self._proxy.detach(caller.channel, there.session)
        return Nothing()

    async def history(self, session: SessionId, request: History, caller: Caller) -> Page:
        """Read a page of the log, of a closed session too."""
        return await self._sessions.archive.history(structs.replace(request, session_id=session))

    async def participants(self, session: SessionId, request: OnSession, caller: Caller) -> tuple[Participant, ...]:
        """Say who is attached."""
        return self._sessions.get(session).log.viewers.participants()

    # --- acting ------------------------------------------------------------------------------------------------------

    async def submit(self, session: SessionId, request: Submit, caller: Caller) -> Submitted:
        """Start a turn, or have the prompt wait for its own."""
        return await self._sessions.prompting.submit(
            structs.replace(request, session_id=session), caller.sender(request.client)
        )

    async def queue(self, session: SessionId, request: OnSession, caller: Caller) -> tuple[QueuedPrompt, ...]:
        """List what waits for its turn."""
        return await self._sessions.prompting.queue(session)

    async def withdraw(self, session: SessionId, request: Withdraw, caller: Caller) -> Withdrawn:
        """Take back a prompt that waits."""
        request = structs.replace(request, session_id=session)
        return await self._sessions.prompting.withdraw(request, caller.sender(request.client))

    async def answer(self, session: SessionId, request: AnswerRequest, caller: Caller) -> Answered:
        """Answer what the session asks; the first answer wins (S9)."""
        return await self._sessions.answer(structs.replace(request, session_id=session), caller.sender(request.client))

    async def interrupt(self, session: SessionId, request: Interrupt, caller: Caller) -> Interrupted:
        """Stop the running turn, with `all` what waits too. Raises: Forbidden (`all`, by a program in a session)."""
        if request.all:
            self._guard.refuse(caller.channel, f"{methods.SESSION_INTERRUPT.name} with `all`")
        return await self._sessions.prompting.interrupt(structs.replace(request, session_id=session), caller.sender())

    async def configure(self, session: SessionId, request: Configure, caller: Caller) -> Nothing:
        """Set an option of the session."""
        await self._sessions.configure(session, request.option, request.value, caller.sender())
        return Nothing()

    async def rename(self, session: SessionId, request: Rename, caller: Caller) -> Nothing:
        """Give the session another title."""
        await self._sessions.rename(session, request.title, caller.sender())
        return Nothing()

    async def close(self, session: SessionId, request: OnSession, caller: Caller) -> Nothing:
        """End the session, and keep the log of it."""
        await self._sessions.close(session, caller.sender())
        return Nothing()
