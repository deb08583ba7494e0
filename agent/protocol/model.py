"""The values that all other modules pass on: devices, sessions, addresses, claims. Frozen and bounded.

What there may be thousands of is kept from the garbage collector (`gc=False`): such a value can be in no cycle.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, NewType

from msgspec import Meta, Struct

from agent.protocol.bounds import Count, Line, PortOrZero, Rows, Stamp, Word

DeviceId = NewType("DeviceId", str)
"""First 80 bits of SHA-256 of the device's certificate: 16 characters of base32, lower case."""

SessionId = NewType("SessionId", str)
"""80 random bits: 16 characters of base32, lower case. A TXT record carries only the first characters."""

DeviceKey = Annotated[DeviceId, Meta(max_length=64)]
SessionKey = Annotated[SessionId, Meta(max_length=64)]
"""A session id as it arrives."""
REVISION_MAX = 2**62
"""The greatest revision of a record: each record of a device has a greater one than the last."""
NAME_MAX = 63
"""Characters of a device name."""
TITLE_MAX = 120
"""Characters of a session title."""
PROGRAM_MAX = 120
"""Characters of what runs in a session."""

Name = Annotated[str, Meta(max_length=NAME_MAX)]
Title = Annotated[str, Meta(max_length=TITLE_MAX)]
Port = Annotated[int, Meta(ge=1, le=65535)]


class Status(StrEnum):
    """The status of a session (S10)."""

    STARTING = "starting"
    IDLE = "idle"
    WORKING = "working"
    NEEDS_INPUT = "needs-input"
    ENDED = "ended"
    FAILED = "failed"

    @property
    def live(self) -> bool:
        """Whether a session of this status still takes prompts."""
        return self not in {Status.ENDED, Status.FAILED}


STOPPED = "it has stopped"
REFUSES = "does not accept this device (unpaired or revoked)"
"""Reasons of a `DeviceRow` that more than the registry acts on."""

Source = Literal["mdns", "static", "link"]
"""How a device was heard."""


Role = Literal["member", "guest", "host"]
"""The role of a paired device: a member of the household; a guest here; or the host of which this one is a guest."""

Share = Literal["all", "read-only", "private"]
"""The share of a session, what other devices may do with it: use it, watch it, or not even know of it."""


class Endpoint(Struct, frozen=True, order=True, gc=False):
    """An address and port at which a gateway can be dialled."""

    host: str  # an IP address; link-local IPv6 with its zone: "fe80::1%eth0"
    port: Port


class SessionClaim(Struct, frozen=True, kw_only=True, gc=False):
    """One session as a presence record names it."""

    id: str  # the first characters of the session's id, six or more
    status: Status
    updated_at: int  # Unix seconds
    title: str = ""


class PresenceRecord(Struct, frozen=True, kw_only=True):
    """The claims of a device about itself. A hint only: never a reason to change a name, a key or trust (T5)."""

    device: DeviceId
    revision: int  # grows with every publication, across restarts too (R9)
    name: str
    port: int
    hosts: tuple[str, ...] = ()  # IP addresses, link-local IPv6 with its zone
    txtvers: int = 1
    versions: tuple[int, ...] = (1,)
    working: int = 0
    needs_input: int = 0
    idle: int = 0
    more: int = 0  # sessions that did not fit the record
    sessions: tuple[SessionClaim, ...] = ()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All addresses of the record, each with its port."""
        return tuple(Endpoint(host, self.port) for host in self.hosts)


class PairedDevice(Struct, frozen=True, kw_only=True):
    """A device that this one trusts, as kept in the trust store."""

    id: DeviceId
    name: str
    certificate: bytes  # DER; its SHA-256 is the pin
    paired_at: float  # Unix seconds
    endpoints: tuple[Endpoint, ...] = ()  # where it was reached last, newest first
    seen_at: float = 0.0  # Unix seconds of the last link, 0.0: never
    role: Role = "member"
    read_only: bool = False  # it may watch only
    session: SessionId = SessionId("")  # the only one it may reach; empty: any
    expires_at: float = 0.0  # Unix seconds at which a guest's time is over, 0.0: never
    prompted_at: float = 0.0  # Unix seconds of its first prompt ever here, 0.0: none yet
    former_name: str = ""  # what it was called before (`trust.rules.devices`)
    renamed_at: float = 0.0  # Unix seconds at which its name changed, 0.0: never


class Participant(Struct, frozen=True, kw_only=True, gc=False):
    """A device with clients attached to a session (S8)."""

    device: DeviceKey
    name: Word
    count: Count  # attached clients of that device


class Sender(Struct, frozen=True, kw_only=True, gc=False):
    """The sender of a prompt or an answer: stamped by the hosting gateway, never believed from a client (S7)."""

    device: DeviceKey
    name: Word
    client: Word = ""  # which of its clients, as a proxying gateway says


class DeviceRef(Struct, frozen=True, gc=False):
    """A device as a session row names it."""

    id: DeviceKey
    name: Word


class ParticipantRef(Struct, frozen=True, gc=False):
    """A participant as a session row names it."""

    device: Word
    count: Count


class DeviceRow(Struct, frozen=True, kw_only=True):
    """One device as `peer.list` and `agent peers --json` give it. Grows only."""

    id: DeviceKey
    name: Word
    self: bool
    state: Literal["online", "stale", "offline"]
    paired: bool
    addresses: Rows[Word]
    port: PortOrZero
    sessions: Count
    working: Count
    needs_input: Count
    source: Source
    version: Word  # of the program, "" until known from a link
    heard_at: Stamp | None  # RFC 3339, None: never
    since: Stamp | None = None  # RFC 3339: when it went offline
    reason: Line = ""  # how we know that it is not online
    linked: bool = False  # whether a link to it is open
    remembered: Count = 0  # of a device that is away: sessions that it had when it was there last (R12)
    role: Role | Literal[""] = ""  # what it is to this one; empty: not paired


class SessionRow(Struct, frozen=True, kw_only=True, gc=False):
    """One session as `session.list` and `agent sessions --json` give it. Grows only."""

    id: SessionKey
    title: Line
    status: Status
    device: DeviceRef
    local: bool
    attachable: bool
    backend: Word
    model: Line
    created_at: Stamp | None  # RFC 3339, None: not known yet
    updated_at: Stamp  # RFC 3339
    participants: Rows[ParticipantRef] = ()
    queued: Count = 0
    cwd: Line = ""
    lineage: Rows[Word] = ()
    stale: bool = False  # its device is not surely there (R10)
    away: bool = False  # its device is out of reach: the row says what was known last (R12)
    share: Share = "all"  # what other devices may do with it; of a remote one: what this one may
    untitled: bool = False  # nobody gave it a title: `title` is its program or its first prompt
    short_cwd: Line = ""  # `cwd` as its device shows it: with `~` for the home there; empty: not known
    question: Line = ""  # first words of the oldest open request
    closed: bool = False  # it is over and in no list of live ones: `session.past`
    program: Line = ""  # what runs: "zsh 5.9"; after ": " what to know of it; empty: not told
    screen: Line = ""  # the full-screen program that is on its terminal: "vim"; empty: none
