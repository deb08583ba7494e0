"""The judge is judged: whatever a service could do wrong, the model of what clients must see finds it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.faults.model import LINE, Json, Model, Place, Prompt, Screen, written

SESSION = "s" * 16


def event(seq: int, text: str = "", kind: str = "message.delta", **payload: Any) -> Json:
    return {
        "session_id": SESSION,
        "seq": seq,
        "type": kind,
        "payload": {"text": text or f"at {seq}", **payload},
        "at": "t",
    }


def snapshot(epoch: str, seq: int, *events: Json) -> Json:
    return {"session_id": SESSION, "epoch": epoch, "seq": seq, "snapshot": {"events": list(events)}}


def resumed(epoch: str, seq: int) -> Json:
    return {"session_id": SESSION, "epoch": epoch, "seq": seq, "resumed": True}


def new_life(seq: int, epoch: str) -> Json:
    return event(seq, kind="session.info", epoch=epoch)


@pytest.fixture
def model() -> Model:
    return Model()


def place(model: Model, *seqs: int, who: str = "laptop-1") -> Place:
    """A client that was attached at the first number and told the others."""
    made = Place(model, who, SESSION)
    made.attached({}, snapshot("e1", seqs[0]))
    for seq in seqs[1:]:
        made.event(event(seq))
    return made


def kinds(model: Model) -> list[str]:
    return [violation.kind for violation in model.violations]


def submitted(model: Model, state: Any = "accepted") -> Prompt:
    prompt = Prompt("p1", SESSION, "laptop", "work-1")
    model.typed(prompt)
    prompt.state = state
    return prompt


def run(model: Model, *payloads: Json) -> None:
    """What the host has stored."""
    log = SESSION, 0
    first = model.stored_up_to(log) + 1
    model.stored(log, [event(seq, kind=each.pop("type"), **each) for seq, each in enumerate(payloads, first)])


def user(prompt_id: str = "p1", turn: int = 1) -> Json:
    return {"type": "message.user", "prompt_id": prompt_id, "turn": turn}


def end(turn: int = 1, status: str = "complete") -> Json:
    return {"type": "turn.complete", "turn": turn, "status": status}


# --- logs ------------------------------------------------------------------------------------------------------------


def test_a_client_that_is_told_everything_once_in_order_is_content(model: Model) -> None:  # S4
    one = place(model, 0, 1, 2)
    one.attached({"after": 2, "epoch": "e1"}, resumed("e1", 3))
    assert one.event(event(3))
    model.stored((SESSION, 0), [event(seq) for seq in (1, 2, 3)])
    model.ends_at((SESSION, 0), 3, 3)
    assert kinds(model) == []
    assert model.compared == 3


def test_an_event_that_is_left_out_is_a_gap(model: Model) -> None:  # S4
    assert not place(model, 0, 1).event(event(3))
    assert kinds(model) == ["gap"]


def test_an_event_that_comes_twice_is_doubled(model: Model) -> None:  # S4
    place(model, 0, 1, 2, 1)
    assert kinds(model) == ["doubled"]


def test_two_clients_that_are_told_different_things(model: Model) -> None:
    place(model, 0, 1)
    place(model, 0, who="pi-1").event(event(1, "something else"))
    assert kinds(model) == ["altered"]


def test_what_is_stored_is_what_was_shown(model: Model) -> None:  # S2
    place(model, 0, 1)
    model.stored((SESSION, 0), [event(1, "something else")])
    assert kinds(model) == ["altered"]


def test_a_stored_log_has_no_gap(model: Model) -> None:
    model.stored((SESSION, 0), [event(1), event(3)])
    assert kinds(model)[0] == "stored"


def test_what_was_shown_does_not_vanish(model: Model) -> None:  # S2: kill -9 after it was shown
    place(model, 0, 1, 2)
    model.stored((SESSION, 0), [event(1)])
    model.ends_at((SESSION, 0), 1, model.newest_shown((SESSION, 0)))
    assert kinds(model) == ["vanished"]


def test_a_client_that_could_go_on_is_not_sent_a_snapshot(model: Model) -> None:  # S4
    place(model, 0, 1).attached({"after": 1, "epoch": "e1"}, snapshot("e1", 5))
    assert kinds(model) == ["not resumed"]


def test_a_snapshot_is_in_order(model: Model) -> None:
    Place(model, "pi-1", SESSION).attached({}, snapshot("e1", 5, event(4), event(2)))
    assert kinds(model) == ["out of order"]


def test_a_snapshot_says_what_the_log_says(model: Model) -> None:
    said = event(1, kind="message.complete")
    model.stored((SESSION, 0), [said])
    Place(model, "pi-1", SESSION).attached({}, snapshot("e1", 1, {**said, "payload": {"text": "other"}}))
    assert kinds(model) == ["altered"]


def test_a_restart_is_another_life_of_the_same_log(model: Model) -> None:  # S15
    one = place(model, 0, 1)
    one.event(new_life(2, "e2"))
    one.attached({"after": 2, "epoch": "e2"}, resumed("e2", 2))
    assert kinds(model) == []
    assert one.is_at((SESSION, 0), "e3", 2)
    one.attached({"after": 2, "epoch": "e2"}, snapshot("e2", 4))
    assert kinds(model) == ["not resumed"]


def test_a_client_starts_over_when_an_older_copy_was_put_back(model: Model) -> None:  # S15
    one = place(model, 0, 1, 2, 3)
    model.another_log({SESSION})
    assert not one.is_at((SESSION, 1), "e9", 2)
    one.attached({"after": 3, "epoch": "e1"}, snapshot("e9", 2))
    one.event(event(3, "another third"))
    assert kinds(model) == []


def test_a_client_that_goes_on_in_another_log_has_a_mixture(model: Model) -> None:  # S15
    one = place(model, 0, 1, 2, 3)
    model.another_log({SESSION})
    two = Place(model, "pi-1", SESSION)
    two.attached({}, snapshot("e9", 2))
    two.event(event(3, "another third"))
    one.attached({"after": 3, "epoch": "e1"}, resumed("e9", 3))
    assert kinds(model) == ["mixture"]


def test_what_is_said_often_is_told_once_a_round(model: Model) -> None:
    for _ in range(3):
        model.attach_refused("pi-1", SESSION, "session-not-found", "no such session")
    model.attach_refused("pi-1", SESSION, "peer-unreachable", "it is true")
    model.round = 1
    model.attach_refused("pi-1", SESSION, "session-not-found", "no such session")
    assert [violation.round for violation in model.violations] == [0, 1]


# --- prompts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "log", "ran", "told"),
    [
        pytest.param("accepted", [user(), end()], 1, [], id="ran once"),
        pytest.param("accepted", [user(), end(status="interrupted")], 0, [], id="interrupted before it began"),
        pytest.param("given back", [], 0, [], id="given back"),
        pytest.param("accepted", [user(), end()], 2, ["doubled"], id="ran twice"),
        pytest.param("accepted", [user(), end(), user(turn=2), end(2)], 1, ["doubled"], id="twice in the log"),
        pytest.param("accepted", [], 0, ["lost"], id="accepted and forgotten"),
        pytest.param("accepted", [user()], 1, ["lost"], id="without an end"),
        pytest.param("accepted", [user(), end()], 0, ["lost"], id="complete, and never ran"),
        pytest.param("typed", [], 0, ["lost"], id="nobody said anything"),
        pytest.param("given back", [user(), end()], 1, ["untrue"], id="given back, and ran"),
    ],
)  # fmt: skip
def test_what_becomes_of_a_prompt(
    model: Model, state: str, log: list[Json], ran: int, told: list[str]
) -> None:  # S3, L8
    submitted(model, state)
    run(model, *[dict(each) for each in log])
    model.judge(Counter({"work-1": ran}), {SESSION})
    assert kinds(model) == told


def test_a_reply_that_nobody_was_shown(model: Model) -> None:  # L9
    submitted(model).unheard = True
    run(model, user(), end())
    model.judge(Counter({"work-1": 1}), {SESSION})
    assert kinds(model) == ["silent"]


def test_of_what_an_older_copy_took_away_nobody_can_tell(model: Model) -> None:  # S15
    submitted(model)
    assert model.unsettled()
    model.restored({SESSION})
    assert not model.unsettled()
    model.judge(Counter({"work-1": 2}), {SESSION})
    assert kinds(model) == []


def test_a_prompt_of_a_front_end_is_known_by_its_text(model: Model) -> None:
    prompt = Prompt("unknown", SESSION, "editor", "editor-1")
    model.typed(prompt, "echo editor-1")
    prompt.state = "accepted"
    run(model, {**user("its own id"), "text": "echo editor-1"}, end())
    assert prompt.settled()


def test_a_key_arrives_once_on_a_terminal(model: Model) -> None:
    model.keys = {"one": ("t", "acknowledged"), "two": ("t", "unsure: Gone"), "gone": ("ended", "acknowledged")}
    model.judge_keys(Counter({"one": 1}), {"t"})
    assert kinds(model) == []
    model.judge_keys(Counter({"two": 2}), {"t"})
    assert kinds(model) == ["lost", "doubled"]


# --- terminals -------------------------------------------------------------------------------------------------------


def test_a_terminal_shows_what_its_program_wrote(model: Model) -> None:
    assert written(0, 2 * LINE) == b"00000000\r\n00000001\r\n"
    assert written(13, 9) == b"00001\r\n00"
    one = Screen(model, "laptop-1", SESSION)
    one.attached({}, {"epoch": "e", "offset": 5}, written(5, 30))
    assert one.output(35, written(35, 100))
    assert one.output(100, written(100, 50))  # what it has, it drops
    assert not one.output(200, written(200, 5))  # it attaches again
    one.attached({"epoch": "e", "after": 150}, {"epoch": "e", "offset": 150, "resumed": True}, written(150, 1))
    assert kinds(model) == []


def test_a_terminal_that_shows_something_else(model: Model) -> None:
    one = Screen(model, "laptop-1", SESSION)
    one.attached({}, {"epoch": "e", "offset": 0}, b"00000001\r\n")
    one.attached({"epoch": "e", "after": 10}, {"epoch": "f", "offset": 10, "resumed": True}, b"")
    assert kinds(model) == ["altered", "mixture"]
