"""Waiting for an answer: the futures that `protocol.jsonrpc`, which is pure, knows as slots. For every transport."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Generic

from msgspec import Raw

from agent.protocol.jsonrpc import End, Frame


class PendingCall(Generic[Frame]):
    """A request that waits for its answer, for as long as the `with` block runs: send `frame`, then await `answer`."""

    def __init__(self, end: End[Frame, Any], method: str, params: object) -> None:
        self._end = end
        self._future: asyncio.Future[Raw] = asyncio.get_running_loop().create_future()
        self.id, self.frame = end.request(method, params, self._future)

    def __enter__(self) -> PendingCall[Frame]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end.forget(self.id)
        if error is not None and not self._future.cancel() and not self._future.cancelled():
            self._future.exception()  # looked at: when sending failed nobody awaited it, and asyncio would complain

    async def answer(self, seconds: float | None = None) -> Raw:
        """Return the result. Raises: TimeoutError, the error that was answered, or why the connection ended."""
        async with asyncio.timeout(seconds):
            return await self._future
