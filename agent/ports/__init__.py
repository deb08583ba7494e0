"""What the domains need of the outside world: small promises, each kept by an adapter and by a fake in the tests.

Five nouns: a `Backend` is a running program behind a session, a `TranscriptStore` keeps logs, `Discovery` hears and
announces, a `Channel` carries messages, a `Clock` tells the time. Every implementation of a port passes the one suite
in `tests/contracts/`.

`backends`, `found`, `leaving` and `terminal` are what a session can be made of, also by packages of others: their names
stay (docs/design/backends.md). `storage` and `household` are what survives a restart, `discovery` and `addresses` who
and where, `links` and `pairing` connections, `clock` the time.
"""

from agent.ports.addresses import AddressStore, OwnAddresses
from agent.ports.backends import (
    Asked,
    Backend,
    BackendConfig,
    BackendEvent,
    BackendFamily,
    BackendType,
    Described,
    Emit,
    Exchange,
    Exited,
    Finished,
    HasOptions,
    History,
    Inspection,
    Inspects,
    Installed,
    Planned,
    Prompted,
    RunsPrograms,
    Said,
    Start,
    Thought,
    ToolFinished,
    ToolProgressed,
    ToolStarted,
    Unknown,
    Withdrew,
)
from agent.ports.clock import Clock
from agent.ports.discovery import Discovery, Echoed, Goodbye, Heard, PairingWindow, Renamed, Sighting
from agent.ports.found import FindsSessions, Offer, Offered
from agent.ports.household import HouseholdStore, SealKeys
from agent.ports.leaving import ClearsUp, EndsWithService, LetsGo, OfKind, Rests, kind_of
from agent.ports.links import Channel, Dialer, Followed, MessageHandler
from agent.ports.pairing import PairingExchange, PairingTransport
from agent.ports.storage import SIZE_MAX, AuditLog, LastKnownStore, LogCut, SessionMeta, TranscriptStore, TrustStore
from agent.ports.terminal import ShowsTerminal, Terminal
from agent.protocol.events import (
    Answer,
    Choice,
    Command,
    Diff,
    Field,
    Option,
    PlanEntry,
    RequestKind,
    TurnStatus,
    Usage,
)

__all__ = [
    "SIZE_MAX",
    "AddressStore",
    "Answer",
    "Asked",
    "AuditLog",
    "Backend",
    "BackendConfig",
    "BackendEvent",
    "BackendFamily",
    "BackendType",
    "Channel",
    "Choice",
    "ClearsUp",
    "Clock",
    "Command",
    "Described",
    "Dialer",
    "Diff",
    "Discovery",
    "Echoed",
    "Emit",
    "EndsWithService",
    "Exchange",
    "Exited",
    "Field",
    "FindsSessions",
    "Finished",
    "Followed",
    "Goodbye",
    "HasOptions",
    "Heard",
    "History",
    "HouseholdStore",
    "Inspection",
    "Inspects",
    "Installed",
    "LastKnownStore",
    "LetsGo",
    "LogCut",
    "MessageHandler",
    "OfKind",
    "Offer",
    "Offered",
    "Option",
    "OwnAddresses",
    "PairingExchange",
    "PairingTransport",
    "PairingWindow",
    "PlanEntry",
    "Planned",
    "Prompted",
    "Renamed",
    "RequestKind",
    "Rests",
    "RunsPrograms",
    "Said",
    "SealKeys",
    "SessionMeta",
    "ShowsTerminal",
    "Sighting",
    "Start",
    "Terminal",
    "Thought",
    "ToolFinished",
    "ToolProgressed",
    "ToolStarted",
    "TranscriptStore",
    "TrustStore",
    "TurnStatus",
    "Unknown",
    "Usage",
    "Withdrew",
    "kind_of",
]
