"""The walk: devices find each other, pair once, and list, watch, prompt, answer and start each other's sessions.

One household serves all tests of this file but the last: pairing it costs seconds, and every test has sessions of its
own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.e2e.conftest import MakeNetwork, networks
from tests.e2e.device import Device, Row, Wire, pair, until

pytestmark = pytest.mark.device

Household = tuple[Device, Device, Device]


@pytest.fixture(scope="module")
def strangers() -> Iterator[Household]:
    """Three running devices that do not know each other."""
    with networks() as network:
        desk, laptop, box = network("desk", "laptop", "pi")
        for device in (desk, laptop, box):
            device.start()
        for device in (desk, laptop, box):
            device.wait_until_up()
        yield desk, laptop, box


@pytest.fixture(scope="module")
def household(strangers: Household) -> Household:
    """The same three, paired: the laptop and the pi with the desk, and with each other."""
    desk, laptop, box = strangers
    pair(desk, laptop)
    pair(desk, box)
    pair(laptop, box)
    return strangers


def new(device: Device, title: str) -> str:
    """A session of the kind that is made when nobody says: the shell of whoever runs the service."""
    return device.line("new", "--title", title, "--cwd", str(device.home.parent))


def senders(events: list[Row]) -> list[tuple[str, str]]:
    """Name and text of every prompt."""
    said = [event["payload"] for event in events if event["type"] == "message.user"]
    return [(payload["sender"]["name"], payload["text"]) for payload in said]


def reply(events: list[Row]) -> str:
    """The whole replies of all turns."""
    return "".join(event["payload"]["text"] for event in events if event["type"] == "message.complete")


def is_event(kind: str) -> Callable[[Row], bool]:
    """Whether a message is an event of that type."""
    return lambda message: message.get("method") == "event" and message["params"]["type"] == kind


def lists_addresses(device: Device, other: Device, addresses: set[str]) -> bool:
    return addresses <= set(device.peers()[other.id]["addresses"])


def is_unlisted(device: Device, session: str) -> bool:
    return session not in device.sessions()


def test_devices_see_each_other_before_they_trust_each_other(strangers: Household) -> None:
    # R8: listed as soon as heard; over IPv4 and IPv6. R1: name and counts, no sessions.
    for device in strangers:
        for other in strangers:
            if other is not device:
                row = device.wait_to_see(other, paired=False)
                assert row["name"] == other.name
                both = {other.host.ipv4, f"{other.host.ipv6()}%eth0"}
                until(partial(lists_addresses, device, other, both), f"{both}")
    desk, laptop, _ = strangers
    session = new(desk, "not for strangers")
    until(lambda: laptop.peers()[desk.id]["sessions"] == 1, "the count, which is for everybody")
    assert laptop.sessions() == {}
    for argv in (("prompt", session, "id"), ("log", session), ("close", session)):
        assert "no session" in laptop.run(*argv, status=4).stderr
    refused = laptop.run("new", "--on", "desk", status=5)
    assert "not paired" in refused.stderr
    assert "agent pair" in refused.stderr
    assert [event["type"] for event in desk.events(session) if event["type"] != "session.info"] == []
    desk.run("close", session)


def test_a_wrong_code_pairs_nobody(strangers: Household) -> None:
    # T3
    desk, _, box = strangers
    window = desk.begin("pair")
    code = until(lambda: window.out, "a code")[0]
    wrong = code[:-1] + str((int(code[-1]) + 1) % 10)
    refused = box.run("join", wrong, status=5)
    assert "code" in refused.stderr
    window.wait_for("2 more tries")
    window.process.terminate()
    window.end()
    assert len(desk.json("devices")) == 1
    assert len(box.json("devices")) == 1


def test_both_sides_of_a_pairing_list_each_other(household: Household) -> None:
    # T3: paired on both sides, with the fingerprint that the other one calls its own.
    for device in household:
        rows = {row["id"]: row for row in device.json("devices")}
        assert {row["name"] for row in rows.values()} == {"desk", "laptop", "pi"}
        for other in household:
            own = next(row for row in other.json("devices") if row["self"])
            assert rows[other.id]["fingerprint"] == own["fingerprint"]
            assert rows[other.id]["state"] == "online"
    peers = [line.split("\t") for line in household[1].run("peers").stdout.splitlines()]
    assert [fields[6] for fields in peers] == ["this device", "paired", "paired"]
    assert peers[0][0] == "laptop"


def test_a_session_is_listed_on_every_device_and_followed(household: Household) -> None:
    # R1, R4, R7, S10: one row each, attachable, newest first, whose status and title follow.
    desk, laptop, box = household
    older, session = new(desk, "older"), new(desk, "listed")
    for device, local in ((desk, True), (laptop, False), (box, False)):
        row = device.wait_for_session(session, status="idle")
        assert row["title"] == "listed"
        assert row["device"] == {"id": desk.id, "name": "desk"}
        assert row["backend"] == "shell"
        assert (row["attachable"], row["local"]) == (True, local)
        ids = [row["id"] for row in device.ask("session.list")]
        assert ids.index(session) < ids.index(older)
        assert ids.count(session) == 1
    box.run("prompt", "--no-wait", session, "read line")
    for device in household:
        device.wait_for_session(session, status="needs-input")
    assert "needs-input\tlisted\tdesk\t" in laptop.run("sessions").stdout
    laptop.run("interrupt", session)
    laptop.run("rename", session, "another name")
    for device in household:
        device.wait_for_session(session, status="idle", title="another name")
    assert f"\t{session}\tonline\t" in laptop.run("sessions").stdout
    for done in (older, session):
        laptop.run("close", done)
        for device in household:
            until(partial(is_unlisted, device, done), "the row to go")


def test_prompts_go_both_ways_and_show_who_sent_them(household: Household) -> None:
    # S7, L1
    desk, laptop, box = household
    at_desk, at_laptop = new(desk, "at the desk"), new(laptop, "at the laptop")
    laptop.wait_for_session(at_desk, status="idle")
    desk.wait_for_session(at_laptop, status="idle")
    box.wait_for_session(at_desk, status="idle")
    assert laptop.line("prompt", at_desk, "echo from $((40 + 2)); cd /; pwd") == "from 42\n/"
    assert desk.line("prompt", at_laptop, "--", "printf '%s-' a b") == "a-b-"
    assert box.run("prompt", at_desk, "pwd; false", status=1).stdout == "/\n"
    assert desk.line("prompt", at_desk, "echo mine") == "mine"
    for device in household:
        assert [name for name, _ in senders(device.events(at_desk))] == ["laptop", "pi", "desk"]
        assert device.events(at_desk) == desk.events(at_desk)  # L7: as it was, also to the fields
    assert senders(desk.events(at_laptop)) == [("desk", "printf '%s-' a b")]
    assert "[laptop] echo from" in box.run("log", at_desk).stdout


def test_a_session_is_named_by_prefix_title_or_device(household: Household) -> None:
    # DESIGN §9: by id, unique prefix, exact title or DEVICE/…; several matches list the candidates.
    desk, laptop, _ = household
    first, second = new(desk, "twin"), new(desk, "twin")
    own = new(laptop, "only one")
    for session in (first, second):
        laptop.wait_for_session(session, status="idle")
    desk.wait_for_session(own)
    # ids are random: a prefix of two is in tests/presence/rules/test_registry_lookup.py
    for several in ("twin", "desk/twin"):
        ambiguous = laptop.run("prompt", several, "id", status=4)
        assert first in ambiguous.stderr
        assert second in ambiguous.stderr
    assert laptop.line("prompt", first[:10], "echo first") == "first"
    assert desk.line("prompt", "only one", "echo $((1 + 1))") == "2"
    assert desk.line("prompt", "laptop/only one", "echo 3") == "3"
    unknown = laptop.run("prompt", "no such session", "id", status=4)
    assert "no such session" in unknown.stderr
    assert laptop.run("new", "--on", "nowhere", status=4).stderr.startswith("agent: ")


def test_a_session_is_created_on_a_peer(household: Household) -> None:
    # R8, L1
    desk, laptop, box = household
    session = laptop.line("new", "--on", "desk", "--title", "made from afar")
    row = laptop.wait_for_session(session, status="idle")  # known at once, not when a record comes by
    assert row["device"]["name"] == "desk"
    desk.wait_for_session(session, local=True)
    assert box.wait_for_session(session)["title"] == "made from afar"
    assert laptop.line("prompt", session, "echo ran >> ran-here; cat ran-here") == "ran"
    assert (desk.home.parent / "ran-here").read_text() == "ran\n"  # its home, since the laptop's directory is not there
    refused = laptop.run("new", "--on", "desk", "--cwd", "/no/such/folder", status=1)
    assert "/no/such/folder" in refused.stderr
    refused = laptop.run("new", "--on", "desk", "--backend", "no-such", status=2)
    assert "no backend 'no-such' on desk" in refused.stderr


def test_a_question_is_answered_from_another_device_once(household: Household) -> None:
    # S9, S10: everybody sees it open and close, also who comes while it is open; the first answer wins.
    desk, laptop, box = household
    session = new(desk, "asks")
    laptop.wait_for_session(session, status="idle")
    box.wait_for_session(session)
    with Wire(laptop) as early, Wire(box) as late:
        early.call("session.attach", session_id=session)
        asking = desk.begin("prompt", session, "--json", "read -p 'Your name? ' x; echo hello $x")
        early.wait_for(is_event("request.open"), "the question")
        box.wait_for_session(session, status="needs-input")
        (request,) = late.call("session.attach", session_id=session)["requests"]
        assert "Your name?" in request["prompt"]
        box.run("answer", session, "Ada")
        for wire in (early, late):
            closed = wire.wait_for(is_event("request.closed"), "its end")["params"]["payload"]
            assert (closed["answer"], closed["by"]["name"]) == ("Ada", "pi")
        again = late.call("request.answer", session_id=session, request_id=request["request_id"], answer="Bob")
        assert again["status"] == "already-answered"
        assert (again["by"]["name"], again["answer"]) == ("pi", "Ada")
    assert asking.end() == 0
    assert "hello Ada" in reply(desk.events(session))
    told = laptop.run("answer", session, "too late", status=1).stderr
    assert told == "agent: pi answered first: Ada; your answer was not sent\n"
    laptop.wait_for_session(session, status="idle")


def test_a_turn_is_interrupted_from_another_device(household: Household) -> None:
    # §9: 130 when it was interrupted; the next prompt runs in the same shell.
    desk, laptop, _ = household
    session = new(desk, "runs long")
    laptop.wait_for_session(session, status="idle")
    desk.run("prompt", session, "x=kept")
    running = desk.begin("prompt", session, "echo begun; sleep 60")
    running.wait_for("begun")
    laptop.wait_for_session(session, status="working")
    laptop.run("interrupt", session)
    assert running.end(seconds=5) == 130
    assert laptop.line("prompt", session, "echo $x") == "kept"


def test_several_devices_watch_one_session(household: Household) -> None:
    # S5, S8, S4: all see every event once, in order; participants are counted by device.
    desk, laptop, box = household
    session = new(desk, "watched")
    laptop.wait_for_session(session, status="idle")
    box.wait_for_session(session)
    with Wire(laptop) as one, Wire(laptop) as two, Wire(box) as three:
        for wire in (one, two, three):
            assert wire.call("session.attach", session_id=session)["snapshot"]["session"]["id"] == session

        def counted() -> bool:
            told = {row["device"]: row["count"] for row in laptop.ask("session.participants", session_id=session)}
            return told == {laptop.id: 2, box.id: 1}

        until(counted, "the participants")
        desk.run("prompt", session, "for i in $(seq 300); do echo line $i; done")
        seen = []
        for wire in (one, two, three):
            wire.wait_for(is_event("turn.complete"), "the end")
            events = wire.notes("event")
            assert [event["seq"] for event in events] == list(range(events[0]["seq"], events[-1]["seq"] + 1))
            seen.append(events)
        assert seen[0] == seen[1] == seen[2]
        assert reply(seen[0]) == "".join(f"line {i}\n" for i in range(1, 301))
        two.call("session.detach", session_id=session)
        one.wait_for(
            lambda m: (
                m.get("method") == "session.participants"
                and {row["device"]: row["count"] for row in m["params"]["participants"]} == {laptop.id: 1, box.id: 1}
            ),
            "news of who left",
        )
        assert one.told[0][1]["params"]["device"] == laptop.id  # §3: the first gateway.ready is its own device's


def test_a_pipe_into_attach_prompts_line_by_line(household: Household) -> None:
    # S1: each line a prompt, in order; it leaves when all are done. S6: the session goes on.
    desk, laptop, _ = household
    session = new(desk, "piped")
    laptop.wait_for_session(session, status="idle")
    done = laptop.run("attach", session, input="echo one\nsleep 0.2; echo two\necho $((1 + 2))\n")
    assert [line for line in done.stdout.splitlines() if line in {"one", "two", "3"}] == ["one", "two", "3"]
    assert [name for name, _ in senders(desk.events(session))] == ["laptop"] * 3
    assert desk.status_of(session) == "idle"


def test_a_closed_session_keeps_its_log(household: Household) -> None:
    # §9 close, log; S11
    desk, laptop, _ = household
    session = new(desk, "to be closed")
    laptop.wait_for_session(session, status="idle")
    assert laptop.line("prompt", session, "echo the last words") == "the last words"
    attached = laptop.begin("attach", session)
    attached.wait_for("the last words")
    laptop.run("close", session)
    assert attached.end(seconds=5) == 0
    for device in (desk, laptop):
        until(partial(is_unlisted, device, session), "the row to go")
    assert "the last words" in desk.run("log", session).stdout
    refused = desk.run("prompt", session, "echo more", status=1)
    assert "that session has ended" in refused.stderr


def test_nothing_broke_on_the_way(household: Household) -> None:
    for device in household:
        device.assert_healthy()


def test_ipv6_alone_is_enough(network: MakeNetwork) -> None:
    # L3: link-local IPv6 with its scope; discovery, pairing, link and prompts without a single IPv4 address.
    desk, laptop, box = network("desk", "laptop", "pi", ipv4=False)
    for device in (desk, laptop, box):
        device.start()
    for device in (desk, laptop, box):
        device.wait_until_up()
    for device in (laptop, box):
        assert desk.wait_to_see(device)["addresses"] == [f"{device.host.ipv6()}%eth0"]
        device.wait_to_see(desk)
    pair(desk, laptop)
    pair(laptop, box)
    session = new(desk, "over IPv6")
    laptop.wait_for_session(session, status="idle")
    assert laptop.line("prompt", session, "echo over six") == "over six"
    there = desk.line("new", "--on", "laptop")
    assert desk.line("prompt", there, "echo and back") == "and back"
    assert box.line("prompt", there, "echo a third") == "a third"
    assert [name for name, _ in senders(laptop.events(there))] == ["desk", "pi"]
