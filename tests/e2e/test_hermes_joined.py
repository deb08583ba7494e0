"""A Hermes gateway that somebody started by hand and works with at its own window, joined: real hermes-agent."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest

from tests.agents import Recipe, missing, recipe_for
from tests.e2e.conftest import networks
from tests.e2e.device import Device, Row, Wire, pair, until
from tests.e2e.hermes import Gateway, Window, processes
from tests.models import ModelProcess

pytestmark = pytest.mark.agents

GRACE = 1.5
"""Seconds that this gateway keeps a session which no connection has; stock: 20."""


class Household:
    """A desk, at whose window of Hermes a person works, and a laptop."""

    def __init__(self, desk: Device, laptop: Device, models: ModelProcess, gateway: Gateway, recipe: Recipe) -> None:
        self.desk, self.laptop, self.models, self.gateway, self.recipe = desk, laptop, models, gateway, recipe

    def listed(self, stored: str, **wanted: object) -> Row:
        """Wait until the laptop lists that session of Hermes so; `bench_hermes` measures how far it is behind."""

        def row() -> Row | None:
            rows = [each for each in self.laptop.sessions().values() if stored in self.lineage(each["id"])]
            return next((each for each in rows if all(each[key] == value for key, value in wanted.items())), None)

        return until(row, lambda: f"{wanted} in {self.laptop.sessions()}") or {}

    def lineage(self, session: str) -> Sequence[str]:
        """By which ids Hermes knows it; the desk alone tells."""
        rows = {each["id"]: each for each in self.desk.ask("session.list", scope="local")}
        return [str(each) for each in rows.get(session, {}).get("lineage", ())]

    def settled(self, session: str) -> Row:
        """Wait for the end of the turn; how it ended."""
        self.laptop.wait_for_session(session, status="idle")
        ended: Row = of_type(self.laptop.events(session), "turn.complete")[-1]
        return ended

    def said(self, session: str) -> str:
        """All replies, as the laptop's log has them."""
        return "".join(each["text"] for each in of_type(self.laptop.events(session), "message.complete"))

    def notes(self, session: str) -> str:
        """The lines that tell what has become of it."""
        return "\n".join(each.get("note") or "" for each in of_type(self.laptop.events(session), "session.info"))


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
        recipe = recipe_for("hermes", desk.home.parent, tmp_path_factory.mktemp("work"), models.url)
        gateway = Gateway(desk, recipe, grace=GRACE)
        desk.configure(gateway.settings())
        for device in (desk, laptop):
            device.start()
        for device in (desk, laptop):
            device.wait_until_up()
        pair(desk, laptop)
        yield Household(desk, laptop, models, gateway, recipe)
        desk.leave()
        assert gateway.process.poll() is None  # it is not ours to end


@pytest.fixture
def window(household: Household) -> Iterator[Window]:
    """Where the person at the desk works."""
    with Window(household.gateway) as window:
        yield window


def of_type(events: Sequence[Row], kind: str) -> list[Row]:
    return [each["payload"] for each in events if each["type"] == kind]


def streamed(window: Window, live: str) -> str:
    return "".join(each["text"] for each in window.events(live, "message.delta"))


def begin(window: Window, title: str) -> tuple[str, str]:
    """A session of that title, started at the window: its live id and its stored one."""
    made = window.call("session.create", cols=100, title=title)
    window.wait_for(made["session_id"], "session.info")
    return made["session_id"], made["stored_session_id"]


def prompt(window: Window, live: str, text: str) -> None:
    """Prompt at the window, and wait for the end of the turn."""
    before = len(window.events(live, "message.complete"))
    window.call("prompt.submit", session_id=live, text=text)
    until(lambda: len(window.events(live, "message.complete")) > before, "the end of the turn")


def test_a_session_at_its_own_window_is_listed_and_read_without_taking_it(household: Household, window: Window) -> None:
    home = household
    live, stored = begin(window, "By hand")
    home.listed(stored, title="By hand", status="idle", local=False, attachable=True)
    window.call("prompt.submit", session_id=live, text="model: say 20\nmodel: wait look\nmodel: say 20 late")
    session = home.listed(stored, status="working")["id"]
    with Wire(home.laptop) as viewer:
        viewer.call("session.attach", session_id=session)
        home.models.release("look")
        window.wait_for(live, "message.complete")
        home.listed(stored, status="idle")
        viewer.wait_for(lambda told: (told.get("params") or {}).get("type") == "turn.complete", "the end")
    sent = home.models.turns[-1]["said"]
    assert streamed(window, live) == sent  # the window has lost nothing
    assert home.said(session) == sent.rstrip()  # as Hermes keeps it
    (asked,) = of_type(home.laptop.events(session), "message.user")
    assert (asked["sender"]["name"], asked["sender"]["client"]) == ("desk", "hermes")

    window.call("prompt.submit", session_id=live, text='model: call clarify {"question": "Tea or coffee?"}')
    asking = window.wait_for(live, "clarify.request")
    home.listed(stored, status="needs-input")
    window.call("clarify.respond", request_id=asking["request_id"], answer="tea")
    home.listed(stored, status="idle")

    window.call("session.close", session_id=live)
    until(lambda: session not in home.laptop.sessions(), "the end of the session")


def test_taking_a_session_from_its_window_is_asked_for_and_said_on_both_sides(
    household: Household, window: Window
) -> None:
    home = household
    live, stored = begin(window, "Mine")
    prompt(window, live, "model: text the word is plum")
    session = home.listed(stored, status="idle")["id"]
    until(lambda: home.said(session) == "the word is plum", "its past")

    home.laptop.run("prompt", session, "--no-wait", "model: text not yet")
    home.laptop.wait_for_session(session, status="needs-input")
    home.laptop.run("answer", session, "leave")
    assert home.settled(session)["status"] == "interrupted"
    prompt(window, live, "model: text still here")
    assert streamed(window, live) == "the word is plumstill here"

    home.laptop.run("prompt", session, "--no-wait", "model: text from the laptop")
    home.laptop.wait_for_session(session, status="needs-input")
    home.laptop.run("answer", session, "take")
    assert home.settled(session)["status"] == "complete"
    assert home.said(session).endswith("from the laptop")
    assert "the word is plum" in "\n".join(text for _, text in home.models.turns[-1]["texts"])
    assert "taken over" in home.notes(session)
    assert "taken over" in home.desk.said()  # its owner is told
    assert "from the laptop" not in streamed(window, live)

    # Both leave for longer than the gateway keeps what nobody has: it is kept, since we have it.
    window.close()
    time.sleep(2 * GRACE)
    with Wire(home.laptop) as viewer:
        viewer.call("session.attach", session_id=session)
        home.laptop.run("prompt", session, "model: text and again")
        viewer.wait_for(lambda told: (told.get("params") or {}).get("type") == "turn.complete", "the end")
    assert home.said(session).endswith("and again")
    with Window(home.gateway) as other:
        assert other.row(live)["status"] == "idle"  # the same life of it
    home.laptop.run("close", session)


def test_a_session_that_its_window_prompts_again_is_read_on(household: Household, window: Window) -> None:
    home = household
    live, stored = begin(window, "To and fro")
    prompt(window, live, "model: text one")
    session = home.listed(stored, status="idle")["id"]
    until(lambda: home.said(session) == "one", "its past")
    home.laptop.run("prompt", session, "--no-wait", "model: text two")
    home.laptop.wait_for_session(session, status="needs-input")
    home.laptop.run("answer", session, "take")
    home.settled(session)
    prompt(window, live, "model: text three")  # stock Hermes gives the stream to whoever prompts
    until(lambda: "three" in home.said(session), lambda: home.said(session))
    assert home.said(session) == "onetwothree"
    home.laptop.run("close", session)


def test_a_turn_goes_on_while_the_service_is_killed_and_is_told_once(household: Household, window: Window) -> None:
    home = household
    text = "model: say 30\nmodel: wait {}\nmodel: say 30 late"
    whole = " ".join([*(f"piece {number}" for number in range(1, 31)), *(f"late {number}" for number in range(1, 31))])
    where = ("--on", "desk", "--backend", "hermes", "--cwd", str(home.recipe.work))
    started = home.laptop.line("new", *where, "--title", "Started")
    live, stored = begin(window, "Taken")
    taken = home.listed(stored)["id"]
    home.laptop.run("prompt", taken, "--no-wait", text.format("restart"))
    home.laptop.wait_for_session(taken, status="needs-input")
    home.laptop.run("answer", taken, "take")
    home.laptop.run("prompt", started, "--no-wait", text.format("restart"))
    for session in (started, taken):
        until(lambda: "piece 30" in str(home.laptop.ask("session.history", session_id=session, limit=100)), "the half")  # noqa: B023 - asked at once
    home.desk.kill()
    window.close()
    home.desk.up()
    home.models.release("restart")
    for session in (started, taken):
        home.laptop.wait_for_session(session, attachable=True)
        until(lambda: "late 30" in home.said(session), lambda: repr(home.laptop.events(session)))  # noqa: B023 - asked at once
        home.laptop.wait_for_session(session, status="idle")
        assert home.said(session).rstrip() == whole
        assert "restarted" in home.notes(session)
        home.laptop.run("prompt", session, "model: text and on")
        assert home.said(session).endswith("and on")
        home.laptop.run("close", session)
    with Window(home.gateway) as other:
        assert not other.row(live)


def test_what_was_taken_lives_on_at_its_window_when_the_service_stops(household: Household, window: Window) -> None:
    home = household
    live, stored = begin(window, "Left behind")
    prompt(window, live, "model: text the word is fig")
    session = home.listed(stored, status="idle")["id"]
    take(home, session, "model: text from the laptop")

    home.desk.leave()
    time.sleep(4 * GRACE)  # stock Hermes ends what nobody has
    assert window.row(live)["status"] == "idle"
    assert holders(home)
    prompt(window, live, "model: text back at the window")
    assert streamed(window, live).endswith("back at the window")
    until(lambda: not holders(home), "the end of what held it")

    home.desk.up()
    until(lambda: home.said(session).endswith("back at the window"), lambda: home.said(session))
    prompt(window, live, "model: text and it stays")  # it is not taken unasked
    assert streamed(window, live).endswith("and it stays")
    take(home, session, "model: text asked once more")
    assert "the word is fig" in "\n".join(text for _, text in home.models.turns[-1]["texts"])

    home.desk.leave()
    home.desk.up()  # nobody has prompted it meanwhile: it goes on here, unasked
    home.laptop.wait_for_session(session, attachable=True)
    until(lambda: not holders(home), "the end of what held it")
    home.laptop.run("prompt", session, "model: text as before")
    assert home.said(session).endswith("as before")
    home.laptop.run("close", session)


def take(home: Household, session: str, text: str) -> None:
    """Prompt from the laptop, and take the session from its window."""
    home.laptop.run("prompt", session, "--no-wait", text)
    home.laptop.wait_for_session(session, status="needs-input")
    home.laptop.run("answer", session, "take")
    assert home.settled(session)["status"] == "complete"


def holders(home: Household) -> dict[int, str]:
    """The processes that hold sessions for their windows."""
    return processes(home.desk, "hermes.keepalive")


def test_what_was_taken_is_brought_back_after_its_gateway_was_started_again(
    household: Household, window: Window
) -> None:
    home = household
    live, stored = begin(window, "Over there")
    prompt(window, live, "model: text the word is quince")
    session = home.listed(stored, status="idle")["id"]
    until(lambda: home.said(session) == "the word is quince", "its past")
    take(home, session, "model: text mine now")
    home.gateway.kill()
    home.gateway.start()
    home.laptop.run("prompt", session, "model: text here again")
    assert "the word is quince" in "\n".join(text for _, text in home.models.turns[-1]["texts"])
    assert home.said(session) == "the word is quincemine nowhere again"

    home.desk.leave()  # the gateway goes while nobody of us is there: only its durable id is left
    home.gateway.kill()
    home.gateway.start()
    home.desk.up()
    home.laptop.wait_for_session(session, attachable=True)
    home.laptop.run("prompt", session, "model: text and once more")
    assert home.said(session).endswith("and once more")
    home.laptop.run("close", session)


def test_a_gateway_that_is_killed_and_started_again_is_joined_again(household: Household, window: Window) -> None:
    home = household
    where = ("--on", "desk", "--backend", "hermes", "--cwd", str(home.recipe.work))
    started = home.laptop.line("new", *where, "--title", "Ours")
    home.laptop.run("prompt", started, "model: text the word is pear")
    live, stored = begin(window, "Theirs")
    prompt(window, live, "model: text of the window")
    theirs = home.listed(stored)["id"]
    until(lambda: home.said(theirs) == "of the window", "what was said there")
    home.laptop.run("prompt", started, "--no-wait", "model: say 3\nmodel: wait for ever")
    until(lambda: "piece 3" in str(home.laptop.ask("session.history", session_id=started, limit=100)), "some of it")
    home.gateway.kill()
    home.gateway.start()
    assert home.settled(started)["status"] == "error"
    home.laptop.run("prompt", started, "model: text here again")
    assert "the word is pear" in "\n".join(text for _, text in home.models.turns[-1]["texts"])
    events = home.laptop.events(started)
    assert [each["status"] for each in of_type(events, "turn.complete")] == ["complete", "error", "complete"]
    assert home.said(started) == "the word is pearpiece 1 piece 2 piece 3 here again"
    until(lambda: theirs not in home.laptop.sessions(), "the end of what nobody has")
    assert "of the window" in home.desk.run("log", theirs).stdout  # its log stays
    home.laptop.run("close", started)
    home.desk.assert_healthy()
    home.laptop.assert_healthy()
