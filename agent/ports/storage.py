"""Ports to what must survive a restart."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from msgspec import Struct

from agent.errors import StateError
from agent.protocol.audit import AuditEntry
from agent.protocol.events import Event
from agent.protocol.household import Limits
from agent.protocol.model import DeviceId, PairedDevice, SessionId, SessionRow, Share
from agent.protocol.searching import Matches, Term

SIZE_MAX = 2**62
"""A number of bytes that is no bound."""


class SessionMeta(Struct, frozen=True, kw_only=True):
    """The stored row of a hosted session, beside its events."""

    id: SessionId
    epoch: str
    backend: str
    created_at: float  # Unix seconds
    title: str = ""
    derived_title: str = ""  # what it is called without a title: its program, else its first prompt
    cwd: str = ""
    command: tuple[str, ...] = ()
    shell: str = ""  # the shell that was asked for (`ports.Start`); empty: none
    lineage: tuple[str, ...] = ()
    closed: bool = False  # no longer listed; its log stays
    share: Share = "all"
    found: bool = False  # it ran already when this service found it
    creator: DeviceId = DeviceId("")  # which device created it; empty: not known
    kind: str = ""  # what its backend was (`ports.OfKind`); empty: not known
    updated_at: float = 0.0  # Unix seconds of its last event, once it is closed; 0.0: not known
    forgotten: bool = False  # its events are being removed
    unreadable: bool = False  # never stored: it stands for a row that cannot be read


class LogCut(StateError):
    """Only the beginning of a session's log can be read."""

    def __init__(self, message: str, events: Sequence[Event]) -> None:
        """`events` are those that could be read, oldest first."""
        super().__init__(message)
        self.events = events


class TranscriptStore(Protocol):
    """Durable logs of sessions. Events of one session are numbered from 1 without gaps.

    All methods may be called while others run; those on one session take effect in the order of the calls.
    """

    async def put(self, meta: SessionMeta) -> None:
        """Create or replace a session's row; durable when it returns. Raises: StoreFull."""

    async def append(self, session: SessionId, events: Sequence[Event]) -> None:
        """Store events, all or none; return once they would survive a power cut. Raises: StoreFull."""

    async def remove(self, session: SessionId) -> None:
        """Forget a session and its events, durably when it returns; an unknown id is no error. Raises: StoreFull.

        A session that is removed only in part, by a crash or a full disk, is still there, with its first events.
        """

    async def purge(self) -> None:
        """Return once what was removed can be read from the disk by no means of this program. Raises: StoreFull."""

    async def search(self, terms: Sequence[Term], limit: int, among: Collection[SessionId] | None = None) -> Matches:
        """The newest `limit` events that have all `terms`, newest first, of the sessions `among` these (None: of all).

        Every event is found that was stored before the call, but for those of an old database that is still being
        indexed (`Matches.unread`). Raises: StateError.
        """

    async def size(self) -> int:
        """Bytes that the transcripts take, in all."""

    async def read(self, session: SessionId, after: int, limit: int, size: int = SIZE_MAX) -> list[Event]:
        """Up to `limit` events numbered above `after`, oldest first. Empty for an unknown session.

        At most `size` bytes of payload, but one event in any case; no more than those is read from the disk. Raises:
        StateError, if not even the first of them can be read.
        """

    async def read_before(
        self, session: SessionId, before: int | None, limit: int, size: int = SIZE_MAX
    ) -> list[Event]:
        """The newest `limit` events numbered below `before` (None: the very newest), oldest first.

        Bounded by `size` and failing as `read` is.
        """

    async def outline(self, session: SessionId) -> list[Event]:
        """Every event whose type is not in `protocol.events.STREAMED`, oldest first: enough to rebuild its state.

        Raises: LogCut, with those before the first one that cannot be read.
        """

    async def sessions(self) -> list[SessionMeta]:
        """All sessions, oldest first. One whose row cannot be read is there as `unreadable`, with its id alone."""

    async def last_active(self) -> dict[SessionId, float]:
        """When each session's newest event was written, in Unix seconds; those without events are left out."""

    async def last_seq(self, session: SessionId) -> int:
        """Number of a session's newest event; 0 if there is none."""

    async def check(self) -> None:
        """Check whether something could be stored now, as far as that is cheap; after a failure it is tried.

        Raises: StoreFull.
        """

    async def close(self) -> None:
        """Write what is pending and close the file. A second call does nothing."""


class TrustStore(Protocol):
    """The devices that this one trusts. Each change is durable when the call returns, and whole."""

    def devices(self) -> list[PairedDevice]:
        """The entries of all trusted devices, by id. `read_only` is true of every limited one."""

    def limits(self) -> Limits:
        """The devices that may only watch (T12), paired at this moment or not."""

    def put(self, device: PairedDevice) -> None:
        """Add or replace the entry of a device. Raises: StateError, and then nothing has changed."""

    def remove(self, device: DeviceId) -> None:
        """Remove the entry of a device; an unknown id is no error. Raises: StateError, and then nothing has changed."""

    def change(
        self, put: Iterable[PairedDevice] = (), remove: Iterable[DeviceId] = (), limits: Limits | None = None
    ) -> None:
        """Make several changes at once; `limits` replaces all limits. Raises: StateError, then nothing has changed."""


class LastKnownStore(Protocol):
    """Stores the known sessions of other devices. A loss costs nothing but that memory."""

    def load(self) -> list[SessionRow]:
        """The session rows that were saved last. Raises: StateError."""

    def save(self, rows: Sequence[SessionRow]) -> None:
        """Store exactly these session rows. Raises: StateError, and then nothing has changed."""


class AuditLog(Protocol):
    """Stores the audit log. Bounded: the oldest entries go first."""

    async def append(self, entries: Sequence[AuditEntry]) -> None:
        """Add entries to the log, in order. Raises: StateError."""

    async def read(self, since: str, limit: int) -> list[AuditEntry]:
        """The newest `limit` entries at or after `since` (RFC 3339; empty: any), oldest first. Raises: StateError."""
