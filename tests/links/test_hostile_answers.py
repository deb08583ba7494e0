"""What a paired device answers to a request that this gateway passed on (T11, L7)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw
from msgspec.msgpack import Ext

from agent.errors import RETRY_MIN, AgentError, BadFrame, Busy, RemoteFault
from agent.protocol.backends import ListBackends
from agent.protocol.codec import CODECS, Codec
from agent.protocol.messages import (
    AnswerRequest,
    Attach,
    Configure,
    CreateSession,
    History,
    Interrupt,
    OnSession,
    Rename,
    SessionsChanged,
    Submit,
)
from agent.protocol.methods import METHODS, On
from agent.protocol.prompts import Withdraw
from agent.protocol.terminal import TerminalAttach
from agent.protocol.transcripts import ListPast, Search
from agent.tasks import failures
from tests.fakes.clock import settle
from tests.fakes.gateways import network
from tests.fakes.viewer import connected
from tests.links.test_hostile_links import EVIL, Evil, a_row
from tests.links.test_patience import told

SESSION = "sesssesssesssess"


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


ASKED: dict[str, Any] = {
    "session.create": CreateSession(device=EVIL),
    "session.attach": Attach(session_id=SESSION),
    "session.close": OnSession(session_id=SESSION),
    "session.restart": OnSession(session_id=SESSION),
    "session.rename": Rename(session_id=SESSION, title="t"),
    "session.configure": Configure(session_id=SESSION, option="o", value="v"),
    "session.interrupt": Interrupt(session_id=SESSION),
    "session.history": History(session_id=SESSION),
    "session.participants": OnSession(session_id=SESSION),
    "prompt.submit": Submit(session_id=SESSION, prompt_id="p", text="x"),
    "prompt.list": OnSession(session_id=SESSION),
    "prompt.withdraw": Withdraw(session_id=SESSION, prompt_id="p"),
    "request.answer": AnswerRequest(session_id=SESSION, answer="yes"),
    "terminal.attach": TerminalAttach(session_id=SESSION),
    "backend.list": ListBackends(device=EVIL),
    "session.past": ListPast(device=EVIL),
    "session.search": Search(text="x", device=EVIL),
}
NO_ANSWERS: dict[str, object] = {
    "an extension": Ext(5, b"x"),
    "nothing": None,
    "a number": 2**64 - 1,
    "a text": "x" * 100_000,
    "keys that are no texts": {1: 2, "a": b"x"},
    "other keys' values": {"turn": float("nan"), "status": {}, "events": Ext(5, b"x"), "session_id": 7, 5: 5},
    "a list in a list, and so on": Raw(b"\x91" * 300 + b"\xc0"),
    "a map in a map, and so on": Raw(b"\x81\x01" * 300 + b"\xc0"),
    "a list of what is no row": [[]] * 50_000,
    "bytes": bytes(500_000),
}
codecs = pytest.mark.parametrize("codec", CODECS.values(), ids=lambda codec: codec.subprotocol.rpartition(".")[2])


def test_whatever_is_passed_on_has_a_type() -> None:  # L7
    of_a_device = {
        name for name, row in METHODS.items() if row.on is On.DEVICE and "device" in row.params.__struct_fields__
    }
    assert set(ASKED) == of_a_device | {name for name, row in METHODS.items() if row.patient}


@codecs
@pytest.mark.parametrize("method", ASKED)
async def test_t11_an_answer_that_is_none_is_one_error_whatever_was_asked(method: str, codec: Codec) -> None:  # L7
    async with network("laptop") as (net, (laptop,)), Evil(net, laptop).linked() as evil:
        evil.tell("session.changed", SessionsChanged(changed=(a_row(SESSION),)))
        await settle()
        async with connected(laptop.router, net.clock, codec=codec) as viewer:
            for what, answer in NO_ANSWERS.items():
                evil.answer = lambda method, params, answer=answer: answer  # type: ignore[misc]
                told_ = await told(viewer, method, ASKED[method])
                assert isinstance(told_, RemoteFault), (what, told_)
                assert "evil answered" in str(told_)
                assert len(str(told_).splitlines()) == 1
        assert failures()._times == {}


@codecs
async def test_t11_what_later_versions_add_passes_unless_it_has_no_json(codec: Codec) -> None:  # L7
    async with network("laptop") as (net, (laptop,)), Evil(net, laptop).linked() as evil:
        evil.tell("session.changed", SessionsChanged(changed=(a_row(SESSION),)))
        await settle()
        async with connected(laptop.router, net.clock, codec=codec) as viewer:
            for new, odd in (("text", False), (Ext(5, b"x"), True)):
                result = {"turn": 1, "status": "started", "new": new}
                evil.answer = lambda method, params, result=result: result  # type: ignore[misc]
                answer = await told(viewer, "prompt.submit", ASKED["prompt.submit"])
                if odd and not codec.binary:
                    assert isinstance(answer, BadFrame)
                else:
                    assert isinstance(answer, Raw)
                    assert msgspec.msgpack.decode(answer) == result
