"""Which shell a session is: asked for, the setting's, the user's; and what its row says of the program that runs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import ClassVar

import pytest

from agent.errors import BadParams
from agent.ports import Described, Finished
from agent.protocol.messages import CreateSession
from agent.sessions.creation import Default, prepared
from agent.sessions.host import restart
from tests.fakes.clock import settle
from tests.fakes.desk import ME, running, submit, whole_log
from tests.fakes.echo import EchoBackend
from tests.fakes.transcripts import MemoryTranscripts


class ShellsBackend(EchoBackend):
    """`ports.BackendType`, `ports.RunsShell`."""

    name: ClassVar[str] = "shell"

    def shells(self) -> Sequence[str]:
        return ("zsh", "bash")


@pytest.mark.parametrize(
    ("asked", "default", "given"),
    [("", "", ""), ("", "fish", "fish"), ("bash", "fish", "bash"), ("/opt/my shells/zsh", "", "/opt/my shells/zsh")],
)
def test_the_shell_is_the_one_that_was_asked_for_else_that_of_the_setting_else_the_users(
    asked: str, default: str, given: str
) -> None:
    backends = {"shell": ShellsBackend(), "echo": EchoBackend()}
    _, request, _ = prepared(CreateSession(shell=asked), backends, Default("shell", default), "desk")
    assert request.shell == given
    _, request, _ = prepared(CreateSession(backend="echo"), backends, Default("shell", default), "desk")
    assert request.shell == ""  # the setting is for shells: an agent has none


@pytest.mark.parametrize("shell", ["./zsh", "bin/zsh", "-c", "a b", "zsh\n", "/bin/z\0sh", ".."])
def test_what_can_be_no_shell_is_refused_with_those_that_there_are(shell: str) -> None:
    with pytest.raises(BadParams, match="names no shell") as caught:
        prepared(CreateSession(shell=shell), {"shell": ShellsBackend()}, Default("shell"), "desk")
    assert caught.value.hint == "give a path, or one of these: zsh, bash"


async def test_a_kind_without_a_shell_refuses_one_and_nothing_is_left() -> None:  # L6
    async with running() as desk:
        with pytest.raises(BadParams, match="run no shell"):
            await desk.sessions.create(CreateSession(shell="zsh"), ME)
        assert desk.rows == {}


async def test_the_shell_comes_back_after_a_restart_of_the_service_and_with_one_started_anew() -> None:
    store, ids = MemoryTranscripts(), count(1)
    async with running(store, ids, {"shell": ShellsBackend()}) as desk:
        session = await desk.sessions.create(CreateSession(backend="shell", shell="zsh"), ME)
    shells = ShellsBackend()
    async with running(store, ids, {"shell": shells}) as desk:
        await submit(desk, session, "hello")
        await settle()
        await desk.sessions.close(session, ME)
        await restart(desk.sessions, session, ME)
    assert [(each.start.shell, each.start.restored) for each in shells.sessions] == [("zsh", True), ("zsh", False)]


async def test_what_runs_is_on_the_row_once_it_is_told_also_after_a_restart() -> None:
    store, ids = MemoryTranscripts(), count(1)
    async with running(store, ids) as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        for _ in range(2):
            await desk.echo.sessions[0]._emit(Described(program=f"dash: it has \x1b[2J no {'marks ' * 40}"))
        await settle()
        told = desk.rows[session].program
        assert told.startswith("dash: it has [2J no marks")
        assert len(told) == 120
        infos = [event for event in await whole_log(desk, session) if event.type == "session.info"]
        assert len(infos) == 3  # starting, idle, and the program: once
    async with running(store, ids) as desk:
        await settle()
        assert desk.rows[session].program == told


async def test_who_has_the_whole_screen_is_on_the_row_until_it_leaves_or_the_turn_ends() -> None:
    async with running() as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        emit = desk.echo.sessions[0]._emit
        shown: list[str] = []
        for screen, over in (("vim", False), ("", False), ("less", True)):
            await submit(desk, session, "@hold", prompt_id=f"{screen}-{over}")
            await emit(Described(screen=screen))
            await settle()
            shown.append(desk.rows[session].screen)
        await emit(Finished(status="complete"))
        await settle()
        assert (shown, desk.rows[session].screen) == (["vim", "", "less"], "")
