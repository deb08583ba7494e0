"""The port to discovery: hears other gateways and announces this one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from agent.protocol.model import DeviceId, Endpoint, PresenceRecord


class Heard(Struct, frozen=True):
    """A presence record arrived (new, changed, or the same again).

    What it was read from comes along, since only that can have been signed: the strings of the TXT record as they
    came, and the full instance name. The port of the SRV record is the record's. Its hosts are on networks of this
    machine; what else was announced, as through a reflector, comes apart: it counts only of a device that is trusted.
    """

    record: PresenceRecord
    strings: tuple[bytes, ...] = ()
    instance: str = ""
    elsewhere: tuple[str, ...] = ()  # IP addresses on no network of this machine


class Goodbye(Struct, frozen=True):
    """A record was withdrawn by its sender, or by somebody who says so."""

    device: DeviceId
    instance: str = ""  # under which it was announced; empty: not known
    last: bool = True  # whether no other instance says that it is that device


class Echoed(Struct, frozen=True):
    """Another host published under our own name: answer with a new revision."""

    heard: Heard | None = None  # what, if it is a whole record that names this device


class Renamed(Struct, frozen=True):
    """Another host has our instance name: this device is announced under a new one, and must sign for that."""


Sighting = Heard | Goodbye | Echoed | Renamed


class PairingWindow(Struct, frozen=True, kw_only=True):
    """A pairing listener that was heard on the network."""

    slot: str  # two digits
    name: str  # of the device that shows the code, cleaned
    endpoints: tuple[Endpoint, ...]
    over: str = ""  # it listens no more: `paired`, `expired`, `exhausted`, `closed`; empty: it is open


class Discovery(Protocol):
    """Finds other gateways and announces this one. Never raises for what the network sends."""

    async def run(self, heard: Callable[[Sighting], None]) -> None:
        """Announce and browse until cancelled, then say goodbye. Calls `heard` on the loop; it must not block."""

    def publish(self, strings: Sequence[bytes]) -> None:
        """Announce these TXT strings from now on, at once; calls before `run` count too."""

    def instance(self) -> str:
        """The full instance name that this device is announced under; it changes with `Renamed` only."""

    def announce_again(self) -> None:
        """Announce the same record once more."""

    def poke(self) -> None:
        """Query the network for other gateways."""

    def hosts(self) -> tuple[str, ...]:
        """IP addresses that are announced now, link-local IPv6 with its zone."""

    def interfaces(self) -> tuple[str, ...]:
        """Names of the network interfaces in use."""

    async def open_window(self, slot: str, name: str, port: int, over: str = "") -> None:
        """Announce a pairing listener in place of the one before, until `close_window`; `over`: how it has ended."""

    async def close_window(self) -> None:
        """Withdraw the announced pairing listener, if there is one."""

    async def find_windows(self, slot: str, seconds: float) -> list[PairingWindow]:
        """Pairing listeners with that slot; waits up to `seconds` for the first, and a moment for others."""
