"""`agent withdraw`, `agent interrupt`, and a prompt that is given up while it waits (S12)."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent.errors import Forbidden, MethodNotFound, PromptNotFound
from agent.frontends.cli.complete import complete_prompt
from agent.frontends.cli.withdraw import interrupted_lines, pick, withdraw
from agent.protocol.events import MessageStart, RequestOpen, UserMessage
from agent.protocol.messages import Interrupted
from agent.protocol.model import Sender
from agent.protocol.prompts import QueuedPrompt
from tests.frontends.conftest import Agent
from tests.frontends.gateway import DESK, HERE, OWN, FakeGateway, _reply, _sender

DESKS = Sender(device=DESK, name="desk")
MADE = "0123456789abcdef" * 2


def queued(turn: int, text: str, prompt_id: str = "", by: Sender | None = None) -> UserMessage:
    return UserMessage(turn=turn, prompt_id=prompt_id or f"id-{turn}", text=text, sender=by or _sender(), queued=True)


@pytest.fixture
def busy(gateway: FakeGateway) -> FakeGateway:
    """A turn of the desk's runs; two prompts of this device and one of the desk's wait."""
    begun = UserMessage(turn=1, prompt_id="x", text="long", sender=DESKS)
    waiting = (queued(2, "fix it"), queued(3, "then\ttest\nit", MADE), queued(4, "and mine", by=DESKS))
    gateway.emit(begun, MessageStart(turn=1), *waiting)
    gateway.busy = True
    gateway._turns |= {"x": 1, "id-2": 2, MADE: 3, "id-4": 4}
    return gateway


def waiting(gateway: FakeGateway) -> list[int]:
    return [prompt.turn for prompt in gateway.queue]


# --- agent withdraw --------------------------------------------------------------------------------------------------


def test_the_newest_prompt_of_this_device_is_taken_back_and_its_text_is_on_stdout(
    busy: FakeGateway, agent: Agent
) -> None:  # S12
    assert agent("withdraw", "Build") == (0, "then\ttest\nit\n", "taken back; 2 still waiting\n")
    assert agent("withdraw", "Build") == (0, "fix it\n", "taken back; 1 still waiting\n")
    assert waiting(busy) == [4]
    ran = agent("withdraw", "Build")
    assert (ran.status, ran.out) == (4, "")
    assert ran.err == (
        'agent: nothing of this device waits; of others 1 prompt: "and mine" (desk)\n'
        "  hint: `agent withdraw Build id-4` takes back what runs next, on the session's own device\n"
    )


def test_a_prompt_is_named_by_its_id_or_the_beginning_of_it(busy: FakeGateway, agent: Agent) -> None:
    assert agent("withdraw", HERE, "01234567").out == "then\ttest\nit\n"
    assert agent("withdraw", HERE, "id-2") == (0, "fix it\n", "taken back; 1 still waiting\n")
    assert agent("withdraw", HERE, "nothing").err.startswith("agent: no such prompt\n  hint: `agent withdraw")


def test_several_prompts_that_begin_alike_are_listed(busy: FakeGateway, agent: Agent) -> None:
    ran = agent("withdraw", HERE, "id-")
    assert (ran.status, waiting(busy)) == (4, [2, 3, 4])
    assert ran.err.splitlines() == [
        "agent: several prompts begin with 'id-':", '  id-2  "fix it"', '  id-4  "and mine"',
        "  hint: give more characters of the id",
    ]  # fmt: skip


def test_that_nothing_waits_is_said_with_status_4(gateway: FakeGateway, agent: Agent) -> None:
    ran = agent("withdraw", "Build")
    assert (ran.status, ran.out) == (4, "")
    assert (
        ran.err == "agent: nothing waits in Build\n  hint: it may have begun: `agent interrupt Build` stops what runs\n"
    )
    assert agent("withdraw", "Build", "--list") == (0, "", "nothing waits\n")
    assert agent("withdraw", "Build", "--list", "--json").out == "[]\n"


def test_what_waits_is_listed_as_it_runs(busy: FakeGateway, agent: Agent) -> None:
    assert agent("withdraw", HERE, "--list").out == (
        f"id-2\tlaptop\tfix it\n{MADE}\tlaptop\tthen test it\nid-4\tdesk\tand mine\n"
    )
    rows = json.loads(agent("withdraw", HERE, "--list", "--json").out)
    assert [(row["turn"], row["sender"]["name"]) for row in rows] == [(2, "laptop"), (3, "laptop"), (4, "desk")]
    assert waiting(busy) == [2, 3, 4]


def test_what_was_taken_back_is_told_as_json(busy: FakeGateway, agent: Agent) -> None:
    told = json.loads(agent("withdraw", HERE, "id-2", "--json").out)
    assert (told["prompt_id"], told["status"], told["text"]) == ("id-2", "withdrawn", "fix it")


def test_one_that_begins_just_then_is_said_to_run_or_to_be_over(busy: FakeGateway, agent: Agent) -> None:
    busy.begins = "and runs"
    ran = agent("withdraw", HERE, "id-2")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == f"agent: too late: it runs already\n  hint: `agent interrupt {HERE}` stops it\n"
    busy.begins = "and ends"
    ran = agent("withdraw", HERE, "id-4")
    assert ran.err == f"agent: it waits no more\n  hint: `agent log {HERE}` shows what became of it\n"


def test_what_may_not_be_taken_back_or_cannot_is_said(busy: FakeGateway, agent: Agent) -> None:
    busy.refusals["prompt.withdraw"] = Forbidden("desk sent that prompt", hint="only that device may")
    assert agent("withdraw", HERE, "id-4") == (5, "", "agent: desk sent that prompt\n  hint: only that device may\n")
    busy.refusals["prompt.list"] = MethodNotFound("desk's lan-agent is too old for this", hint="update it")
    assert agent("withdraw", HERE).err == "agent: desk's lan-agent is too old for this\n  hint: update it\n"


def test_a_device_that_is_away_is_waited_for(busy: FakeGateway, agent: Agent) -> None:  # L8
    busy.away = True
    ran = agent("withdraw", HERE, "id-2", "--wait", "0")
    assert (ran.status, ran.out) == (6, "")
    assert "out of reach" in ran.err


def test_completion_offers_what_waits(busy: FakeGateway, home: Path) -> None:
    context = withdraw.make_context("withdraw", [HERE], resilient_parsing=True)
    found = complete_prompt(context, withdraw.params[1], "id")
    assert [(item.value, item.help) for item in found] == [("id-2", "fix it (laptop)"), ("id-4", "and mine (desk)")]


# --- agent interrupt -------------------------------------------------------------------------------------------------


def test_an_interrupt_says_what_runs_next(busy: FakeGateway, agent: Agent) -> None:  # S12
    assert agent("interrupt", "Build") == (
        0, "",
        'runs next: 3 prompts: "fix it" (laptop), "then test it" (laptop), "and mine" (desk); '
        "`agent interrupt Build --all` takes back what waits\n",
    )  # fmt: skip
    assert waiting(busy) == [2, 3, 4]


def test_an_interrupt_of_all_says_how_many_and_whose_it_took_back(busy: FakeGateway, agent: Agent) -> None:  # S12
    assert agent("interrupt", "Build", "--all") == (
        0, "", 'taken back: 3 prompts: "fix it" (laptop), "then test it" (laptop), "and mine" (desk)\n'
    )  # fmt: skip
    assert waiting(busy) == []
    assert agent("interrupt", "Build", "--all") == (0, "", "")


def test_an_interrupt_tells_what_is_true() -> None:
    one = QueuedPrompt(turn=2, prompt_id="p", text="x", sender=DESKS)
    assert interrupted_lines(Interrupted(), HERE, everything=False) == []  # of an earlier version: not told
    assert interrupted_lines(Interrupted(turn=3), HERE, everything=False) == []
    assert interrupted_lines(Interrupted(turn=0), HERE, everything=False) == ["nothing runs"]
    stays = Interrupted(turn=1, queue=(one,), dropped=())
    assert interrupted_lines(stays, HERE, everything=True) == ['of other devices, still to run: 1 prompt: "x" (desk)']
    many = Interrupted(turn=1, dropped=(one,) * 5)
    assert interrupted_lines(many, HERE, everything=True) == [
        'taken back: 5 prompts: "x" (desk), "x" (desk), "x" (desk), 2 more'
    ]


def test_commands_that_are_named_can_be_pasted() -> None:
    one = QueuedPrompt(turn=2, prompt_id="my id", text="x", sender=DESKS)
    (line,) = interrupted_lines(Interrupted(turn=1, queue=(one,)), "my build", everything=False)
    assert "`agent interrupt 'my build' --all`" in line
    with pytest.raises(PromptNotFound) as nothing:
        pick((), None, "my build", OWN)
    assert "`agent interrupt 'my build'`" in nothing.value.hint
    with pytest.raises(PromptNotFound) as others:
        pick((one,), None, "my build", OWN)
    assert "`agent withdraw 'my build' 'my id'`" in others.value.hint


def test_names_of_others_drive_no_terminal() -> None:  # T10
    bad = QueuedPrompt(turn=2, prompt_id="p", text="a\x1b[2J", sender=Sender(device=DESK, name="d\x1b]0;x\x07"))
    (line,) = interrupted_lines(Interrupted(turn=1, queue=(bad,)), HERE, everything=False)
    assert line.isprintable()


# --- a prompt that is given up while it waits ------------------------------------------------------------------------


def test_a_time_out_of_a_prompt_that_waits_says_so_and_how_to_take_it_back(busy: FakeGateway, agent: Agent) -> None:
    ran = agent("prompt", HERE, "--timeout", "0.5", "--id", MADE[::-1], "wait")
    assert (ran.status, ran.out) == (7, "")
    assert ran.err.splitlines() == [
        "queued, 4 before it",
        "agent: it has not begun within 0.5 s, 4 before it",
        f"  hint: it will run; `agent withdraw {HERE} {MADE[::-1][:8]}` takes it back",
    ]
    assert waiting(busy) == [2, 3, 4, 5]


def test_a_prompt_that_waits_behind_a_question_names_the_command_that_answers_it(
    busy: FakeGateway, agent: Agent
) -> None:
    asked = RequestOpen(turn=1, request_id="r1", kind="line", prompt=">>> ")  # of a turn that a person began by hand
    busy.requests["r1"] = asked
    busy.emit(asked)
    ran = agent("prompt", HERE, "--timeout", "0.5", "wait")
    answer = f"  answer with `agent answer {HERE} r1 ANSWER`"
    assert ran.err.splitlines()[:3] == ["queued, 4 before it", "waits for an answer: ? >>>", answer]


def test_a_question_that_comes_while_a_prompt_waits_is_told(busy: FakeGateway) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "agent", "prompt", HERE, "--timeout", "20", "wait"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stderr is not None
        assert child.stderr.readline() == "queued, 4 before it\n"
        busy.emit(RequestOpen(turn=1, request_id="r1", kind="line", prompt=">>> "))
        assert child.stderr.readline() == "waits for an answer: ? >>>\n"
        assert child.stderr.readline() == f"  answer with `agent answer {HERE} r1 ANSWER`\n"
        child.kill()


def test_a_time_out_takes_the_prompt_back_if_that_is_wanted(busy: FakeGateway, agent: Agent) -> None:  # S12
    ran = agent("prompt", HERE, "--timeout", "0.5", "--withdraw", "wait")
    assert (ran.status, ran.out) == (7, "")
    assert ran.err.splitlines()[1:] == ["agent: it had not begun within 0.5 s, 4 before it, and was taken back"]
    assert waiting(busy) == [2, 3, 4]
    ran = agent("prompt", HERE, "--timeout", "0.5", "--withdraw", "--json", "wait")
    assert (ran.status, [json.loads(line)["type"] for line in ran.out.splitlines()]) == (
        7, ["message.user", "turn.complete"]
    )  # fmt: skip


def test_a_prompt_that_begins_just_before_it_is_taken_back_runs_to_its_end(busy: FakeGateway, agent: Agent) -> None:
    busy.begins = "and ends"
    ran = agent("prompt", HERE, "--timeout", "0.5", "--withdraw", "--id", "mine", "wait")
    assert ran.out == "ran\n"
    assert ran.status == 0


def test_a_prompt_that_cannot_be_taken_back_stays_and_that_is_said(busy: FakeGateway, agent: Agent) -> None:
    busy.refusals["prompt.withdraw"] = MethodNotFound("desk's lan-agent is too old for this", hint="update it there")
    ran = agent("prompt", HERE, "--timeout", "0.5", "--withdraw", "--id", "mine", "wait")
    assert ran.status == 7
    assert ran.err.splitlines()[1:] == [
        "agent: it could not be taken back: desk's lan-agent is too old for this", "  hint: update it there",
        "agent: it has not begun within 0.5 s, 4 before it",
        f"  hint: it will run; `agent withdraw {HERE} mine` takes it back",
    ]  # fmt: skip


def test_no_wait_says_how_to_take_it_back(busy: FakeGateway, agent: Agent) -> None:
    ran = agent("prompt", "Build", "--no-wait", "--id", "my prompt", "hello")
    assert ran.err == "queued, 4 before it; `agent withdraw Build 'my prompt'` takes it back\n"


def test_no_wait_and_withdraw_are_refused_together(busy: FakeGateway, agent: Agent) -> None:
    ran = agent("prompt", HERE, "--no-wait", "--withdraw", "hello")
    assert (ran.status, ran.out) == (2, "")
    assert "leave out --no-wait" in ran.err
    assert waiting(busy) == [2, 3, 4]


def test_whoever_is_told_by_another_device_that_it_took_the_prompt_back_has_status_130(
    gateway: FakeGateway, agent: Agent
) -> None:  # S14
    gateway.emit(queued(1, "hello", "mine"))
    gateway._turns["mine"] = 1
    agent("withdraw", HERE, "mine")
    ran = agent("prompt", HERE, "--id", "mine", "hello")
    assert (ran.status, ran.out, ran.err) == (130, "", "was sent before\ntaken back by laptop\n")


@pytest.mark.parametrize("withdraws", [True, False])
def test_ctrl_c_while_it_waits_leaves_or_takes_it_back(busy: FakeGateway, home: Path, withdraws: bool) -> None:
    words = ["prompt", HERE, "--id", "mine", "-", *(["--withdraw"] if withdraws else [])]
    with subprocess.Popen(
        [sys.executable, "-m", "agent", *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stdin is not None
        assert child.stderr is not None
        child.stdin.write("a draft\nof two lines\n")
        child.stdin.close()
        child.stdin = None
        assert child.stderr.readline() == "queued, 4 before it\n"
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=20)
    assert (child.returncode, out) == (130, "")
    assert not busy.called("session.interrupt")
    if withdraws:
        assert err.splitlines() == [
            "taken back: a draft", "of two lines", "it had not begun, 4 before it, and was taken back"
        ]  # fmt: skip
        assert waiting(busy) == [2, 3, 4]
    else:
        assert err.splitlines() == [
            "it has not begun, 4 before it; it will run", f"  hint: `agent withdraw {HERE} mine` takes it back"
        ]  # fmt: skip
        assert waiting(busy) == [2, 3, 4, 5]


def test_once_it_runs_ctrl_c_interrupts_it_whatever_ran_before_it(busy: FakeGateway, home: Path) -> None:
    # Turns do not run in the order of their numbers: one that is steered goes first.
    with subprocess.Popen(
        [sys.executable, "-m", "agent", "prompt", HERE, "--steer", "--id", "mine", "wait"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stderr.readline() == "goes first, once the running turn has stopped\n"
        busy.wait_until(lambda: waiting(busy)[0] == 5)
        busy.emit(*_reply(1, "x")[2:], *_reply(5, "begun\n")[:3])
        assert child.stdout.readline() == "begun\n"
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=20)
    assert (child.returncode, out) == (130, "")
    assert err.startswith("interrupting\nruns next: 3 prompts: ")
    assert [asked.turn for asked in busy.called("session.interrupt")] == [5]
