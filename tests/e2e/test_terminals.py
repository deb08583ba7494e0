"""Terminal sessions as people use them: vim, less and a shell through `agent attach --raw`, here and elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.e2e.conftest import networks
from tests.e2e.device import Device, pair, until
from tests.e2e.tmux import Window, missing_tmux

pytestmark = pytest.mark.device

VIM = ("vim", "-u", "NONE", "-N", "-n")
SHELL = ("env", "PS1=inner> ", "bash", "--norc", "--noprofile")
OpenWindow = Callable[..., Window]


@pytest.fixture(scope="module")
def household() -> Iterator[tuple[Device, Device]]:
    """Two paired devices."""
    if absent := missing_tmux():
        if os.environ.get("CI"):
            pytest.fail(f"end-to-end tests must run in CI: install {absent}")
        pytest.skip(f"not installed: {absent}")
    with networks() as network:
        desk, laptop = network("desk", "laptop")
        for device in (desk, laptop):
            device.start()
        for device in (desk, laptop):
            device.wait_until_up()
        pair(desk, laptop)
        yield desk, laptop


@pytest.fixture
def window(tmp_path: Path) -> OpenWindow:
    """Windows of devices: `with window(desk, rows=30) as one:`."""
    numbers = count(1)
    return lambda device, **size: Window(device, tmp_path / f"tmux-{next(numbers)}", **size)


def create(desk: Device, *command: str) -> str:
    """A terminal session on the desk, known to all."""
    return desk.line("new", "--backend", "terminal", "--cwd", str(desk.home.parent), "--", *command)


@pytest.fixture(params=["here", "elsewhere"])
def viewer(request: pytest.FixtureRequest, household: tuple[Device, Device]) -> Device:
    """The device at which somebody sits."""
    return household[request.param == "elsewhere"]


def test_vim_is_edited_left_and_found_again(
    household: tuple[Device, Device], viewer: Device, window: OpenWindow
) -> None:
    desk, _ = household
    notes = desk.home.parent / f"notes-{viewer.name}.md"
    notes.write_text("the first line\n")
    session = create(desk, *VIM, "-c", "set mouse=a laststatus=2", notes.name)
    viewer.wait_for_session(session)
    with window(viewer) as one:
        before = one.state(), one.settings()
        one.agent("attach", "--raw", session)
        one.wait_for("the first line", notes.name, "~")
        assert one.state() != before[0]  # the alternate screen, the mouse
        one.type("oand a second one")
        one.press("Escape")
        one.wait_for("and a second one")
        one.press("C-]")
        shown = one.wait_for("Ctrl-] leaves", f"agent attach --raw {session}", "status=0")
        assert "the first line" not in shown  # the screen is as it was before
        until(lambda: (one.state(), one.settings()) == before, "the terminal to be as it was")
        one.agent("attach", "--raw", session)
        one.wait_for("the first line", "and a second one")
        one.line(":wq")
        one.wait_for("the session has ended (exit status 0)", "status=0")
        until(lambda: (one.state(), one.settings()) == before, "the terminal to be as it was")
    assert notes.read_text() == "the first line\nand a second one\n"


def test_less_pages_follows_the_window_and_ends(
    household: tuple[Device, Device], viewer: Device, window: OpenWindow
) -> None:
    desk, _ = household
    (desk.home.parent / "long.txt").write_text("".join(f"line {number}\n" for number in range(1, 501)))
    session = create(desk, "less", "long.txt")
    viewer.wait_for_session(session)
    with window(viewer, rows=20) as one:
        one.agent("attach", "--raw", session)
        one.wait_for("line 1\n", "line 19\n")
        one.press("Space")
        one.wait_for("line 20\n", "line 38\n")
        one.resize(30, 70)
        one.wait_for("line 20\n", "line 48\n")
        one.type("G")
        one.wait_for("line 500\n", "(END)")
        one.type("q")
        one.wait_for("the session has ended", "status=0")


def test_two_viewers_of_different_sizes_see_the_same_and_the_smaller_counts(
    household: tuple[Device, Device], window: OpenWindow
) -> None:
    desk, laptop = household
    session = create(desk, *SHELL)
    laptop.wait_for_session(session)
    with window(desk, rows=40, cols=120) as large:
        large.agent("attach", "--raw", session)
        large.wait_for("inner>")
        large.line("stty size")
        large.wait_for("40 120")
        with window(laptop, rows=20, cols=90) as small:
            small.agent("attach", "--raw", session)
            small.wait_for("40 120")  # what was there before it came
            small.line("stty size; echo from the small one")
            small.wait_for("20 90", "\nfrom the small one")
            large.wait_for("20 90", "\nfrom the small one")
            participants = desk.sessions()[session]["participants"]
            assert {each["device"]: each["count"] for each in participants} == {desk.id: 1, laptop.id: 1}
            small.press("C-]")
            small.wait_for("status=0")
        large.line("clear; stty size")
        large.wait_for("40 120")
        large.line("exit 7")
        large.wait_for("the session has ended (exit status 7)")


def test_who_comes_late_sees_the_whole_screen(household: tuple[Device, Device], window: OpenWindow) -> None:
    desk, laptop = household
    notes = desk.home.parent / "late.md"
    notes.write_text("".join(f"paragraph {number}\n" for number in range(1, 100)))
    session = create(desk, *VIM, notes.name)
    laptop.wait_for_session(session)
    with window(desk) as early:
        early.agent("attach", "--raw", session)
        early.wait_for("paragraph 1\n")
        early.line(":50")
        early.wait_for("paragraph 50\n")
        with window(laptop) as late:
            late.agent("attach", "--raw", session)
            late.wait_for("paragraph 50\n", "paragraph 45\n", "paragraph 60\n")
            until(lambda: late.text() == early.text(), "the same on both screens")
            late.type("iX marks it ")
            early.wait_for("X marks it")
            early.press("Escape")
            early.line(":q!")
            for each in (early, late):
                each.wait_for("the session has ended")


def test_a_pulled_cable_is_told_and_nothing_is_lost(household: tuple[Device, Device], window: OpenWindow) -> None:
    desk, laptop = household
    session = create(desk, *SHELL)
    laptop.wait_for_session(session)
    with window(laptop, rows=40) as one:
        one.agent("attach", "--raw", session)
        one.wait_for("inner>")
        one.line(
            "clear; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do echo count $i; sleep 0.5; done"
        )
        one.wait_for("count 2\n")
        laptop.host.unplug()
        one.wait_for("link to desk lost", seconds=15)
        laptop.host.plug()
        text = one.wait_for("count 20\n", seconds=30)
        assert [line for line in text.split("\n") if line.startswith("count")] == [f"count {i}" for i in range(1, 21)]
        until(lambda: "link to desk lost" not in one.text(), "the notice to go")
        one.line("echo still $((40 + 2))")
        one.wait_for("still 42")
        one.line("exit")
        one.wait_for("the session has ended")


def test_who_may_only_watch_sees_everything_and_is_told_when_typing(
    household: tuple[Device, Device], window: OpenWindow
) -> None:
    desk, laptop = household
    session = create(desk, *SHELL)
    desk.run("share", session, "read-only")
    until(lambda: laptop.sessions().get(session, {}).get("share") == "read-only", "the laptop to hear of it")
    with window(desk, rows=30, cols=100) as owner, window(laptop, rows=30, cols=100) as watching:
        owner.agent("attach", "--raw", session)
        owner.wait_for("inner>")
        watching.agent("attach", "--raw", session)
        watching.wait_for("inner>")
        watching.type("x")
        watching.wait_for("that session may only be watched")
        owner.line("echo seen $((40 + 2))")
        assert "x echo" not in watching.wait_for("seen 42")
        watching.press("C-]")
        watching.wait_for("status=0")
        owner.line("exit")
        owner.wait_for("the session has ended")


def test_the_viewers_own_service_may_restart(household: tuple[Device, Device], window: OpenWindow) -> None:
    desk, laptop = household
    session = create(desk, *SHELL)
    laptop.wait_for_session(session)
    with window(laptop, rows=40) as one:
        one.agent("attach", "--raw", session)
        one.wait_for("inner>")
        one.line("clear; for i in 1 2 3 4 5 6 7 8; do echo count $i; sleep 0.5; done")
        one.wait_for("count 2\n")
        laptop.kill()
        one.wait_for("the service is away")
        laptop.up()
        text = one.wait_for("count 8\n", seconds=30)
        assert [line for line in text.split("\n") if line.startswith("count")] == [f"count {i}" for i in range(1, 9)]
        one.line("exit")
        one.wait_for("the session has ended")


def test_a_terminal_ends_with_its_service_and_says_so(household: tuple[Device, Device], window: OpenWindow) -> None:
    desk, laptop = household
    session = create(desk, *SHELL)
    laptop.wait_for_session(session)
    with window(laptop) as one:
        before = one.state(), one.settings()
        one.agent("attach", "--raw", session)
        one.wait_for("inner>")
        desk.kill()
        one.wait_for("link to desk lost")
        desk.up()
        one.wait_for("status=", seconds=40)
        until(lambda: (one.state(), one.settings()) == before, "the terminal to be as it was")
        one.agent("attach", "--raw", session)
        one.wait_for("ended")
    desk.wait_for_session(session, status="ended")


def test_attach_without_raw_says_what_shows_it_and_raw_needs_a_terminal(household: tuple[Device, Device]) -> None:
    desk, laptop = household
    session = create(desk, "cat")
    laptop.wait_for_session(session)
    plain = laptop.run("attach", session, input="")
    assert f"agent attach --raw {session}" in plain.stdout + plain.stderr
    refused = laptop.run("attach", "--raw", session, status=2)
    assert "--raw needs a terminal" in refused.stderr
    assert laptop.line("prompt", session, "say it again") == "say it again"
    desk.run("close", session)


def test_new_with_attach_goes_to_the_terminal_at_once(household: tuple[Device, Device], window: OpenWindow) -> None:
    desk, laptop = household
    with window(laptop) as one:
        one.agent("new", "--on", "desk", "--backend", "terminal", "--attach", "--", "sh", "-c", "read x; exit 3")
        one.wait_for("Ctrl-] leaves")
        one.press("Enter")
        one.wait_for("the session has ended (exit status 3)", "status=0")
    shell = create(desk, "true")
    desk.wait_for_session(shell, status="ended")
    other = desk.create("without")
    with window(desk) as one:
        one.agent("attach", "--raw", other)
        one.wait_for("has no terminal to show", "status=2")


def test_a_shell_is_screen_and_log_from_two_devices_at_once(
    household: tuple[Device, Device], window: OpenWindow
) -> None:
    # S1, S7: typed at one's raw terminal, prompted from the other's text, and looked at there by a key.
    desk, laptop = household
    session = desk.line("new", "--shell", "bash", "--cwd", str(desk.home.parent))
    laptop.wait_for_session(session)
    with window(desk) as screen, window(laptop, rows=40) as text:
        screen.agent("attach", "--raw", session)
        screen.wait_for("Ctrl-] leaves")
        text.agent("attach", session)
        text.wait_for("Ctrl-V shows its terminal")
        screen.line("echo typed-$((1 + 1))")
        text.wait_for("[desk] echo typed-$((1 + 1))\ntyped-2\n", "exit 0")
        text.line("echo prompted-$((2 + 2))")
        screen.wait_for("echo prompted-$((2 + 2))\nprompted-4\n")
        screen.type("echo half")
        screen.wait_for("echo half")
        text.line("echo between")
        screen.wait_for("\nbetween\n", "echo half")  # given back
        screen.line("_line")
        text.wait_for("[desk] echo half_line\nhalf_line\n")
        text.line("vim -u NONE -N -n notes.md")
        text.wait_for("vim is on the screen: Ctrl-V shows it")
        text.type("a draft")
        text.press("C-v")
        text.wait_for("~\n~\n")
        text.type("iwritten on the laptop")
        text.press("Escape")
        screen.wait_for("written on the laptop")
        text.line(":wq")
        text.press("C-]")
        text.wait_for("exit 0", "> a draft")
        text.press("C-u")
        text.press("C-d")
        text.wait_for("left", "status=0")
        screen.press("C-]")
        screen.wait_for("status=0")
    assert (desk.home.parent / "notes.md").read_text() == "written on the laptop\n"
    said = [event["payload"] for event in desk.events(session) if event["type"] == "message.user"]
    assert [(each["text"], each["sender"]["name"]) for each in said] == [
        ("echo typed-$((1 + 1))", "desk"),
        ("echo prompted-$((2 + 2))", "laptop"),
        ("echo between", "laptop"),
        ("echo half_line", "desk"),
        ("vim -u NONE -N -n notes.md", "laptop"),
    ]
