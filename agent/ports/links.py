"""How gateways reach each other, and clients their gateway."""

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

    def send(self, frame: bytes) -> None:
        """Queue a frame. Never waits: when the queue is full the connection is cut off (S5)."""

    def notify(self, kind: NotificationKind[P], params: P) -> None:
        """Queue a notification."""

    async def request(self, method: str, params: object, *, seconds: float) -> Raw:
        """Ask and wait. Raises: PeerLost, TimedOut, or the AgentError that the other side told."""

    async def run(self, handler: MessageHandler) -> None:
        """Read until the connection ends; then every waiting `request` has failed with PeerLost."""

    def close(self, reason: str = "") -> None:
        """Send what is queued, then close. Idempotent."""

    def abort(self) -> None:
        """Cut at once."""

    def doubt(self) -> None:
        """Ask at once whether the other side is there; if nothing comes within seconds, cut (L3)."""

    async def drained(self) -> None:
        """Return once most of what was queued is sent, or the connection is closed."""

    def busy(self, *, attached: bool) -> None:
        """Tell the channel whether anything is attached over it: it then pings more often (L3)."""


class Followed(Struct, Generic[R], frozen=True):
    """An answer that something must follow: the channel sends `result`, then awaits `follow()`."""

    result: R
    follow: Callable[[], Awaitable[None]]


class MessageHandler(Protocol):
    """What a channel does with what it reads."""

    def on_request(self, channel: Channel, method: str, params: Raw) -> Awaitable[object]:
        """Answer a request: with a struct, `Raw` or `Followed`. Requests run side by side.

        What the schema does not describe is told before anything is awaited. Raises: Undescribed; AgentError.
        """

    def on_notification(self, channel: Channel, method: str, params: Raw, frame: bytes) -> None:
        """Take a notification; `frame` is the whole message as it came, to pass on."""

    def on_closed(self, channel: Channel) -> None:
        """The connection has ended, however; nothing comes after this."""


class Dialer(Protocol):
    """Opens links."""

    async def dial(self, device: DeviceId, endpoints: Sequence[Endpoint]) -> tuple[Channel, Endpoint]:
        """Connect to a paired device at the first endpoint that answers with its key (L3).

        Raises: PeerUnreachable, Refused (it answered and does not accept us), NotPaired.
        """

    async def identify(self, endpoint: Endpoint) -> bytes | None:
        """The certificate (DER) that answers there, without telling who asks; None if nobody does."""
