"""adapters.backends.process_owner: which processes count as running in a session. Real processes, a few at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from agent.adapters.backends.process_owner import SESSION_MARK, owning_session
from agent.protocol.model import SessionId

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

ONE, OTHER = SessionId("one"), SessionId("other")
# A program that starts another, prints that one's id, and waits for its input to end.
PARENT = """
import os, subprocess, sys
child = subprocess.Popen(["sleep", "30"], start_new_session={new})
print(child.pid, flush=True)
sys.stdin.read()
child.kill()
child.wait()
"""
# The same, cut loose: a new session, and the parent in between is gone.
LOOSE = """
import os, sys
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(write, str(os.getpid()).encode())
        os.execvpe("sleep", ["sleep", "30"], {environ})
    os._exit(0)
os.close(write)
os.wait()
pid = b""
while more := os.read(read, 20):  # to the end: the other side has become what it is to be
    pid += more
print(pid.decode(), flush=True)
sys.stdin.read()
"""


class Programs:
    def __init__(self) -> None:
        self._started: list[subprocess.Popen[str]] = []
        self._loose: list[int] = []

    def start(self, source: str, *, new: bool = True, mark: str = "") -> tuple[int, int]:
        """Process ids of the program and of the one that it started."""
        environ = {name: value for name, value in os.environ.items() if name != SESSION_MARK}
        if mark:
            environ[SESSION_MARK] = mark
        program = subprocess.Popen(
            [sys.executable, "-c", source], env=environ, start_new_session=new,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._started.append(program)
        assert program.stdout
        child = int(program.stdout.readline())
        if source.startswith("\nimport os, sys"):
            self._loose.append(child)
        return program.pid, child

    def end(self) -> None:
        for pid in self._loose:
            os.kill(pid, 9)
        for program in self._started:
            program.communicate("", timeout=10)


@pytest.fixture
def programs() -> Iterator[Programs]:
    started = Programs()
    yield started
    started.end()


async def test_a_program_of_a_session_and_what_it_starts_are_inside(programs: Programs) -> None:
    program, child = programs.start(PARENT.format(new=False))
    _, elsewhere = programs.start(PARENT.format(new=False))
    running = {OTHER: (), ONE: (program,)}
    assert await owning_session(program, running) == ONE
    assert await owning_session(child, running) == ONE
    assert await owning_session(elsewhere, running) is None
    assert await owning_session(os.getpid(), running) is None


async def test_a_terminal_session_of_its_own_does_not_help(programs: Programs) -> None:
    program, child = programs.start(PARENT.format(new=True))
    assert os.getsid(child) != os.getsid(program)
    assert await owning_session(child, {ONE: (program,)}) == ONE


async def test_sharing_the_terminal_session_is_enough(programs: Programs) -> None:
    # What a shell has put in the background lives on when the shell has no more to do with it.
    program, child = programs.start(PARENT.format(new=False))
    assert await owning_session(program, {ONE: (child,)}) == ONE


async def test_programs_in_the_services_own_terminal_session_do_not_make_all_in_it_theirs(programs: Programs) -> None:
    program, _ = programs.start(PARENT.format(new=False), new=False)
    _, beside = programs.start(PARENT.format(new=False), new=False)
    assert os.getsid(program) == os.getsid(0)
    assert await owning_session(beside, {ONE: (program,)}) is None


async def test_whatever_cut_itself_loose_is_known_by_its_mark(programs: Programs) -> None:
    _, loose = programs.start(LOOSE.format(environ="os.environ"), mark=ONE)
    running = {ONE: (), OTHER: ()}
    assert await owning_session(loose, running) == ONE
    assert await owning_session(loose, {OTHER: ()}) is None  # a session of another home


async def test_what_outlived_its_closed_session_is_inside(programs: Programs) -> None:
    # T9: a session that an agent closes itself must not set its program free.
    _, loose = programs.start(LOOSE.format(environ="os.environ"), mark=ONE)
    assert await owning_session(loose, {}, {ONE}) == ONE
    assert await owning_session(loose, {OTHER: ()}, {ONE}) == ONE
    assert await owning_session(os.getpid(), {}, {ONE}) is None


async def test_clearing_the_mark_as_well_is_not_noticed(programs: Programs) -> None:
    # The limit that docs/security.md names: such a program has the owner's user id, and only a sandbox holds it.
    _, loose = programs.start(LOOSE.format(environ='{"PATH": os.environ["PATH"]}'), mark=ONE)
    assert await owning_session(loose, {ONE: ()}) is None


async def test_a_caller_that_cannot_be_known_counts_as_inside() -> None:
    assert await owning_session(2**22 + 1, {ONE: ()}) == ONE  # above the largest process id: it is gone
    assert await owning_session(None, {ONE: ()}) == ONE
    assert await owning_session(None, {}) is None  # no session, nothing inside one
    assert await owning_session(2**22 + 1, {}, {ONE}) == ONE
    assert await owning_session(None, {}, {ONE}) is None  # it is never known here: the owner must get in
