"""L8 for editors: a prompt for a device that is out of reach waits, is told of, runs once, can be taken back."""

from __future__ import annotations

import asyncio

from tests.frontends.editors.test_acp import editing
from tests.frontends.gateway import HERE, FakeGateway


async def test_a_prompt_waits_for_its_device_and_runs_once(gateway: FakeGateway) -> None:
    async with editing(gateway) as editor:
        gateway.away = True
        asked = editor.begin_prompt("echo hello")
        await editor.says("not sent yet: desk: said goodbye; cancel takes it back")
        await asyncio.to_thread(gateway.back)
        assert (await editor.answer(asked))["result"]["stopReason"] == "end_turn"
        assert [call.text for call in gateway.called("prompt.submit")] == ["echo hello"]


async def test_a_cancel_takes_back_what_was_not_sent(gateway: FakeGateway) -> None:
    async with editing(gateway) as editor:
        gateway.away = True
        asked = editor.begin_prompt("echo hello")
        await editor.says("not sent yet")
        editor.notify("session/cancel", sessionId=HERE)
        assert (await editor.answer(asked))["result"]["stopReason"] == "cancelled"
        await asyncio.to_thread(gateway.back)
        assert gateway.called("prompt.submit") == []


async def test_when_the_time_is_up_the_editor_is_told_that_it_was_not_sent(gateway: FakeGateway) -> None:
    async with editing(gateway, wait=0.3) as editor:
        gateway.away = True
        error = await editor.fails("session/prompt", sessionId=HERE, prompt=[{"type": "text", "text": "echo"}])
        assert "desk is out of reach for 4 min" in error["message"]
