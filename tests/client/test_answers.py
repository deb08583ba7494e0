"""What a typed line means as an answer, and what whoever comes too late is told (S9)."""

from __future__ import annotations

import pytest

from agent.client.answers import Answering, answer_of, how_to_answer, over_before, too_late
from agent.client.reading import answered
from agent.errors import BadParams
from agent.protocol.answers import checked
from agent.protocol.events import Choice, Field, Payload, RequestClosed, RequestKind, RequestOpen, make_event
from agent.protocol.messages import Answered, Attached, Snapshot
from agent.protocol.model import DeviceId, DeviceRef, Sender, SessionId, SessionRow, Status
from tests.client.test_choices import CLAUDE, COLOURS

NOW = 1_800_000_000.0
DESK = Sender(device=DeviceId("desk-id"), name="desk")
ASKED = RequestOpen(turn=1, request_id="r1", kind="choices", prompt="Run it?", choices=CLAUDE)
OPEN = RequestOpen(turn=1, request_id="c1", kind="choices", prompt="Which?", choices=COLOURS, own_words=True)


def form(*fields: Field) -> RequestOpen:
    return RequestOpen(turn=1, request_id="f1", kind="form", prompt="Some questions", fields=fields)


def question(kind: str = "choice") -> Field:
    return Field(name="q", type=kind, choices=COLOURS, own_words=True)  # type: ignore[arg-type]


def test_an_answer_is_the_choice_by_kind_or_ones_own_words() -> None:
    assert answer_of(ASKED, "yes") == "allow"
    assert (answer_of(OPEN, "2"), answer_of(OPEN, "neither of them")) == ("g", "neither of them")
    assert Answering(OPEN).label == "answer, or your own words: "


def test_a_form_of_one_field_takes_its_value_and_others_an_object() -> None:
    assert answer_of(form(question()), "red") == {"q": "r"}
    assert answer_of(form(question()), "mauve") == {"q": "mauve"}
    assert answer_of(form(question()), '{"q": "g"}') == {"q": "g"}
    assert answer_of(form(question()), "decline") == "decline"
    with pytest.raises(BadParams, match="JSON object"):
        answer_of(form(question(), Field(name="more")), "red")


def test_several_choices_and_ones_own_words_go_together() -> None:
    assert answer_of(form(question("choices")), "2, pink, not blue, 1") == {"q": ["g", "r", "pink, not blue"]}


def test_own_words_are_taken_only_where_the_program_takes_them() -> None:
    closed = RequestOpen(turn=1, request_id="c1", kind="choices", choices=COLOURS)
    with pytest.raises(BadParams, match="not one of the choices"):
        checked(closed, "mauve")
    with pytest.raises(BadParams, match="not one of the choices"):
        checked(OPEN, " ")
    assert checked(OPEN, "mauve") == "mauve"
    with pytest.raises(BadParams, match="not one of the choices"):
        checked(form(Field(name="q", type="choice", choices=COLOURS)), {"q": "mauve"})


def test_an_id_comes_before_the_name_of_another_choice() -> None:
    # A program that calls "for good" what another choice has as its id would else be allowed more than was asked for.
    odd = (Choice(id="for-good", name="once", kind="allow_always"), Choice(id="once", name="Allow", kind="allow_once"))
    request = RequestOpen(turn=1, request_id="r", kind="choices", choices=odd)
    assert checked(request, "once") == "once"
    same = (Choice(id="a", name="Allow"), Choice(id="b", name="Allow"))
    with pytest.raises(BadParams, match="the name of several choices"):
        checked(RequestOpen(turn=1, request_id="r", kind="choices", choices=same), "Allow")


@pytest.mark.parametrize(
    ("request_", "how"),
    [
        (ASKED, "`agent answer s r1 ANSWER`, where ANSWER is yes, no, always, or a number, name or id"),
        (OPEN, "`agent answer s c1 ANSWER`, where ANSWER is a number, name or id, or your own words"),
        (form(question()), "`agent answer s f1 ANSWER`"),
        (form(question(), Field(name="more")), "`agent answer s f1 JSON`"),
        (
            RequestOpen(turn=1, request_id="r", kind="secret"),
            "`agent answer s r -`, which reads it from standard input",
        ),
    ],
)
def test_how_to_answer_from_elsewhere(request_: RequestOpen, how: str) -> None:
    assert how_to_answer("s", request_) == how


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (Answered(status="accepted", by=DESK), ""),
        (Answered(status="already-answered", by=DESK, answer="allow"), "desk answered first: Allow"),
        (Answered(status="already-answered", by=DESK), "desk answered first"),  # an older gateway, or a secret
        (Answered(status="already-answered"), "somebody answered first"),
        (Answered(status="expired", reason="the turn was interrupted"), "no longer asked: the turn was interrupted"),
        (Answered(status="expired"), "no longer asked"),
    ],
)
def test_the_loser_of_a_race_is_told_who_answered_and_how(told: Answered, line: str) -> None:  # S9
    assert too_late(told, ASKED) == line


@pytest.mark.parametrize(("kind", "told"), [("line", ": hun�ter"), ("secret", "")])
def test_half_an_answer_is_given_back_unless_it_is_a_secret(kind: RequestKind, told: str) -> None:  # T10
    asked = Answering(RequestOpen(turn=1, request_id="r", kind=kind), "echo")
    closed = RequestClosed(turn=1, request_id="r", status="expired", reason="the turn is over")
    assert asked.unsent("hun\x07ter", closed) == f"no longer asked: the turn is over; your answer was not sent{told}"
    assert asked.unsent("echo", closed) == asked.unsent("", closed) == ""


def attached(*entries: tuple[float, Payload]) -> Attached:
    row = SessionRow(
        id=SessionId("s"), title="", status=Status.IDLE, device=DeviceRef(id=DeviceId("d"), name="desk"), local=True,
        attachable=True, backend="", model="", created_at="", updated_at="",
    )  # fmt: skip
    events = tuple(make_event(seq, payload, NOW - ago) for seq, (ago, payload) in enumerate(entries, 1))
    snapshot = Snapshot(session=row, events=events)
    return Attached(session_id=SessionId("s"), epoch="e", seq=len(events), snapshot=snapshot)


def test_what_was_closed_a_moment_ago_is_told_with_who() -> None:  # S9
    answered = RequestClosed(turn=1, request_id="r1", status="answered", answer="allow_always", by=DESK)
    expired = RequestClosed(turn=2, request_id="r2", status="expired", reason="the turn is over")
    seen = attached((700.0, ASKED), (30.0, answered))
    assert over_before(seen, "", NOW) == "desk answered first: Always Allow"
    later = attached((700.0, ASKED), (650.0, answered), (20.0, expired))
    assert over_before(later, "", NOW) == "no longer asked: the turn is over"
    assert over_before(later, "r1", NOW) == "desk answered first: Always Allow"  # named: however long ago
    assert over_before(later, "r3", NOW) == ""
    assert over_before(attached((700.0, ASKED), (650.0, answered)), "", NOW) == ""
    assert over_before(attached(), "", NOW) == ""


def test_an_empty_answer_is_called_hidden_only_if_it_was_a_secret() -> None:
    told = RequestClosed(turn=1, request_id="r1", status="answered", by=DESK)
    assert answered(RequestOpen(turn=1, request_id="r1", kind="line"), told) == "(empty)"
    assert answered(RequestOpen(turn=1, request_id="r1", kind="secret"), told) == "(hidden)"
    assert answered(None, told) == "(hidden)"  # whatever it was


def test_the_own_device_is_no_rival() -> None:  # S9
    told = Answered(status="already-answered", by=DESK, answer="allow")
    assert too_late(told, ASKED, own=DESK.device) == "this device has answered already: Allow"
    assert too_late(told, ASKED, own="another") == "desk answered first: Allow"
