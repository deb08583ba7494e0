"""L8 in Hermes's UI: what is typed for a device that is out of reach waits, is shown, and is given back."""

from __future__ import annotations

import asyncio

import pytest

from agent.frontends.hermes_ui import ui_gateway
from tests.frontends.gateway import HERE, FakeGateway
from tests.frontends.hermes_ui.test_ui_gateway import connected


@pytest.fixture(autouse=True)
def _queued_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui_gateway, "SUBMIT_SECONDS", 0.2)


async def test_a_prompt_waits_for_its_device_and_runs_once(gateway: FakeGateway) -> None:
    async with connected(gateway, first="Build") as ui:
        await ui.call("session.resume", session_id=HERE)
        gateway.away = True
        assert (await ui.call("prompt.submit", session_id=HERE, text="echo hi"))["status"] == "queued"
        await ui.event("review.summary", "not sent yet: desk: said goodbye; Ctrl-C takes it back")
        await asyncio.to_thread(gateway.back)
        await ui.event("message.complete", "hi")
        assert [call.text for call in gateway.called("prompt.submit")] == ["echo hi"]


async def test_an_interrupt_takes_back_what_was_not_sent_and_shows_it(gateway: FakeGateway) -> None:
    async with connected(gateway, first="Build") as ui:
        await ui.call("session.resume", session_id=HERE)
        gateway.away = True
        await ui.call("prompt.submit", session_id=HERE, text="echo hi")
        await ui.event("review.summary", "not sent yet")
        await ui.call("session.interrupt", session_id=HERE)
        await ui.event("review.summary", "not sent: echo hi")
        await asyncio.to_thread(gateway.back)
        assert gateway.called("prompt.submit") == []
        assert gateway.called("session.interrupt") == []
