"""What the services need of the outside world: small promises, each kept by an adapter and by a fake in the tests.

Every implementation of a port passes the one suite in `tests/contracts/`.
"""

from agent.ports.backends import (
    Asked,
    Backend,
    BackendEvent,
    BackendType,
    Described,
    Emit,
    Exited,
    Finished,
    RunsPrograms,
    Said,
    Start,
    Thought,
    ToolFinished,
    ToolProgressed,
    ToolStarted,
    Withdrew,
)
from agent.ports.clock import Clock
from agent.ports.discovery import Discovery, Echoed, Goodbye, Heard, PairingWindow, Renamed, Sighting
from agent.ports.household import HouseholdStore, SealKeys
from agent.ports.links import Channel, Dialer, Followed, MessageHandler
from agent.ports.pairing import PairingExchange, PairingTransport
from agent.ports.storage import AuditLog, SessionMeta, TranscriptStore, TrustStore

__all__ = [
    "Asked",
    "AuditLog",
    "Backend",
    "BackendEvent",
    "BackendType",
    "Channel",
    "Clock",
    "Described",
    "Dialer",
    "Discovery",
    "Echoed",
    "Emit",
    "Exited",
    "Finished",
    "Followed",
    "Goodbye",
    "Heard",
    "HouseholdStore",
    "MessageHandler",
    "PairingExchange",
    "PairingTransport",
    "PairingWindow",
    "Renamed",
    "RunsPrograms",
    "Said",
    "SealKeys",
    "SessionMeta",
    "Sighting",
    "Start",
    "Thought",
    "ToolFinished",
    "ToolProgressed",
    "ToolStarted",
    "TranscriptStore",
    "TrustStore",
    "Withdrew",
]
