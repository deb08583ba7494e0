"""The turns of a Hermes session, event by event."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import Raw

from agent.adapters.backends.hermes.questions import HermesQuestions
from agent.adapters.backends.hermes.redact import Redactor
from agent.adapters.backends.hermes.turns import TurnTracker
from agent.adapters.backends.hermes.wire import GatewayEvent
from tests.fakes.listener import Listener, finished


def event(kind: str, **payload: object) -> GatewayEvent:
    return GatewayEvent(kind, payload=Raw(msgspec.json.encode(payload)))


TOOL = (event("tool.start", tool_id="t", name="terminal"), event("tool.complete", tool_id="t", name="terminal"))


@pytest.mark.parametrize(
    ("prompt", "happens", "cause"),
    [
        ("go", (), "empty"),
        ("go", (event("message.delta", text="x"),), ""),
        ("go", TOOL, ""),
        ("/new", (), ""),
    ],
)
async def test_a_turn_without_a_word_and_without_a_tool_is_no_success(
    prompt: str, happens: tuple[GatewayEvent, ...], cause: str
) -> None:  # S14
    listener, redactor = Listener(), Redactor()
    turns = TurnTracker(listener.emit, redactor, HermesQuestions(redactor, remote_secrets=False))
    await turns.begin(prompt, ours=True)
    for each in (*happens, event("message.complete", text="", status="complete")):
        await turns.happened(each)
    assert finished(await listener.turn()).cause == cause
