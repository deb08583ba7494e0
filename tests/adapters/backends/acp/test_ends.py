"""How agents end, and all that they have started: nothing of theirs stays, nothing of others goes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.adapters.backends.acp.orphans import UNCLAIMED, Orphans
from agent.ports import BackendEvent, Described
from agent.protocol.model import SessionId
from tests.adapters.backends.acp.agents import odd
from tests.adapters.backends.acp.conftest import SESSION, Begin
from tests.fakes.listener import Listener, run, said

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def ended(pid: int) -> None:
    """Wait until it does not run any more."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.fixture
def bystander() -> Iterator[int]:
    """What another session has left on purpose: a process that is nobody's child any more."""
    environ = {**os.environ, "LAN_AGENT_SESSION": f"{SESSION}-another"}
    started = subprocess.run(
        ["sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & echo $!"],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    pid = int(started.stdout)
    yield pid
    os.kill(pid, signal.SIGKILL)


@linux
async def test_what_an_agent_leaves_behind_ends_with_the_session(
    begin: Begin, listener: Listener, bystander: int
) -> None:
    session = await begin(odd())
    pid = int(said(await run(session, listener, "orphan")))
    assert alive(pid)
    await session.close()
    assert not there(pid)
    assert alive(bystander)


@linux
async def test_so_does_what_it_left_behind_when_it_died(begin: Begin, listener: Listener, bystander: int) -> None:
    session = await begin(odd())
    pid = int(said(await run(session, listener, "orphan")))
    await run(session, listener, "die")
    await run(session, listener, "say x")  # which waits for the end of what was before
    assert not there(pid)
    assert alive(bystander)


@linux
async def test_what_an_earlier_service_left_ends_before_the_session_returns(bystander: int) -> None:
    environ = {**os.environ, "LAN_AGENT_SESSION": f"{SESSION}-restored"}
    left = await asyncio.create_subprocess_exec("sleep", "600", env=environ, start_new_session=True)
    await odd(orphans=Orphans()).clear_up(SessionId(f"{SESSION}-restored"))
    assert not alive(left.pid)
    await left.wait()
    assert alive(bystander)


@linux
async def test_an_agent_that_does_not_heed_the_end_of_its_input_ends_too(begin: Begin, listener: Listener) -> None:
    session = await begin(odd("--deaf", "--name", "codex-acp", "--version", "0.16.0"))
    (pid,) = session.processes()
    await session.close()
    assert not there(pid)


@linux
async def test_children_of_the_service_that_it_waits_for_itself_are_left_to_it() -> None:
    """The event loop must get the status of each process that it has started."""
    orphans = Orphans()
    agent = await asyncio.create_subprocess_exec("sleep", "600")
    orphans.adopt(agent.pid)
    others = [await asyncio.create_subprocess_exec("sh", "-c", f"exit {number}") for number in range(20)]
    agent.kill()
    await orphans.end(agent.pid, SessionId(f"{SESSION}-nobody"), set())
    assert [await other.wait() for other in others] == list(range(20))
    assert await agent.wait() == -signal.SIGKILL


@linux
async def test_orphans_of_others_are_reaped_once_they_have_ended() -> None:
    orphans = Orphans()
    agent = await asyncio.create_subprocess_exec("sleep", "600")
    orphans.adopt(agent.pid)
    shell = await asyncio.create_subprocess_exec(
        "sh", "-c", "(sh -c 'echo $$; exec sleep 0.05') & exit", stdout=asyncio.subprocess.PIPE
    )
    assert shell.stdout
    orphan = int(await shell.stdout.readline())
    await shell.stdout.read()  # to its end
    await asyncio.to_thread(ended, orphan)
    assert there(orphan)  # a zombie of ours, which nobody waits for
    orphans._reap_unclaimed(0.0)
    assert there(orphan)
    orphans._reap_unclaimed(UNCLAIMED)
    assert not there(orphan)
    agent.kill()
    await agent.wait()
    await orphans.end(agent.pid, SessionId(f"{SESSION}-nobody"), set())


@linux
async def test_sessions_that_are_killed_and_come_back_leave_nothing(
    begin: Begin, listener: Listener, tmp_path: Path
) -> None:
    before = set(children())
    started: set[int] = set()
    agent = odd("--state", str(tmp_path / "state"))
    for number in range(25):  # a hundred through the service: tests/e2e/test_orphans.py
        session = await begin(agent, session=f"{SESSION}-{number}")
        started |= {int(said(await run(session, listener, "orphan")).split()[-1]), *session.processes()}
        os.kill(session.processes()[0], signal.SIGKILL)
        event: BackendEvent = Described()
        while not (isinstance(event, Described) and "SIGKILL" in event.note):
            event = await listener.next()
        assert said(await run(session, listener, "memory")).split() == ["orphan", "memory"]
        started |= {*session.processes()}
        await session.close()
    assert len(started) == 3 * 25
    assert not [pid for pid in started if there(pid)]
    assert set(children()) <= before


def children() -> list[int]:
    return [int(pid) for task in Path("/proc/self/task").glob("*/children") for pid in task.read_text().split()]


_MARKED_SERVICE = """
import asyncio, os, subprocess, sys
from agent.adapters.backends.acp.orphans import Orphans
def begun(mark):
    environ = {**os.environ, "LAN_AGENT_SESSION": mark}
    return subprocess.Popen(["sleep", "600"], env=environ, start_new_session=True)
own = os.environ["LAN_AGENT_SESSION"]
left, other = begun(own), begun(own + "-another")
asyncio.run(Orphans().clear_up(own))
try:
    left.wait(5)
    print(other.poll())
finally:
    left.kill()
    other.kill()
"""


@linux
def test_a_service_that_an_agent_has_started_ends_no_other_sessions_programs() -> None:
    """Attack: an agent starts the service anew, from inside, so that the service carries the mark of its session."""
    ran = subprocess.run(
        [sys.executable, "-c", _MARKED_SERVICE],
        env={**os.environ, "LAN_AGENT_SESSION": f"marked-{os.getpid()}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ran.stdout.split() == ["None"]  # that one runs on; the other has ended, or waiting for it had failed
