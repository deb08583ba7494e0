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
from functools import cached_property

from aiohttp import web

from agent import __version__, log
from agent.adapters.backends import find_backends, limits
from agent.adapters.backends.process_owner import session_of
from agent.adapters.discovery import static
from agent.adapters.discovery.mdns import MdnsDiscovery
from agent.adapters.discovery.own import MachineAddresses
from agent.adapters.net.accept import ANY_ADDRESS, bind
from agent.adapters.net.dial import TlsDialer
from agent.adapters.net.frames import FrameGuard
from agent.adapters.net.link import WebSocketChannel
from agent.adapters.net.listener import Listener
from agent.adapters.net.pairing import TlsPairing
from agent.adapters.net.tls import client_context, pairing_client_context
from agent.adapters.storage.addresses import AddressFile
from agent.adapters.storage.audit import AuditFile
from agent.adapters.storage.files import private_folder
from agent.adapters.storage.household import HouseholdFile
from agent.adapters.storage.identity import load_or_create_identity
from agent.adapters.storage.last_known import LastKnownFile
from agent.adapters.storage.lock import HomeLock, bind_socket, only_one
from agent.adapters.storage.machine import machine_id, this_machine
from agent.adapters.storage.sqlite import SqliteTranscripts
from agent.adapters.storage.state import StateFile, TrustFile
from agent.clock import SystemClock
from agent.errors import AgentError, ConfigError, ServiceOver, StateError
from agent.gateway.backends import BackendMethods
from agent.gateway.consent import Consent
from agent.gateway.lists import Lists
from agent.gateway.methods import Methods
from agent.gateway.server import Gateway
from agent.gateway.trust import TrustMethods
from agent.health import Health
from agent.links.addresses import Addresses
from agent.links.peers import Peers
from agent.links.proxy import Proxy
from agent.links.twins import Twins
from agent.ports import Channel, Clock
from agent.presence.last_known import LastKnown
from agent.presence.prober import Prober
from agent.presence.rules.registry import Registry
from agent.presence.service import Presence
from agent.protocol import names
from agent.protocol.codec import PROTOCOL, Codec
from agent.protocol.messages import Ready
from agent.protocol.model import DeviceId, DeviceRef, Sender
from agent.sessions.catalog import Backends
from agent.sessions.host import Sessions
from agent.sessions.store_watch import StoreWatch
from agent.settings import Home, Settings, home, load
from agent.tasks import child, failures, keep
from agent.trust.access import AccessControl
from agent.trust.audit import Audit
from agent.trust.gossip import Gossip
from agent.trust.household import Household
from agent.trust.pairing import Pairing
from agent.trust.rules.handshake import Bundle

DEFAULT_PORT = 7471
"""Tried first, so that addresses in settings need no port; any free one if it is taken."""
OPEN = 'presence.mode is "open": everybody on this network can read the titles and states of the sessions here'
LOOPBACK = ("127.0.0.1", "::1")
Part = Callable[[], Coroutine[None, None, None]]
"""Runs a part of the service until it is cancelled; called again after it has failed (docs/design/supervision.md)."""


def run(name: str | None, port: int | None, interfaces: list[str] | None) -> int:
    """Run the service until SIGTERM, SIGINT or SIGHUP; the exit status. Talks to stderr."""
    log.set_up(logging.DEBUG if os.environ.get("LAN_AGENT_DEBUG") else logging.WARNING)
    try:
        where = home(os.environ)
        settings = load(where.config_file, os.environ, {"name": name, "port": port, "interfaces": interfaces})
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
    """All parts of one device."""

    def __init__(
        self, where: Home, settings: Settings, clock: Clock | None = None, lock: HomeLock | None = None
    ) -> None:
        """Open what is needed. `lock`: the home's, to be kept. Raises: ConfigError, StateError."""
        self._home, self._settings, self._clock, self._lock = where, settings, clock or SystemClock(), lock
        notices: list[str] = []
        self._identity = load_or_create_identity(where.state, machine=this_machine(where.state), notice=notices.append)
        self._trust, self._state = TrustFile(where.state), StateFile(where.state)
        self._own = self._identity.id
        self._name = names.own_name(settings.name, os.uname().nodename, self._own)
        hosts = LOOPBACK if settings.interfaces == ("lo",) else ANY_ADDRESS
        sockets = self._bind(hosts)
        self._port = int(sockets[0].getsockname()[1])
        self._static = [static.parse(text, DEFAULT_PORT) for text in settings.peers.static]

        self._household = Household(
            identity=self._identity,
            name=self._name,
            trust=self._trust,
            store=HouseholdFile(where.state),
            clock=self._clock,
            changed=self._trust_changed,
            keys_changed=lambda: self._presence.keys_changed(),  # noqa: PLW0108 - made further down
        )
        self._discovery = MdnsDiscovery(
            device=self._own,
            instance=names.instance_name(self._name, self._own),
            port=self._port,
            clock=self._clock,
            interfaces=settings.interfaces,
            problem=lambda text: self._health.problem("network", text),
        )
        self._registry = Registry(self._own, name=self._name, version=__version__)
        self._presence = Presence(
            self._registry,
            self._discovery,
            clock=self._clock,
            name=self._name,
            port=self._port,
            previous_revision=self._state.get("revision"),
            save_revision=lambda revision: self._state.put("revision", revision),
            mode=settings.presence.mode,
            jitter=random.random,
            identity=self._identity,
            keys=self._household,
            entropy=secrets.token_bytes,
            twin=lambda hosts: self._twins.announced(hosts),  # noqa: PLW0108 - made further down
        )
        self._store = SqliteTranscripts(
            where.state / "transcripts.db",
            machine=machine_id(),
            refuses=lock.lost if lock is not None else lambda: "",
            notice=notices.append,
        )
        own_addresses = MachineAddresses(settings.interfaces)
        self._dialer = TlsDialer(
            context_for=self._pinned,
            probe_context=pairing_client_context,
            clock=self._clock,
            on_link=own_addresses.on_link,
        )
        ready = Ready(
            device=self._own,
            name=self._name,
            version=__version__,
            protocol=PROTOCOL,
            port=self._port,
            run=secrets.token_hex(8),
        )
        self._peers = Peers(
            own=ready,
            paired=lambda: self._access.devices(),  # noqa: PLW0108 - made further down
            dialer=self._dialer,
            news=self._presence,
            clock=self._clock,
            jitter=lambda: random.uniform(0.5, 1.0),  # noqa: S311 - spreads load, guards nothing
            limit=settings.links.max,
            on_demand=settings.links.mode == "on-demand",
            name_of=self._name_of,
            twins=self._twins,
        )
        self._proxy = Proxy(self._peers, clock=self._clock, name_of=self._name_of, row_of=self._registry.session)
        backends = find_backends(settings.backends)
        self._sessions = Sessions(
            own=DeviceRef(self._own, self._name),
            store=self._store,
            clock=self._clock,
            backends=backends.usable(),
            default_backend=settings.sessions.backend,
            name_of=self._name_of,
            changed=self._presence.local_sessions,
            noted=lambda *what: self._access.noted(*what),  # noqa: PLW0108 - made further down
            notice=lambda text: self._health.notice(text),  # noqa: PLW0108 - made further down
            trouble=lambda *what: self._health.problem(*what),  # noqa: PLW0108 - made further down
            trusts=lambda device: device == self._own or any(each.id == device for each in self._access.devices()),
            new_id=lambda: b32encode(secrets.token_bytes(10)).decode().lower(),
        )
        self._audit = Audit(
            AuditFile(where.state), self._clock, self._name_of, lambda text: self._health.problem("audit", text)
        )
        self._access = AccessControl(
            trust=self._trust,
            sessions=self._sessions,
            clock=self._clock,
            audit=self._audit,
            notice=lambda text: self._health.notice(text),  # noqa: PLW0108 - made further down
            expired=self._trust_changed,
        )
        self._gossip = Gossip(
            own=self._own,
            household=self._household,
            trust=self._trust,
            peers=self._peers,
            clock=self._clock,
        )
        self._addresses = Addresses(
            identity=self._identity,
            port=self._port,
            own=own_addresses,
            paired=self._access.devices,
            peers=self._peers,
            store=AddressFile(where.state),
            clock=self._clock,
            told=self._presence.told,
        )
        self._pairing = Pairing(
            identity=self._identity,
            trust=self._trust,
            discovery=self._discovery,
            transport=TlsPairing(self._identity, self._clock, hosts),
            clock=self._clock,
            about=self._about,
            on_trust_changed=self._trust_changed,
            membership=self._gossip,
            announce=settings.presence.mode != "hidden",
        )
        self._health = Health(
            own=ready,
            clock=self._clock,
            mode=settings.presence.mode,
            home=str(where.state),
            registry=self._registry,
            discovery=self._discovery,
            trust=self._trust,
            peers=self._peers,
            sessions=self._sessions,
            say=say,
        )
        for number, text in enumerate(backends.troubles(settings.sessions.backend)):
            self._health.problem(f"backend {number}", text)
        for text in notices:
            self._health.notice(text)
        trust = TrustMethods(
            own=self._identity,
            registry=self._registry,
            pairing=self._pairing,
            household=self._household,
            gossip=self._gossip,
            name_of=self._name_of,
            hosts=self._discovery.hosts,
            now=self._clock.time,
        )
        consent = Consent(
            registry=self._registry,
            sessions=self._sessions,
            limit=self._gossip.limit,
            audit=self._audit,
            owner=Sender(device=self._own, name=self._name),
        )
        kinds = Backends(tuple(backends.installed.values()), default=settings.sessions.backend, clock=self._clock)
        methods = Methods(
            own=self._own,
            name_of=self._name_of,
            registry=self._registry,
            lists=Lists(self._registry, self._presence, self._access),
            access=self._access,
            consent=consent,
            sessions=self._sessions,
            peers=self._peers,
            proxy=self._proxy,
            clock=self._clock,
            trust=trust,
            status=self._health.status,
            more={
                "household.sync": self._gossip.sync,
                "household.tell": self._gossip.tell,
                "address.sync": self._addresses.sync,
                "address.tell": self._addresses.tell,
                "backend.list": BackendMethods(self._own, self._registry, self._peers, kinds).list,
            },
            may_prompt_others=settings.sessions.may_prompt_others,
        )
        if settings.presence.mode == "open":
            self._health.problem("presence", OPEN)
        self._peers.handler = methods
        self._peers.link_changed = self._link_changed
        self._peers.announced = self._registry.announced
        self._peers.protected = self._protected
        self._presence.on_heard = self._peers.heard
        self._presence.on_doubt = self._doubt
        self._gateway = Gateway(
            own=ready,
            methods=methods,
            peers=self._peers,
            make_channel=self._channel,
            device_of=lambda request: self._listener.device_of(request.transport),
            linked=lambda request: self._listener.linked(request.transport),
            inside=lambda pid: session_of(pid, self._sessions.directory.programs(), self._sessions.directory.closed),
        )
        self._lan = web.AppRunner(self._gateway.lan_app(), access_log=None, shutdown_timeout=0.5)
        self._control = web.AppRunner(
            self._gateway.control_app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.5
        )
        self._listener = Listener(self._identity, sockets, self._lan_protocol, self._clock, known=self._hosts_of_paired)
        self._prober = Prober(
            own=self._own,
            static=self._static,
            resolve=static.resolve,
            delay=static.resolve_delay,
            dialer=self._dialer,
            heard=self._presence,
            kept=self._peers.keeps,
            clock=self._clock,
        )
        self._restored, self._stop = asyncio.Event(), asyncio.Event()
        self._over: ServiceOver | None = None

    @cached_property
    def _twins(self) -> Twins:
        return Twins(self._clock, self._name_of, lambda about, text: self._health.problem(about, text))  # noqa: PLW0108 - made later

    @cached_property
    def _last_known(self) -> LastKnown:
        return LastKnown(self._registry, self._presence, LastKnownFile(self._home.state), self._clock)

    @cached_property
    def parts(self) -> dict[str, Part]:
        """What runs as long as the service, each by itself, by name."""
        return {
            "presence": self._presence.run,
            "sessions": lambda: self._sessions.run(self._restored.set),
            "proxy": self._proxy.run,
            "access": self._access.run,
            "audit": self._audit.run,
            "peers": self._peers.run,
            "gossip": self._gossip.run,
            "addresses": self._addresses.run,
            "last-known": self._last_known.run,
            "twins": self._twins.run,
            "listener": self._listener.run,
            "pairing": self._pairing.run,
            "prober": self._prober.run,
            "tell": lambda: self._health.tell(self._presence.subscribe()),
            "store": StoreWatch(self._store, clock=self._clock, hold=self._hold_home, tell=self._store_stalled).run,
            "failures": lambda: failures().run(self._clock),
        }

    async def run(self) -> None:
        """Serve until a signal says otherwise.

        Raises: StateError, if the control socket's place is taken or the transcripts cannot be read; ServiceOver.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # `nohup agent up`
                loop.add_signal_handler(number, self._stop.set)
        failed = failures()
        failed.problem, failed.over = self._health.problem, self._end
        loop.set_exception_handler(failed.uncaught)
        try:
            async with asyncio.TaskGroup() as group:
                # The network first: while our name is being probed the rest starts.
                running = {"presence": self._begin(group, "presence")}
                await self._lan.setup()
                self._household.settle()
                running["sessions"] = self._begin(group, "sessions", ready=self._restored)
                await self._restored.wait()
                self._registry.own_past(self._sessions.directory.closed)
                self._trust_changed()
                self._last_known.recall()
                running |= {name: self._begin(group, name) for name in self.parts if name not in running}
                await self._open_control_socket()
                await self._stop.wait()
                say("stopping")
                for name in ("tell", "prober", "listener"):  # no new links, and no word of those that end now
                    running[name].cancel()
                await self._peers.leave()
                if self._lock is None or not self._lock.lost():  # else it may be another service's
                    self._home.control_socket.unlink(missing_ok=True)
                for part in running.values():
                    part.cancel()
        finally:
            await self._control.cleanup()
            await self._lan.cleanup()
            self._listener.close()
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

    # --- doors -------------------------------------------------------------------------------------------------------

    def _bind(self, hosts: tuple[str, ...]) -> list[socket.socket]:
        if self._settings.port:
            return bind(self._settings.port, hosts)
        for port in (self._state.get("port"), DEFAULT_PORT):
            if port:
                with suppress(ConfigError):
                    return bind(port, hosts)
        sockets = bind(0, hosts)
        self._state.put("port", int(sockets[0].getsockname()[1]))
        return sockets

    async def _open_control_socket(self) -> None:
        await self._control.setup()
        await web.SockSite(self._control, bind_socket(self._home.control_socket)).start()

    async def _hold_home(self) -> None:
        if self._lock is not None:
            self._lock.keep()
        if not self._home.control_socket.exists():  # deleted under us, with its folder perhaps
            private_folder(self._home.runtime)
            await web.SockSite(self._control, bind_socket(self._home.control_socket)).start()

    def _store_stalled(self, reason: str) -> None:
        self._health.problem("store", reason)
        self._sessions.stalled(reason)

    def _lan_protocol(self) -> asyncio.Protocol:
        server = self._lan.server
        assert server is not None, "the listener runs after setup"
        return FrameGuard(server(), self._clock)

    def _channel(
        self, ws: web.WebSocketResponse, codec: Codec, *, device: DeviceId | None, transport: asyncio.Transport | None
    ) -> Channel:
        cut = transport.abort if transport is not None else None
        return WebSocketChannel(ws, codec, clock=self._clock, device=device, pings=device is not None, cut=cut)

    def _hosts_of_paired(self) -> Iterator[str]:
        for device in self._access.devices():
            for endpoint in self._registry.endpoints(device.id):
                yield endpoint.host

    # --- trust -------------------------------------------------------------------------------------------------------

    def _about(self) -> Bundle:
        return Bundle(name=self._name, port=self._port, hosts=self._discovery.hosts(), household=self._household.id)

    def _trust_changed(self) -> None:
        self._access.trust_changed()
        devices = self._access.devices()
        self._listener.trust(device.certificate for device in devices)
        self._presence.paired(devices)
        self._peers.trust_changed()
        self._addresses.trust_changed()
        self._sessions.trust_changed()
        self._health.problem("household", self._household.trouble())

    def _doubt(self, device: DeviceId) -> None:
        # Whoever keeps a link to it dials; else it is only asked.
        self._peers.heard(device)
        self._prober.look()

    def _pinned(self, device: DeviceId) -> ssl.SSLContext | None:
        for known in self._access.devices():
            if known.id == device:
                return client_context(self._identity, known.certificate)
        return None

    def _link_changed(self, device: DeviceId, up: bool) -> None:
        self._proxy.link_changed(device, up)
        row = self._registry.device(device)
        if up and row:
            self._access.met(device, row.name, tuple(self._registry.endpoints(device)[:4]))
        if up:
            self._gossip.link_up(device)
            self._addresses.link_up(device)

    def _protected(self, device: DeviceId) -> bool:
        # L4: somebody here watches a session there, or somebody there one of ours.
        return self._proxy.protected(device) or self._sessions.attachments.protects(
            device, self._sessions.directory.rows
        )

    # --- telling -----------------------------------------------------------------------------------------------------

    def _name_of(self, device: DeviceId) -> str:
        row = self._registry.device(device)
        return row.name if row else names.short_id(device)
