"""What a paired device answers to a request that this gateway passed on (T11, L7)."""

from __future__ import annotations

import pytest
from msgspec import Raw

from agent.core.messages import SessionsChanged, Submit
from agent.errors import RETRY_MIN, AgentError, Busy
from tests.fakes.clock import settle
from tests.fakes.gateways import network
from tests.services.test_hostile_links import Evil, a_row
from tests.services.test_patience import told

SESSION = "sess1234"


@pytest.mark.parametrize("soon", [1e-9, 5e-324])
async def test_t11_a_device_that_is_busy_for_no_time_is_asked_no_faster_than_any(soon: float) -> None:  # L8
    async with network("laptop") as (net, (laptop,)), Evil(net, laptop).linked() as evil:
        evil.tell("session.changed", SessionsChanged(changed=(a_row(SESSION),)))

        def answer(method: str, params: Raw) -> object:
            raise Busy("later", retry_after=soon)

        evil.answer = answer
        await settle()
        evil.asked.clear()
        async with laptop.client() as viewer:
            params = Submit(session_id=SESSION, prompt_id="p", text="x", wait=10.0)
            asking = net.group.create_task(told(viewer, "prompt.submit", params))
            await net.clock.advance(11.0)
            assert isinstance(await asking, Busy)
            assert 2 <= evil.asked.count("prompt.submit") <= 2 + 10.0 / RETRY_MIN


@pytest.mark.parametrize("odd", [-1.0, 0.0, 3600.0, 1e15, 1e300, float("inf"), float("nan")])
async def test_t11_busy_with_a_time_that_is_none_is_an_error_at_once(odd: float) -> None:  # L8
    async with network("laptop") as (net, (laptop,)), Evil(net, laptop).linked() as evil:
        evil.tell("session.changed", SessionsChanged(changed=(a_row(SESSION),)))

        def answer(method: str, params: Raw) -> object:
            raise Busy("later", retry_after=odd)

        evil.answer = answer
        await settle()
        async with laptop.client() as viewer:
            with pytest.raises(AgentError, match="later"):
                await viewer.ask("prompt.submit", Submit(session_id=SESSION, prompt_id="p", text="x"))
