"""The one connection to a gateway that all sessions share: nobody's coming and going is noticed over there.

Stock gateways send a session's events to one connection only, and end a session whose connection is gone. So there is
one, opened again when it breaks; what comes is handed to the session it belongs to, in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import Any, Protocol

from msgspec import Raw, Struct

from agent.adapters.backends.hermes import wire
from agent.adapters.backends.hermes.config import GatewayConfig
from agent.adapters.backends.hermes.process import GatewayProcess
from agent.adapters.backends.hermes.wire import GatewayEvent, GatewayQuestion, LiveSession, Refusal, Unreached
from agent.errors import BackendFailed
from agent.ports import Offer, Offered
from agent.tasks import child, owned

log = logging.getLogger(__name__)

UNCLAIMED_MAX = 512
"""Events kept of sessions that nobody has claimed yet: those between a `session.create` and its answer."""


class HubTimeouts(Struct, frozen=True, kw_only=True):
    """How long the hub waits for what, in seconds. Tests take shorter times."""

    poll: float = 1.0  # between two looks at the list of live sessions
    answer: float = 15.0  # for that list: a gateway that is stuck keeps its connection open and says nothing
    call: float = 30.0  # for any other answer
    retry: float = 0.5  # before a connection is opened again; doubles
    retry_max: float = 8.0
    reach: float = 20.0  # that a request waits for a connection
    give_up: float = 60.0  # after which a turn is over whose gateway is gone
    again: float = 5.0  # after which sessions are offered once more: joining one may have failed


class HubMember(Protocol):
    """A session of ours, as the hub sees it."""

    async def heard(self, item: GatewayEvent | GatewayQuestion) -> None:
        """Take what happened in the session; wait while there is too much."""

    def seen(self, row: LiveSession | None) -> None:
        """Note how the gateway lists the session now; None: no more."""

    def back(self) -> None:
        """Note that there is a new connection: what happened meanwhile is not known."""

    def lost(self) -> None:
        """Note that there was no connection for `HubTimeouts.give_up`."""


class Hub:
    """The connection to one gateway, held from the first `enter` to the last `leave`."""

    def __init__(self, config: GatewayConfig, timeouts: HubTimeouts | None = None) -> None:
        self.config, self.timeouts = config, timeouts or HubTimeouts()
        self.own = None if config.join else GatewayProcess(config)
        self.rows: dict[str, LiveSession] = {}
        self.version = self.base = ""
        self.trouble: BackendFailed | None = None  # why there is no connection
        self.hidden: set[str] = set()  # live sessions that a person here wants to see no more
        self.started: set[str] = set()  # live sessions that nobody needs to find: they were started from here
        self._members: dict[str, HubMember] = {}
        self._keys: dict[str, str] = {}  # live id -> the durable id by which it was offered first
        self._connection: Any = None  # connection.GatewayConnection: that module is imported when it is needed
        self._unclaimed: deque[GatewayEvent | GatewayQuestion] = deque(maxlen=UNCLAIMED_MAX)
        self._needed = asyncio.Event()
        self._up = asyncio.Event()
        self._news = asyncio.Event()
        self._first = ""  # the session for which a gateway of our own is started
        self._users = 0
        self._entering = asyncio.Lock()
        self._token = ""
        self._left: set[str] = set()  # live sessions taken from windows, to be held when this service is gone
        self._task: asyncio.Task[None] | None = None

    # --- life --------------------------------------------------------------------------------------------------------

    async def enter(self) -> None:
        """Run for one more user of the gateway."""
        async with self._entering:
            self._users += 1
            if self._task is None:
                # The port has no `run` for all sessions together: the last user to leave waits for this task.
                self._task = owned(self._run(), "backends.hermes.hub")

    async def leave(self) -> None:
        """Run for one user less; after the last one nothing is left, a gateway of our own included."""
        async with self._entering:
            self._users -= 1
            if self._users == 0 and self._task is not None:
                await self._have_kept()
                task, self._task = self._task, None
                task.cancel()
                await asyncio.wait([task])
                self._needed.clear()
                if self.own is not None:
                    await self.own.stop()

    def keep(self, live: str) -> None:
        """Have that session live on when the last user leaves: it was taken from a window, which may be open still."""
        self._left.add(live)

    async def _have_kept(self) -> None:
        left, self._left = self._left, set()
        if left and self.connected and self.shared:
            from agent.adapters.backends.hermes import keepalive  # noqa: PLC0415 - needed at the end only

            await keepalive.start(
                keepalive.SessionsToKeep(base=self.base, token=self._token, sessions=tuple(sorted(left)))
            )

    def need(self, session: str) -> None:
        """Note that a session needs the gateway: one of our own is started only then."""
        self._first = self._first or session
        self._needed.set()

    @property
    def newer(self) -> bool:
        """Whether the gateway speaks the later generation: any number of connections may watch a session."""
        return bool(self._connection is not None and self._connection.newer)

    @property
    def shared(self) -> bool:
        """Whether windows of others may take a session's events from us: a gateway of the older generation, joined."""
        return self.own is None and not self.newer

    @property
    def epoch(self) -> str | int | None:
        """The epoch of the numbers of events; None with gateways of the older generation."""
        return self._connection.epoch if self._connection is not None else None

    @property
    def connected(self) -> bool:
        """Whether there is a connection to the gateway now."""
        return self._up.is_set()

    async def reached(self) -> None:
        """Wait for a connection to the gateway. Raises: BackendFailed, which says why there is none."""
        try:
            async with asyncio.timeout(60.0 if self.own is not None and not self.own.port else self.timeouts.reach):
                await self._up.wait()
        except TimeoutError:
            raise self.trouble or Unreached("the Hermes gateway does not answer") from None

    # --- requests ----------------------------------------------------------------------------------------------------

    async def call(self, method: str, params: dict[str, Any]) -> Raw:
        """Send the gateway a request and wait for its result. Raises: Refusal, Unreached, BackendFailed."""
        await self.reached()
        found: Raw = await self._connection.call(method, params, seconds=self.timeouts.call)
        return found

    async def respond(self, message: str) -> None:
        """Answer a question of the gateway's. Raises: Unreached, if that connection is gone."""
        if not self.connected:
            raise Unreached("the connection to the Hermes gateway is lost")
        await self._connection.send(message)

    # --- sessions ----------------------------------------------------------------------------------------------------

    def row_of(self, keys: tuple[str, ...]) -> LiveSession | None:
        """The live session that has one of these ids, newest first."""
        for key in reversed(keys):
            for row in self.rows.values():
                if key in (row.session_key, row.id):
                    return row
        return None

    async def adopt(self, live: str, member: HubMember) -> None:
        """Hand over what happens in that live session, and what has happened since it was asked for."""
        self._members[live] = member
        kept = list(self._unclaimed)
        self._unclaimed.clear()
        for item in kept:
            if item.session == live:
                await member.heard(item)
            else:
                self._unclaimed.append(item)

    def drop(self, live: str, member: HubMember) -> None:
        """Hand nothing more of that live session to the member."""
        if self._members.get(live) is member:
            del self._members[live]

    async def watch(self, offered: Offered) -> None:
        """Tell which sessions live at the gateway, until cancelled (`ports.FindsSessions`)."""
        await self.enter()
        try:
            if self.own is None:
                self._needed.set()
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.timeouts.again):
                        await self._news.wait()
                self._news.clear()
                if self.connected:
                    await offered(self.offers())
        finally:
            await self.leave()

    def offers(self) -> list[Offer]:
        """The live sessions that were not started from here."""
        return [
            Offer(key=self._keys[row.id], title=row.title or "")
            for row in self.rows.values()
            if row.id not in self.started and row.id not in self.hidden
        ]

    # --- the one task ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        attempt, gone = 0, 0.0
        clock = asyncio.get_running_loop().time
        while True:
            await self._needed.wait()
            try:
                connection = await self._connect()
            except BackendFailed as exc:
                if self.trouble is None or str(self.trouble) != str(exc):
                    log.info("no Hermes gateway", extra={"backend": self.config.name, "error": str(exc)})
                self.trouble = exc
                gone = gone or clock()
                if clock() - gone > self.timeouts.give_up:
                    for member in set(self._members.values()):
                        member.lost()
                await asyncio.sleep(min(self.timeouts.retry_max, self.timeouts.retry * 2.0 ** min(attempt, 10)))
                attempt += 1
                continue
            attempt = 0
            gone = 0.0
            self.trouble = None
            try:
                await self._serve(connection)
            except (BackendFailed, ExceptionGroup) as exc:
                log.info("a Hermes gateway is gone", extra={"backend": self.config.name, "error": str(exc)})
            finally:
                self._up.clear()
                self._connection = None
                self._unclaimed.clear()
                await connection.close()
            await asyncio.sleep(self.timeouts.retry)

    async def _connect(self) -> Any:
        from agent.adapters.backends.hermes import connection, locate  # noqa: PLC0415 - aiohttp, which the command line lacks

        if self.own is not None:
            self.base, token = await self.own.place(self._first)
        else:
            gateway, token = await locate.gateway_to_join(self.config)
            self.base = gateway.base
        status = await connection.status_of(self.base, self.timeouts.reach)
        self.version = status.version if status is not None else ""
        self._token = token
        return await connection.connect(self.base, token)

    async def _serve(self, connection: Any) -> None:
        async with asyncio.TaskGroup() as group:
            reading = child(group, connection.run(self._heard), "backends.hermes.read")
            if connection.newer:
                with contextlib.suppress(Refusal):  # without this every question is refused at once
                    await connection.call(
                        "client.capabilities", {"server_requests": True}, seconds=self.timeouts.answer
                    )
            await self._look(connection)
            self._connection = connection
            self._up.set()
            for member in set(self._members.values()):
                member.back()
            polling = child(group, self._poll(connection), "backends.hermes.poll")
            reading.add_done_callback(lambda _: polling.cancel())

    async def _poll(self, connection: Any) -> None:
        try:
            while True:
                await asyncio.sleep(self.timeouts.poll)
                await self._look(connection)
        finally:
            await connection.close()  # ends the reading

    async def _look(self, connection: Any) -> None:
        asked = dict(self._members)
        result = await connection.call("session.active_list", {}, seconds=self.timeouts.answer)
        before = {(row.id, row.title) for row in self.rows.values()}
        self.rows = {row.id: row for row in wire.rows(result)}
        for known in (self._keys, self.hidden, self.started):
            for gone in [live for live in known if live not in self.rows and live not in self._members]:
                known.pop(gone) if isinstance(known, dict) else known.discard(gone)
        for row in self.rows.values():
            self._keys.setdefault(row.id, row.session_key or row.id)
        for live, member in asked.items():
            if self._members.get(live) is member:
                member.seen(self.rows.get(live))
        if before != {(row.id, row.title) for row in self.rows.values()} or not self._up.is_set():
            self._news.set()

    async def _heard(self, item: GatewayEvent | GatewayQuestion) -> None:
        member = self._members.get(item.session)
        if member is not None:
            await member.heard(item)
        elif item.session:
            self._unclaimed.append(item)
        elif isinstance(item, GatewayQuestion):
            await self.respond(wire.no_handler(item.id))
