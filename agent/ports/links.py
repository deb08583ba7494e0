"""Ports to connections: how gateways reach each other, and clients their gateway."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

from msgspec import Raw, Struct

from agent.protocol.codec import Codec
from agent.protocol.methods import NotificationKind, P
from agent.protocol.model import DeviceId, Endpoint

R = TypeVar("R")


class Channel(Protocol):
    """One open connection that carries JSON-RPC messages both ways, in order."""

    device: DeviceId | None  # whose key authenticated it; None: a client of this device
    codec: Codec
    close_reason: str  # once closed: the reason that the other side gave, if any

    @property
    def open(self) -> bool:
        """Whether anything can still be sent; False once it is being closed, whoever began."""

    def send(self, frame: bytes, *, replaces: str = "") -> None:
        """Queue a frame. Never waits: when the queue is full the connection is cut off (S5).

        `replaces`: an earlier frame with that mark that still waits is not sent any more.
        """

    def notify(self, kind: NotificationKind[P], params: P) -> None:
        """Queue a notification to the other side."""

    async def request(self, method: str, params: object, *, seconds: float) -> Raw:
        """Send a request and wait for its result. Raises: PeerLost, TimedOut, or the other side's error."""

    async def run(self, handler: MessageHandler) -> None:
        """Read until the connection ends; then every waiting `request` has failed with PeerLost."""

    def close(self, reason: str = "") -> None:
        """Send all queued frames, then close the connection. A second call does nothing."""

    def abort(self) -> None:
        """Cut the connection at once."""

    def doubt(self) -> None:
        """Ping the other side at once; if nothing comes within seconds, cut the connection (L3)."""

    async def drained(self) -> None:
        """Return once most queued frames are sent, or the connection is closed."""

    def busy(self, *, attached: bool) -> None:
        """Tell the channel whether anything is attached over it: it then pings more often (L3)."""


class Followed(Struct, Generic[R], frozen=True):
    """A result that something must follow: the channel sends `result`, then awaits `follow()`."""

    result: R
    follow: Callable[[], Awaitable[None]]


class MessageHandler(Protocol):
    """Handles the messages that a channel reads."""

    def on_request(self, channel: Channel, method: str, params: Raw) -> Awaitable[object]:
        """Answer a request: with a struct, `Raw` or `Followed`. Requests run side by side.

        Parameters that the schema does not describe raise before anything is awaited. Raises: Undescribed; AgentError.
        """

    def on_notification(self, channel: Channel, method: str, params: Raw, frame: bytes) -> None:
        """Take a notification; `frame` is the whole message as it came, to pass on."""

    def on_closed(self, channel: Channel) -> None:
        """The connection has ended, however; nothing comes after this."""


class Dialer(Protocol):
    """Opens connections to other gateways."""

    async def dial(self, device: DeviceId, endpoints: Sequence[Endpoint]) -> tuple[Channel, Endpoint]:
        """Connect to a paired device at the first endpoint that answers with its key (L3).

        Raises: PeerUnreachable, Refused (it answered and does not accept us), NotPaired.
        """

    async def identify(self, endpoint: Endpoint) -> bytes | None:
        """The certificate (DER) that an endpoint shows, got without telling who asks; None if nobody answers."""
