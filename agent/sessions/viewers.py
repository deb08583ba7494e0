"""Who watches a session: attachments of channels, each with its place in the log (S4, S5, S8)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from agent.ports import Channel
from agent.protocol.events import Event
from agent.protocol.messages import EventOf, ParticipantsChanged
from agent.protocol.model import DeviceId, Participant, SessionId


class Viewer:
    """One channel attached to one session. Until it is `live` it is being caught up from the store."""

    def __init__(self, channel: Channel, device: DeviceId, cursor: int, count: int) -> None:
        self.channel = channel
        self.device = device
        self.count = count
        self.cursor = cursor  # number of the last event sent
        self.live = False


class Viewers:
    """The attachments of one session."""

    def __init__(self, session: SessionId, name_of: Callable[[DeviceId], str]) -> None:
        self._session = session
        self._name_of = name_of
        self._viewers: dict[Channel, Viewer] = {}

    def __contains__(self, viewer: object) -> bool:
        """Whether this very attachment still stands."""
        return isinstance(viewer, Viewer) and self._viewers.get(viewer.channel) is viewer

    def __len__(self) -> int:
        return len(self._viewers)

    def of(self, channel: Channel) -> Viewer | None:
        """The attachment of a channel."""
        return self._viewers.get(channel)

    def join(self, channel: Channel, device: DeviceId, cursor: int, count: int) -> Viewer:
        """Attach, or attach anew: a channel has one attachment a session.

        Clients behind a proxy share it: one that is being caught up keeps its place in the log when another joins.
        """
        before = self.participants()
        earlier = self._viewers.get(channel)
        if earlier is not None and not earlier.live and channel.device is not None:
            cursor = min(cursor, earlier.cursor)
        viewer = self._viewers[channel] = Viewer(channel, device, cursor, count)
        self._announce(before, besides=channel)
        return viewer

    def leave(self, channel: Channel, remaining: int = 0) -> bool:
        """Detach, or with `remaining` change the count of clients behind the channel. False if it was not attached."""
        viewer = self._viewers.get(channel)
        if viewer is None:
            return False
        before = self.participants()
        if remaining:
            viewer.count = remaining
        else:
            del self._viewers[channel]
        self._announce(before)
        return True

    def participants(self) -> tuple[Participant, ...]:
        """Devices with at least one client attached, each once with its count (S8)."""
        counts: dict[DeviceId, int] = {}
        for viewer in self._viewers.values():
            counts[viewer.device] = counts.get(viewer.device, 0) + viewer.count
        return tuple(Participant(device=d, name=self._name_of(d), count=n) for d, n in sorted(counts.items()))

    def publish(self, events: Iterable[Event]) -> None:
        """Send events to everyone who is live; encoded once for each codec, however many watch (S5)."""
        live = [viewer for viewer in self._viewers.values() if viewer.live]
        if not live:
            return
        for event in events:
            frames: dict[str, bytes] = {}
            for viewer in live:
                if event.seq > viewer.cursor:
                    codec = viewer.channel.codec
                    frame = frames.get(codec.subprotocol)
                    if frame is None:
                        frame = frames[codec.subprotocol] = codec.notification("event", event_of(self._session, event))
                    viewer.cursor = event.seq
                    viewer.channel.send(frame)

    def catch_up(self, viewer: Viewer, event: Event) -> None:
        """Send an older event to one viewer."""
        viewer.channel.notify("event", event_of(self._session, event))
        viewer.cursor = event.seq

    def tell(self, method: str, params: Struct) -> None:
        """Tell everyone."""
        for channel in self._viewers:
            channel.notify(method, params)

    def _announce(self, before: tuple[Participant, ...], besides: Channel | None = None) -> None:
        now = self.participants()
        if now == before:
            return
        for channel in self._viewers:
            if channel is not besides:
                channel.notify("session.participants", ParticipantsChanged(session_id=self._session, participants=now))


def event_of(session: SessionId, event: Event) -> EventOf:
    """The notification that carries an event."""
    return EventOf(session_id=session, seq=event.seq, type=event.type, payload=event.payload, at=event.at)
