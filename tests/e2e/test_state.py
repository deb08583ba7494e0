"""State that was put back, deleted, damaged, or is on a file system that lacks something; and very much of it."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from agent.adapters.storage.sqlite import SqliteTranscripts
from agent.ports import SessionMeta
from agent.protocol.events import MessageDelta, MessageStart, SessionInfo, make_event
from agent.protocol.model import SessionId
from tests.e2e.conftest import MakeNetwork
from tests.e2e.device import Device, Lines, Row, pair, until

pytestmark = pytest.mark.device


def two(network: MakeNetwork) -> tuple[Device, Device]:
    desk, laptop = network("desk", "laptop")
    desk.up()
    laptop.up()
    pair(desk, laptop)
    return desk, laptop


def events(watcher: Lines) -> list[Row]:
    return [json.loads(line) for line in list(watcher.out)]


@pytest.mark.parametrize("grows", [False, True])
def test_state_put_back_from_an_older_copy_leaves_nobody_with_a_mixture_or_mute(
    network: MakeNetwork, tmp_path: Path, *, grows: bool
) -> None:  # S15
    desk, laptop = two(network)
    session = desk.create("restored")
    laptop.wait_for_session(session, status="idle")
    assert desk.line("prompt", session, "echo kept") == "kept"
    desk.kill()
    copy = tmp_path / "copy"
    shutil.copytree(desk.home / "state", copy, symlinks=True)
    desk.up()
    laptop.wait_for_session(session, status="idle")
    watchers = [device.begin("log", session, "--json", "--follow") for device in (desk, laptop)]
    person = laptop.begin("attach", session)
    for number in range(5):
        assert desk.line("prompt", session, f"echo lost {number}") == f"lost {number}"
    for watcher in watchers:
        watcher.wait_for("lost 4")
    person.wait_for("lost 4")
    waiting = laptop.begin("prompt", session, "echo begun; sleep 60")
    waiting.wait_for("begun")
    desk.kill()
    seen = [len(watcher.out) for watcher in watchers]
    shutil.rmtree(desk.home / "state")
    shutil.copytree(copy, desk.home / "state", symlinks=True)
    desk.start()
    if grows:  # longer than the lost one, before those who watch are back
        desk.wait_until_up()
        for number in range(8):
            desk.line("prompt", session, f"echo other {number}")
    until(lambda: session in desk.sessions(), "the session to be listed")
    laptop.wait_for_session(session, status="idle")
    assert laptop.line("prompt", session, "echo after") == "after"
    for watcher, before in zip(watchers, seen, strict=True):
        watcher.wait_for("after")
        until(lambda: "began anew" in "\n".join(watcher.err), "word that it began anew")  # noqa: B023 - at once
        until(lambda: events(watcher)[-1]["type"] == "turn.complete", "the end of the turn")  # noqa: B023 - at once
        anew = [event for event in events(watcher)[before:] if event["payload"].get("text") != ""]
        stored = {event["seq"]: event for event in desk.events(session)}
        assert all(stored[event["seq"]]["at"] == event["at"] for event in anew)
        assert max(event["seq"] for event in anew) == max(stored)
        assert not [event for event in anew if "lost" in json.dumps(event["payload"])]
    person.wait_for("after")
    assert "began anew" in "\n".join(person.err + person.out)
    assert "nothing was lost" not in "\n".join(person.err + person.out).rpartition("began anew")[2]
    assert waiting.end() == 1
    assert "it may have run" in "\n".join(waiting.err)
    desk.assert_healthy()
    laptop.assert_healthy()


def test_restarts_alone_start_nobody_over(network: MakeNetwork) -> None:  # S4, S15
    desk, laptop = two(network)
    session = desk.create("restarted")
    laptop.wait_for_session(session, status="idle")
    watchers = [device.begin("log", session, "--json", "--follow") for device in (desk, laptop)]
    for number in range(3):
        assert laptop.line("prompt", session, f"echo turn {number}") == f"turn {number}"
        device = laptop if number == 1 else desk
        device.kill()
        device.up()
        laptop.wait_for_session(session, status="idle")
    assert laptop.line("prompt", session, "echo the end") == "the end"
    for watcher in watchers:
        stored: list[str] = []

        def all_once(watcher: Lines = watcher, stored: list[str] = stored) -> bool:
            # Looked at anew each time: what follows the end of a turn is stored after it.
            stored[:] = desk.run("log", session, "--json").stdout.splitlines()
            return watcher.out == stored

        until(all_once, lambda: f"every event once, in order: {watcher.out}, not {stored}; {watcher.err}")  # noqa: B023
        assert "anew" not in "\n".join(watcher.err)


def test_a_home_that_is_taken_away_takes_no_prompts_and_says_so(network: MakeNetwork) -> None:  # S2, S3
    desk, laptop = two(network)
    session = desk.create("homeless")
    laptop.wait_for_session(session, status="idle")
    person = laptop.begin("attach", session)
    person.wait_for("homeless")
    aside = desk.home.with_name("aside")
    desk.home.rename(aside)
    refused = laptop.run("prompt", session, "--id", "p", "echo ran >> ran", status=1)
    assert "deleted or replaced" in refused.stderr
    person.wait_for("deleted or replaced")
    # The control socket is made again, so that one can ask what is wrong.
    until(lambda: desk.ask("gateway.status", default=None), "the service to answer here")
    assert "deleted or replaced" in desk.json("status")["problems"][0]
    shutil.rmtree(desk.home)
    aside.rename(desk.home)
    until(lambda: not desk.ask("gateway.status", default={"problems": ["?"]})["problems"], "the problem to go")
    person.wait_for("is stored again")
    assert laptop.line("prompt", session, "--id", "p", "echo again; cat ran 2>/dev/null | wc -l") == "again\n0"
    shutil.rmtree(desk.home)
    assert "deleted or replaced" in laptop.run("prompt", session, "echo no", status=1).stderr
    assert desk.runs()
    assert "Traceback" not in desk.said()


def test_a_lock_that_was_cleaned_away_is_taken_again(network: MakeNetwork) -> None:
    (desk,) = network("desk")
    desk.up()
    session = desk.create("locked")
    lock = desk.socket.with_name("lock")
    lock.unlink()
    desk.socket.unlink()
    until(lock.exists, "the lock")
    until(lambda: desk.ask("gateway.status", default=None), "the service to answer")
    assert "is running already" in desk.run("up", status=1).stderr
    assert desk.line("prompt", session, "echo on") == "on"
    assert desk.json("status")["problems"] == []
    desk.assert_healthy()


def test_a_home_that_another_service_has_taken_ends_this_one(network: MakeNetwork) -> None:
    (desk,) = network("desk")
    desk.up()
    session = desk.create("taken")
    first = desk.service
    assert first is not None
    desk.socket.with_name("lock").unlink()
    desk.up()  # at once: before the first one looks
    assert first.wait(20) == 1
    assert "another service has taken this home" in desk.said()
    assert desk.line("prompt", session, "echo mine now") == "mine now"


def test_a_damaged_record_is_shown_and_the_rest_goes_on(network: MakeNetwork) -> None:
    (desk,) = network("desk")
    desk.up()
    broken, whole = desk.create("broken"), desk.create("whole")
    for session in (broken, whole):
        desk.line("prompt", session, "echo first")
        desk.line("prompt", session, "echo second")
    before = desk.events(broken)
    desk.leave()
    database = sqlite3.connect(desk.home / "state" / "transcripts.db")
    (seq,) = database.execute(
        "SELECT seq FROM event JOIN session ON session = number WHERE id = ? AND type = 'message.user'", (broken,)
    ).fetchone()
    database.execute(
        "UPDATE event SET payload = x'ff' WHERE seq = ? AND session = (SELECT number FROM session WHERE id = ?)",
        (seq, broken),
    )
    database.commit()
    database.close()
    desk.up()
    until(lambda: desk.status_of(broken) == "failed", "it to be listed as failed")
    assert desk.line("prompt", whole, "echo fine") == "fine"
    assert broken in desk.json("status")["problems"][0]
    after = desk.events(broken)
    assert [event["seq"] for event in after] == [event["seq"] for event in before]
    assert [event for event in after if event["seq"] != seq] == [event for event in before if event["seq"] != seq]
    assert "is damaged" in desk.run("prompt", broken, "echo no", status=1).stderr
    desk.run("close", broken)
    assert desk.json("status")["problems"] == []
    desk.assert_healthy()


SESSIONS, EVENTS = 256, 1000


async def fill(path: Path) -> list[SessionId]:
    """Make as many sessions as there may be, oldest first."""
    path.parent.mkdir(parents=True, mode=0o700)
    store = SqliteTranscripts(path)
    sessions = [SessionId(f"{number:a>16}") for number in range(SESSIONS)]
    for number, session in enumerate(sessions):
        made = 1_800_000_000.0 + number
        await store.put(
            SessionMeta(id=session, epoch="e", backend="shell", created_at=made, title=f"session {number:03}")
        )
        said = [
            make_event(1, SessionInfo(title=f"session {number:03}"), made),
            make_event(2, MessageStart(turn=0), made),
        ]
        said += [make_event(seq, MessageDelta(turn=0, text="words " * 20), made) for seq in range(3, EVENTS + 1)]
        await store.append(session, said)
    await store.close()
    return sessions


def test_as_many_sessions_as_there_may_be_are_listed_at_once_after_a_restart(network: MakeNetwork) -> None:
    (desk,) = network("desk")
    sessions = asyncio.run(fill(desk.home / "state" / "transcripts.db"))
    desk.start()
    listed = until(desk.sessions, "an answer")
    assert set(listed) == set(sessions)
    starting = [session for session, row in listed.items() if row["status"] == "starting"]
    assert starting  # it did not wait for their logs
    assert starting == [session for session in sessions[::-1] if session in starting]  # newest first; others have news
    assert {row["title"] for row in listed.values()} == {f"session {number:03}" for number in range(SESSIONS)}
    until(lambda: {row["status"] for row in desk.sessions().values()} == {"idle"}, "all of them", seconds=60.0)
    assert f"{SESSIONS} sessions are open" in desk.run("new", status=1).stderr
    desk.assert_healthy()


def test_programs_get_the_limit_of_open_files_that_there_was(network: MakeNetwork) -> None:
    (desk,) = network("desk")
    limited = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (300, 5000)); "
    start_as(desk, limited)
    session = desk.create("limited")
    assert desk.line("prompt", session, "ulimit -Sn; ulimit -Hn") == "300\n5000"
    limits = Path(f"/proc/{desk.ask('gateway.status')['pid']}/limits").read_text()
    assert next(line.split()[3:5] for line in limits.splitlines() if "open files" in line) == ["5000", "5000"]


@pytest.mark.parametrize("lacks", ["maps", "locks", "locks maps"])
def test_state_on_a_file_system_that_lacks_something_is_kept(network: MakeNetwork, lacks: str) -> None:  # S2
    (desk,) = network("desk")
    lacking = f"import runpy, sys; from tests.fakes.lacking import lack; lack(*{lacks.split()!r}); "
    start_as(desk, lacking)
    session = desk.create("far away")
    assert desk.line("prompt", session, "echo one") == "one"
    assert "file system" in desk.json("status")["notices"][0]
    assert desk.json("status")["problems"] == []
    before = desk.events(session)
    desk.kill()
    start_as(desk, lacking)
    until(lambda: desk.status_of(session) == "idle", "the session")
    assert desk.events(session)[: len(before)] == before
    assert desk.line("prompt", session, "echo two") == "two"
    desk.leave()


def start_as(device: Device, prelude: str) -> None:
    """Start the service after some lines of Python in its own process."""
    program = prelude + "sys.argv[1:] = ['up', '--name', 'desk']; runpy.run_module('agent', run_name='__main__')"
    with device.log.open("ab") as log:
        device.service = device.host.popen(
            [sys.executable, "-c", program],
            env=device.environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    device.wait_until_up()
