"""Who watches a session: attached channels, each with its place in the log (S4, S5, S8).

Beside it `Attachments`: which channels watch which of all the sessions here, counted for each device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.errors import Busy
from agent.ports import Channel, Tail
from agent.protocol.audit import Action
from agent.protocol.colours import plain
from agent.protocol.events import Event, payload_of, plain_event
from agent.protocol.messages import Attach, EventOf, ParticipantsChanged, TurnTail
from agent.protocol.methods import EVENT, PARTICIPANTS_CHANGED, TURN_TAIL, NotificationKind, P
from agent.protocol.model import DeviceId, Participant, SessionId, SessionRow
from agent.protocol.moving_rows import MovingRows, bounded_rows
from agent.sessions.rules.bounds import bounded_text

ATTACHED_MAX = 512
"""Sessions that one other device has attached here, over all its connections."""
Noted = Callable[[Action, DeviceId, SessionId, int], None]
"""Takes what a device did to a session, and how many characters its text had."""


class Viewer:
    """One channel attached to one session. Until it is `live` it is being caught up from the store."""

    def __init__(self, channel: Channel, device: DeviceId, cursor: int, request: Attach) -> None:
        self.channel = channel
        self.device = device
        self.count = request.viewers  # clients behind the channel
        self.colours, self.tail = request.colours, request.tail
        self.cursor = cursor  # number of the last event sent
        self.live = False


class Viewers:
    """The channels attached to one session, and what they are sent."""

    def __init__(self, session: SessionId, name_of: Callable[[DeviceId], str]) -> None:
        self._session = session
        self._name_of = name_of
        self._viewers: dict[Channel, Viewer] = {}
        self._rows = MovingRows()
        self._published = 0  # number of the last event that there was when they were shown

    def __contains__(self, viewer: object) -> bool:
        """Whether this very viewer is still attached."""
        return isinstance(viewer, Viewer) and self._viewers.get(viewer.channel) is viewer

    def __len__(self) -> int:
        return len(self._viewers)

    def of(self, channel: Channel) -> Viewer | None:
        """The viewer of a channel, if it is attached."""
        return self._viewers.get(channel)

    def join(self, channel: Channel, device: DeviceId, cursor: int, request: Attach) -> Viewer:
        """Attach a channel, or attach it anew: it has one viewer for each session.

        Clients behind a proxy share that viewer: while it is being caught up its place stays when another one joins.
        """
        before = self.participants()
        earlier = self._viewers.get(channel)
        if earlier is not None and not earlier.live and channel.device is not None:
            cursor = min(cursor, earlier.cursor)
        viewer = self._viewers[channel] = Viewer(channel, device, cursor, request)
        # Whoever attaches is told in the answer; not the others behind a proxy that attaches again for one more.
        self._announce(before, besides=channel if earlier is None else None)
        return viewer

    def leave(self, channel: Channel, remaining: int = 0) -> bool:
        """Detach a channel, or set the `remaining` clients behind it. False if the channel was not attached."""
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
        """Send events to every live viewer; encoded once for each codec and taste, however many watch (S5)."""
        live = [viewer for viewer in self._viewers.values() if viewer.live]
        for event in events:
            self._published = event.seq
            if self._rows.turn:
                self._rows.apply(payload_of(event))
            frames: dict[tuple[str, bool], bytes] = {}
            for viewer in live:
                if event.seq > viewer.cursor:
                    codec = viewer.channel.codec
                    frame = frames.get((codec.subprotocol, viewer.colours))
                    if frame is None:
                        frame = codec.notification(EVENT.name, event_for(viewer, self._session, event))
                        frames[codec.subprotocol, viewer.colours] = frame
                    viewer.cursor = event.seq
                    viewer.channel.send(frame)

    def catch_up(self, viewer: Viewer, event: Event) -> None:
        """Send one viewer an event that it has missed."""
        viewer.channel.notify(EVENT, event_for(viewer, self._session, event))
        viewer.cursor = event.seq

    def goes_live(self, viewer: Viewer) -> None:
        """Send a viewer that has caught up everything as it comes, and first the rows that may still change."""
        viewer.live = True
        if self._rows.turn:
            self._tell_rows([viewer])

    def show_rows(self, turn: int | None, rows: Tail, published: int) -> None:
        """Send the rows of the running turn that may still change, after the last event that was published."""
        if turn is None:
            return
        self._published = published
        self._rows.take(turn, bounded_rows(bounded_text(rows.text)))
        self._tell_rows([viewer for viewer in self._viewers.values() if viewer.live])

    def _tell_rows(self, viewers: Iterable[Viewer]) -> None:
        rows = self._rows
        for viewer in viewers:
            if viewer.tail:
                told = TurnTail(
                    session_id=self._session,
                    turn=rows.turn,
                    after_seq=self._published,
                    text=rows.text if viewer.colours else plain(rows.text),
                )
                frame = viewer.channel.codec.notification(TURN_TAIL.name, told)
                viewer.channel.send(frame, replaces=f"{TURN_TAIL.name} {self._session}")

    def notify(self, kind: NotificationKind[P], params: P) -> None:
        """Send a notification to every attached channel."""
        for channel in self._viewers:
            channel.notify(kind, params)

    def _announce(self, before: tuple[Participant, ...], besides: Channel | None = None) -> None:
        now = self.participants()
        if now == before:
            return
        for channel in self._viewers:
            if channel is not besides:
                channel.notify(PARTICIPANTS_CHANGED, ParticipantsChanged(session_id=self._session, participants=now))


def event_for(viewer: Viewer, session: SessionId, event: Event) -> EventOf:
    """The params of the `event` notification that carries an event to a viewer, as that one wants it."""
    return event_of(session, event if viewer.colours else plain_event(event))


def event_of(session: SessionId, event: Event) -> EventOf:
    """The params of the `event` notification that carries an event."""
    return EventOf(session_id=session, seq=event.seq, type=event.type, payload=event.payload, at=event.at)


class Attachments:
    """The channels that watch the log or the terminal of any session here."""

    def __init__(self, own: DeviceId, noted: Noted, terminal_changed: Callable[[SessionId], None]) -> None:
        """`terminal_changed` takes a session whose terminal somebody began or ceased to watch."""
        self._own, self._noted, self._terminal_changed = own, noted, terminal_changed
        self._attached: dict[Channel, set[SessionId]] = {}
        self._terminals: dict[Channel, set[SessionId]] = {}
        self._watched: dict[Channel, set[SessionId]] = {}  # once attached over a channel that is still open

    def join(self, channel: Channel, device: DeviceId, session: SessionId, *, terminal: bool = False) -> None:
        """Record that a channel watches a session's log, or its terminal. A second call changes nothing.

        Raises: Busy, if its device watches `ATTACHED_MAX` sessions.
        """
        table = self._terminals if terminal else self._attached
        more = channel.device is not None and session not in table.get(channel, ())
        if more and self.count(device) >= ATTACHED_MAX:
            raise Busy(f"{ATTACHED_MAX} sessions are attached over there", hint="leave some: Ctrl-D leaves one")
        if session not in self._attached.get(channel, ()) and session not in self._terminals.get(channel, ()):
            self._noted("attached", device, session, 0)
        for table in (self._terminals if terminal else self._attached, self._watched):
            table.setdefault(channel, set()).add(session)
        channel.busy(attached=True)
        if terminal:
            self._terminal_changed(session)

    def leave(self, channel: Channel, session: SessionId, *, terminal: bool = False) -> None:
        """Record that a channel no longer watches a session's log, or its terminal."""
        table, other = (self._terminals, self._attached) if terminal else (self._attached, self._terminals)
        sessions = table.get(channel, set())
        if session in sessions:
            sessions.discard(session)
            if session not in other.get(channel, ()):
                self._noted("detached", channel.device or self._own, session, 0)
        if not sessions:
            table.pop(channel, None)
        if not sessions and not other.get(channel):
            channel.busy(attached=False)
        if terminal:
            self._terminal_changed(session)

    def drop(self, channel: Channel) -> set[SessionId]:
        """Forget a channel that is gone. Returns the sessions whose log it watched."""
        self._watched.pop(channel, None)
        sessions = self._attached.pop(channel, set())
        terminals = self._terminals.pop(channel, set())
        for session in sorted(sessions | terminals):
            self._noted("detached", channel.device or self._own, session, 0)
        for session in terminals:
            self._terminal_changed(session)
        return sessions

    def typed(self, channel: Channel, session: SessionId) -> None:
        """Note that somebody types on a terminal over this channel, for the first time since it was attached."""
        self._noted("typed", channel.device or self._own, session, 0)

    def of(self, session: SessionId) -> list[Channel]:
        """The channels that watch a session's log or terminal."""
        tables = (self._attached, self._terminals)
        return list({channel: None for table in tables for channel, sessions in table.items() if session in sessions})

    def at_terminal(self, session: SessionId) -> list[DeviceId]:
        """The devices that watch a session's terminal, each as often as it does."""
        return [channel.device or self._own for channel, shown in self._terminals.items() if session in shown]

    def forget(self, session: SessionId) -> None:
        """Forget a session that is closed: no channel watches it any more."""
        for channel in self.of(session):
            self.leave(channel, session)
            self.leave(channel, session, terminal=True)
        for watched in self._watched.values():
            watched.discard(session)

    def count(self, device: DeviceId) -> int:
        """How many sessions a device has attached here, over all its channels that are open."""
        tables = (self._attached, self._terminals)
        return sum(
            len(each)
            for table in tables
            for channel, each in table.items()
            if channel.device == device and channel.open
        )

    def protects(self, device: DeviceId, row_of: Callable[[Iterable[SessionId]], Iterable[SessionRow]]) -> bool:
        """Whether a device has a session attached, or had one over its open link that still works (L4)."""
        for channel, sessions in self._watched.items():
            if channel.device == device and (
                channel in self._attached
                or channel in self._terminals
                or any(row.status in {"working", "needs-input"} for row in row_of(sessions))
            ):
                return True
        return False
