"""One session's log as this client sees it: every event once, in order, whatever connections were lost (S4)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from msgspec import Struct

from agent.cli.stream import Note, Returned, Stream
from agent.core.messages import Attach, Attached, EventOf, OnSession
from agent.core.transcript import Event
from agent.errors import AgentError

REMOTE_PATIENCE = 60.0
"""Seconds for which a restarted service may not know another device's session yet."""
REMOTE_RETRY = 0.5
_NOT_YET = frozenset({"session-not-found", "device-not-found", "peer-unreachable", "peer-lost", "not-paired"})


class Hydrated(Struct, frozen=True):
    """Attached, or attached again: `events` are those not seen before."""

    result: Attached
    events: tuple[Event, ...]
    again: bool = False


class Seen(Struct, frozen=True):
    """The next event of the log."""

    event: Event


class Mark:
    """How far a log was read."""

    def __init__(self, session: str, *, after: int | None = None, epoch: str = "") -> None:
        self.session, self.epoch = session, epoch
        self.seq = after or 0
        self._resumes = after is not None

    def params(self) -> Attach:
        """What asks for the rest."""
        return Attach(session_id=self.session, after=self.seq if self._resumes else None, epoch=self.epoch)

    def attached(self, result: Attached) -> tuple[Event, ...]:
        """Take the answer; the events of its snapshot that are new."""
        if result.epoch != self.epoch:
            self.seq = 0  # another life of the log: nothing of it was seen
        self.session, self.epoch, self._resumes = result.session_id, result.epoch, True
        if result.snapshot is None:
            return ()
        fresh = tuple(event for event in result.snapshot.events if event.seq > self.seq)
        self.seq = max(self.seq, result.seq)
        return fresh

    def take(self, told: EventOf) -> Event | None:
        """The event if it is the next one; None if it was seen. Raises: LookupError, if one before it is missing."""
        if told.session_id != self.session or told.seq <= self.seq:
            return None
        if told.seq != self.seq + 1:
            raise LookupError(f"event {self.seq + 1} is missing")
        self.seq = told.seq
        return Event(told.seq, told.type, told.payload, told.at)


async def follow(stream: Stream, mark: Mark) -> AsyncIterator[Hydrated | Seen | Note]:
    """Attach and stay attached. Other notes of the service pass through. Raises: what attaching raises."""
    first = await stream.insist("session.attach", mark.params(), Attached)
    yield Hydrated(first, mark.attached(first))
    async for note in stream.notes():
        missing = False
        if isinstance(note, EventOf):
            try:
                event = mark.take(note)
            except LookupError:
                missing = True
            else:
                if event is not None:
                    yield Seen(event)
        else:
            yield note
        if missing:  # the service cut its stream short: hydrate from where we are
            await stream.insist("session.detach", OnSession(session_id=mark.session), dict)
        if missing or isinstance(note, Returned):
            result = await _attach_again(stream, mark)
            yield Hydrated(result, mark.attached(result), again=True)


async def _attach_again(stream: Stream, mark: Mark) -> Attached:
    until = stream.clock.monotonic() + REMOTE_PATIENCE
    while True:
        try:
            return await stream.insist("session.attach", mark.params(), Attached)
        except AgentError as exc:
            if exc.kind not in _NOT_YET or stream.clock.monotonic() >= until:
                raise
        await stream.clock.sleep(REMOTE_RETRY)
