"""Every recipe starts the real agent, which finds the model and nothing else: its network leads nowhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.agents import AGENTS, Recipe
from tests.agents.fixtures import RealAgent
from tests.e2e.conftest import MakeLab
from tests.e2e.lab import Host
from tests.models import ModelProcess

pytestmark = pytest.mark.agents

Row = dict[str, Any]

ALLOWED = "allow_once"


class Talk:
    """The least of an ACP client: one request at a time; every permission is given once."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.text, self.asked = process, "", list[Row]()
        self._id = 0

    def call(self, method: str, **params: Any) -> Row:
        self._id += 1
        self._send({"id": self._id, "method": method, "params": params})
        assert self.process.stdout
        for line in self.process.stdout:
            message = json.loads(line)
            if message.get("method") == "session/update":
                update = message["params"]["update"]
                if update["sessionUpdate"] == "agent_message_chunk":
                    self.text += update["content"]["text"]
            elif message.get("method") == "session/request_permission":
                self.asked.append(message["params"]["toolCall"])
                option = next(each for each in message["params"]["options"] if each["kind"] == ALLOWED)
                outcome = {"outcome": "selected", "optionId": option["optionId"]}
                self._send({"id": message["id"], "result": {"outcome": outcome}})
            elif message.get("id") == self._id and "method" not in message:
                assert "result" in message, message
                result: Row = message["result"]
                return result
        pytest.fail(f"the agent ended at {method}")

    def _send(self, message: Row) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.process.stdin.flush()


@contextmanager
def talking(host: Host, recipe: Recipe, log: Path) -> Iterator[Talk]:
    with log.open("w") as said:
        process = host.popen(
            recipe.argv, env=recipe.environ(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said
        )
    try:
        yield Talk(process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)


@pytest.mark.parametrize("agent", AGENTS)
def test_a_real_agent_talks_to_the_model_and_asks_before_it_acts(
    agent: str, lab: MakeLab, real_agent: RealAgent, tmp_path: Path
) -> None:
    host = lab(1).hosts[0]
    with ModelProcess(host.popen) as models:
        recipe = real_agent(agent, tmp_path / "home", tmp_path / "work", models.url)
        with talking(host, recipe, tmp_path / "log") as talk:
            assert talk.call("initialize", protocolVersion=1, clientCapabilities={})["protocolVersion"] == 1
            session = talk.call("session/new", cwd=str(recipe.work), mcpServers=[])["sessionId"]

            def prompt(text: str) -> Row:
                return talk.call("session/prompt", sessionId=session, prompt=[{"type": "text", "text": text}])

            assert prompt("model: say 3")["stopReason"] == "end_turn"
            assert talk.text.endswith("piece 1 piece 2 piece 3 ")
            assert prompt(recipe.asking("echo hello > made.txt"))["stopReason"] == "end_turn"
            assert len(talk.asked) == 1
            assert (recipe.work / "made.txt").read_text() == "hello\n"
            # The agent may be first to know that the last one is over.
            models.wait_for(lambda rows: [row["outcome"] for row in rows if row["turn"]] == ["done"] * 3)
