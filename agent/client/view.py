"""A followed session as values: what happens in it, who watches it, and the sentences that a person is told.

`follow` brings every entry of the log once, whatever connections were lost; `SessionView` makes of that what front ends
show. The command line, editors and Hermes's terminal UI render the same values, and the page's store mirrors them
(docs/design/client.md). Nothing here waits, prints, or knows a terminal.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import assert_never

from msgspec import Struct

from agent.client.follow import Hydrated, NextEvent
from agent.client.stream import ConnectionLost, Note, PeerBack
from agent.client.terminal_text import clean
from agent.protocol.colours import plain
from agent.protocol.events import (
    Command,
    Event,
    MessageStart,
    Option,
    Payload,
    RequestClosed,
    RequestOpen,
    SessionInfo,
    TurnComplete,
    UserMessage,
    payload_of,
)
from agent.protocol.messages import ParticipantsChanged, PeerLink, SessionStalled, Submitted, TurnTail
from agent.protocol.model import DeviceId, Participant, SessionRow, Status
from agent.protocol.moving_rows import MovingRows
from agent.protocol.prompts import PromptQueue

BEGAN_ANEW = "the session's log began anew: its device was restored from an older copy"


class LogEntry(Struct, frozen=True):
    """An entry of the session's log. As JSON, an entry is what an `event` notification is (`event_json`)."""

    event: Event
    payload: Payload | None  # None: of a type that only a later version knows
    merged: bool = False  # the text of this entry is all that was said so far, not only what is new
    closes: RequestOpen | None = None  # of `request.closed`: the request, where it was seen to open


class Hydration(Struct, frozen=True):
    """The client is attached, for the first time or again: what stands, and the entries not seen before."""

    session: SessionRow | None  # None: the log was resumed, and its entries follow one by one
    entries: tuple[LogEntry, ...]
    opened: tuple[RequestOpen, ...] = ()  # open requests that no entry has shown
    options: tuple[Option, ...] = ()
    commands: tuple[Command, ...] = ()
    truncated: bool = False  # older entries are in `session.history`
    again: bool = False
    anew: bool = False  # the log is another one: what was shown before counts no more (S15)

    @property
    def news(self) -> Resumed | LogReplaced | None:
        """What a person is told of being attached again; None, the first time."""
        if self.anew:
            return LogReplaced()
        return Resumed() if self.again else None


class RowsMoved(Struct, frozen=True):
    """Other rows stand below the text of the running turn, or none: `SessionView.rows` has them. Only if asked for."""


class ViewNews(Struct, frozen=True, tag_field="what"):
    """Base of what a person is told beside what the session says; `sentence` has the words."""


class ParticipantJoined(ViewNews, frozen=True, tag="participant-joined"):
    """A device has attached to the session, with its first client (S8)."""

    device: DeviceId
    name: str


class ParticipantLeft(ViewNews, frozen=True, tag="participant-left"):
    """A device is attached to the session no more, with none of its clients (S8)."""

    device: DeviceId
    name: str


class LinkLost(ViewNews, frozen=True, tag="link-lost"):
    """The link to the session's device broke; it is dialled again (L5)."""

    name: str  # of the device


class LinkBack(ViewNews, frozen=True, tag="link-back"):
    """The link to the session's device carries again (L5)."""

    name: str  # of the device


class PeerStopped(ViewNews, frozen=True, tag="peer-stopped"):
    """The session's device has stopped. Nothing is promised of it: its turn was cut."""

    name: str  # of the device


class StorageStalled(ViewNews, frozen=True, tag="storage-stalled"):
    """The session's device cannot store what the session says, so that it is not shown (S2)."""

    reason: str


class StorageBack(ViewNews, frozen=True, tag="storage-back"):
    """The session's device stores what the session says again."""


class ServiceAway(ViewNews, frozen=True, tag="service-away"):
    """The connection to the service on this device broke; it is looked for."""


class Resumed(ViewNews, frozen=True, tag="resumed"):
    """The client is attached again, and has every entry once (S4)."""


class LogReplaced(ViewNews, frozen=True, tag="log-replaced"):
    """The client is attached again, to another log than before (S15)."""


News = (
    ParticipantJoined
    | ParticipantLeft
    | LinkLost
    | LinkBack
    | PeerStopped
    | StorageStalled
    | StorageBack
    | ServiceAway
    | Resumed
    | LogReplaced
)
Change = LogEntry | Hydration | RowsMoved | News
"""What happens in a followed session, one at a time and in order."""
AWAY = (LinkLost, PeerStopped, ServiceAway)
"""News after which nothing of the session comes for a while."""
WARNINGS = (LinkLost, PeerStopped, StorageStalled, ServiceAway, LogReplaced)
"""News of something that is not as it should be."""


def sentence(news: News) -> str:  # noqa: PLR0911 - one case each
    """What a person is told, as one clean line without a mark before it."""
    match news:
        case ParticipantJoined(name=name):
            return f"{clean(name)} joined"
        case ParticipantLeft(name=name):
            return f"{clean(name)} left"
        case LinkLost(name=name):
            return f"link to {clean(name)} lost; nothing is lost, retrying"
        case LinkBack(name=name):
            return f"link to {clean(name)} is back"
        case PeerStopped(name=name):
            return f"{clean(name)} has stopped; waiting for it"
        case StorageStalled(reason=reason):
            return clean(f"nothing more is shown: {reason}", 4096)
        case StorageBack():
            return "what the session says is stored again"
        case ServiceAway():
            return "the service is away; waiting for it"
        case Resumed():
            return "back; the log is whole"
        case LogReplaced():
            return BEGAN_ANEW
    assert_never(news)


def also_here(others: Iterable[Participant]) -> str:
    """Who else watches, as one clean line, with the number of clients where a device has several; "" if nobody does."""
    named = [f"{participant_name(one)} ({one.count})" if one.count > 1 else participant_name(one) for one in others]
    return f"also here: {', '.join(named)}" if named else ""


def participant_name(participant: Participant) -> str:
    """The name of a participant's device, cleaned; its id, if it has none."""
    return clean(participant.name) or clean(participant.device)


def news_of(note: Note, session: str) -> News | None:
    """What a note of the service's tells whoever watches the session about its link, its device or the service."""
    match note:
        case PeerLink() if session in note.sessions or not note.sessions:
            return PeerStopped(note.name) if note.reason else LinkLost(note.name)
        case PeerBack() if session in note.link.sessions or not note.link.sessions:
            return LinkBack(note.link.name)
        case SessionStalled() if note.session_id == session:
            return StorageStalled(note.reason) if note.reason else StorageBack()
        case ConnectionLost():
            return ServiceAway()
        case _:
            return None


class SessionView:
    """What stands in one followed session: who else watches it, what it asks, and which turns are over."""

    def __init__(self, own: str = "") -> None:
        """`own`: this device, whose clients are counted without this one."""
        self.own = own  # the id of this device
        self.clients = 1  # of this device that are this one: its terminal is shown by a second one
        self.session = ""  # its id, once attached
        self.others: dict[str, Participant] = {}  # who else watches, by device
        self.requests: dict[str, RequestOpen] = {}  # open ones by id, oldest first
        self.turn = 0  # that runs; 0: none
        self.queue = PromptQueue()  # what waits: of prompts that were there before this client, the text may be cut
        self.ended = ""  # "ended" or "failed", once the session is
        self._moving = MovingRows()
        self._shown: dict[str, RequestOpen] = {}  # requests whose end has not been shown
        self._logged_turn = 0  # the newest that the log has shown
        self._accepted_turn = 0  # the newest that was accepted of this client

    @property
    def running(self) -> bool:
        """Whether a turn runs, or is still to come."""
        return bool(self.turn or self.queue) or self._logged_turn < self._accepted_turn

    @property
    def rows(self) -> list[str]:
        """The rows of the running turn that may still change; the last one is left out where it is asked as a question.

        They come from the network: clean them before they are shown.
        """
        rows = self._moving.text.rstrip("\n").split("\n")
        asked = {request.prompt.strip() for request in self.requests.values()}
        return rows[:-1] if plain(rows[-1]).strip() in {"", *asked} else rows

    async def changes(self, notes: AsyncIterator[Hydrated | NextEvent | Note]) -> AsyncIterator[Change]:
        """What `follow` yields, as changes. Raises: what `follow` raises."""
        async for note in notes:
            for change in self.take(note):
                yield change

    def take(self, note: Hydrated | NextEvent | Note) -> list[Change]:
        """What one note means for this session; nothing, if it is about something else."""
        match note:
            case NextEvent(event=event):
                return [self.entry(event)]
            case Hydrated():
                return [self._hydrate(note)]
            case ParticipantsChanged() if note.session_id == self.session:
                return self._meet(note.participants)
            case TurnTail() if note.session_id == self.session:
                self._moving.take(note.turn, note.text)
                return [RowsMoved()]
            case _:
                news = news_of(note, self.session)
                if isinstance(news, AWAY):
                    self._moving.clear()
                return [] if news is None else [news]

    def entry(self, event: Event, *, merged: bool = False) -> LogEntry:
        """Take one entry of the log; also used to read a log from the beginning. Raises: BadFrame."""
        payload, closes = payload_of(event), None
        self.queue.apply(payload)
        self._moving.apply(payload)
        match payload:
            case UserMessage(turn=turn):
                self._logged_turn = max(self._logged_turn, turn)
                self.turn = self.turn if payload.queued else turn
            case RequestOpen():
                self.requests[payload.request_id] = self._shown[payload.request_id] = payload
            case RequestClosed(request_id=request_id):
                self.requests.pop(request_id, None)
                closes = self._shown.pop(request_id, None)
            case MessageStart(turn=turn) if turn:
                self.turn = turn
            case TurnComplete(turn=turn):
                self._logged_turn = max(self._logged_turn, turn)
                self.turn = 0 if turn == self.turn else self.turn
            case SessionInfo(status="ended" | "failed"):
                self.ended = payload.status
            case SessionInfo(status="starting" | "idle"):  # it was started anew
                self.ended = ""
            case _:
                pass
        return LogEntry(event, payload, merged, closes)

    def submitted(self, told: Submitted) -> None:
        """Note that a prompt was accepted: its turn is to come."""
        self._accepted_turn = max(self._accepted_turn, told.turn)

    def answered(self, request_id: str) -> None:
        """Note that an answer of this client's was taken: the request is open no more, whenever the log says so."""
        self.requests.pop(request_id, None)
        self._shown.pop(request_id, None)

    def _hydrate(self, note: Hydrated) -> Hydration:
        result, snapshot = note.result, note.result.snapshot
        self.session = result.session_id
        self._moving.clear()  # what stands now is told again
        if note.anew:
            self._shown.clear()
            self._logged_turn = 0
            self._accepted_turn = 0
            self.turn = 0
            self.queue = PromptQueue()
            self.ended = ""
        if not note.again:
            self.others = self._others(result.participants)
        entries = tuple(self.entry(event, merged=True) for event in note.events)
        opened: tuple[RequestOpen, ...] = ()
        if snapshot is not None:  # else what has opened meanwhile follows as entries
            opened = tuple(request for request in result.requests if request.request_id not in self._shown)
            self._shown.update({request.request_id: request for request in opened})
            self.turn = self.turn or _running_turn(snapshot.session, entries)
            if result.queue:  # else nothing waits; or an earlier version does not tell, and the entries must do
                self.queue = PromptQueue(self.queue.find(each.prompt_id) or each for each in result.queue)
        self.requests = {request.request_id: request for request in result.requests}
        return Hydration(
            session=None if snapshot is None else snapshot.session,
            entries=entries,
            opened=opened,
            options=result.options,
            commands=result.commands,
            truncated=snapshot is not None and snapshot.truncated,
            again=note.again,
            anew=note.anew,
        )

    def _meet(self, participants: Iterable[Participant]) -> list[Change]:
        before, self.others = self.others, self._others(participants)
        came = [one for device, one in self.others.items() if device not in before]
        gone = [one for device, one in before.items() if device not in self.others]
        joined: list[Change] = [ParticipantJoined(one.device, participant_name(one)) for one in came]
        return joined + [ParticipantLeft(one.device, participant_name(one)) for one in gone]

    def _others(self, participants: Iterable[Participant]) -> dict[str, Participant]:
        # Everybody but this client.
        counted = [(one, one.count - (self.clients if one.device == self.own else 0)) for one in participants]
        return {
            str(one.device): Participant(device=one.device, name=one.name, count=count)
            for one, count in counted
            if count > 0
        }


def _running_turn(session: SessionRow, entries: Iterable[LogEntry]) -> int:
    # Of a long turn the snapshot has no beginning.
    if session.status not in {Status.WORKING, Status.NEEDS_INPUT}:
        return 0
    payloads = [entry.payload for entry in entries]
    over = {payload.turn for payload in payloads if isinstance(payload, TurnComplete)}
    said = [getattr(payload, "turn", 0) for payload in payloads if not isinstance(payload, UserMessage | TurnComplete)]
    newest = next((turn for turn in reversed(said) if turn), 0)
    return 0 if newest in over else newest
