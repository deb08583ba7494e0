"""The service: puts the parts together, runs them, ends them in order. The only module that names adapters."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import secrets
import signal
import socket
import ssl
import sys
from base64 import b32encode
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from aiohttp import web

from agent import __version__, log
from agent.adapters.backends import find_backends, limits
from agent.adapters.backends.process_owner import owning_session
from agent.adapters.discovery import static
from agent.adapters.discovery.mdns import MdnsDiscovery
from agent.adapters.discovery.own_addresses import MachineAddresses
from agent.adapters.net.accept import ANY_ADDRESS, bind
from agent.adapters.net.dial import TlsDialer
from agent.adapters.net.frames import FrameGuard
from agent.adapters.net.link import WebSocketChannel
from agent.adapters.net.listener import Listener
from agent.adapters.net.others_limit import OthersLimit
from agent.adapters.net.pairing import TlsPairing
from agent.adapters.net.tls import client_context, pairing_client_context
from agent.adapters.rendering import qr
from agent.adapters.rendering.markdown import MarkdownTrees
from agent.adapters.storage.addresses import AddressFile
from agent.adapters.storage.audit import AuditFile
from agent.adapters.storage.files import private_folder
from agent.adapters.storage.household import HouseholdFile
from agent.adapters.storage.identity import load_or_create_identity
from agent.adapters.storage.last_known import LastKnownFile
from agent.adapters.storage.lock import HomeLock, bind_socket, only_one
from agent.adapters.storage.machine import beside_others, machine_id, this_machine
from agent.adapters.storage.page import PageFiles, ValueFile
from agent.adapters.storage.sqlite import SqliteTranscripts
from agent.adapters.storage.state import StateFile, TrustFile
from agent.assembly import Assembly, Outside
from agent.clock import SystemClock
from agent.errors import AgentError, ConfigError, ServiceOver, StateError
from agent.gateway.kept import KeepHandlers
from agent.gateway.page import PageDoor, PageHandlers
from agent.gateway.presence import address_routes, status_routes
from agent.gateway.rendering import RenderHandlers
from agent.gateway.router import Router
from agent.gateway.server import Gateway
from agent.gateway.trust import TrustHandlers, household_routes
from agent.health import Health, Reporter
from agent.paths import HOMELESS
from agent.ports import Channel, Clock
from agent.presence.last_known import LastKnown
from agent.presence.prober import Prober
from agent.problems import Problems
from agent.processes import listened_by_others, other_end
from agent.protocol import names
from agent.protocol.codec import PROTOCOL, Codec
from agent.protocol.messages import Ready
from agent.protocol.model import DeviceId, SessionId
from agent.sessions.catalog import BackendCatalog
from agent.sessions.store_watch import StoreWatch
from agent.settings import Home, Settings, home, load
from agent.tasks import Failures, child, keep, record
from agent.trust.devices import TrustedDevices
from agent.trust.page_logins import PageLogins
from agent.trust.pairing import Pairing
from agent.trust.rules.handshake import Bundle

DEFAULT_PORT = 7471
"""Tried first, so that addresses in settings need no port; any free one if it is taken."""
OPEN = 'presence.mode is "open": all on this network can read titles and states of sessions here; "sealed" ends that'
LOOPBACK = ("127.0.0.1", "::1")
PAGE = Path(__file__).parent / "frontends" / "page"
"""What a browser runs."""
Part = Callable[[], Coroutine[None, None, None]]
"""Runs a part of the service until it is cancelled; called again after it has failed (docs/design/supervision.md)."""


def run(name: str | None, port: int | None, interfaces: list[str] | None) -> int:
    """Run the service until SIGTERM, SIGINT or SIGHUP; the exit status. Talks to stderr."""
    log.set_up(logging.DEBUG if os.environ.get("LAN_AGENT_DEBUG") else logging.WARNING)
    try:
        where = home(os.environ)
        settings = load(where.config_file, os.environ, {"name": name, "port": port, "interfaces": interfaces})
        give_home(where)
        limits.raise_own()
        with only_one(where.runtime) as lock:
            asyncio.run(Service(where, settings, lock=lock).run())
    except AgentError as exc:
        return told(exc)
    except ExceptionGroup as group:
        mistakes, bugs = group.split(AgentError)
        if mistakes is None or bugs is not None:
            raise
        first: BaseException = mistakes
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        assert isinstance(first, AgentError)
        return told(first)
    return 0


def give_home(where: Home) -> None:
    """Give a user that has no home directory one, where what it starts can keep things: the folder of the settings."""
    try:
        Path.home()
    except RuntimeError:
        private_folder(where.config)
        os.environ["HOME"] = str(where.config)
        say(f"agent: {HOMELESS}: sessions start in {where.config}; HOME names another")


def told(error: AgentError) -> int:
    """Say why the service ends; the exit status for it."""
    say(f"agent: {error}" + (f"\n  hint: {error.hint}" if error.hint else ""))
    return 78 if isinstance(error, ConfigError | StateError) else 1


def say(line: str) -> None:
    """Talk to whoever started the service; an error may quote what a peer sent (T10).

    Whoever that was may be gone, or the disk of its log full: then it is lost, and the service goes on.
    """
    if sys.stderr is None:  # closed before the start
        return
    with suppress(OSError, ValueError):
        sys.stderr.writelines(f"{one if one.isprintable() else names.clean(one, 1000)}\n" for one in line.split("\n"))
        sys.stderr.flush()


class Service:
    """One device: the adapters, the parts made of them, the doors, and how all of it is run and ended in order."""

    def __init__(
        self, where: Home, settings: Settings, clock: Clock | None = None, lock: HomeLock | None = None
    ) -> None:
        """Open what is needed. `lock`: the home's, to be kept. Raises: ConfigError, StateError."""
        self._clock = clock = clock or SystemClock()
        self._lock = lock
        self._restored = asyncio.Event()
        self._stop = asyncio.Event()
        self._over: ServiceOver | None = None

        # What depends on no other part.
        static_peers = [static.parse(text, DEFAULT_PORT) for text in settings.peers.static]
        problems = Problems(say, clock.time)
        self._problems = problems
        self._failures = Failures(problems.problem, self._end)
        state = StateFile(where.state)
        trust = TrustFile(where.state)
        self._trusted = trusted = TrustedDevices(trust, clock)
        self._identity = identity = load_or_create_identity(
            where.state, machine=this_machine(where.state), notice=problems.notice
        )
        beside = beside_others(state, listened_by_others(DEFAULT_PORT))
        name = names.own_name(settings.name, os.uname().nodename, identity.id, beside)
        hosts = LOOPBACK if settings.interfaces == ("lo",) else ANY_ADDRESS
        sockets = bind_lan_port(settings.port, hosts, state)
        own = Ready(
            device=identity.id,
            name=name,
            version=__version__,
            protocol=PROTOCOL,
            port=int(sockets[0].getsockname()[1]),
            run=secrets.token_hex(8),
        )

        # What reaches outside.
        discovery = MdnsDiscovery(
            device=own.device,
            instance=names.instance_name(name, own.device),
            port=own.port,
            clock=clock,
            interfaces=settings.interfaces,
            problem=partial(problems.problem, "network"),
        )
        self._store = SqliteTranscripts(
            where.state / "transcripts.db",
            machine=machine_id(),
            refuses=lock.lost if lock is not None else lambda: "",
            notice=problems.notice,
        )
        own_addresses = MachineAddresses(settings.interfaces)
        dialer = TlsDialer(
            context_for=self._pinned,
            probe_context=pairing_client_context,
            clock=clock,
            on_link=own_addresses.on_link,
        )
        backends = find_backends(settings.backends)
        for number, text in enumerate(backends.troubles(settings.sessions.backend, settings.sessions.shell)):
            problems.problem(f"backend {number}", text)
        if settings.presence.mode == "open":
            problems.problem("presence", OPEN)
        outside = Outside(
            clock=clock,
            discovery=discovery,
            dialer=dialer,
            own_addresses=own_addresses,
            transcripts=self._store,
            trust=trust,
            household=HouseholdFile(where.state),
            addresses=AddressFile(where.state),
            audit=AuditFile(where.state),
            backends=backends.usable(),
            revision=state.get("revision"),
            save_revision=partial(state.put, "revision"),
            chance=random.random,
            entropy=secrets.token_bytes,
            new_id=new_id,
            home=os.path.expanduser("~"),  # noqa: PTH111 - without one it stays as it is, and nothing begins with it
        )

        # The parts, and those that only a whole service has.
        self._assembly = parts = Assembly(
            own=own, identity=identity, settings=settings, outside=outside, trusted=trusted, problems=problems
        )
        prober = Prober(
            own=own.device,
            static=static_peers,
            resolve=static.resolve,
            delay=static.resolve_delay,
            dialer=dialer,
            results=parts.presence,
            kept=parts.peers.keeps,
            clock=clock,
        )
        parts.presence.doubted.subscribe(lambda _: prober.look())
        self._last_known = LastKnown(parts.registry, parts.presence, LastKnownFile(where.state), clock)
        pairing = Pairing(
            identity=identity,
            trusted=trusted,
            discovery=discovery,
            transport=TlsPairing(identity, clock, hosts),
            clock=clock,
            about=lambda: Bundle(name=name, port=own.port, hosts=discovery.hosts(), household=parts.household.id),
            membership=parts.gossip,
            announce=settings.presence.mode != "hidden",
        )
        page_logins = PageLogins(own.run, PageFiles(where.state, where.runtime), clock, secrets.token_bytes)
        page = PageDoor(
            own=own,
            logins=page_logins,
            files=PAGE,
            owner_of=other_end,
            clock=clock,
            bounded=OthersLimit(other_end),
            allowed_hosts=settings.page.allowed_hosts,
            plain=settings.page.plain,
        )
        mode = settings.presence.mode
        health = Health(parts, discovery, clock, mode=mode, home=str(where.state), page=lambda: page.address)
        reporter = Reporter(own, parts.registry, trusted, problems, clock, mode=mode, say=say)

        # What answers.
        trust_handlers = TrustHandlers(
            own=identity,
            registry=parts.registry,
            pairing=pairing,
            household=parts.household,
            gossip=parts.gossip,
            hosts=discovery.hosts,
            now=clock.time,
            draw=qr.modules,
        )
        page_handlers = PageHandlers(page_logins, page if settings.page.enabled else None)
        router = Router(
            registry=parts.registry,
            presence=parts.presence,
            sessions=parts.sessions,
            backends=BackendCatalog(tuple(backends.installed.values()), default=settings.sessions.backend, clock=clock),
            peers=parts.peers,
            proxy=parts.proxy,
            access=parts.access,
            gossip=parts.gossip,
            audit=parts.audit,
            clock=clock,
            may_prompt_others=settings.sessions.may_prompt_others,
            more=(
                trust_handlers.routes(),
                household_routes(parts.gossip),
                address_routes(parts.addresses),
                status_routes(health.status),
                page_handlers.routes(),
                RenderHandlers(MarkdownTrees()).routes(),
                KeepHandlers(ValueFile(where.state)).routes(),
            ),
        )

        listener = Listener(identity, sockets, clock, known=self._hosts_of_paired)
        trusted.changes.subscribe(lambda devices: listener.trust(device.certificate for device in devices))
        self._doors = Doors(where, clock, own=own, parts=parts, router=router, listener=listener)
        store_watch = StoreWatch(self._store, clock=clock, hold=self._hold_home, report=self._store_stalled)
        self.parts: dict[str, Part] = {
            "presence": parts.presence.run,
            "sessions": partial(parts.sessions.run, self._restored.set),
            "proxy": parts.proxy.run,
            "trusted": trusted.run,
            "audit": parts.audit.run,
            "peers": partial(parts.peers.run, router, parts.protected),
            "gossip": parts.gossip.run,
            "addresses": parts.addresses.run,
            "last-known": self._last_known.run,
            "twins": parts.twins.run,
            "listener": partial(listener.run, self._doors.lan_protocol),
            "pairing": pairing.run,
            "prober": prober.run,
            "tell": lambda: reporter.run(parts.presence.subscribe()),
            "store": store_watch.run,
            "failures": partial(self._failures.run, clock),
        }
        if settings.page.enabled:
            self.parts["page"] = partial(
                page.run,
                router,
                partial(self._doors.channel, pings=True),
                partial(bind, settings.page.port, LOOPBACK),
                partial(problems.problem, "page"),
                say,
            )
        """What runs as long as the service, each by itself, by name."""

    async def run(self) -> None:
        """Serve until a signal says otherwise.

        Raises: StateError, if the control socket's place is taken or the transcripts cannot be read; ServiceOver.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # `nohup agent up`
                loop.add_signal_handler(number, self._stop.set)
        record(self._failures)
        try:
            async with asyncio.TaskGroup() as group:
                # The network first: while our name is being probed the rest starts.
                running = {"presence": self._begin(group, "presence")}
                await self._doors.set_up()
                self._assembly.household.settle()
                running["sessions"] = self._begin(group, "sessions", ready=self._restored)
                await self._restored.wait()
                self._assembly.registry.own_past(self._assembly.sessions.index.closed)
                self._trusted.changed()
                self._last_known.recall()
                running |= {name: self._begin(group, name) for name in self.parts if name not in running}
                await self._doors.open_control_socket()
                await self._stop.wait()
                say("stopping")
                for name in ("tell", "prober", "listener"):  # no new links, and no word of those that end now
                    running[name].cancel()
                await self._assembly.peers.leave()
                if self._lock is None or not self._lock.lost():  # else it may be another service's
                    self._doors.hide_control_socket()
                for part in running.values():
                    part.cancel()
        finally:
            await self._doors.close()
            await self._store.close()
        if self._over is not None:
            raise self._over

    def stop(self) -> None:
        """Let `run` end in order."""
        self._stop.set()

    def _begin(self, group: asyncio.TaskGroup, name: str, *, ready: asyncio.Event | None = None) -> asyncio.Task[None]:
        return child(group, keep(self.parts[name], name, self._clock, ready=ready), f"daemon.{name}")

    def _end(self, reason: ServiceOver) -> None:
        self._over = reason
        self._stop.set()

    async def _hold_home(self) -> None:
        if self._lock is not None:
            self._lock.keep()
        await self._doors.keep_control_socket()

    def _store_stalled(self, reason: str) -> None:
        self._problems.problem("store", reason)
        self._assembly.sessions.stalled(reason)

    def _pinned(self, device: DeviceId) -> ssl.SSLContext | None:
        known = self._trusted.get(device)
        return client_context(self._identity, known.certificate) if known is not None else None

    def _hosts_of_paired(self) -> Iterator[str]:
        for device in self._trusted.devices():
            for endpoint in self._assembly.registry.endpoints(device.id):
                yield endpoint.host


class Doors:
    """The LAN port, and the control socket of this user."""

    def __init__(
        self, where: Home, clock: Clock, *, own: Ready, parts: Assembly, router: Router, listener: Listener
    ) -> None:
        self._clock = clock
        self._index = parts.sessions.index
        self._listener = listener
        self._runtime = where.runtime
        self._path = where.control_socket
        gateway = Gateway(
            own=own,
            router=router,
            peers=parts.peers,
            make_channel=self.channel,
            device_of=lambda request: listener.device_of(request.transport),
            linked=lambda request: listener.linked(request.transport),
            inside=self._session_of,
        )
        self._lan = web.AppRunner(gateway.lan_app(), access_log=None, shutdown_timeout=0.5)
        self._control = web.AppRunner(
            gateway.control_app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.5
        )

    async def set_up(self) -> None:
        """Get ready to serve what the listener takes."""
        await self._lan.setup()

    async def open_control_socket(self) -> None:
        """Serve the clients of this user. Raises: StateError, if the socket's place is taken."""
        await self._control.setup()
        await web.SockSite(self._control, bind_socket(self._path)).start()

    async def keep_control_socket(self) -> None:
        """Open the control socket again, if it was deleted under us, with its folder perhaps."""
        if not self._path.exists():
            private_folder(self._runtime)
            await web.SockSite(self._control, bind_socket(self._path)).start()

    def hide_control_socket(self) -> None:
        """Let no new client find this service."""
        self._path.unlink(missing_ok=True)

    async def close(self) -> None:
        """End every connection, and listen no more."""
        await self._control.cleanup()
        await self._lan.cleanup()
        self._listener.close()

    def lan_protocol(self) -> asyncio.Protocol:
        """What reads a connection of a paired device; after `set_up`."""
        server = self._lan.server
        assert server is not None, "the listener runs after set_up"
        return FrameGuard(server(), self._clock)

    def channel(
        self,
        ws: web.WebSocketResponse,
        codec: Codec,
        *,
        device: DeviceId | None,
        transport: asyncio.Transport | None,
        pings: bool = False,
    ) -> Channel:
        """Wrap an accepted WebSocket. `pings`: also of a client, so that a proxy between keeps it open."""
        cut = transport.abort if transport is not None else None
        return WebSocketChannel(ws, codec, clock=self._clock, device=device, pings=pings or device is not None, cut=cut)

    async def _session_of(self, pid: int | None) -> SessionId | None:
        return await owning_session(pid, self._index.programs(), self._index.closed)


def bind_lan_port(wanted: int, hosts: tuple[str, ...], state: StateFile) -> list[socket.socket]:
    """Sockets of one port: the `wanted` one, or if that is 0 the last one, the usual one, any free one.

    Raises: ConfigError, if it is taken.
    """
    if wanted:
        return bind(wanted, hosts)
    for port in (state.get("port"), DEFAULT_PORT):
        if port:
            with suppress(ConfigError):
                return bind(port, hosts)
    sockets = bind(0, hosts)
    state.put("port", int(sockets[0].getsockname()[1]))
    return sockets


def new_id() -> str:
    """An id that was never used before: 80 random bits."""
    return b32encode(secrets.token_bytes(10)).decode().lower()
