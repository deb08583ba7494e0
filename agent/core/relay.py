"""One session of another device, attached once over the link and fanned out to the clients here (L2, L5, S4).

Pure. Each local viewer has its own place in the log. Events come from upstream in order, but after a re-attachment
some come again; each viewer takes exactly the next one. While its own answer to `session.attach` is awaited a viewer
holds what arrives.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from agent.core.records import DeviceId, SessionId

V = TypeVar("V")
HELD_MAX = 4096
"""Frames that one viewer may hold while its attachment is awaited; beyond that it starts over."""


class _Place:
    def __init__(self) -> None:
        self.cursor: int | None = None  # number of the last event passed on; None: its attachment is awaited
        self.held: list[tuple[int, bytes]] = []


class Relay(Generic[V]):
    """The local viewers of one remote session."""

    def __init__(self, device: DeviceId, session: SessionId) -> None:
        self.device, self.session = device, session
        self.epoch = ""
        self.resuming = False  # whether it is being attached anew
        self._places: dict[V, _Place] = {}

    def __len__(self) -> int:
        return len(self._places)

    @property
    def viewers(self) -> list[V]:
        """Everyone attached or about to be."""
        return list(self._places)

    def expect(self, viewer: V) -> None:
        """A viewer is about to attach: hold its events until `attached`."""
        self._places[viewer] = _Place()

    def attached(self, viewer: V, cursor: int, epoch: str) -> list[bytes]:
        """The viewer has everything up to `cursor`; gives what it is to be sent next, from what was held."""
        place = self._places.get(viewer)
        if place is None:
            return []
        self.epoch = epoch
        held, place.held, place.cursor = place.held, [], cursor
        return [frame for seq, frame in held if self._passes(place, seq)]

    def left(self, viewer: V) -> bool:
        """The viewer is gone; whether it had been there."""
        return self._places.pop(viewer, None) is not None

    def event(self, seq: int, frame: bytes) -> tuple[list[V], bool]:
        """Who is to be sent this event, and whether somebody misses one before it (then attach again)."""
        receivers: list[V] = []
        gap = False
        for viewer, place in self._places.items():
            if place.cursor is None:
                if len(place.held) < HELD_MAX:
                    place.held.append((seq, frame))
                else:
                    place.held.clear()  # what it misses shows as a gap, which is repaired by attaching again
            elif self._passes(place, seq):
                receivers.append(viewer)
            else:
                gap = gap or seq > place.cursor + 1
        return receivers, gap

    def resume_after(self) -> int | None:
        """Number of the last event that every attached viewer has; None while nobody is attached."""
        return min((place.cursor for place in self._places.values() if place.cursor is not None), default=None)

    @staticmethod
    def _passes(place: _Place, seq: int) -> bool:
        if place.cursor is None or seq != place.cursor + 1:
            return False
        place.cursor = seq
        return True
