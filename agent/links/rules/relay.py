"""One session of another device, attached once over the link and fanned out to the clients here (L2, L5, S4).

Each local viewer has its own place in the log. Events come from upstream in order, but after a re-attachment
some come again; each viewer takes exactly the next one. Until the result of its own `session.attach` was sent to it,
events for a viewer are held.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from agent.protocol.model import DeviceId, SessionId

V = TypeVar("V")
HELD_MAX = 4_194_304
"""Bytes of events that are held for one viewer while its attachment is awaited; beyond that it starts over."""


class _Held(NamedTuple):
    seq: int  # of the event; of rows that may still change, that of the last event before them
    frame: bytes
    rows: bool = False


class _Position:
    def __init__(self, *, colours: bool, tail: bool) -> None:
        self.colours, self.tail = colours, tail
        self.cursor: int | None = None  # number of the last event that it has; None: the host's result is awaited
        self.live = False  # whether the result was sent to it: events before that are held
        self.held: list[_Held] = []
        self.size = 0  # bytes held
        self.overflowed = False


class Relay(Generic[V]):
    """The local viewers of one remote session, each with its place in the log."""

    def __init__(self, device: DeviceId, session: SessionId) -> None:
        self.device = device
        self.session = session
        self.name = ""  # of the device, as long as this one knows it
        self.epoch = ""
        self.resuming = False  # whether the session is being attached anew
        self.link: object = None  # the link over which the session is attached at the host; None: none (L9)
        self.heard_at = ""  # RFC 3339, by the host's clock: time of the newest event that came
        self.missing = ""  # when its row was changed, if no event came that explains it
        self._positions: dict[V, _Position] = {}

    def __len__(self) -> int:
        return len(self._positions)

    @property
    def viewers(self) -> list[V]:
        """All viewers that are attached or about to be."""
        return list(self._positions)

    @property
    def attached_viewers(self) -> list[V]:
        """All viewers for which the host has answered."""
        return [viewer for viewer, position in self._positions.items() if position.cursor is not None]

    def expect(self, viewer: V, *, colours: bool = False, tail: bool = False) -> None:
        """Hold the events for a viewer that is about to attach, until `attached`; `colours`, `tail`: what it wants."""
        self._positions[viewer] = _Position(colours=colours, tail=tail)

    def wants_colours(self, viewer: V) -> bool:
        """Whether a viewer wants the colours of what programs print."""
        position = self._positions.get(viewer)
        return position is not None and position.colours

    def answered(self, viewer: V, cursor: int, epoch: str) -> list[V]:
        """Record the host's answer: the viewer will have every event up to `cursor` once the result is sent to it.

        Returns the viewers that have another epoch of the log: they are in the relay no more.
        """
        position = self._positions.get(viewer)
        if position is None:
            return []
        position.cursor = cursor
        if self.epoch in {"", epoch}:
            self.epoch = epoch
            return []
        self.epoch = epoch
        others = [each for each, other in self._positions.items() if each is not viewer and other.cursor is not None]
        for each in others:
            del self._positions[each]
        return others

    def attached(self, viewer: V) -> tuple[list[bytes], bool]:
        """Record that the viewer was sent the host's result.

        Returns the held frames to send next, and whether the viewer misses some (then attach again).
        """
        position = self._positions.get(viewer)
        if position is None:
            return [], False
        position.live = True
        held, position.held, position.size = position.held, [], 0
        overflowed, position.overflowed = position.overflowed, False
        frames = [each.frame for each in held if (self._stands if each.rows else self._passes)(position, each.seq)]
        missed = any(position.cursor is not None and each.seq > position.cursor for each in held)
        return frames, overflowed or missed

    def left(self, viewer: V) -> bool:
        """Remove a viewer that is gone. Returns whether it was there."""
        return self._positions.pop(viewer, None) is not None

    def event(self, seq: int, frame: bytes) -> tuple[list[V], bool]:
        """The viewers to send an event to, and whether one misses an event before it (then attach again)."""
        receivers: list[V] = []
        gap = False
        for viewer, position in self._positions.items():
            if not position.live:
                self._hold(position, _Held(seq, frame))
            elif self._passes(position, seq):
                receivers.append(viewer)
            else:
                gap = gap or (position.cursor is not None and seq > position.cursor + 1)
        return receivers, gap

    def rows(self, after_seq: int, frame: bytes) -> list[V]:
        """The viewers to send rows that may still change: those that want them, and have every event before them."""
        receivers: list[V] = []
        for viewer, position in self._positions.items():
            if not position.tail:
                continue
            if not position.live:
                if position.held and position.held[-1].rows:
                    position.size -= len(position.held.pop().frame)
                self._hold(position, _Held(after_seq, frame, rows=True))
            elif self._stands(position, after_seq):
                receivers.append(viewer)
        return receivers

    def resume_after(self) -> int | None:
        """Number of the last event that every attached viewer has; None: no viewer is attached."""
        cursors = [each.cursor for each in self._positions.values() if each.cursor is not None]
        return min(cursors, default=None)

    @staticmethod
    def _hold(position: _Position, held: _Held) -> None:
        if position.size + len(held.frame) > HELD_MAX:
            position.held = []
            position.size = 0
            position.overflowed = True
        position.held.append(held)
        position.size += len(held.frame)

    @staticmethod
    def _stands(position: _Position, after_seq: int) -> bool:
        return position.cursor is not None and after_seq <= position.cursor

    @staticmethod
    def _passes(position: _Position, seq: int) -> bool:
        if position.cursor is None or seq != position.cursor + 1:
            return False
        position.cursor = seq
        return True
