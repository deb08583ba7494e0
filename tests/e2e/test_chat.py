"""Backend `openai` in a running service: a model of this machine is found and used from another device, offline."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import MakeNetwork
from tests.e2e.device import Device, Row, pair, until
from tests.models import ModelProcess

pytestmark = pytest.mark.device


def texts(models: ModelProcess) -> list[list[str]]:
    """What the newest question to the model held."""
    found: list[list[str]] = models.turns[-1]["texts"]
    return found


def state(device: Device, name: str) -> Row:
    found: dict[str, Row] = {row["name"]: row for row in device.json("backends")}
    return found[name]


def test_a_model_on_the_desk_is_prompted_from_the_laptop_and_remembers_after_a_kill(network: MakeNetwork) -> None:
    desk, laptop = network("desk", "laptop")
    where = ("--shape", "ollama", "--port", "11434")  # its own: nothing is configured
    with ModelProcess(desk.host.popen, *where, "--model", "first", "--model", "second") as models:
        desk.up()
        laptop.up()
        assert models.requests == []  # nobody is asked before somebody wants to know
        assert state(desk, "ollama")["detail"] == f"0.12.6 at {models.url}: first, second"
        looked = len(models.requests)
        pair(desk, laptop)
        seen = {row["name"]: row for row in laptop.json("backends", "--on", "desk")}["ollama"]
        assert (seen["ready"], seen["detail"]) == (True, "")
        assert len(models.requests) == looked == 2

        session = laptop.line("new", "--on", "desk", "--backend", "ollama", "--title", "Talk")
        assert laptop.line("prompt", session, "model: think 2\nmodel: text hello there") == "hello there"
        assert laptop.sessions()[session]["model"] == "first"
        laptop.run("set", session, "model", "second")

        # An interrupt from the other device hangs up on the model.
        running = laptop.begin("prompt", session, "model: say 2\nmodel: wait for ever")
        until(lambda: "piece 2" in json.dumps(desk.events(session)[-1:]), "the reply to begin")
        laptop.run("interrupt", session)
        assert running.end() == 130
        until(lambda: models.turns[-1]["outcome"] == "hung up", "the model to be left")

        desk.kill()
        desk.up()
        laptop.wait_for_session(session, attachable=True)
        assert laptop.line("prompt", session, "model: text I remember") == "I remember"
        assert [text for _, text in texts(models)] == [
            "model: think 2\nmodel: text hello there",
            "hello there",
            "model: say 2\nmodel: wait for ever",
            "piece 1 piece 2 ",
            "model: text I remember",
        ]
        until(lambda: laptop.sessions()[session]["model"] == "second", "the chosen model to be kept")

    gone = laptop.run("prompt", session, "anybody?", status=1)
    assert "ollama does not answer: connection refused" in gone.stdout + gone.stderr
    assert laptop.status_of(session) == "idle"
    desk.assert_healthy()
    laptop.assert_healthy()


def test_a_key_is_in_no_answer_log_or_transcript(network: MakeNetwork) -> None:
    # T7
    (desk,) = network("desk")
    key = "sk-0123456789abcdef"
    with ModelProcess(desk.host.popen, "--model", "m") as models:
        desk.configure(
            f'[backends.mine]\nkind = "openai"\nurl = "{models.url}"\nkey_file = "{desk.home}/key"\n'
            '[backends.wrong]\nkind = "openai"\nurl = "http://10.9.9.9/v1"\nkey_file = "x"\n'
        )
        (desk.home / "key").write_text(key)
        (desk.home / "key").chmod(0o644)
        desk.add_environ(LAN_AGENT_DEBUG="1")
        desk.up()
        assert state(desk, "mine")["missing"] == "mine: its key_file is not safe"
        assert state(desk, "wrong")["missing"] == "its key would cross the network in the clear"
        refused = desk.run("new", "--backend", "mine", status=1).stderr
        assert "its key_file is not safe" in refused
        (desk.home / "key").chmod(0o600)
        session = desk.create("Talk", "--backend", "mine")
        assert desk.line("prompt", session, "model: text hello") == "hello"
        desk.run("prompt", session, "model: error 500", status=1)
        told = [desk.said(), json.dumps(desk.events(session)), desk.run("status", "--json").stdout]
    assert not [text for text in told if key in text]
    assert all(key.encode() not in file.read_bytes() for file in (desk.home / "state").rglob("*") if file.is_file())
