"""A peer, or a program in a session, wants to drive the terminal of whoever looks (threat T4, asset A6).

Expected: of what others send, lines, tabs and (on a terminal) colours pass and nothing else, however it is cut.
The filters byte by byte: tests/frontends/cli/test_output.py; look-alike names: tests/frontends/cli/test_confusables.py.
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import time

import pytest

from tests.attacks.conftest import Scene
from tests.e2e.device import PROGRAM

pytestmark = pytest.mark.device

EVIL = {
    "title": r"\033]0;owned\007",
    "clipboard": r"\033]52;c;cm0gLXJmIH4=\007",
    "link": r"\033]8;;file:///etc/passwd\033\\click\033]8;;\033\\",
    "device control": r"\033P+q544e\033\\",
    "report": r"\033[6n\033[c\033[>c\033[21t",
    "clear": r"\033[2J\033[H\033[3J\033c",
    "keys": r"\033[?1h\033=\033[?2004h\033[?1000h",
    "screen": r"\033[?1049h",
    "c1": r"\302\2332J\302\2350;owned\302\234",
    "bidi": r"\342\200\256txt.exe\342\201\246",
    "overwrite": r"rm -rf ~\rls",
    "conceal": r"\033[8mhidden\033[30;40mblack",
}
FORBIDDEN = set("\x1b\x07\x08\r\x7f") | {chr(code) for code in range(0x80, 0xA0)} | set("\u202e\u2066")


def on_a_terminal(scene: Scene, *argv: str) -> str:
    """What a terminal is sent by a command of the laptop."""
    outer, inner = pty.openpty()
    child = subprocess.Popen(
        [*PROGRAM, *argv], env={**scene.laptop.environ, "TERM": "xterm"}, stdin=inner, stdout=inner, stderr=inner
    )
    os.close(inner)
    shown = b""
    end = time.monotonic() + 30  # noqa: TID251 - a test's watch
    while time.monotonic() < end:  # noqa: TID251 - a test's watch
        if not select.select([outer], [], [], 1.0)[0]:
            continue
        try:
            shown += os.read(outer, 65_536)
        except OSError:
            break
    child.wait(5)
    os.close(outer)
    return shown.decode()


@pytest.fixture(scope="module")
def watched(everyone: Scene) -> str:
    """A session on the desk."""
    session = everyone.desk.create("watched")
    everyone.laptop.wait_for_session(session)
    return session


@pytest.fixture(scope="module")
def shell(everyone: Scene) -> str:
    """A session on the desk whose terminal is there to be shown."""
    session = everyone.desk.create("a shell", "--backend", "shell")
    everyone.laptop.wait_for_session(session)
    return session


@pytest.mark.parametrize("kind", ["watched", "shell"])
@pytest.mark.parametrize("what", EVIL)
def test_a_reply_cannot_drive_the_terminal_of_another_device(
    scene: Scene, request: pytest.FixtureRequest, kind: str, what: str
) -> None:
    """Attack: a program prints it, slowly, so that it is cut into deltas. Expected: colours at most."""
    half = EVIL[what][: len(EVIL[what]) // 2].rpartition("\\")[0]
    rest = EVIL[what][len(half) :]
    command = f"printf '<{half}'; sleep 0.1; printf '{rest}>\\n'"
    watched = str(request.getfixturevalue(kind))
    for printed in (
        scene.laptop.run("prompt", watched, command).stdout,
        scene.laptop.run("log", watched).stdout,
    ):
        assert FORBIDDEN & set(printed) == set(), printed
    shown = on_a_terminal(scene, "prompt", watched, command)
    plain = shown.replace("\r\n", "\n").replace("\r\x1b[K", "\n")  # `agent prompt` itself draws a row that moves anew
    allowed = re.sub(r"\x1b\[[0-9;]*m", "", plain)
    assert FORBIDDEN & set(allowed) == set(), shown
    assert "\x1b[8m" not in shown


def test_json_output_says_the_same_and_drives_nothing(scene: Scene, watched: str) -> None:
    """Attack: the same, at `--json` on a terminal. Expected: escaped, and still the same value."""
    scene.laptop.run("prompt", watched, r"printf '\302\2332J\342\200\256x\n'")
    printed = scene.laptop.run("log", watched, "--json").stdout
    assert FORBIDDEN & set(printed) == set()
    texts = [json.loads(line)["payload"].get("text", "") for line in printed.splitlines()]
    assert "\x9b2J\u202ex\n" in "".join(str(text) for text in texts)


TITLES = ["a\x1b]0;owned\x07b", "x\x9b2Jy", "in\u202evoice", "one\r\ntwo", "\u200b", "e" + "\u0301" * 60]


@pytest.mark.parametrize("title", TITLES)
def test_a_title_is_one_harmless_line_everywhere(scene: Scene, title: str) -> None:
    """Attack: a session's title. Expected: cleaned in lists, on attaching, in errors."""
    session = scene.desk.line("new", "--title", title)
    scene.laptop.wait_for_session(session)
    for argv in (("sessions",), ("log", session), ("sessions", "--json")):
        printed = scene.laptop.run(*argv)
        assert FORBIDDEN & set(printed.stdout + printed.stderr) == set()
    scene.desk.run("close", session)


def test_a_device_that_calls_itself_like_a_paired_one_is_flagged(scene: Scene) -> None:
    """Attack: an unpaired device named `Desk` with a Cyrillic letter. Expected: listed, flagged, no sessions."""
    stranger = scene.stranger
    stranger.leave()
    stranger.name, before = "D\u0435sk", stranger.name
    try:
        stranger.up()
        scene.laptop.wait_to_see(stranger, paired=False)
        rows = scene.laptop.run("peers").stdout.splitlines()
        flagged = [row for row in rows if "looks like another name" in row]
        assert len(flagged) == 1
        assert "not paired" in flagged[0]
        scene.laptop.run("new", "--on", "D\u0435sk", status=5)
    finally:
        stranger.leave()
        stranger.name = before
        stranger.up()


def test_what_the_service_says_is_clean(scene: Scene) -> None:
    """Attack: names and reasons in the lines of `agent up`. Expected: no control character in its output."""
    assert FORBIDDEN & set(scene.laptop.said() + scene.desk.said()) == set()
