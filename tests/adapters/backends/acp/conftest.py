from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from agent.adapters.backends.acp import AcpAgent
from agent.adapters.backends.acp.session import AcpSession
from agent.ports import Described, Start
from agent.protocol.model import SessionId
from tests.fakes.listener import Listener

SESSION = f"acp-{os.getpid()}"
"""Id of a session. Not one that other test runs have, too: whatever is marked with it is ended."""
Begin = Callable[..., Awaitable[AcpSession]]


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
async def begin(listener: Listener) -> AsyncIterator[Begin]:
    """Start a session of an agent. All are closed in the end."""
    async with AsyncExitStack() as sessions:

        async def start(agent: AcpAgent, *, session: str = SESSION, lineage: str = "", restored: bool = False,
                        cwd: str = "") -> AcpSession:  # fmt: skip
            known = (lineage,) if lineage else ()
            how = Start(session=SessionId(session), cwd=cwd, lineage=known, restored=restored)
            started = await agent.start(how, listener.emit)
            assert isinstance(started, AcpSession)
            sessions.push_async_callback(started.close)
            return started

        yield start


async def described(listener: Listener) -> Described:
    event = await listener.next()
    assert isinstance(event, Described), event
    return event
