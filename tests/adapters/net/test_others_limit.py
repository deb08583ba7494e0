"""adapters.net.others_limit: what another user's connections at a port of the loopback can cost (T11)."""

from __future__ import annotations

import asyncio
import os

import pytest

from agent.adapters.net import others_limit
from agent.adapters.net.others_limit import OthersLimit


class Transport(asyncio.Transport):
    aborted = False

    def abort(self) -> None:
        self.aborted = True


class Reader(asyncio.Protocol):
    made = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.made += 1


@pytest.mark.parametrize("stranger", [os.geteuid() + 1, -1, None])
def test_t11_others_have_so_many_connections_and_the_own_user_any_number(
    stranger: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(others_limit, "OTHERS_MAX", 2)
    owner = stranger
    limit = OthersLimit(lambda _: owner)
    reader = Reader()

    def connect() -> tuple[asyncio.Protocol, bool]:
        protocol, transport = limit(reader), Transport()
        protocol.connection_made(transport)
        return protocol, not transport.aborted

    first, came_in = connect()
    assert came_in
    assert [connect()[1] for _ in range(3)] == [True, False, False]
    for owner in (os.geteuid(), 0):  # noqa: B007 - the limit asks for it
        assert connect()[1]
    assert reader.made == 4
    owner = stranger
    first.connection_lost(None)
    refused, came_in = connect()
    assert came_in
    refused, came_in = connect()
    assert not came_in
    refused.connection_lost(None)  # of one that was hung up: nothing was counted
    assert not connect()[1]
