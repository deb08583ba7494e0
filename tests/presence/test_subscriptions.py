"""STYLE 7: presence is merged for a slow reader, bounded, and told to each subscriber once (R11)."""

from __future__ import annotations

import asyncio

import pytest

from agent.errors import Busy
from agent.presence import subscriptions
from agent.presence.rules.changes import Changes
from agent.presence.subscriptions import Subscribers
from agent.protocol.model import SessionId
from tests.presence.rules.registry_facts import row


def news(title: str, session: str = "abcdefghijklmnop") -> Changes:
    return Changes(sessions=(row(session, title=title),))


def gone(session: str = "abcdefghijklmnop") -> Changes:
    return Changes(sessions_gone=(SessionId(session),))


async def test_every_subscriber_gets_every_change() -> None:
    all_of_them = Subscribers()
    one, two = all_of_them.subscribe(), all_of_them.subscribe()
    all_of_them.publish(news("first"))
    assert await anext(one) == news("first")
    all_of_them.publish(news("second"))
    assert await anext(one) == news("second")
    assert await anext(two) == news("second")  # merged: it had not read the first


async def test_a_slow_reader_gets_the_last_of_each_row() -> None:
    all_of_them = Subscribers()
    slow = all_of_them.subscribe()
    for title in ("one", "two"):
        all_of_them.publish(news(title, "aaaaaaaaaaaaaaaa"))
        all_of_them.publish(news(title, "bbbbbbbbbbbbbbbb"))
    all_of_them.publish(gone("bbbbbbbbbbbbbbbb"))
    changes = await anext(slow)
    assert [each.title for each in changes.sessions] == ["two"]
    assert changes.sessions_gone == ("bbbbbbbbbbbbbbbb",)
    all_of_them.publish(gone("aaaaaaaaaaaaaaaa"))
    all_of_them.publish(news("back", "aaaaaaaaaaaaaaaa"))
    assert await anext(slow) == news("back", "aaaaaaaaaaaaaaaa")


async def test_nothing_changed_wakes_nobody() -> None:
    all_of_them = Subscribers()
    reader = all_of_them.subscribe()
    all_of_them.publish(Changes())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await anext(reader)


async def test_a_reader_that_leaves_is_forgotten() -> None:
    all_of_them = Subscribers()
    with all_of_them.subscribe() as reader:
        assert len(all_of_them) == 1
    assert len(all_of_them) == 0
    assert [each async for each in reader] == []


async def test_a_reader_too_far_behind_is_told_so() -> None:
    all_of_them = Subscribers()
    reader = all_of_them.subscribe()
    for number in range(subscriptions.PENDING_MAX + 1):
        all_of_them.publish(gone(f"s{number}"))
    assert len(all_of_them) == 0
    with pytest.raises(Busy):
        await anext(reader)
