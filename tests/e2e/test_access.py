"""Who may do what: guests, private sessions, programs inside sessions, and the log of it all."""

from __future__ import annotations

import json
import shlex
import signal
from pathlib import Path

import pytest

from agent.protocol.times import unix_seconds
from tests.e2e.conftest import MakeNetwork
from tests.e2e.device import PROGRAM, Device, Wire, now, pair, until

pytestmark = pytest.mark.device


def two(network: MakeNetwork, *, paired: bool = True) -> tuple[Device, Device]:
    desk, laptop = network("desk", "laptop")
    for device in (desk, laptop):
        device.start()
    for device in (desk, laptop):
        device.wait_until_up()
    if paired:
        pair(desk, laptop)
    return desk, laptop


def let_in(host: Device, guest: Device, *terms: str) -> str:
    """`agent pair --guest` on one, `agent join` on the other; what that one was told."""
    window = host.begin("pair", "--guest", *terms)
    told = guest.run("join", until(lambda: window.out, "a code")[0]).stderr
    assert window.end(seconds=10) == 0
    guest.wait_to_see(host, linked=True)
    return told


def test_a_guest_that_may_watch_one_session_is_refused_everything_else_and_cut_off_in_time(
    network: MakeNetwork,
) -> None:
    desk, laptop = two(network, paired=False)
    shown, other = desk.create("shown"), desk.create("other")
    mine = laptop.create("the laptop's own")
    told = let_in(desk, laptop, "--read", "--session", shown, "--ttl", "20s")  # all of this has to be over by then
    assert "this device is a guest of desk" in told
    assert f"may watch the session {shown}, and no more" in told
    laptop.wait_for_session(shown, share="read-only")
    (row,) = [row for row in desk.json("devices") if not row["self"]]
    assert (row["role"], row["read_only"], row["session"]) == ("guest", True, shown)
    assert "guest, read-only" in desk.run("devices").stdout
    with Wire(laptop) as there:
        there.call("session.attach", session_id=shown)
        desk.run("prompt", shown, "echo for all to see")
        there.wait_for(lambda message: "for all to see" in str(message), "the reply")
        assert {laptop.id, desk.id} >= {each["device"] for each in desk.ask("session.participants", session_id=shown)}
        for argv in (
            ("prompt", shown, "id"),
            ("close", shown),
            ("rename", shown, "mine"),
            ("interrupt", shown),
            ("new", "--on", "desk"),
        ):
            refused = laptop.run(*argv, status=5).stderr
            assert "watch" in refused, (argv, refused)
        for argv in (("log", other), ("attach", other), ("prompt", other, "id"), ("log", "other")):
            assert "no session" in laptop.run(*argv, status=4).stderr
        assert other not in laptop.sessions()
        # The other way round: the host gets nothing of its guest.
        assert mine not in desk.sessions()
        assert desk.json("status")["paired"] == 1
        ends = unix_seconds(row["expires_at"])
        until(lambda: not laptop.peers()[desk.id]["linked"], "the guest to be cut off", seconds=30.0)
        entries = desk.json("audit")
        (gone,) = [entry for entry in entries if entry["action"] == "unpaired"]
        assert 0.0 <= unix_seconds(gone["at"]) - ends < 1.0
    assert len(desk.json("devices")) == len(laptop.json("devices")) == 1
    assert laptop.run("prompt", shown, "id", status=None).returncode in (4, 5)
    assert [event["type"] for event in desk.events(shown)].count("message.user") == 1


def test_a_guest_is_put_out_like_any_other(network: MakeNetwork) -> None:
    desk, laptop = two(network, paired=False)
    session = desk.create("shown")
    let_in(desk, laptop)
    laptop.wait_for_session(session)
    assert laptop.line("prompt", session, "echo as a guest") == "as a guest"
    assert "guest" in laptop.run("new", "--on", "desk", status=5).stderr
    assert desk.json("status")["notices"]
    began = now()
    desk.run("unpair", "laptop")
    until(lambda: not laptop.peers()[desk.id]["linked"], "the link to end")
    assert now() - began < 2.0  # two commands' start included
    assert "does not accept" in laptop.run("prompt", session, "id", status=5).stderr


def test_a_private_session_is_invisible_from_the_other_device(network: MakeNetwork) -> None:
    desk, laptop = two(network)
    private = desk.create("diary", "--private")
    shared = desk.create("shared")
    laptop.wait_for_session(shared)
    assert private not in laptop.sessions()
    assert laptop.peers()[desk.id]["sessions"] == 1
    for word in (private, private[:8], "diary", "desk/diary"):
        for command in ("log", "attach"):
            assert laptop.run(command, word, status=4).stdout == ""
    with Wire(laptop) as there, Wire(desk) as here:
        there.call("session.watch", scope="remote")
        there.call("session.attach", session_id=shared)
        here.call("session.attach", session_id=shared)
        here.call("session.share", session_id=shared, share="private")
        there.wait_for(lambda message: message.get("params", {}).get("removed") == [shared], "the news")
        until(lambda: len(desk.ask("session.participants", session_id=shared)) == 1, "the attachment to end")
        desk.run("prompt", shared, "echo nobody else reads this")
        desk.run("prompt", private, "echo nor this")
        assert "nobody else" not in str(there.told)
    assert laptop.sessions() == {}
    desk.leave()
    desk.up()  # it is kept with the session
    laptop.wait_to_see(desk, linked=True)
    assert {row["share"] for row in desk.sessions().values()} == {"private"}
    assert laptop.sessions() == {}
    desk.run("share", "diary", "all")
    laptop.wait_for_session(private, title="diary", share="all")
    assert "nor this" in laptop.run("log", "diary").stdout


def test_a_device_that_may_only_watch(network: MakeNetwork) -> None:
    desk, laptop = two(network)
    session = desk.create("shared")
    laptop.wait_for_session(session)
    desk.run("devices", "--read-only", "laptop")
    assert "watch" in laptop.run("prompt", session, "id", status=5).stderr
    assert "read-only" in desk.run("devices").stdout
    assert laptop.run("log", session).returncode == 0
    desk.leave()
    desk.up()
    laptop.wait_to_see(desk, linked=True)
    laptop.wait_for_session(session)
    assert "watch" in laptop.run("prompt", session, "id", status=5).stderr
    desk.run("devices", "--full", "laptop")
    assert laptop.line("prompt", session, "echo again") == "again"


@pytest.mark.parametrize("kind", ["commands", "shell"])
def test_a_program_in_a_session_may_not_prompt_another_device(network: MakeNetwork, kind: str) -> None:
    # FACTS-SECURITY T9: by the tree of processes, by the terminal, and cut loose from both.
    desk, laptop = two(network)
    inside, there = desk.create("agent", "--backend", kind), laptop.create("target")
    desk.wait_for_session(there)
    agent = shlex.join(PROGRAM)
    attack = f"{agent} prompt {there} touch-me"
    refused = desk.run("prompt", inside, attack, status=1).stdout
    assert "may not act on other devices" in refused
    assert "sessions.may_prompt_others" in refused
    for argv in ("new --on laptop -- touch-me", f"close {there}", "unpair laptop", "pair", f"share {inside} private"):
        said = desk.run("prompt", inside, f"{agent} {argv}", status=1).stdout
        assert "may not act" in said, said
    told = desk.home.parent / "loose.txt"
    loose = f"setsid -f sh -c {shlex.quote(f'{attack} > {told} 2>&1; echo done >> {told}')} < /dev/null"
    desk.run("prompt", inside, loose)
    until(lambda: "done" in _read(told), "the loose program to end")
    assert "may not act on other devices" in _read(told)
    assert [event for event in laptop.events(there) if event["type"] == "message.user"] == []
    # It may look, and use its own device; the owner is not held back.
    assert desk.run("prompt", inside, f"{agent} sessions").returncode == 0
    own = desk.create("own")
    assert "local" in desk.run("prompt", inside, f"{agent} prompt {own} echo local").stdout
    assert desk.line("prompt", there, "echo by hand") == "by hand"
    desk.leave()
    desk.configure("sessions.may_prompt_others = true\n")
    desk.up()
    desk.wait_to_see(laptop, linked=True)
    desk.wait_for_session(there)
    assert "allowed now" in desk.run("prompt", inside, f"{agent} prompt {there} echo allowed now").stdout


def test_the_log_tells_who_did_what_and_holds_no_text(network: MakeNetwork) -> None:
    desk, laptop = two(network)
    session = desk.create("a title to keep")
    laptop.wait_for_session(session)
    laptop.run("prompt", session, "echo a word to keep")
    laptop.run("close", session)
    laptop.run("log", "no such session", status=4)
    desk.run("unpair", "laptop")

    def done() -> list[tuple[str, str]]:
        return [(entry["name"], entry["action"]) for entry in desk.json("audit")]

    told = until(lambda: done() if ("laptop", "unpaired") in done() else None, "the last entry") or []
    for wanted in (
        ("laptop", "paired"),
        ("desk", "created"),
        ("laptop", "attached"),
        ("laptop", "prompted"),
        ("laptop", "closed"),
        ("laptop", "unpaired"),
    ):
        assert wanted in told, told
    (prompted,) = [entry for entry in desk.json("audit") if entry["action"] == "prompted"]
    assert (prompted["session"], prompted["length"], prompted["device"]) == (session, 19, laptop.id)
    file = desk.home / "state" / "audit.jsonl"
    assert file.stat().st_mode & 0o777 == 0o600
    assert "keep" not in _read(file)
    assert "prompted" in desk.run("audit", "--since", "1h").stdout
    assert "laptop" in str(desk.json("status")["notices"])


def test_the_log_is_followed_over_a_restart(network: MakeNetwork) -> None:
    (desk,) = network("desk")
    desk.up()
    one = desk.create("one")
    following = desk.begin("audit", "--follow", "--json")
    until(lambda: len(following.out) == 1, "what is there")
    desk.run("rename", one, "first")
    until(lambda: len(following.out) == 2, "what comes")
    desk.leave()
    following.wait_for("the service is away")
    desk.up()
    two = desk.create("two")
    until(lambda: two in "".join(following.out), "what comes after the restart")
    following.process.send_signal(signal.SIGINT)
    assert following.end() == 130
    shown = [json.loads(line) for line in following.out]
    # The title is the one of the moment at which an entry is printed: "one" was renamed since.
    untitled = [[{**entry, "title": ""} for entry in entries] for entries in (shown, desk.json("audit"))]
    assert untitled[0] == untitled[1]
    assert [(entry["action"], entry["session"]) for entry in shown if entry["action"] in {"created", "renamed"}] == [
        ("created", one),
        ("renamed", one),
        ("created", two),
    ]


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""
