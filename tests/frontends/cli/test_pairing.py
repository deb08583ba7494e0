"""`agent pair` and `agent join` as a person meets them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from agent.adapters.rendering.qr import modules
from agent.client.terminal_text import width
from agent.frontends.cli.qr import QUIET, qr_lines
from agent.frontends.cli.trust import next_step
from agent.protocol.messages import Namesake, PairedRow, PairNews
from agent.protocol.model import DeviceId, DeviceRef
from tests.frontends.cli.test_attach import Terminal
from tests.frontends.conftest import Agent
from tests.frontends.gateway import DESK, HERE, LONG, THERE, FakeGateway
from tests.frontends.gateway import session as session_row


@contextmanager
def on_a_terminal(*argv: str) -> Iterator[Terminal]:
    shown = Terminal(*argv)
    try:
        yield shown
    finally:
        shown.close()


PHONE, POT = DeviceRef(DeviceId("phonephonephone1"), "phone"), DeviceRef(DeviceId("potpotpotpotpot1"), "p\x1b[31mot")


def test_unpair_says_whom_the_device_had_let_in(gateway: FakeGateway, agent: Agent) -> None:
    assert "still" not in agent("unpair", "desk").err
    gateway.let_in = (PHONE, POT)
    ran = agent("unpair", "desk")
    assert (ran.status, ran.out) == (0, "")
    assert "still paired, let in by desk: phone (phon-epho), p" in ran.err
    assert "`agent unpair potp-otpo`" in ran.err
    assert "\x1b" not in ran.err
    assert [asked.with_admitted for asked in gateway.called("device.unpair")] == [False, False]


def test_unpair_puts_out_whom_the_device_had_let_in_if_asked(gateway: FakeGateway, agent: Agent) -> None:
    gateway.let_in = (PHONE,)
    ran = agent("unpair", "desk", "--with-admitted")
    assert "nor is whom it let in: phone (phon-epho)" in ran.err
    assert [asked.with_admitted for asked in gateway.called("device.unpair")] == [True]
    assert agent("unpair", "--self", "--with-admitted").status == 2


@pytest.mark.parametrize(("answer", "asked"), [("y\r", ["desk", PHONE.id]), ("\r", ["desk"])])
def test_unpair_offers_on_a_terminal_to_put_them_out_too(
    gateway: FakeGateway, home: Path, answer: str, asked: list[str]
) -> None:
    gateway.let_in = (PHONE,)
    with on_a_terminal("unpair", "desk") as shown:
        shown.until("put them out too?")
        shown.type(answer)
        assert shown.child.wait(20) == 0
    assert [each.device for each in gateway.called("device.unpair")] == asked


def test_a_limit_names_the_others_that_it_changes(gateway: FakeGateway, agent: Agent) -> None:
    gateway.let_in = (PHONE,)
    ran = agent("devices", "--read-only", "desk")
    assert "phone (phon-epho) was let in by it, and may only watch now as well" in ran.err
    assert "`agent devices --full phon-epho`" in ran.err
    assert "which it let in meanwhile, is in now" in agent("devices", "--full", "desk").err


def test_a_long_code_is_text_in_a_pipe(gateway: FakeGateway, agent: Agent) -> None:
    gateway.news = [PairNews(what="paired", device=DESK, name="desk")]
    ran = agent("pair", "--long")
    assert (ran.status, ran.out) == (0, f"{LONG}\n")
    assert gateway.called("device.pair")[0].long
    assert "█" not in ran.err
    assert "paste the code" in ran.err


def test_a_long_code_is_a_qr_code_on_a_terminal(gateway: FakeGateway, home: Path) -> None:
    with on_a_terminal("pair", "--long") as shown:
        shown.until(LONG)
        drawn = shown.until("on the other device")
        assert len([line for line in drawn.splitlines() if re.search("[▀▄█]", line)]) > 10
        shown.type("\x03")
        assert shown.child.wait(20) == 130


async def test_the_qr_code_has_its_three_corners_and_a_light_border() -> None:
    # ISO/IEC 18004: a finder pattern is 7 by 7, dark outside, light ring, dark core of 3 by 3.
    lines = qr_lines(await modules(f"lan-agent://pair?s={LONG}"))
    assert len({width(line) for line in lines}) == 1
    upper, lower = {" ": 0, "▀": 1, "▄": 0, "█": 1}, {" ": 0, "▀": 0, "▄": 1, "█": 1}
    rows = [[half[char] for char in line] for line in lines for half in (upper, lower)]
    size = len(rows[0])
    assert [sum(row) for row in rows[:QUIET]] == [0] * QUIET
    assert all(row[:QUIET] == row[-QUIET:] == [0] * QUIET for row in rows)
    finder = [[1] * 7, [1, 0, 0, 0, 0, 0, 1], *[[1, 0, 1, 1, 1, 0, 1]] * 3, [1, 0, 0, 0, 0, 0, 1], [1] * 7]
    for top, left in ((QUIET, QUIET), (QUIET, size - QUIET - 7), (size - QUIET - 7, QUIET)):
        assert [row[left : left + 7] for row in rows[top : top + 7]] == finder


def test_after_two_failures_the_long_code_is_offered(gateway: FakeGateway, agent: Agent) -> None:
    gateway.news = [
        PairNews(what="wrong-code", tries_left=2, failed=1),
        PairNews(what="failed", tries_left=1, failed=2),
        PairNews(what="wrong-code", tries_left=0, failed=3),
        PairNews(what="exhausted", failed=3),
    ]
    ran = agent("pair")
    assert ran.status == 5
    told = ran.err.splitlines()
    assert "a wrong code was tried, 1 so far; 2 more tries" in told
    assert "somebody began and did not finish, 2 tries so far; 1 more try" in told
    assert [i for i, line in enumerate(told) if "--long" in line] == [
        told.index("somebody began and did not finish, 2 tries so far; 1 more try") + 1,
        len(told) - 1,
    ]


def test_the_reason_why_a_device_was_not_paired_is_shown_with_advice(gateway: FakeGateway, agent: Agent) -> None:
    why = "both devices are in a household already"
    gateway.news = [
        PairNews(what="failed", name="p\x1b[2Ji", reason=why, hint="`agent unpair --self`", tries_left=3),
        PairNews(what="wrong-code", tries_left=2, failed=1),
        PairNews(what="paired", device=DESK, name="desk"),
    ]
    ran = agent("pair")
    assert ran.status == 0
    told = ran.err.splitlines()
    at = told.index(f"p\N{REPLACEMENT CHARACTER}[2Ji used the code and was not paired: {why}")
    assert told[at + 1 : at + 4] == [
        "  hint: `agent unpair --self`",
        "the code stays valid",
        "a wrong code was tried, 1 so far; 2 more tries",
    ]


OLD = Namesake(id=DeviceId("zzzzyyyyxxxxwwww"), name="desk", seen_at="2027-01-10T12:00:00Z")
ADVICE = "if this is the same machine, installed anew, run `agent unpair zzzz-yyyy`"


@pytest.mark.parametrize("argv", [("pair",), ("join", "42-913-577"), ("devices",)])
def test_an_old_entry_of_the_same_name_is_offered_for_unpairing(
    gateway: FakeGateway, agent: Agent, argv: tuple[str, ...]
) -> None:
    # FACTS "Reinstall": a new key is a new device; the old one is offered and never put out by itself.
    gateway.news = [PairNews(what="paired", device=DESK, name="desk", namesakes=(OLD,))]
    gateway.joined = {"namesakes": (OLD,)}
    row = PairedRow(id=DESK, name="desk", fingerprint="", self=False, paired_at=None, seen_at=None, namesakes=(OLD,))
    gateway.paired = msgspec.to_builtins([row, row])
    ran = agent(*argv)
    assert ran.status == 0
    (told,) = [line for line in ran.err.splitlines() if "installed anew" in line]
    assert told.startswith("  hint: another device is called desk and was last seen 2027-01-1")
    assert told.endswith(ADVICE)
    assert gateway.called("device.unpair") == []


def test_an_old_entry_that_was_never_seen_says_so(gateway: FakeGateway, agent: Agent) -> None:
    gateway.joined = {"namesakes": (msgspec.structs.replace(OLD, name="de\x1bsk", seen_at=None),)}
    told = agent("join", "42-913-577").err
    assert f"is called de\N{REPLACEMENT CHARACTER}sk and was not seen by this device yet: {ADVICE}" in told


@pytest.mark.parametrize(
    ("ttl", "said"),
    [("1", "1 second"), ("90", "90 seconds"), ("1min", "1 minute"), ("5min", "5 minutes"), ("1h", "1 hour")],
)
def test_one_is_not_many(gateway: FakeGateway, agent: Agent, ttl: str, said: str) -> None:
    gateway.news = [
        PairNews(what="failed", tries_left=2, failed=1),
        PairNews(what="paired", device=DESK, name="desk"),
    ]
    ran = agent("pair", "--ttl", ttl)
    assert f"waiting for {said}; Ctrl-C stops" in ran.err
    assert "did not finish, 1 try so far; 2 more tries" in ran.err


def test_the_code_is_taken_from_stdin(gateway: FakeGateway, home: Path) -> None:
    # So that it need not be in argv.
    command = [sys.executable, "-m", "agent", "join", "-"]
    done = subprocess.run(command, check=False, input=f"{LONG}\n", text=True, capture_output=True, timeout=20)
    assert done.returncode == 0, done.stderr
    assert gateway.called("device.join")[0].code.strip() == LONG


def test_without_a_terminal_the_missing_code_is_advice(gateway: FakeGateway, home: Path) -> None:
    command = [sys.executable, "-m", "agent", "join"]
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, text=True, capture_output=True, timeout=20)
    assert (done.returncode, "`-` reads it from stdin" in done.stderr) == (2, True)


def test_of_two_windows_a_terminal_asks_which(gateway: FakeGateway, home: Path) -> None:
    gateway.windows = ["desk", "de\x1b[2Jsk"]
    with on_a_terminal("join") as shown:
        shown.until("code shown on the other device: ")
        shown.type("42-913-577\n")
        shown.until("1) desk at 192.0.2.0:1\n")
        assert "\x1b[2J" not in shown.until("number: ")
        shown.type("2\n")
        shown.until("paired with desk")
        assert shown.child.wait(20) == 0
    assert [asked.address for asked in gateway.called("device.join")] == ["", "192.0.2.1:1"]


@pytest.mark.parametrize("typed", ["\x03", "\x04"])
def test_whoever_leaves_the_question_has_tried_nothing(gateway: FakeGateway, home: Path, typed: str) -> None:
    gateway.windows = ["desk", "pad"]
    with on_a_terminal("join") as shown:
        shown.until("code shown on the other device: ")
        for _ in range(20):  # a key in the very moment in which readline sets itself up is lost to it
            shown.type(typed)
            with suppress(subprocess.TimeoutExpired):
                assert shown.child.wait(1) == 130
                break
        assert shown.child.returncode == 130
    assert gateway.called("device.join") == []


def test_of_two_windows_a_pipe_gets_the_names(gateway: FakeGateway, agent: Agent) -> None:
    gateway.windows = ["desk", "pad"]
    ran = agent("join", "42-913-577")
    assert ran.status == 4
    assert "desk, pad" in ran.err


# --- what comes next -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "session", "told"),
    [
        ("member", "", "next: `agent sessions`, or start one there: `agent new --on desk --attach`"),
        ("guest", "", "next: `agent devices` shows until when it stays; `agent unpair desk` puts it out before"),
        ("host", "", "next: `agent sessions --on desk`, then `agent attach`"),
        ("host", "s3ssionaaaaaaaaa", "next: `agent attach s3ssionaaaaaaaaa`"),
    ],
)
def test_what_comes_next_fits_the_rights(role: str, session: str, told: str) -> None:
    assert next_step("desk", DESK, role, session) == told
    assert "\x1b" not in next_step("de\x1b[2Jsk; rm", DESK, role, session)
    assert "rm" not in next_step("desk; rm", DESK, role, session)


@pytest.mark.parametrize("read", [(), ("--read",), ("--read", "--session", "Build")])
def test_who_let_a_guest_in_is_not_told_to_start_one_there(
    gateway: FakeGateway, agent: Agent, read: tuple[str, ...]
) -> None:
    gateway.news = [PairNews(what="paired", device=DESK, name="desk")]
    told = agent("pair", "--guest", *read).err
    assert "agent new" not in told
    assert "`agent unpair desk` puts it out before" in told


@pytest.mark.parametrize("session", ["", HERE])
def test_a_guest_is_not_told_to_start_one_there(gateway: FakeGateway, agent: Agent, session: str) -> None:
    expires = "2027-01-15T20:00:00Z"
    gateway.joined = {"role": "host", "read_only": True, "expires_at": expires, "session": session}
    told = agent("join", "42-913-577").err
    assert "agent new" not in told
    assert (f"`agent attach {HERE}`" if session else "`agent sessions --on desk`") in told


# --- what keeps devices apart -----------------------------------------------------------------------------------------

NO_NETWORK = "no network interface is up"


@pytest.mark.parametrize("argv", [("peers",), ("pair",), ("join", "42-913-577"), ("sessions",)])
def test_what_keeps_devices_apart_stands_on_top(gateway: FakeGateway, agent: Agent, argv: tuple[str, ...]) -> None:
    gateway.status = {"reach": (NO_NETWORK,), "problems": (NO_NETWORK, "a backend is missing")}
    gateway.news = [PairNews(what="paired", device=DESK, name="desk")]
    ran = agent(*argv)
    assert ran.status == 0
    assert ran.err.startswith(f"problem: {NO_NETWORK}\n")
    assert "a backend is missing" not in ran.err


@pytest.mark.parametrize("argv", [("peers", "--json"), ("sessions", "--json")])
def test_for_a_script_there_is_nothing_but_the_data(gateway: FakeGateway, agent: Agent, argv: tuple[str, ...]) -> None:
    gateway.status = {"reach": (NO_NETWORK,)}
    assert agent(*argv).err == ""


def test_sessions_of_others_need_no_word_about_the_network(gateway: FakeGateway, agent: Agent) -> None:
    gateway.status = {"reach": (NO_NETWORK,)}
    gateway.sessions.append(session_row(THERE, "Far"))
    assert NO_NETWORK not in agent("sessions").err


def test_a_hidden_device_says_that_the_other_one_needs_its_address(gateway: FakeGateway, agent: Agent) -> None:
    gateway.status = {"presence": "hidden"}
    gateway.news = [PairNews(what="paired", device=DESK, name="desk")]
    assert "presence.mode is hidden): the other one needs --address" in agent("pair").err


def test_the_only_session_of_a_guest_is_called_by_its_title(gateway: FakeGateway, agent: Agent) -> None:
    row = PairedRow(
        id=DESK, name="desk", fingerprint="", self=False, paired_at=None, seen_at=None, role="guest", session=HERE,
        session_title="Bui\x1b[2Jld",
    )  # fmt: skip
    gateway.paired = msgspec.to_builtins([row])
    assert f"guest, only Bui\N{REPLACEMENT CHARACTER}[2Jld ({HERE})" in agent("devices").out
