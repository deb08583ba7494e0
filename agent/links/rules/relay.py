"""One session of another device, attached once over the link and fanned out to the clients here (L2, L5, S4).

Pure. Each local viewer has its own place in the log. Events come from upstream in order, but after a re-attachment
some come again; each viewer takes exactly the next one. Until its own answer to `session.attach` was sent to it a
viewer holds what arrives.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from agent.protocol.model import DeviceId, SessionId

V = TypeVar("V")
HELD_MAX = 4_194_304
"""Bytes that one viewer may hold while its attachment is awaited; beyond that it starts over."""


class _Place:
    def __init__(self) -> None:
        self.cursor: int | None = None  # number of the last event that it has; None: the host's answer is awaited
        self.live = False  # whether the answer was sent to it: what arrives before that is held
        self.held: list[tuple[int, bytes]] = []
        self.size = 0  # bytes held
        self.overflowed = False


class Relay(Generic[V]):
    """The local viewers of one remote session."""

    def __init__(self, device: DeviceId, session: SessionId) -> None:
        self.device, self.session = device, session
        self.name = ""  # of the device, as long as this one knows it
        self.epoch = ""
        self.resuming = False  # whether it is being attached anew
        self.over: object = None  # the link over which it stands attached at the host; None: over none (L9)
        self.heard_at = ""  # RFC 3339, by the host's clock: the newest of what came of its log
        self.missing = ""  # what its row says that it was changed at, if nothing came that tells of it
        self._places: dict[V, _Place] = {}

    def __len__(self) -> int:
        return len(self._places)

    @property
    def viewers(self) -> list[V]:
        """Everyone attached or about to be."""
        return list(self._places)

    @property
    def attached_viewers(self) -> list[V]:
        """Everyone for whom the host has answered."""
        return [viewer for viewer, place in self._places.items() if place.cursor is not None]

    def expect(self, viewer: V) -> None:
        """A viewer is about to attach: hold its events until `attached`."""
        self._places[viewer] = _Place()

    def answered(self, viewer: V, cursor: int, epoch: str) -> list[V]:
        """Record that the host has answered: the viewer will have everything up to `cursor` once it is told so.

        Gives the viewers that have another life of the log than that: they are in the relay no more.
        """
        place = self._places.get(viewer)
        if place is None:
            return []
        place.cursor = cursor
        if self.epoch in {"", epoch}:
            self.epoch = epoch
            return []
        self.epoch = epoch
        others = [each for each, its in self._places.items() if each is not viewer and its.cursor is not None]
        for each in others:
            del self._places[each]
        return others

    def attached(self, viewer: V) -> tuple[list[bytes], bool]:
        """Record that the viewer was sent the host's answer.

        Gives what it is to be sent next, from what was held, and whether it misses some (then attach again).
        """
        place = self._places.get(viewer)
        if place is None:
            return [], False
        place.live = True
        held, place.held, place.size = place.held, [], 0
        overflowed, place.overflowed = place.overflowed, False
        frames = [frame for seq, frame in held if self._passes(place, seq)]
        return frames, overflowed or any(place.cursor is not None and seq > place.cursor for seq, _ in held)

    def left(self, viewer: V) -> bool:
        """The viewer is gone; whether it had been there."""
        return self._places.pop(viewer, None) is not None

    def event(self, seq: int, frame: bytes) -> tuple[list[V], bool]:
        """Who is to be sent this event, and whether somebody misses one before it (then attach again)."""
        receivers: list[V] = []
        gap = False
        for viewer, place in self._places.items():
            if not place.live:
                if place.size + len(frame) > HELD_MAX:
                    place.held = []
                    place.size = 0
                    place.overflowed = True
                place.held.append((seq, frame))
                place.size += len(frame)
            elif self._passes(place, seq):
                receivers.append(viewer)
            else:
                gap = gap or (place.cursor is not None and seq > place.cursor + 1)
        return receivers, gap

    def resume_after(self) -> int | None:
        """Number of the last event that every viewer has for which the host has answered; None: there is none."""
        return min((place.cursor for place in self._places.values() if place.cursor is not None), default=None)

    @staticmethod
    def _passes(place: _Place, seq: int) -> bool:
        if place.cursor is None or seq != place.cursor + 1:
            return False
        place.cursor = seq
        return True
