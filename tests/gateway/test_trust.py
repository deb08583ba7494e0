"""gateway.trust: what it refuses before anything is asked of pairing or the household."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from agent.errors import BadParams
from agent.gateway.routes import Caller
from agent.gateway.trust import TrustHandlers
from agent.presence.rules.registry import Registry
from agent.protocol.messages import Nothing, Pair, PairNews, Unpair
from agent.trust.pairing import Window
from agent.trust.rules.code import new_code, new_long_code
from tests.fakes.clock import settle
from tests.fakes.trust import identity

NOBODY = cast("Any", None)


class OpenWindows:
    """Stands for pairing: its windows listen at once."""

    def __init__(self) -> None:
        self.windows: list[Window] = []

    async def open_window(self, ttl: float, news: Callable[[PairNews], None], *, long: bool, guest: None) -> Window:
        window = Window(new_long_code(bytes) if long else new_code(lambda _: 42), ttl, news, guest)
        window.listening.set_result(7000)
        self.windows.append(window)
        return window


def handlers_of(pairing: OpenWindows, draw: Any) -> TrustHandlers:
    own = identity(1)
    registry = Registry(own.id, name="den", version="1")
    return TrustHandlers(
        own=own, registry=registry, pairing=cast("Any", pairing), household=NOBODY, gossip=NOBODY, hosts=tuple,
        now=lambda: 0.0, draw=draw,
    )  # fmt: skip


def client() -> Caller:
    return Caller(cast("Any", object()), identity(1).id, "den")


async def test_a_device_that_is_to_put_itself_out_says_that_it_is_this_device() -> None:
    own = identity(1)
    handlers = TrustHandlers(
        own=own,
        registry=Registry(own.id, name="den", version="1"),
        pairing=NOBODY,
        household=NOBODY,
        gossip=NOBODY,
        hosts=tuple,
        now=lambda: 0.0,
        draw=NOBODY,
    )
    for selector in ("den", own.id):
        with pytest.raises(BadParams, match="den is this device") as refused:
            await handlers.unpair(Unpair(device=selector), NOBODY)
        assert "--self" in refused.value.hint


async def test_a_client_closes_the_window_that_it_opened_and_no_other() -> None:
    pairing, one, other = OpenWindows(), client(), client()
    handlers = handlers_of(pairing, NOBODY)
    opened = await handlers.pair(Pair(), one)
    shown = asyncio.get_running_loop().create_task(cast("Any", opened.follow()))
    await settle()
    await handlers.close_window(Nothing(), other)
    assert not pairing.windows[0].over.is_set()
    await handlers.close_window(Nothing(), one)
    await shown
    assert pairing.windows[0].outcome == PairNews(what="closed")
    await handlers.close_window(Nothing(), one)  # there is none any more: nothing happens


async def test_a_window_is_drawn_for_whoever_asks_and_a_code_without_a_link_as_it_is() -> None:
    drawn: list[str] = []

    async def draw(text: str) -> tuple[str, ...]:
        drawn.append(text)
        return ("101",)

    handlers = handlers_of(OpenWindows(), draw)
    assert (await handlers.pair(Pair(), client())).result.qr == ()
    short = (await handlers.pair(Pair(qr=True), client())).result
    long = (await handlers.pair(Pair(qr=True, long=True), client())).result
    assert short.qr == long.qr == ("101",)
    assert drawn == [short.code, long.link]


async def test_a_window_that_cannot_be_drawn_is_closed() -> None:
    async def draw(text: str) -> tuple[str, ...]:
        raise OSError("out of memory")

    pairing = OpenWindows()
    with pytest.raises(OSError, match="memory"):
        await handlers_of(pairing, draw).pair(Pair(qr=True), client())
    assert pairing.windows[0].over.is_set()
