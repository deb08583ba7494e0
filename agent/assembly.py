"""The parts of one device that know nothing of sockets, files and TLS, each made of those that stand above it.

Nothing here is set later and nothing calls what is made further down: whoever must hear of a change subscribes where it
is made (`agent.observers`). The daemon adds adapters, doors and life; tests add their own network, disk and clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from agent.links.addresses import Addresses
from agent.links.peers import Peers
from agent.links.proxy import Proxy
from agent.links.twins import TwinReports
from agent.ports import (
    AddressStore,
    AuditLog,
    BackendType,
    Clock,
    Dialer,
    Discovery,
    HouseholdStore,
    OwnAddresses,
    TranscriptStore,
    TrustStore,
)
from agent.presence.announcer import Announcer
from agent.presence.rules.registry import Registry
from agent.presence.service import Presence
from agent.problems import Problems
from agent.protocol.identity import Identity
from agent.protocol.messages import Ready
from agent.protocol.model import DeviceId, DeviceRef, PairedDevice
from agent.sessions.archive import Retention
from agent.sessions.creation import Default
from agent.sessions.host import Sessions
from agent.settings import Settings
from agent.trust.access import AccessControl
from agent.trust.audit import Audit
from agent.trust.devices import Encounters, TrustedDevices
from agent.trust.gossip import Gossip
from agent.trust.household import Household


class Outside(Struct, frozen=True, kw_only=True):
    """What the parts reach outside of themselves, each through its port."""

    clock: Clock
    discovery: Discovery | None  # None: no multicast
    dialer: Dialer
    own_addresses: OwnAddresses
    transcripts: TranscriptStore
    trust: TrustStore
    household: HouseholdStore
    addresses: AddressStore
    audit: AuditLog
    backends: Mapping[str, BackendType]  # that can be used, by name
    revision: int  # of the record that was announced last
    save_revision: Callable[[int], None]
    chance: Callable[[], float]  # from 0.0 to 1.0: spreads load, guards nothing
    entropy: Callable[[int], bytes]  # that many bytes that nobody can guess
    new_id: Callable[[], str]
    home: str = ""  # the user's home folder, for which people write `~`


class Assembly:
    """The parts of one device, put together; the daemon runs each by itself."""

    def __init__(
        self,
        *,
        own: Ready,
        identity: Identity,
        settings: Settings,
        outside: Outside,
        trusted: TrustedDevices,
        problems: Problems,
    ) -> None:
        """`own`: what this device says of itself on each link. Raises: StateError."""
        clock = outside.clock
        self.own = own
        self.trusted = trusted
        self.problems = problems
        self.registry = Registry(own.device, name=own.name, version=own.version)
        name_of = self.registry.name_of

        self.audit = Audit(outside.audit, clock, name_of, problems)
        trusted.changes.subscribe(self.audit.trust_changed)
        self.twins = TwinReports(clock, name_of, problems)
        self.household = Household(
            identity=identity,
            name=own.name,
            trust=outside.trust,
            store=outside.household,
            clock=clock,
            changed=trusted.changed,
            entropy=outside.entropy,
        )
        announcer: Announcer | None = None
        if outside.discovery is not None and settings.presence.mode != "hidden":
            announcer = Announcer(
                outside.discovery,
                self.registry,
                clock,
                identity=identity,
                keys=None if settings.presence.mode == "open" else self.household,
                entropy=outside.entropy,
                previous_revision=outside.revision,
                save_revision=outside.save_revision,
            )
            announcer.twin_heard.subscribe(self.twins.announced)
        self.presence = Presence(
            self.registry,
            outside.discovery,
            announcer,
            clock,
            name=own.name,
            port=own.port,
            jitter=outside.chance,
            keys=self.household,
        )
        trusted.changes.subscribe(self.presence.paired)
        self.household.keys_changed.subscribe(self.presence.keys_changed)

        self.peers = Peers(
            own=own,
            paired=trusted.devices,
            dialer=outside.dialer,
            observer=self.presence,
            announced=self.registry.announced,
            clock=clock,
            jitter=lambda: 0.5 + 0.5 * outside.chance(),
            twins=self.twins,
            name_of=name_of,
            limit=settings.links.max,
            on_demand=settings.links.mode == "on-demand",
        )
        trusted.changes.subscribe(self.peers.trust_changed)
        self.presence.heard.subscribe(self.peers.heard)
        self.presence.doubted.subscribe(self.peers.heard)  # whoever keeps a link to it dials
        self.proxy = Proxy(self.peers, clock=clock, name_of=name_of, row_of=self.registry.session)
        self.peers.link_changed.subscribe(self.proxy.link_changed)

        self.sessions = Sessions(
            own=DeviceRef(own.device, own.name),
            store=outside.transcripts,
            clock=clock,
            backends=outside.backends,
            default=Default(settings.sessions.backend, settings.sessions.shell),
            name_of=name_of,
            new_id=outside.new_id,
            trusts=trusted.trusts,
            problems=problems,
            home=outside.home,
            retention=Retention(settings.transcripts.keep_days, settings.transcripts.max_mb),
        )
        self.sessions.changed.subscribe(self.presence.local_sessions)
        self.sessions.noted.subscribe(self.audit.note)

        self.access = AccessControl(trusted=trusted, sessions=self.sessions, clock=clock, audit=self.audit)
        trusted.changes.subscribe(self.access.trust_changed)
        self.encounters = Encounters(outside.trust, clock, self.registry, self.audit, problems)
        self.sessions.noted.subscribe(self.encounters.noted)
        self.peers.link_changed.subscribe(self.encounters.link_changed)
        self.gossip = Gossip(
            own=own.device, household=self.household, trust=outside.trust, peers=self.peers, clock=clock
        )
        self.peers.link_changed.subscribe(self.gossip.link_changed)
        self.addresses = Addresses(
            identity=identity,
            port=own.port,
            own=outside.own_addresses,
            peers=self.peers,
            store=outside.addresses,
            clock=clock,
            advertised=self.presence.advertised,
        )
        trusted.changes.subscribe(self.addresses.trust_changed)
        self.peers.link_changed.subscribe(self.addresses.link_changed)
        trusted.changes.subscribe(self._trust_changed)

    def protected(self, device: DeviceId) -> bool:
        """Whether somebody here watches a session on that device, or somebody there one of ours (L4)."""
        rows = self.sessions.index.rows
        return self.proxy.protected(device) or self.sessions.attachments.protects(device, rows)

    def _trust_changed(self, _: Sequence[PairedDevice]) -> None:
        self.sessions.trust_changed()
        self.problems.problem("household", self.household.trouble())
