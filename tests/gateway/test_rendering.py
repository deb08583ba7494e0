"""gateway.rendering and gateway.kept: what pages alone may ask for, its bounds, and that they hold (T11)."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import msgspec
import pytest
from msgspec import UNSET, Raw

from agent.errors import BadParams, TooLarge, Undescribed
from agent.gateway import rendering
from agent.gateway.kept import KeepHandlers
from agent.gateway.rendering import CACHE_MAX, QUICK_MAX, RenderHandlers
from agent.gateway.routes import Caller
from agent.ports.rendering import Tree
from agent.protocol.codec import FRAME_OUT_MAX, json, typed
from agent.protocol.model import DeviceId
from agent.protocol.page import KEPT_MAX, RENDER_MAX, Keep, Render
from tests.fakes.page import MemoryValues

HERE: Any = Caller(None, DeviceId("own"), "laptop")  # type: ignore[arg-type]


class Shouting:
    """Makes a tree of one text in capitals, and counts how often and in which thread."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.away: list[bool] = []

    def tree(self, text: str) -> Tree:
        self.read.append(text)
        self.away.append(threading.current_thread() is not threading.main_thread())
        return [text.upper()]


async def trees(handlers: RenderHandlers, *texts: str) -> list[Any]:
    answer = await handlers.render(Render(texts=texts), HERE)
    return [msgspec.msgpack.decode(tree) for tree in answer.trees]


async def test_each_text_has_its_tree_and_is_read_once() -> None:
    markdown = Shouting()
    handlers = RenderHandlers(markdown)
    assert await trees(handlers, "a", "b", "a") == [["A"], ["B"], ["A"]]
    assert await trees(handlers, "b", "c") == [["B"], ["C"]]
    assert await trees(handlers) == []
    assert markdown.read == ["a", "b", "c"]


async def test_what_takes_long_and_the_first_of_all_is_read_in_a_thread() -> None:
    markdown = Shouting()
    handlers = RenderHandlers(markdown)
    for text in ("first", "short", "l" * (QUICK_MAX + 1)):
        await trees(handlers, text)
    assert markdown.away == [True, False, True]


async def test_of_two_requests_for_the_same_text_one_reads_it() -> None:
    markdown = Shouting()
    handlers = RenderHandlers(markdown)
    one, other = await asyncio.gather(trees(handlers, "a"), trees(handlers, "a"))
    assert one == other == [["A"]]
    assert markdown.read == ["a"]


async def test_trees_that_were_not_used_for_long_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "CACHE_MAX", 9)  # three trees of one letter
    markdown = Shouting()
    handlers = RenderHandlers(markdown)
    for text in ("a", "b", "c", "a", "d", "a", "b"):
        await trees(handlers, text)
    assert markdown.read == ["a", "b", "c", "d", "b"]
    assert await trees(handlers, "long" * 3) == [["LONGLONGLONG"]]  # by itself more than is remembered


async def test_more_than_one_reply_at_once_is_too_large() -> None:
    handlers = RenderHandlers(Shouting())
    assert len(await trees(handlers, *["a" * (RENDER_MAX // 32)] * 32)) == 32
    with pytest.raises(TooLarge):
        await trees(handlers, "a" * RENDER_MAX, "b")
    for wrong in ({"texts": ["a"] * 33}, {"texts": ["a" * (RENDER_MAX + 1)]}, {"texts": [7]}):
        with pytest.raises(Undescribed):
            typed(Raw(msgspec.msgpack.encode(wrong)), Render)


async def test_the_largest_answer_fits_into_a_frame() -> None:
    from agent.adapters.rendering.markdown import MarkdownTrees

    handlers = RenderHandlers(MarkdownTrees())
    for unit in ("\x00", '"', "a\n\n", "|\n|-\n\n", "\x01\n\n", "文", "*a*", "- a\n"):
        text = (unit * RENDER_MAX)[: RENDER_MAX // 32]
        answer = await handlers.render(Render(texts=tuple(f"{each:04}{text[4:]}" for each in range(32))), HERE)
        assert len(json.response(2**53, answer)) <= FRAME_OUT_MAX, unit
    assert handlers._bytes <= CACHE_MAX


async def keep(handlers: KeepHandlers, name: str = "", value: object = UNSET) -> dict[str, Any]:
    raw = UNSET if value is UNSET else Raw(msgspec.msgpack.encode(value))
    answer = await handlers.keep(Keep(name=name, value=raw), HERE)
    return {each: msgspec.msgpack.decode(kept) for each, kept in answer.values.items()}


async def test_a_value_is_there_again_for_the_next_page_and_the_next_start() -> None:
    store = MemoryValues()
    handlers = KeepHandlers(store)
    assert await keep(handlers) == {}
    assert await keep(handlers, "pins", ["a", "b"]) == {}
    await keep(handlers, "settings", {"keys": False})
    for each in (handlers, KeepHandlers(store)):
        assert await keep(each) == {"pins": ["a", "b"], "settings": {"keys": False}}


async def test_null_removes_and_what_is_the_same_is_not_written_again() -> None:
    store = MemoryValues()
    handlers = KeepHandlers(store)
    for value in ("x", "x", None, None):
        await keep(handlers, "draft", value)
    assert (await keep(handlers), store.saved) == ({}, 2)


async def test_what_pages_keep_is_bounded() -> None:
    handlers = KeepHandlers(MemoryValues())
    await keep(handlers, "a", "x" * (KEPT_MAX - 10))
    with pytest.raises(TooLarge):
        await keep(handlers, "b", "more than is left")
    await keep(handlers, "a", "less")
    await keep(handlers, "b", "more than is left")
    assert sorted(await keep(handlers)) == ["a", "b"]


@pytest.mark.parametrize(("name", "value"), [("", 1), ("a", UNSET)])
async def test_a_value_has_a_name_and_a_name_a_value(name: str, value: object) -> None:
    with pytest.raises(BadParams):
        await keep(KeepHandlers(MemoryValues()), name, value)
