"""Real agents on one device, used from another, offline: what people do all day, and what goes wrong."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.adapters.backends.process_owner import SESSION_MARK
from tests.agents import AGENTS, Recipe
from tests.agents.fixtures import RealAgent
from tests.e2e.conftest import MakeNetwork
from tests.e2e.device import Device, Row, Wire, pair, until
from tests.models import ModelProcess

pytestmark = pytest.mark.agents

ENDING = 10.0
"""Seconds within which nothing of a session that was closed may be left."""


@dataclass
class Household:
    """A desk with an agent and a model, and a laptop; nothing else is on their network."""

    desk: Device
    laptop: Device
    models: ModelProcess
    recipe: Recipe

    def create(self) -> str:
        """A new session of the agent, from the laptop."""
        where = ("--on", "desk", "--backend", self.recipe.name, "--cwd", str(self.recipe.work))
        return self.laptop.line("new", *where, "--title", "Talk")

    def say(self, session: str, text: str) -> str:
        """Prompt from the laptop; the reply. Agents may put warnings of their own before it."""
        return self.laptop.line("prompt", session, text)

    def told(self) -> str:
        """All that the model was told of the conversation when it was asked last."""
        return "\n".join(text for _, text in self.models.turns[-1]["texts"])

    def begin_turn(self, session: str, text: str) -> None:
        """Prompt from the laptop; do not wait."""
        self.laptop.run("prompt", session, "--no-wait", text)

    def begin_endless_turn(self, session: str) -> None:
        """Prompt; returns when some of the reply is here, of which the rest never comes."""
        before = self.streamed(session).count("piece 2")
        self.begin_turn(session, "model: say 2\nmodel: wait for ever")
        until(lambda: self.streamed(session).count("piece 2") > before, "the beginning of the reply")

    def streamed(self, session: str) -> str:
        """All replies so far, as they came."""
        events = self.laptop.ask("session.history", session_id=session, limit=500)["events"]
        return "".join(e["payload"]["text"] for e in events if e["type"] == "message.delta")

    def question(self, session: str) -> Row:
        """The one that is open, as the log on the laptop has it."""
        self.laptop.wait_for_session(session, status="needs-input")
        opened: Row = next(e for e in reversed(self.laptop.events(session)) if e["type"] == "request.open")["payload"]
        return opened

    def settled(self, session: str) -> Row:
        """Wait for the end of the turn; how it ended."""
        self.laptop.wait_for_session(session, status="idle")
        ended: Row = [e for e in self.laptop.events(session) if e["type"] == "turn.complete"][-1]["payload"]
        return ended


MakeHousehold = Callable[[str], Household]


@pytest.fixture
def household(network: MakeNetwork, real_agent: RealAgent, tmp_path: Path) -> Iterator[MakeHousehold]:
    """A household whose desk has that agent: codex is found on PATH, others are configured."""
    with ExitStack() as models_of:

        def make(agent: str) -> Household:
            desk, laptop = network("desk", "laptop")
            models = models_of.enter_context(ModelProcess(desk.host.popen))
            recipe = real_agent(agent, tmp_path / "home", tmp_path / "work", models.url)
            if agent == "codex":
                folder = Path(recipe.argv[0]).parent
                desk.add_environ(**recipe.env, PATH=f"{folder}{os.pathsep}{os.environ['PATH']}")
            else:
                env = ", ".join(f"{name} = {json.dumps(value)}" for name, value in recipe.env.items())
                desk.configure(f"[backends.{agent}]\nargv = {json.dumps(recipe.argv)}\nenv = {{ {env} }}\n")
            for device in (desk, laptop):
                device.start()
            for device in (desk, laptop):
                device.wait_until_up()
            pair(desk, laptop)
            return Household(desk, laptop, models, recipe)

        yield make


def processes(session: str) -> dict[int, str]:
    """What runs for that session, also what has cut itself loose: process id -> command line."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                marked = f"{SESSION_MARK}={session}".encode() in (folder / "environ").read_bytes().split(b"\0")
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:
                continue  # it has ended
            if marked and command:
                found[int(folder.name)] = command
    return found


def choice(question: Row, kind: str) -> str:
    return str(next(each["id"] for each in question["choices"] if each["kind"] == kind))


@pytest.mark.parametrize("agent", AGENTS)
def test_an_agent_is_prompted_allowed_refused_and_stopped_from_another_device(
    agent: str, household: MakeHousehold
) -> None:
    home = household(agent)
    listed = {row["name"]: row for row in home.laptop.json("backends", "--on", "desk")}
    assert (listed[agent]["ready"], listed[agent]["missing"]) == (True, "")
    session = home.create()
    assert processes(session)
    modes = home.laptop.json("set", session, "mode")["choices"]
    assert any(mode["description"] for mode in modes), modes
    half_a_reply_is_seen_while_the_model_still_waits(home, session)
    two_answer_at_once_and_one_is_first(home, session)
    refused_it_does_nothing(home, session)
    stopped_it_goes_on_with_the_next_prompt(home, session)
    assert not (home.recipe.work / "never.txt").exists()
    closed_in_the_middle_of_a_command_it_leaves_nothing(home, session)
    home.desk.assert_healthy()
    home.laptop.assert_healthy()


def half_a_reply_is_seen_while_the_model_still_waits(home: Household, session: str) -> None:
    with Wire(home.laptop) as viewer:
        viewer.call("session.attach", session_id=session)

        def streamed() -> str:
            return "".join(e["payload"]["text"] for e in viewer.notes("event") if e["type"] == "message.delta")

        home.begin_turn(session, "model: say 2\nmodel: wait gate\nmodel: text and the end")
        until(lambda: streamed().endswith("piece 1 piece 2 "), "the first half")
        assert home.models.turns[-1]["outcome"] == "running"
        home.models.release("gate")
        assert home.settled(session)["status"] == "complete"
        until(lambda: streamed().endswith("piece 1 piece 2 and the end"), "the second half")


def two_answer_at_once_and_one_is_first(home: Household, session: str) -> None:
    # S9
    home.begin_turn(session, home.recipe.asking("echo hello > made.txt"))
    question = home.question(session)
    assert "made.txt" in question["prompt"] + question.get("detail", "")
    assert question["tool"] == "execute"
    home.desk.wait_for_session(session, status="needs-input")
    asked = {"session_id": session, "request_id": question["request_id"], "answer": choice(question, "allow_once")}
    devices = (home.desk, home.laptop)
    with ThreadPoolExecutor(2) as both:
        answers = list(both.map(lambda device: device.ask("request.answer", **asked), devices))
    assert sorted(each["status"] for each in answers) == ["accepted", "already-answered"]
    first = devices[0 if answers[0]["status"] == "accepted" else 1]
    assert [each["by"]["name"] for each in answers] == [first.name, first.name]
    assert home.settled(session)["status"] == "complete"
    assert (home.recipe.work / "made.txt").read_text() == "hello\n"
    tools = [e["payload"] for e in home.laptop.events(session) if e["type"] == "tool.complete"]
    assert tools[-1]["status"] == "complete"


def refused_it_does_nothing(home: Household, session: str) -> None:
    home.begin_turn(session, home.recipe.asking("echo no > never.txt"))
    home.laptop.run("answer", session, "no")  # by its kind: each agent has another name for it, at another place
    home.settled(session)


def stopped_it_goes_on_with_the_next_prompt(home: Household, session: str) -> None:
    # Some agents lose step when they are stopped while they ask.
    home.begin_turn(session, home.recipe.asking("echo no > never.txt"))
    home.question(session)
    home.laptop.run("interrupt", session)
    assert home.settled(session)["status"] == "interrupted"
    assert home.say(session, "model: text after the question").endswith("after the question")
    home.begin_endless_turn(session)
    home.laptop.run("interrupt", session)
    assert home.settled(session)["status"] == "interrupted"
    assert home.say(session, "model: text after the stop").endswith("after the stop")
    assert "and the end" in home.told()  # it still knows what was said before


def closed_in_the_middle_of_a_command_it_leaves_nothing(home: Household, session: str) -> None:
    (home.recipe.work / "sleeps.sh").write_text("sleep 1234 & sleep 1234\n")
    home.begin_turn(session, home.recipe.asking("sh sleeps.sh"))
    question = home.question(session)
    home.laptop.run("answer", session, "yes")
    answers = [e["payload"].get("answer") for e in home.laptop.events(session) if e["type"] == "request.closed"]
    assert choice(question, "reject_once") in answers
    assert answers[-1] == choice(question, "allow_once")
    until(lambda: list(processes(session).values()).count("sleep 1234") == 2, "the command to run")
    home.laptop.run("close", session)
    until(lambda: not processes(session), lambda: f"the end of {processes(session)}", seconds=ENDING)


@pytest.mark.parametrize("agent", ["codex", "opencode", "hermes"])  # gemini loads only after a minute
def test_a_session_outlives_its_agent_and_the_service(agent: str, household: MakeHousehold) -> None:
    home = household(agent)
    session = home.create()
    home.say(session, "model: text the word is plum")

    # The agent is killed in the middle of a turn: said so, and the next prompt finds it again, with what it knew.
    home.begin_endless_turn(session)
    killed = processes(session)
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    ended = home.settled(session)
    assert ended["status"] == "error"
    assert "SIGKILL" in ended["error"]
    assert home.say(session, "model: text here again").endswith("here again")
    assert "the word is plum" in home.told()

    # The service is killed: its agent, which may not heed that, is gone when the session is there again.
    old = processes(session)
    assert old
    assert not set(old) & set(killed)
    home.desk.kill()
    home.desk.up()
    until(lambda: not processes(session), lambda: f"the end of {processes(session)}", seconds=ENDING)
    home.laptop.wait_for_session(session, attachable=True, status="idle")
    assert home.say(session, "model: text and once more").endswith("and once more")
    assert "the word is plum" in home.told()
    assert "here again" in home.told()
    replies = [e["payload"]["text"] for e in home.laptop.events(session) if e["type"] == "message.complete"]
    assert len([text for text in replies if text.endswith("the word is plum")]) == 1  # a replay is not said twice

    home.laptop.run("close", session)
    until(lambda: not processes(session), lambda: f"the end of {processes(session)}", seconds=ENDING)


def test_what_is_set_from_another_device_holds_and_outlives_the_agent(household: MakeHousehold) -> None:
    home = household("codex")
    session = home.create()
    write = 'model: call exec_command {"cmd": "echo free > made.txt"}'
    made = home.recipe.work / "made.txt"

    home.say(session, write)
    assert not made.exists()  # read-only
    home.laptop.run("set", session, "mode", "full-access")
    home.laptop.run("set", session, "model", "gpt-5.4")
    home.say(session, write)
    assert made.read_text() == "free\n"

    made.unlink()
    for pid in processes(session):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not processes(session), "the end of the agent")
    home.say(session, write)
    assert made.read_text() == "free\n"
    options = {each["id"]: each["value"] for each in home.desk.json("set", session)}
    assert (options["mode"], options["model"]) == ("full-access", "gpt-5.4")
    assert home.laptop.sessions()[session]["model"] == "gpt-5.4"
