"""Addresses of peers as people write them."""

from __future__ import annotations

import pytest

from agent.adapters.discovery.static import parse, resolve, resolve_delay
from agent.errors import ConfigError
from agent.protocol.model import Endpoint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("desk", ("desk", 4000)),
        ("desk.lan:5000", ("desk.lan", 5000)),
        (" 192.168.1.5\n", ("192.168.1.5", 4000)),
        ("192.168.1.5:1", ("192.168.1.5", 1)),
        ("[fe80::1%eth0]:65535", ("fe80::1%eth0", 65535)),
        ("[fe80::1%eth0]", ("fe80::1%eth0", 4000)),
        ("fe80::1%eth0", ("fe80::1%eth0", 4000)),
        ("2001:db8::5", ("2001:db8::5", 4000)),
    ],
)
def test_an_address_is_split(text: str, expected: tuple[str, int]) -> None:
    assert parse(text, 4000) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ":5000", "desk:", "desk:0", "desk:65536", "desk:http", "desk:٣", "a b", "a:b:c", "http://desk"),
        *("[desk]:1", "[fe80::1", "[fe80::1]5", "user@desk", "x" * 254, "desk:" + "9" * 5000),
    ],
)
def test_what_is_no_address_is_told_in_one_line_with_a_hint(text: str) -> None:
    with pytest.raises(ConfigError) as told:
        parse(text, 4000)
    assert "\n" not in str(told.value)
    assert told.value.hint


async def test_an_address_resolves_to_itself() -> None:
    assert await resolve("127.0.0.1", 7) == [Endpoint("127.0.0.1", 7)]
    assert await resolve("::1", 7) == [Endpoint("::1", 7)]


async def test_a_zone_stays_a_name() -> None:
    assert await resolve("fe80::1%lo", 7) == [Endpoint("fe80::1%lo", 7)]


@pytest.mark.parametrize("host", ["fe80::1%no-such-interface", "a..b", "x" * 64 + ".b"])
async def test_what_has_no_address_now_gives_none(host: str) -> None:
    assert await resolve(host, 7) == []


def test_resolving_again_backs_off() -> None:
    assert [resolve_delay(n) for n in (1, 2, 3)] == [2.0, 4.0, 8.0]
    assert resolve_delay(0) == resolve_delay(99) == 300.0
