"""One session of another device, attached once over the link and fanned out to the clients here (L2, L5, S4).

Pure. Each local viewer has its own place in the log. Events come from upstream in order, but after a re-attachment
some come again; each viewer takes exactly the next one. While its own answer to `session.attach` is awaited a viewer
holds what arrives.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from agent.core.records import DeviceId, SessionId

V = TypeVar("V")
HELD_MAX = 4_194_304
"""Bytes that one viewer may hold while its attachment is awaited; beyond that it starts over."""


class _Place:
    def __init__(self) -> None:
        self.cursor: int | None = None  # number of the last event passed on; None: its attachment is awaited
        self.held: list[tuple[int, bytes]] = []
        self.size = 0  # bytes held
        self.overflowed = False


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

    def attached(self, viewer: V, cursor: int, epoch: str) -> tuple[list[bytes], bool]:
        """The viewer has everything up to `cursor`.

        Gives what it is to be sent next, from what was held, and whether it misses some (then attach again).
        """
        place = self._places.get(viewer)
        if place is None:
            return [], False
        self.epoch = epoch
        held, place.held, place.size, place.cursor = place.held, [], 0, cursor
        overflowed, place.overflowed = place.overflowed, False
        return [frame for seq, frame in held if self._passes(place, seq)], overflowed

    def left(self, viewer: V) -> bool:
        """The viewer is gone; whether it had been there."""
        return self._places.pop(viewer, None) is not None

    def event(self, seq: int, frame: bytes) -> tuple[list[V], bool]:
        """Who is to be sent this event, and whether somebody misses one before it (then attach again)."""
        receivers: list[V] = []
        gap = False
        for viewer, place in self._places.items():
            if place.cursor is None:
                if place.size + len(frame) > HELD_MAX:
                    place.held, place.size, place.overflowed = [], 0, True
                place.held.append((seq, frame))
                place.size += len(frame)
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
