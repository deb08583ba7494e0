"""A Hermes gateway of the desk's own, used from a laptop: the real hermes-agent, with a model of the tests' own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.agents import Recipe, missing, recipe_for
from tests.e2e import hermes
from tests.e2e.conftest import networks
from tests.e2e.device import Device, Row, Wire, pair, until
from tests.models import ModelProcess

pytestmark = pytest.mark.agents

KEY, SOUL = "sk-this-key-stays-here", "You answer as the lighthouse keeper of Nowhere."
"""What only the desk knows: the key of its model, and what its owner has told Hermes to be."""


class Household:
    """A desk with Hermes and a model, and a laptop."""

    def __init__(self, desk: Device, laptop: Device, models: ModelProcess, recipe: Recipe) -> None:
        self.desk, self.laptop, self.models, self.recipe = desk, laptop, models, recipe

    def create(self, title: str) -> str:
        """A new session, from the laptop."""
        where = ("--on", "desk", "--backend", "hermes", "--cwd", str(self.recipe.work))
        session = self.laptop.line("new", *where, "--title", title)
        self.laptop.wait_for_session(session, status="idle")
        return session

    def begin_endless_turn(self, session: str) -> None:
        """Prompt from the laptop; returns when some of the reply is here, of which the rest never comes."""
        self.laptop.run("prompt", session, "--no-wait", "model: say 3\nmodel: wait for ever")
        until(lambda: self.reply(session).endswith("piece 3 "), "the beginning of the reply")

    def reply(self, session: str) -> str:
        """What was replied to the newest prompt so far, as the laptop has it."""
        events = self.laptop.ask("session.history", session_id=session, limit=1000)["events"]
        newest = max((at for at, each in enumerate(events) if each["type"] == "message.user"), default=0)
        return said(events[newest:])

    def question(self, session: str) -> Row:
        """The one that is open."""
        self.laptop.wait_for_session(session, status="needs-input")
        opened: Row = next(e for e in reversed(self.laptop.events(session)) if e["type"] == "request.open")["payload"]
        return opened

    def settled(self, session: str) -> Row:
        """Wait for the end of the turn; how it ended."""
        self.laptop.wait_for_session(session, status="idle")
        ended: Row = [e for e in self.laptop.events(session) if e["type"] == "turn.complete"][-1]["payload"]
        return ended


@pytest.fixture(scope="module")
def household(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    """Skipped without hermes; in CI it must be there."""
    if absent := missing("hermes"):
        if os.environ.get("CI"):
            pytest.fail(f"real agents must run in CI: {absent}")
        pytest.skip(absent)
    with networks() as network, ExitStack() as stack:
        desk, laptop = network("desk", "laptop")
        models = stack.enter_context(ModelProcess(desk.host.popen))
        # Its home is the desk's, as it is on a machine where one person has both.
        recipe = recipe_for("hermes", desk.home.parent, tmp_path_factory.mktemp("work"), models.url)
        home = Path(recipe.env["HERMES_HOME"])
        config = home / "config.yaml"
        config.write_text(config.read_text().replace("api_key: none", f"api_key: {KEY}"))
        (home / "SOUL.md").write_text(SOUL)
        desk.configure(hermes.settings(recipe))
        for device in (desk, laptop):
            device.start()
        for device in (desk, laptop):
            device.wait_until_up()
        pair(desk, laptop)
        yield Household(desk, laptop, models, recipe)
        desk.leave()
        assert not hermes.processes(desk)


def streamed(events: Sequence[Row]) -> str:
    return "".join(each["payload"]["text"] for each in events if each["type"] == "message.delta")


def said(events: Sequence[Row]) -> str:
    """Replies as a log has them: whole where they are over, in pieces where not."""
    parts: list[str] = []
    running: list[str] = []
    for each in events:
        if each["type"] == "message.delta":
            running.append(each["payload"]["text"])
        elif each["type"] == "message.complete":
            parts.append(each["payload"]["text"])
            running.clear()
    return "".join(parts + running)


def of_type(events: Sequence[Row], kind: str) -> list[Row]:
    return [each["payload"] for each in events if each["type"] == kind]


def test_three_viewers_on_two_devices_get_what_the_model_sent(household: Household) -> None:  # S5
    home = household
    session = home.create("Talk")
    with ExitStack() as stack:
        viewers = [stack.enter_context(Wire(device)) for device in (home.laptop, home.laptop, home.desk)]
        for viewer in viewers:
            viewer.call("session.attach", session_id=session)
        shown = home.laptop.run("prompt", session, "model: think 5\nmodel: say 300\nmodel: slow 20 0.05").stdout
        sent = home.models.turns[-1]["said"]
        assert shown.rstrip() == sent.rstrip()
        for viewer in viewers:
            viewer.wait_for(lambda told: (told.get("params") or {}).get("type") == "turn.complete", "the end")
        told = [[each for each in viewer.notes("event") if "seq" in each] for viewer in viewers]
    for events in told:
        assert streamed(events) == sent
        assert [each["seq"] for each in events] == list(range(events[0]["seq"], events[0]["seq"] + len(events)))
        assert len(of_type(events, "message.delta")) > 2  # it was streamed
        (asked,) = of_type(events, "message.user")
        assert asked["sender"]["name"] == "laptop"  # S7
        (ended,) = of_type(events, "turn.complete")
        assert ended["status"] == "complete"
    last = min(events[-1]["seq"] for events in told)
    same = [[(each["seq"], each["type"], each["payload"]) for each in events if each["seq"] <= last] for events in told]
    assert same[0] == same[1] == same[2]
    assert SOUL in home.models.turns[-1]["texts"][0][1]  # Hermes itself is as its owner wants it


def test_a_viewer_that_left_in_the_middle_gets_the_rest_once(household: Household) -> None:  # S4, S6
    home = household
    session = home.create("Left")
    with Wire(home.laptop) as viewer:
        viewer.call("session.attach", session_id=session)
        home.laptop.run("prompt", session, "--no-wait", "model: say 50\nmodel: wait back\nmodel: say 50 late")
        until(lambda: "piece 50 " in streamed(viewer.notes("event")), "the first half")
        before = viewer.notes("event")
        epoch = home.laptop.ask("session.history", session_id=session, limit=1).get("epoch", "")
    home.models.release("back")  # with nobody watching
    home.laptop.wait_for_session(session, status="idle")
    with Wire(home.laptop) as viewer:
        attached = viewer.call("session.attach", session_id=session, after=before[-1]["seq"], epoch=epoch)
        until(lambda: of_type(viewer.notes("event"), "turn.complete") or "snapshot" in attached, "the rest")
        after = viewer.notes("event")
    events = home.laptop.events(session)
    assert said(events) == home.models.turns[-1]["said"]
    assert streamed(before + after) == home.models.turns[-1]["said"]


def test_two_answer_at_once_and_the_command_runs_once(household: Household) -> None:  # S9, S10
    home = household
    session = home.create("Approve")
    made = home.recipe.work / "made.txt"
    with Wire(home.laptop) as viewer:
        viewer.call("session.attach", session_id=session)
        home.laptop.run("prompt", session, "--no-wait", home.recipe.asking("echo once >> made.txt"))
        question = home.question(session)
        assert "made.txt" in question["detail"]
        home.desk.wait_for_session(session, status="needs-input")
        devices = (home.desk, home.laptop)
        asked = {"session_id": session, "request_id": question["request_id"], "answer": "once"}
        with ThreadPoolExecutor(2) as both:
            answers = list(both.map(lambda device: device.ask("request.answer", **asked), devices))
        assert sorted(each["status"] for each in answers) == ["accepted", "already-answered"]
        first = devices[[each["status"] for each in answers].index("accepted")]
        assert [each["by"]["name"] for each in answers] == [first.name, first.name]
        assert home.settled(session)["status"] == "complete"
        (closed,) = of_type(viewer.notes("event"), "request.closed")
        assert closed["by"]["name"] == first.name
    assert made.read_text() == "once\n"

    home.laptop.run("prompt", session, "--no-wait", home.recipe.asking("echo twice >> made.txt"))
    home.question(session)
    home.laptop.run("answer", session, "no")
    assert home.settled(session)["status"] == "complete"
    assert made.read_text() == "once\n"


def test_a_choice_and_a_line_are_answered_from_the_laptop(household: Household) -> None:
    home = household
    session = home.create("Clarify")
    choose = 'model: call clarify {"question": "Tea or coffee?", "choices": ["tea", "coffee"]}'
    home.laptop.run("prompt", session, "--no-wait", choose)
    question = home.question(session)
    assert question["prompt"] == "Tea or coffee?"
    assert [each["name"] for each in question["choices"]][:2] == ["tea", "coffee"]
    home.laptop.run("answer", session, "coffee")
    home.settled(session)
    assert "coffee" in home.reply(session)  # the model tells what the tool gave

    home.laptop.run("prompt", session, "--no-wait", choose)
    assert home.question(session)["own_words"]
    home.laptop.run("answer", session, "rather cocoa")  # "Other", in Hermes's own windows
    home.settled(session)
    assert "rather cocoa" in home.reply(session)

    home.laptop.run("prompt", session, "--no-wait", 'model: call clarify {"question": "Which word?"}')
    assert home.question(session)["kind"] == "line"
    home.laptop.run("answer", session, "plum & pear")
    home.settled(session)
    assert "plum & pear" in home.reply(session)


def test_a_turn_is_stopped_and_the_next_prompt_waits_for_its_turn(household: Household) -> None:  # S1
    home = household
    session = home.create("Stop")
    home.begin_endless_turn(session)
    # Stock Hermes would stop the turn for this; here it waits in the queue.
    home.desk.run("prompt", session, "--no-wait", "model: text of the desk")
    assert home.laptop.wait_for_session(session, queued=1)["status"] == "working"
    assert home.models.turns[-1]["outcome"] == "running"
    home.laptop.run("interrupt", session)
    home.laptop.wait_for_session(session, status="idle", queued=0)
    events = home.laptop.events(session)
    assert [each["status"] for each in of_type(events, "turn.complete")] == ["interrupted", "complete"]
    assert of_type(events, "message.complete")[-1]["text"] == "of the desk"
    assert [each["sender"]["name"] for each in of_type(events, "message.user")] == ["laptop", "desk"]


def test_a_gateway_that_is_killed_comes_back_with_what_it_knew(household: Household) -> None:
    home = household
    session = home.create("Killed")
    home.laptop.run("prompt", session, "model: text the word is plum")
    home.begin_endless_turn(session)
    killed = hermes.processes(home.desk)
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    ended = home.settled(session)
    assert ended["status"] == "error"
    assert "Hermes" in ended["error"]
    assert home.reply(session) == "piece 1 piece 2 piece 3 "  # nothing twice, nothing lost
    home.laptop.run("prompt", session, "model: text here again")
    assert home.reply(session) == "here again"
    assert "the word is plum" in all_texts(home.models.turns[-1])
    assert not set(killed) & set(hermes.processes(home.desk))


def test_a_service_that_is_killed_comes_back_and_leaves_no_gateway(household: Household) -> None:  # S2, S3
    home = household
    session = home.create("Restart")
    home.laptop.run("prompt", session, "model: text the word is pear")
    home.begin_endless_turn(session)
    old = set(hermes.processes(home.desk))
    assert old
    home.desk.kill()
    until(lambda: not old & set(hermes.processes(home.desk)), lambda: f"the end of {hermes.processes(home.desk)}")
    home.desk.up()
    home.laptop.wait_for_session(session, status="idle", attachable=True)
    events = home.laptop.events(session)
    ended = of_type(events, "turn.complete")[-1]
    assert (len(of_type(events, "turn.complete")), ended["status"]) == (2, "interrupted")
    assert any("restarted" in each.get("note", "") for each in of_type(events, "session.info"))
    home.laptop.run("prompt", session, "model: text and once more")
    assert home.reply(session) == "and once more"
    assert "the word is pear" in all_texts(home.models.turns[-1])
    events = home.laptop.events(session)
    assert said(events).count("the word is pear") == 1
    assert said(events).count("piece 3") == 1
    assert len({each["seq"] for each in events}) == len(events)


@pytest.mark.parametrize("end", ["close", "kill"])
def test_a_command_that_runs_ends_with_its_session_and_with_the_service(household: Household, end: str) -> None:
    home = household
    session, word = home.create(f"Command {end}"), f"sleep 5678{len(end)}"
    home.laptop.run("prompt", session, "--no-wait", home.recipe.asking(word))
    home.question(session)
    home.laptop.run("answer", session, "once")
    until(lambda: hermes.processes(home.desk, word), "the command to run")
    if end == "close":
        home.laptop.run("close", session)
    else:
        home.desk.kill()
        home.desk.up()
    until(lambda: not hermes.processes(home.desk, word), "its end")


def test_what_is_the_desks_alone_does_not_reach_the_laptop(household: Household) -> None:
    home = household
    folder = home.recipe.env["HERMES_HOME"]
    zeros = "printf '%0400d ' 0"  # the model repeats how the output of a tool begins, and what it says is shown
    with Wire(home.laptop) as viewer:
        viewer.call("session.watch", scope="all")
        viewer.call("peer.watch")
        session = home.create("Leak")
        viewer.call("session.attach", session_id=session)
        home.laptop.run("prompt", session, f"model: think 2\nmodel: tool {zeros}; ls -d ~\nmodel: say 3")
        home.laptop.run("prompt", session, "--no-wait", home.recipe.asking(f"{zeros}; ls -d ~/.hermes/config.yaml"))
        home.question(session)
        home.laptop.run("answer", session, "once")
        home.settled(session)
        for method in ("session.list", "peer.list", "backend.list"):
            viewer.call(method)
        viewer.call("session.history", session_id=session, limit=1000)
        received = repr([frame for _, frame in viewer.told])
    backends = home.laptop.run("backends", "--on", "desk", "--json").stdout
    log = home.laptop.run("log", session, "--json").stdout
    kept = [path for path in home.laptop.home.rglob("*") if path.is_file()]
    stored = "".join(path.read_bytes().decode("latin-1") for path in kept)
    tokens = {hermes.token(pid) for pid in hermes.processes(home.desk)} - {""}
    assert tokens
    paths = {folder, str(home.desk.home.parent)}
    for secret in (KEY, SOUL, home.models.url, *tokens, *paths):
        for place in (received, backends, log, stored):
            before, found, after = place.partition(secret)
            assert not found, f"{before[-300:]} >>> {secret} <<< {after[:100]}"
    assert "~/.hermes/config.yaml" in received  # where the owner's home would stand
    home.desk.assert_healthy()
    home.laptop.assert_healthy()


def all_texts(turn: Row) -> str:
    """All that the model was told of the conversation."""
    return "\n".join(text for _, text in turn["texts"])
