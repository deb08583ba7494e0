"""JSON-RPC 2.0 with one agent over its pipes: requests, answers, notifications, one message a line."""

from __future__ import annotations

import asyncio
import re

import msgspec
from msgspec import Raw

from agent.adapters.backends.acp.lines import Lines, LongLine
from agent.adapters.backends.acp.process import AgentProcess
from agent.adapters.backends.acp.schema import TOO_LARGE, AgentResponse, Garbage, Other, decode
from agent.calls import PendingCall
from agent.protocol.jsonrpc import CallFailed, End, Response

_encode = msgspec.json.Encoder().encode
_ID = re.compile(rb'"id"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+)')


class AgentGone(Exception):
    """The agent ended before it answered."""


class Connection:
    """One task calls `receive` until it returns nothing; the others call, and are answered meanwhile."""

    def __init__(self, process: AgentProcess) -> None:
        self.process = process
        self._lines = Lines()
        self._end: End[bytes, Other] = End(_encode, decode)
        self._gone = False
        self._loop = asyncio.get_running_loop()
        self.heard_at = 0.0  # by the loop's clock

    @property
    def open(self) -> bool:
        """Whether the agent is there."""
        return not self._gone

    async def receive(self) -> list[Other | AgentResponse]:
        """What the agent has sent since, waiting for something; empty at the end of all.

        Answers to `call` are handed to who waits for them and left out.
        """
        while True:
            data = await self.process.read()
            self.heard_at = self._loop.time()
            lines = self._lines.feed(data) if data else [self._lines.rest()]
            messages = [each for line in lines if line and (each := self._message(line)) is not None]
            if not data:
                self._gone = True
                self._end.fail(AgentGone)
            if messages or not data:
                return messages

    def send(self, method: str, params: object) -> int | str:
        """Ask something whose answer comes by `receive`. Returns the id of the request."""
        request_id, line = self._end.request(method, params)
        self._write(line)
        return request_id

    async def call(self, method: str, params: object, seconds: float) -> Raw:
        """Ask something and wait for the answer. Raises: CallFailed, AgentGone, TimeoutError."""
        if self._gone:
            raise AgentGone
        with PendingCall(self._end, method, params) as call:
            self._write(call.frame)
            return await call.answer(seconds)

    def notify(self, method: str, params: object) -> None:
        """Tell something."""
        self._write(self._end.notification(method, params))

    def respond(self, request: Raw, result: object) -> None:
        """Answer a request of the agent."""
        self._write(self._end.response(request, result))

    def refuse(self, request: Raw, code: int, message: str) -> None:
        """Answer a request of the agent with an error."""
        self._write(self._end.failure(request, {"code": code, "message": message}))

    def _write(self, line: bytes) -> None:
        if not self._gone:
            self.process.write(line + b"\n")

    def _message(self, line: bytes | LongLine) -> Other | AgentResponse | None:
        return self._too_long(line) if isinstance(line, LongLine) else self._end.receive(line)

    def _too_long(self, line: LongLine) -> Other | AgentResponse:
        # What waits for it must not wait for ever: neither the agent for its request, nor a turn for its end.
        said = f"a line of {line.size / 1e6:.1f} MB, more than is read"
        found = _ID.search(line.head) or _ID.search(line.tail)
        if found is None:
            return Garbage(said)
        if b'"method"' in line.head or b'"method"' in line.tail:
            self.refuse(Raw(found[1]), TOO_LARGE, said)
            return Garbage(said)
        number = int(found[1]) if not found[1].startswith(b'"') else 0
        answer = Response(number, error=CallFailed(f"the answer was {said}"))
        return Garbage(said) if self._end.settle(answer) else answer
