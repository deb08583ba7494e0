"""One session's log as this client sees it: every event once, in order, whatever connections were lost (S4)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from msgspec import Struct

from agent.client.stream import ConnectionBack, Note, ServiceLost, Stream
from agent.errors import AgentError, from_wire
from agent.protocol.events import Event, epoch_of
from agent.protocol.messages import Attach, Attached, Detach, EventOf, SessionLost, SessionStalled
from agent.protocol.methods import SESSION_ATTACH, SESSION_DETACH

REMOTE_PATIENCE = 60.0
"""Seconds for which a restarted service may not know another device's session yet."""
REMOTE_RETRY = 0.5
_NOT_YET = frozenset({"session-not-found", "device-not-found", "peer-unreachable", "peer-lost", "not-paired"})


class Hydrated(Struct, frozen=True):
    """The answer to attaching, for the first time or again: `events` are those not seen before.

    `anew`: the log is another one, as after its state was restored from an older copy: what was shown before counts no
    more, and `events` are of the log as it is (S15).
    """

    result: Attached
    events: tuple[Event, ...]
    again: bool = False
    anew: bool = False


class NextEvent(Struct, frozen=True):
    """The next event of the log."""

    event: Event


class Mark:
    """How far a log was read, and which log that was."""

    def __init__(
        self, session: str, *, after: int | None = None, epoch: str = "", colours: bool = False, tail: bool = False
    ) -> None:
        """`colours`: the colours of what programs print are wanted; `tail`: so are rows that may still change."""
        self.session, self.epoch = session, epoch
        self.colours, self._tail = colours, tail
        self.seq = after or 0
        self._resumes = after is not None

    def params(self, wait: float | None = None) -> Attach:
        """What asks for the rest of the log; `wait`: seconds for which the service waits for a device out of reach."""
        after = self.seq if self._resumes else None
        return Attach(
            session_id=self.session,
            after=after,
            epoch=self.epoch,
            wait=wait,
            colours=self.colours,
            tail=self._tail,
        )

    def attached(self, result: Attached, *, again: bool = False) -> Hydrated:
        """Take the answer to attaching. A log that cannot be resumed is another one: what was seen counts no more."""
        anew = result.snapshot is not None and self._resumes
        self.session = result.session_id
        self.epoch = result.epoch
        self._resumes = True
        if result.snapshot is None:
            return Hydrated(result, (), again)
        self.seq = result.seq
        return Hydrated(result, result.snapshot.events, again, anew)

    def take(self, told: EventOf) -> Event | None:
        """The event, if it is the next one; None if it was seen. Raises: LookupError, if one before it is missing."""
        if told.session_id != self.session or told.seq <= self.seq:
            return None
        if told.seq != self.seq + 1:
            raise LookupError(f"event {self.seq + 1} is missing")
        self.seq = told.seq
        event = Event(told.seq, told.type, told.payload, told.at)
        self.epoch = epoch_of(event) or self.epoch
        return event


async def follow(stream: Stream, mark: Mark) -> AsyncIterator[Hydrated | NextEvent | Note]:
    """Attach to a session and stay attached; notes of the service about other things pass through.

    Raises: what attaching raises, and why there is nothing to attach to any more, as `session.lost` says.
    """
    first = await stream.insist(SESSION_ATTACH, mark.params())
    yield mark.attached(first)
    if first.stalled:
        yield SessionStalled(session_id=first.session_id, reason=first.stalled)
    async for note in stream.notes():
        missing = False
        if isinstance(note, EventOf):
            try:
                event = mark.take(note)
            except LookupError:
                missing = True
            else:
                if event is not None:
                    yield NextEvent(event)
        else:
            yield note
        if missing:  # the service cut its stream short: hydrate from where we are
            await stream.insist(SESSION_DETACH, Detach(session_id=mark.session))
        lost = isinstance(note, SessionLost) and note.session_id == mark.session
        if isinstance(note, SessionLost) and lost and note.kind:
            raise from_wire(0, note.reason, note.kind, "")
        if missing or lost or isinstance(note, ConnectionBack):
            # A device that was lost has been waited for already.
            if lost:
                await stream.clock.sleep(REMOTE_RETRY)
            result = await _attach_again(stream, mark, wait=0.0 if lost else None)
            yield mark.attached(result, again=True)
            if result.stalled:
                yield SessionStalled(session_id=result.session_id, reason=result.stalled)


async def _attach_again(stream: Stream, mark: Mark, wait: float | None) -> Attached:
    until = stream.clock.monotonic() + REMOTE_PATIENCE
    while True:
        try:
            return await stream.insist(SESSION_ATTACH, mark.params(wait))
        except ServiceLost:
            if stream.failure is not None:  # it stays away
                raise
        except AgentError as exc:
            if exc.kind not in _NOT_YET or stream.clock.monotonic() >= until:
                raise
        await stream.clock.sleep(REMOTE_RETRY)
