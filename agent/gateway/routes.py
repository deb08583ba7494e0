"""Routes: which handler answers which method of the wire, with the types of its row (`protocol.methods`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Generic

from msgspec import Struct

from agent.gateway.forwarder import There
from agent.ports import Channel, Followed
from agent.protocol.methods import Method, P, R
from agent.protocol.model import DeviceId, Sender, SessionId


class Caller(Struct, frozen=True):
    """The sender of a request: the connection, and the device whose key authenticated it."""

    channel: Channel
    device: DeviceId  # whose key authenticated the connection (S7); this one, of a client here
    name: str  # of that device

    @property
    def remote(self) -> bool:
        """Whether the request comes from another device."""
        return self.channel.device is not None

    def sender(self, client: str = "") -> Sender:
        """The caller as the log names it. `client` is which of its clients it was, as the device itself says."""
        return Sender(device=self.device, name=self.name, client=client)


Handler = Callable[[P, Caller], Awaitable[R | Followed[R]]]
"""Answers a request that is about a device."""
SessionHandler = Callable[[SessionId, P, Caller], Awaitable[R | Followed[R]]]
"""Answers a request about a session of this device, which has that id."""
RelayHandler = Callable[[There, P, Caller], Awaitable[object]]
"""Answers a request about a session of another device."""


class Route(Struct, Generic[P, R], frozen=True):
    """A method that is not about a session, and what answers it."""

    method: Method[P, R]
    answer: Handler[P, R]


class SessionRoute(Struct, Generic[P, R], frozen=True):
    """A method about a session, and what answers it: `here` if this device has the session, else `there`."""

    method: Method[P, R]
    here: SessionHandler[P, R]
    there: RelayHandler[P] | None = None  # None: the request is forwarded, and the answer passed on


Routes = Iterable[Route[Any, Any] | SessionRoute[Any, Any]]
"""The routes of one handler module."""
