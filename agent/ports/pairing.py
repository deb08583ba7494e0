"""The port through which two devices that do not trust each other yet exchange pairing messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from agent.protocol.model import Endpoint

FRAME_MAX = 4096
"""Bytes of one pairing message."""


class PairingExchange(Protocol):
    """One connection between a pairing window and a joiner. One that takes too long in all is given up."""

    certificate: bytes  # DER, as TLS showed it: the host's, on both sides
    host: str  # IP address of the other side, link-local IPv6 with its zone

    async def send(self, frame: bytes) -> None:
        """Send one message. Raises: PairingFailed."""

    async def receive(self) -> bytes:
        """Receive the next message. Raises: PairingFailed; TurnedAway, if the host ended the exchange instead."""

    async def end(self, *, accepted: bool) -> None:
        """As the host, send the joiner the outcome, in one word and without a reason. Never raises for the network."""

    async def accepted(self) -> None:
        """As the joiner, return once the host has said that it is paired. Raises: PairingFailed, TurnedAway."""


class PairingTransport(Protocol):
    """Carries pairing messages; knows nothing of codes and of what the messages say."""

    async def serve(self, opened: Callable[[int], None], answer: Callable[[PairingExchange], Awaitable[None]]) -> None:
        """Listen on a free port, which `opened` takes, until cancelled; nothing listens afterwards.

        `answer` runs once for each joiner, several at a time. Raises: ConfigError, StateError, before `opened`.
        """

    def connect(self, endpoints: Sequence[Endpoint]) -> AbstractAsyncContextManager[PairingExchange]:
        """Reach one window, at the first of its endpoints that answers. Raises: PeerUnreachable."""
