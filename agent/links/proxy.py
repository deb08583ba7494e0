"""Sessions of other devices, for the clients here: one upstream attachment a session, fanned out (L1, L2, L5 to L7)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress

import msgspec
from msgspec import Raw, Struct

from agent.errors import (
    AgentError,
    BadFrame,
    Busy,
    NotPaired,
    PeerLost,
    PeerUnreachable,
    Refused,
    SessionNotFound,
    TimedOut,
    Undescribed,
)
from agent.links.link import Link
from agent.links.peers import LOST_MAX, Peers
from agent.links.rules.peer_results import read_result
from agent.links.rules.relay import Relay
from agent.links.terminals import RemoteTerminals
from agent.ports import Channel, Clock, Followed
from agent.protocol.bounds import Count, Line, Rows, Stamp, Word
from agent.protocol.codec import msgpack, typed
from agent.protocol.colours import plain as plain_text
from agent.protocol.events import Event, Id, as_wanted, epoch_of, plain_event
from agent.protocol.jsonrpc import Notification
from agent.protocol.messages import (
    Attach,
    Created,
    CreateSession,
    Detach,
    EventOf,
    OnSession,
    PeerLink,
    SessionLost,
    TurnTail,
)
from agent.protocol.methods import (
    EVENT,
    PARTICIPANTS_CHANGED,
    PEER_BACK,
    PEER_LOST,
    SESSION_ATTACH,
    SESSION_CLOSE,
    SESSION_CREATE,
    SESSION_DETACH,
    SESSION_LOST,
    SESSION_STALLED,
    TURN_TAIL,
    NotificationKind,
)
from agent.protocol.model import REFUSES, STOPPED, DeviceId, SessionId, SessionKey, SessionRow
from agent.protocol.waiting import as_sent
from agent.tasks import child, failures, spawn

log = logging.getLogger(__name__)

RETRY, RETRY_MAX = 1.0, 30.0
"""Seconds before an attachment that a lost link took along is tried again over the link that is there, doubling."""
LOOK_EVERY = 5.0
"""Seconds between looks whether attached sessions have changed without an event (L9)."""
ESCAPE = b"\x1b["
"""What each colour begins with, in MessagePack too."""
BEGAN_ANEW = "the session's log began anew"


class _Snapshot(Struct, frozen=True):
    session: SessionRow
    events: Raw
    truncated: bool = False


class _Attached(Struct, frozen=True, omit_defaults=True):
    # `messages.Attached` with everything raw that is only passed on (L7).
    session_id: SessionKey
    epoch: Id
    seq: Count
    snapshot: _Snapshot | None = None
    resumed: bool = False
    participants: Raw = Raw(b"\x90")
    requests: Raw = Raw(b"\x90")
    options: Raw = Raw(b"\x90")
    commands: Raw = Raw(b"\x90")
    queue: Raw = Raw(b"\x90")
    stalled: Line = ""


class _EventHead(Struct, frozen=True):
    session_id: SessionKey
    seq: Count
    type: Word = ""
    payload: Raw = Raw(b"")
    at: Stamp = ""


class _About(Struct, frozen=True):
    session_id: SessionKey


class Proxy:
    """The relays of all remote sessions that clients here watch. `run` until cancelled."""

    def __init__(
        self,
        peers: Peers,
        *,
        clock: Clock,
        name_of: Callable[[DeviceId], str],
        row_of: Callable[[SessionId], SessionRow | None],
    ) -> None:
        self._peers = peers
        self._clock = clock
        self._name_of = name_of
        self._row_of = row_of
        self.terminals = RemoteTerminals(peers, clock=clock, name_of=name_of, marked=self._mark_busy)
        self._relays: dict[SessionId, Relay[Channel]] = {}
        self._used: dict[DeviceId, set[SessionId]] = {}  # sessions once attached over the device's present link (L4)
        self._lost: dict[DeviceId, asyncio.Task[None] | None] = {}  # devices whose loss was notified to clients
        self._recounting: dict[DeviceId, set[SessionId]] = {}  # sessions whose number of viewers is about to be sent
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Own the tasks of the relays until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = self.terminals.group = group
            while True:
                await self._clock.sleep(LOOK_EVERY)
                self._look()

    # --- for clients -------------------------------------------------------------------------------------------------

    async def attach(
        self, channel: Channel, device: DeviceId, session: SessionId, request: Attach
    ) -> Followed[_Attached]:
        """Attach a client: the result is sent first, then the events after it, whatever came meanwhile (S4).

        The request is sent once; `links.patience` repeats it for a device that is out of reach.
        Raises: NotPaired, Refused, PeerUnreachable, PeerLost, TimedOut, or the error that the device answered.
        """
        while True:
            relay = self._expected(channel, device, session, request)
            try:
                attached, link = await self._request_attach(relay, lambda: request)
            except BaseException:
                self.detach(channel, session)
                raise
            if self._relays.get(session) is relay:
                break  # else the relay was ended meanwhile, and this client is in none
        self._used.setdefault(device, set()).add(session)
        self._mark_busy(device)
        resumed_at = request.after if attached.resumed and request.after is not None else attached.seq
        self._notify_lost(session, relay.answered(channel, resumed_at, attached.epoch), BEGAN_ANEW)
        if attached.seq == resumed_at and (row := self._row_of(session)) is not None:
            relay.heard_at = max(relay.heard_at, row.updated_at)  # no event is to come for that change
        if relay.resume_after() == resumed_at:  # else this result leaves out events that other viewers lack
            relay.link = link

        async def follow() -> None:
            frames, gap = relay.attached(channel)
            for frame in frames:
                _pass_on(relay, [channel], frame)
            if gap:
                self._attach_again(relay)

        return Followed(_as_seen_here(attached, self._row_of(session), colours=request.colours), follow)

    def _expected(self, channel: Channel, device: DeviceId, session: SessionId, request: Attach) -> Relay[Channel]:
        # The relay in which the client waits for the host's result.
        relay = self._relays.get(session)
        if relay is not None and relay.device != device:
            # R13: whoever watches one device's session is never moved to another's.
            raise SessionNotFound(f"{session} is watched on {self._name_of(relay.device)}, not {self._name_of(device)}")
        if relay is None:
            relay = self._relays[session] = Relay(device, session)
        relay.name = self._name_of(device)
        relay.expect(channel, colours=request.colours, tail=request.tail)
        return relay

    async def _request_attach(self, relay: Relay[Channel], request: Callable[[], Attach]) -> tuple[_Attached, Link]:
        def upstream() -> Attach:
            viewers = max(1, len(relay))
            asked = as_sent(request(), relay.session)  # all that any of the clients wants: it is one attachment
            return msgspec.structs.replace(asked, viewers=viewers, colours=True, tail=True)

        raw, link = await self._peers.attach(relay.device, SESSION_ATTACH, upstream)
        read_result(raw, SESSION_ATTACH, self._name_of(relay.device))
        attached = typed(raw, _Attached)
        if attached.session_id != relay.session:
            raise BadFrame(f"{self._name_of(relay.device)} answered about another session")
        return attached, link

    def detach(self, channel: Channel, session: SessionId) -> None:
        """Detach a client from a session; the last one ends the upstream attachment."""
        relay = self._relays.get(session)
        if relay is None or not relay.left(channel):
            return
        if not len(relay):
            del self._relays[session]
            self._mark_busy(relay.device)
        self._recount(relay.device, session)

    def _recount(self, device: DeviceId, session: SessionId) -> None:
        # One at a time for each session: the request that waits to be sent will carry the newest count.
        waiting = self._recounting.setdefault(device, set())
        if session in waiting:
            return
        waiting.add(session)

        def left() -> Detach:
            # Counted when it is sent: somebody who attaches meanwhile must not be detached after it.
            waiting.discard(session)
            now = self._relays.get(session)
            return Detach(session_id=session, viewers=len(now) if now is not None and now.device == device else 0)

        self._peers.post(device, SESSION_DETACH, left)

    def drop(self, channel: Channel) -> None:
        """Detach a client that is gone from every session and terminal."""
        self.terminals.drop(channel)
        for session in [session for session, relay in self._relays.items() if channel in relay.viewers]:
            self.detach(channel, session)

    async def create(self, device: DeviceId, request: CreateSession) -> Created:
        """Create a session on a device. If the client leaves before the result, the session is closed again (L6).

        Raises: as `Peers.call`, RemoteFault.
        """
        assert self._group is not None, "requests come while run() runs"
        here = msgspec.structs.replace(request, device="")
        task = child(self._group, self._create(device, here), "proxy.create")
        try:
            outcome = await asyncio.shield(task)
        except asyncio.CancelledError:
            spawn(self._group, self._close_orphan(device, task), "proxy.close-orphan")
            raise
        if isinstance(outcome, AgentError):
            raise outcome
        return outcome

    async def _create(self, device: DeviceId, request: CreateSession) -> Created | AgentError:
        try:
            raw = await self._peers.call(device, SESSION_CREATE, request, again=False)
            created = read_result(raw, SESSION_CREATE, self._name_of(device))
        except AgentError as exc:
            return exc
        except Exception as exc:  # noqa: BLE001 - recorded; the relays of others are in the same group
            failures().note("proxy.create", exc)
            return AgentError("the service failed; its log says more")
        return created

    async def _close_orphan(self, device: DeviceId, task: asyncio.Task[Created | AgentError]) -> None:
        outcome = await task
        if isinstance(outcome, Created):
            orphan = OnSession(session_id=outcome.session_id)
            self._peers.post(device, SESSION_CLOSE, lambda: orphan)

    # --- from links --------------------------------------------------------------------------------------------------

    def on_notification(self, device: DeviceId, method: str, params: Raw, frame: bytes) -> None:
        """Pass on a notification about an attached session, if its own device sent it. Raises: BadParams."""
        if method == EVENT.name:
            head = typed(params, _EventHead)
            if (relay := self._relays.get(head.session_id)) is not None and relay.device == device:
                relay.epoch = _new_epoch(head) or relay.epoch
                receivers, gap = relay.event(head.seq, frame)
                _pass_on(relay, receivers, frame)
                relay.heard_at = max(relay.heard_at, head.at)
                if gap:
                    self._attach_again(relay)
        elif method == TURN_TAIL.name:
            told = typed(params, TurnTail)
            if (relay := self._relays.get(told.session_id)) is not None and relay.device == device:
                _pass_on(relay, relay.rows(told.after_seq, frame), frame, replaces=f"{method} {relay.session}")
        elif method in {PARTICIPANTS_CHANGED.name, SESSION_STALLED.name}:
            about = typed(params, _About)
            if (relay := self._relays.get(about.session_id)) is not None and relay.device == device:
                _pass_on(relay, relay.viewers, frame)
        elif method == SESSION_LOST.name:
            lost = typed(params, SessionLost)
            if (relay := self._relays.get(lost.session_id)) is not None and relay.device == device:
                self._end(relay, lost.reason, lost.kind)
            self.terminals.lost(device, lost.session_id)
        else:
            self.terminals.on_notification(device, method, params, frame)

    def link_changed(self, device: DeviceId, up: bool) -> None:
        """Take that the link to a device is open (again), or is lost."""
        if not self._peers.trusts(device):
            # First, so that a client that also watches a terminal gets the reason.
            for relay in [relay for relay in self._relays.values() if relay.device == device]:
                self._end(relay, f"{relay.name} is not paired with this device", NotPaired.kind)
        self.terminals.link_changed(device, up)
        relays = [relay for relay in self._relays.values() if relay.device == device]
        self._recounting.pop(device, None)  # with the link its attachments are gone, and each new one sends its count
        if not up:
            self._used.pop(device, None)
        was_lost = device in self._lost
        waiting = self._lost.pop(device, None)
        if waiting is not None:
            waiting.cancel()
        if not relays or self._group is None:
            return
        if self._peers.refuses(device):
            for relay in relays if was_lost else ():  # else a client that attaches now gets that error
                self._end(relay, f"{self._name_of(device)} {REFUSES}", Refused.kind)
            return
        if was_lost or not up:  # a link that replaces another one is not "back": nobody missed it
            self._notify_viewers(PEER_BACK if up else PEER_LOST, device, relays)
        if up:
            self._mark_busy(device)
            for relay in relays:
                self._resume(relay)
        else:
            self._lost[device] = spawn(self._group, self._give_up(device), f"proxy.lost-{device}")

    def protected(self, device: DeviceId) -> bool:
        """Whether the link to a device must stay (L4): a client is attached, or a session once attached still works."""
        if self._watched(device):
            return True
        rows = (self._row_of(session) for session in self._used.get(device, ()))
        return any(row is not None and row.status in {"working", "needs-input"} for row in rows)

    def _notify_viewers(self, kind: NotificationKind[PeerLink], device: DeviceId, relays: list[Relay[Channel]]) -> None:
        reason = STOPPED if kind is PEER_LOST and self._peers.stopped(device) else ""
        sessions: dict[Channel, list[SessionId]] = {}
        for relay in relays:
            for channel in relay.viewers:
                sessions.setdefault(channel, []).append(relay.session)
        for channel, watched in sessions.items():
            params = PeerLink(device=device, name=self._name_of(device), sessions=tuple(watched), reason=reason)
            channel.notify(kind, params)

    def _attach_again(self, relay: Relay[Channel]) -> None:
        # The attachment over the link brings no more events, or not all.
        relay.link = None
        self._resume(relay)

    def _resume(self, relay: Relay[Channel]) -> None:
        # Attach upstream again behind the last event that every viewer has; others skip events that come twice.
        if self._group is not None and relay.resume_after() is not None and not relay.resuming:
            task = spawn(self._group, self._attach_until_it_stands(relay), f"proxy.resume-{relay.session}")
            relay.resuming = task is not None

    async def _attach_until_it_stands(self, relay: Relay[Channel]) -> None:
        # Until the session is attached over the present link: it may be another one than when this began (L9).
        problem, pause = "", RETRY
        try:
            while not problem and self._wants_attachment(relay):
                try:
                    problem = await self._attach_anew(relay)
                except (Busy, PeerLost, PeerUnreachable, TimedOut) as exc:
                    # Busy too: that means to ask again.
                    await self._clock.sleep(max(pause, exc.retry_after))
                    pause = min(RETRY_MAX, 2 * pause)
        except AgentError as exc:
            problem = str(exc)
        finally:
            relay.resuming = False
        if problem:
            # The clients attach again and start from a snapshot, or get the error.
            self._end(relay, problem)

    def _wants_attachment(self, relay: Relay[Channel]) -> bool:
        # With no link there is nothing to do: the next one begins anew.
        link = self._peers.current(relay.device)
        stands = self._relays.get(relay.session) is relay and relay.resume_after() is not None
        return stands and link is not None and relay.link is not link

    async def _attach_anew(self, relay: Relay[Channel]) -> str:
        # Returns what is wrong, if the viewers cannot go on from where they are.
        attached, link = await self._request_attach(
            relay, lambda: Attach(session_id=relay.session, after=relay.resume_after(), epoch=relay.epoch)
        )
        if not attached.resumed:
            return BEGAN_ANEW
        relay.epoch = attached.epoch
        relay.link = link
        return ""

    def _look(self) -> None:
        # L9, a second check: whatever went wrong, no client stays without the events behind a row's change.
        for relay in list(self._relays.values()):
            row = self._row_of(relay.session)
            if row is None or relay.resuming or row.updated_at <= relay.heard_at:
                relay.missing = ""
            elif relay.missing != row.updated_at:
                relay.missing = row.updated_at  # its event may be on the way
            else:
                log.info("a session is attached again: its row has moved on", extra={"session": relay.session})
                relay.heard_at = row.updated_at
                self._attach_again(relay)

    async def _give_up(self, device: DeviceId) -> None:
        await self._clock.sleep(LOST_MAX)
        for relay in [relay for relay in self._relays.values() if relay.device == device]:
            self._end(relay, f"{self._name_of(device)} did not come back")

    def _end(self, relay: Relay[Channel], reason: str, kind: str = "") -> None:
        # Whatever else its clients watch goes on. Clients whose attachment is awaited attach in another relay.
        if self._relays.get(relay.session) is relay:
            del self._relays[relay.session]
        self._mark_busy(relay.device)
        self._recount(relay.device, relay.session)
        self._notify_lost(relay.session, relay.attached_viewers, reason, kind)

    def _notify_lost(self, session: SessionId, viewers: Iterable[Channel], reason: str, kind: str = "") -> None:
        for channel in viewers:
            channel.notify(SESSION_LOST, SessionLost(session_id=session, reason=reason, kind=kind))

    def _mark_busy(self, device: DeviceId) -> None:
        self._peers.busy(device, attached=self._watched(device))

    def _watched(self, device: DeviceId) -> bool:
        return self.terminals.watches(device) or any(relay.device == device for relay in self._relays.values())


def _as_seen_here(attached: _Attached, row: SessionRow | None, *, colours: bool) -> _Attached:
    # The device sent its own view, in which the session is local; here it is a remote one, listed as `row` if it is.
    if attached.snapshot is None:
        return attached
    row = row or msgspec.structs.replace(attached.snapshot.session, local=False)
    events = attached.snapshot.events
    if not colours and ESCAPE in bytes(events):
        with suppress(BadFrame, Undescribed):  # as it came, else: clients clean what they show
            events = Raw(msgspec.msgpack.encode(as_wanted(typed(events, Rows[Event]), colours=False)))
    return msgspec.structs.replace(
        attached, snapshot=msgspec.structs.replace(attached.snapshot, session=row, events=events)
    )


def _new_epoch(head: _EventHead) -> str:
    # The epoch of the log that begins with this event, if one does (S15).
    try:
        return epoch_of(Event(head.seq, head.type, head.payload, head.at))
    except BadFrame:
        return ""


def _pass_on(relay: Relay[Channel], receivers: Iterable[Channel], frame: bytes, *, replaces: str = "") -> None:
    # The frame as it came for a client that speaks MessagePack, translated for one that speaks JSON.
    plain = _without_colours(frame) if ESCAPE in frame else frame
    for channel in receivers:
        shown = frame if relay.wants_colours(channel) else plain
        try:
            channel.send(shown if channel.codec.binary else channel.codec.translated(shown), replaces=replaces)
        except BadFrame as exc:
            channel.close(str(exc))  # the other viewers have theirs


def _without_colours(frame: bytes) -> bytes:
    # The frame as it came, if it cannot be read: clients clean what they show.
    try:
        told = msgpack.message(frame)
        if not isinstance(told, Notification):
            return frame
        if told.method == EVENT.name:
            event = typed(told.params, EventOf)
            bare = plain_event(Event(event.seq, event.type, event.payload, event.at))
            return msgpack.notification(EVENT.name, msgspec.structs.replace(event, payload=bare.payload))
        rows = typed(told.params, TurnTail)
        return msgpack.notification(TURN_TAIL.name, msgspec.structs.replace(rows, text=plain_text(rows.text)))
    except (BadFrame, Undescribed):
        return frame
