"""A request that waits for its answer, over no connection at all."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from agent.errors import PeerLost, SessionNotFound
from agent.pending_calls import PendingCall
from agent.protocol.codec import Message, msgpack
from agent.protocol.jsonrpc import End


def an_end() -> End[bytes, Message]:
    return End(msgpack.encode, msgpack.message)


async def test_who_asks_gets_the_answer() -> None:
    end = an_end()
    with PendingCall(end, "peer.list", {}) as call:
        assert msgpack.decode(call.frame).id == call.id
        end.receive(msgpack.response(call.id, "peers"))
        assert msgspec.msgpack.decode(await call.answer(1.0)) == "peers"


async def test_who_asks_gets_the_error_that_was_answered() -> None:
    end = an_end()
    with PendingCall(end, "session.history", {}) as call:
        end.receive(msgpack.failure(call.id, SessionNotFound()))
        with pytest.raises(SessionNotFound):
            await call.answer()


async def test_who_waits_no_longer_is_forgotten() -> None:
    end = an_end()
    with pytest.raises(TimeoutError), PendingCall(end, "peer.list", {}) as call:
        await call.answer(0)
    assert not end.waits


async def test_the_end_of_the_connection_ends_the_wait() -> None:
    end = an_end()
    with PendingCall(end, "peer.list", {}) as call:
        asyncio.get_running_loop().call_soon(end.fail, PeerLost)
        with pytest.raises(PeerLost):
            await call.answer()


async def test_an_error_that_comes_while_sending_fails_is_not_complained_of() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    end = an_end()
    with suppress(ConnectionResetError), PendingCall(end, "peer.list", {}):
        end.fail(PeerLost)
        raise ConnectionResetError
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []
