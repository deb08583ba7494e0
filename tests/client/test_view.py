"""What happens in a followed session, as values: each once, with the sentence that every front end says of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from agent.client.follow import Hydrated, NextEvent
from agent.client.reading import answered, session_over
from agent.client.stream import ConnectionLost, PeerBack
from agent.client.view import (
    WARNINGS,
    Change,
    Hydration,
    LinkBack,
    LinkLost,
    LogEntry,
    LogReplaced,
    News,
    ParticipantJoined,
    ParticipantLeft,
    PeerStopped,
    Resumed,
    RowsMoved,
    ServiceAway,
    SessionView,
    StorageBack,
    StorageStalled,
    also_here,
    sentence,
)
from agent.protocol.events import (
    Choice,
    Event,
    MessageDelta,
    MessageStart,
    Payload,
    RequestClosed,
    RequestOpen,
    SessionInfo,
    TurnComplete,
    UserMessage,
    make_event,
)
from agent.protocol.messages import (
    Attached,
    ParticipantsChanged,
    PeerLink,
    SessionStalled,
    Snapshot,
    Submitted,
    TurnTail,
)
from agent.protocol.model import Participant, Sender, SessionId, Status
from agent.protocol.prompts import QueuedPrompt
from tests.frontends.gateway import DESK, HERE, OWN, THERE, session

DESKS = Sender(device=DESK, name="desk")
ALLOW = RequestOpen(turn=1, request_id="r", kind="choices", prompt="Go?", choices=(Choice(id="y", name="Yes"),))
CLOSED = RequestClosed(turn=1, request_id="r", status="answered", answer="y", by=DESKS)
NEWS = (
    ParticipantJoined(DESK, "desk"),
    ParticipantLeft(DESK, "desk"),
    LinkLost("desk"),
    LinkBack("desk"),
    PeerStopped("desk"),
    StorageStalled("the disk is full"),
    StorageBack(),
    ServiceAway(),
    Resumed(),
    LogReplaced(),
)


def viewers(**counts: int) -> tuple[Participant, ...]:
    ids = {"laptop": OWN, "desk": DESK}
    return tuple(Participant(device=ids[name], name=name, count=count) for name, count in counts.items())


def log(*payloads: Payload, first: int = 1) -> tuple[Event, ...]:
    return tuple(make_event(seq, payload, 0.0) for seq, payload in enumerate(payloads, first))


def attached(
    *payloads: Payload, requests: tuple[RequestOpen, ...] = (), participants: tuple[Participant, ...] = ()
) -> Attached:
    events = log(*payloads)
    shown = Snapshot(session=session(), events=events)
    return Attached(
        session_id=HERE, epoch="e1", seq=len(events), snapshot=shown, requests=requests, participants=participants
    )


def hydrated(result: Attached, *, again: bool = False, anew: bool = False) -> Hydrated:
    return Hydrated(result, () if result.snapshot is None else result.snapshot.events, again, anew)


def watched(result: Attached | None = None) -> SessionView:
    view = SessionView(OWN)
    view.take(hydrated(attached() if result is None else result))
    return view


def closing(view: SessionView, event: Event) -> RequestOpen | None:
    (change,) = view.take(NextEvent(event))
    assert isinstance(change, LogEntry)
    return change.closes


# --- attaching -------------------------------------------------------------------------------------------------------


def test_attaching_brings_what_was_said_what_is_asked_and_who_is_there() -> None:
    view = SessionView(OWN)
    (change,) = view.take(
        hydrated(attached(MessageStart(turn=0), requests=(ALLOW,), participants=viewers(laptop=2, desk=1)))
    )
    assert isinstance(change, Hydration)
    assert [(entry.payload, entry.merged) for entry in change.entries] == [(MessageStart(turn=0), True)]
    assert change.opened == (ALLOW,)  # no entry shows it
    assert change.news is None
    assert change.session is not None
    assert (view.session, list(view.requests)) == (HERE, ["r"])
    assert also_here(view.others.values()) == "also here: laptop, desk"  # another client of this device, too (S8)


def test_a_request_that_an_entry_has_opened_is_not_opened_twice() -> None:  # S9
    (change,) = SessionView(OWN).take(hydrated(attached(ALLOW, requests=(ALLOW,))))
    assert isinstance(change, Hydration)
    assert change.opened == ()


def test_a_log_that_is_resumed_tells_by_its_entries_what_was_asked_and_answered_meanwhile() -> None:  # S4, S9
    view = watched(attached(ALLOW, requests=(ALLOW,)))
    other = msgspec.structs.replace(ALLOW, request_id="s")
    back = Attached(session_id=HERE, epoch="e1", seq=3, resumed=True, requests=(other,))
    (change,) = view.take(hydrated(back, again=True))
    assert isinstance(change, Hydration)
    assert (change.opened, change.news) == ((), Resumed())
    assert list(view.requests) == ["s"]
    assert closing(view, log(CLOSED, first=2)[0]) == ALLOW


def test_another_log_begins_with_nothing_of_the_one_before() -> None:  # S15
    view = watched(attached(UserMessage(turn=7, prompt_id="p", text="x", sender=DESKS), ALLOW, requests=(ALLOW,)))
    assert view.running
    (change,) = view.take(hydrated(attached(), again=True, anew=True))
    assert isinstance(change, Hydration)
    assert change.news == LogReplaced()
    assert (view.requests, view.turn, list(view.queue), view.running) == ({}, 0, [], False)


# --- the log ---------------------------------------------------------------------------------------------------------


def test_the_entry_that_closes_a_request_knows_which_one() -> None:
    view = watched()
    view.take(NextEvent(log(ALLOW)[0]))
    request = closing(view, log(CLOSED, first=2)[0])
    assert request == ALLOW
    assert answered(request, CLOSED) == "Yes"
    assert answered(None, CLOSED) == "y"
    assert view.requests == {}


def test_a_request_is_no_longer_open_once_this_viewers_answer_was_taken() -> None:
    view = watched(attached(ALLOW, requests=(ALLOW,)))
    view.answered("r")
    assert view.requests == {}


def test_turns_run_from_their_prompt_to_their_end() -> None:
    view = watched()
    view.submitted(Submitted(turn=2, status="queued", position=1))
    assert view.running
    view.take(NextEvent(log(TurnComplete(turn=1, status="complete"))[0]))
    assert view.running
    view.take(NextEvent(log(TurnComplete(turn=2, status="complete"), first=2)[0]))
    assert not view.running


def waits(turn: int, text: str = "x", *, steer: bool = False) -> UserMessage:
    return UserMessage(turn=turn, prompt_id=f"p{turn}", text=text, sender=DESKS, queued=True, steer=steer)


def waiting(view: SessionView) -> list[int]:
    return [prompt.turn for prompt in view.queue]


def test_what_waits_is_known_in_the_order_in_which_it_runs() -> None:  # S1, S12
    begun = UserMessage(turn=1, prompt_id="p1", text="x", sender=DESKS)
    view = watched(attached(begun, MessageStart(turn=1), waits(2), waits(3), waits(4, steer=True)))
    assert (view.turn, waiting(view)) == (1, [4, 2, 3])
    taken_back = TurnComplete(turn=2, status="interrupted", withdrawn_by=DESKS)
    for event in log(taken_back, TurnComplete(turn=1, status="complete"), MessageStart(turn=4), first=6):
        view.entry(event)
    assert (view.turn, waiting(view), view.running) == (4, [3], True)
    for event in log(begun, MessageStart(turn=1), waits(2), waits(3)):  # as a command does that looks for its prompt
        view.entry(event)
    assert waiting(view)[-1] == 3


def test_a_prompt_that_is_taken_back_does_not_end_the_turn_that_runs() -> None:  # S12
    view = watched(attached(MessageStart(turn=1), waits(2)))
    view.entry(log(TurnComplete(turn=2, status="interrupted", withdrawn_by=DESKS), first=3)[0])
    assert (view.turn, waiting(view), view.running) == (1, [], True)


def test_what_waits_is_known_though_the_snapshot_begins_later() -> None:  # S12
    queue = tuple(QueuedPrompt(turn=turn, prompt_id=f"p{turn}", text="cut\u2026", sender=DESKS) for turn in (2, 3))
    working = session(status=Status.WORKING)
    shown = Snapshot(session=working, events=log(MessageDelta(turn=1, text="x"), waits(3, "whole")), truncated=True)
    view = watched(Attached(session_id=HERE, epoch="e1", seq=2, snapshot=shown, queue=queue))
    assert (view.turn, [prompt.text for prompt in view.queue]) == (1, ["cut\u2026", "whole"])
    idle = msgspec.structs.replace(shown, session=session())
    assert watched(Attached(session_id=HERE, epoch="e1", seq=2, snapshot=idle)).turn == 0


def test_an_entry_of_a_later_version_is_kept_and_means_nothing() -> None:
    event = Event(1, "hologram", msgspec.Raw(b"\x80"), "")
    assert watched().take(NextEvent(event)) == [LogEntry(event, None)]


def test_the_end_of_a_session_is_said_with_its_reason() -> None:
    view = watched()
    view.take(NextEvent(log(SessionInfo(status="failed", note="no such program"))[0]))
    assert view.ended == "failed"
    assert (
        session_over(SessionInfo(status="failed", note="no such program")) == "the session has failed: no such program"
    )
    assert session_over(SessionInfo(status="ended")) == "the session has ended"
    view.take(NextEvent(log(SessionInfo(status="idle", note="started anew"), first=2)[0]))
    assert view.ended == ""
    assert session_over(SessionInfo(status="idle", note="back")) == ""


# --- news ------------------------------------------------------------------------------------------------------------


def test_who_comes_and_goes_is_told_once_by_device() -> None:  # S8
    view = watched(attached(participants=viewers(laptop=1)))
    assert view.take(ParticipantsChanged(session_id=HERE, participants=viewers(laptop=1, desk=1))) == [
        ParticipantJoined(DESK, "desk")
    ]
    assert view.take(ParticipantsChanged(session_id=HERE, participants=viewers(laptop=1, desk=2))) == []
    assert also_here(view.others.values()) == "also here: desk (2)"
    assert view.take(ParticipantsChanged(session_id=THERE, participants=())) == []
    assert view.take(ParticipantsChanged(session_id=HERE, participants=viewers(laptop=1))) == [
        ParticipantLeft(DESK, "desk")
    ]
    assert also_here(view.others.values()) == ""


def test_a_link_that_breaks_is_told_to_whoever_watches_over_it() -> None:  # L5
    view = watched()
    broken = PeerLink(device=DESK, name="desk", sessions=(HERE,))
    assert view.take(broken) == [LinkLost("desk")]
    assert view.take(PeerBack(broken)) == [LinkBack("desk")]
    assert view.take(msgspec.structs.replace(broken, reason="it has stopped")) == [PeerStopped("desk")]
    assert view.take(msgspec.structs.replace(broken, sessions=(THERE,))) == []
    assert view.take(ConnectionLost()) == [ServiceAway()]


def test_a_store_that_is_full_and_has_room_again_is_told() -> None:  # S2
    view = watched()
    assert view.take(SessionStalled(session_id=HERE, reason="the disk is full")) == [StorageStalled("the disk is full")]
    assert view.take(SessionStalled(session_id=HERE)) == [StorageBack()]
    assert view.take(SessionStalled(session_id=THERE)) == []


def test_all_news_have_one_clean_sentence_each() -> None:  # T10
    assert {type(news) for news in NEWS} == set(get_args(News))
    said = [sentence(news) for news in NEWS]
    assert sentence(ParticipantJoined(DESK, "de\x1bsk")) == "de\N{REPLACEMENT CHARACTER}sk joined"
    assert len(set(said)) == len(NEWS)
    assert all(line.isprintable() and not line.endswith(".") for line in said)
    assert set(WARNINGS) < set(get_args(News))


@pytest.mark.parametrize("news", NEWS)
def test_news_go_through_json(news: News) -> None:
    text = msgspec.json.encode(news)
    assert msgspec.json.decode(text, type=News) == news
    assert msgspec.json.decode(text)["what"]


def test_the_page_about_news_says_what_the_code_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "design" / "client.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z-]+)` \|.*\| (.+) \|$", page, re.MULTILINE))
    said = {type(news).__struct_config__.tag: sentence(news) for news in NEWS}
    assert {what: rows.get(str(what)) for what in said} == said


def test_a_change_is_an_entry_a_hydration_other_rows_or_news() -> None:
    assert set(get_args(Change)) == {LogEntry, Hydration, RowsMoved, *get_args(News)}


def test_text_that_streams_is_marked_as_what_is_new_and_a_snapshots_as_all_of_it() -> None:
    view = SessionView(OWN)
    delta = MessageDelta(turn=1, text="one")
    (change,) = view.take(hydrated(attached(delta)))
    assert isinstance(change, Hydration)
    assert change.entries[0].merged
    (entry,) = view.take(NextEvent(log(delta, first=2)[0]))
    assert isinstance(entry, LogEntry)
    assert not entry.merged


# --- rows that may still change --------------------------------------------------------------------------------------


def moving(text: str, session: SessionId = HERE) -> TurnTail:
    return TurnTail(session_id=session, turn=1, after_seq=1, text=text)


def in_turn(text: str = "one\n 50 %") -> SessionView:
    view = watched(attached(UserMessage(turn=1, prompt_id="p", text="x", sender=Sender(device=OWN, name="laptop"))))
    assert view.take(moving(text)) == [RowsMoved()]
    return view


def test_the_newest_rows_stand_below_what_was_said_and_go_with_it() -> None:
    view = in_turn()
    assert view.rows == ["one", " 50 %"]
    view.take(NextEvent(log(MessageDelta(turn=1, text="one\n"), first=2)[0]))
    assert view.rows == [" 50 %"]
    view.take(moving("99 %\n"))
    assert view.rows == ["99 %"]
    view.take(NextEvent(log(TurnComplete(turn=1, status="complete"), first=3)[0]))
    assert view.rows == []


def test_half_a_line_that_is_asked_as_a_question_does_not_stand_twice() -> None:
    view = in_turn("\x1b[1mSetting up\x1b[0m\nName: ")
    view.take(NextEvent(log(RequestOpen(turn=1, request_id="r", kind="line", prompt="Name:"), first=2)[0]))
    assert view.rows == ["\x1b[1mSetting up\x1b[0m"]


@pytest.mark.parametrize(
    "lost",
    [PeerLink(device=DESK, name="desk", sessions=(HERE,)), ConnectionLost(), hydrated(attached(), again=True)],
    ids=["the link", "the service", "attached again"],
)
def test_rows_do_not_stand_on_while_nothing_comes(lost: PeerLink | ConnectionLost | Hydrated) -> None:
    view = in_turn()
    view.take(lost)
    assert view.rows == []


def test_rows_of_another_session_are_nobodys_here() -> None:
    view = in_turn()
    assert view.take(moving("other", THERE)) == []
    assert view.rows == ["one", " 50 %"]
