"""JSON-RPC 2.0 with one agent over its pipes: requests, answers, notifications, one message a line."""

from __future__ import annotations

import asyncio
import re

import msgspec
from msgspec import Raw, Struct

from agent.adapters.backends.acp.lines import Lines, LongLine
from agent.adapters.backends.acp.process import AgentProcess
from agent.adapters.backends.acp.schema import TOO_LARGE, Fault, Garbage, Message, Reply, decode

_ID = re.compile(rb'"id"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+)')


class CallFailed(Exception):
    """The agent answered with an error."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class AgentGone(Exception):
    """The agent ended before it answered."""


class _Call(Struct):
    id: int
    method: str
    params: object
    jsonrpc: str = "2.0"


class _Notification(Struct):
    method: str
    params: object
    jsonrpc: str = "2.0"


class _Result(Struct):
    id: Raw
    result: object
    jsonrpc: str = "2.0"


class _Error(Struct):
    id: Raw
    error: dict[str, object]
    jsonrpc: str = "2.0"


class Connection:
    """One task calls `receive` until it returns nothing; the others call, and are answered meanwhile."""

    def __init__(self, process: AgentProcess) -> None:
        self.process = process
        self._lines = Lines()
        self._waiting: dict[int, asyncio.Future[Raw]] = {}
        self._count = 0
        self._gone = False
        self._encoder = msgspec.json.Encoder()
        self._loop = asyncio.get_running_loop()
        self.heard_at = 0.0  # by the loop's clock

    @property
    def open(self) -> bool:
        """Whether the agent is there."""
        return not self._gone

    async def receive(self) -> list[Message]:
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
                self._abandon()
            if messages or not data:
                return messages

    def send(self, method: str, params: object) -> int:
        """Ask something whose answer comes by `receive`. Returns its number."""
        self._count += 1
        self._write(_Call(self._count, method, params))
        return self._count

    async def call(self, method: str, params: object, seconds: float) -> Raw:
        """Ask something and wait for the answer. Raises: CallFailed, AgentGone, TimeoutError."""
        if self._gone:
            raise AgentGone
        number = self.send(method, params)
        answer: asyncio.Future[Raw] = self._loop.create_future()
        self._waiting[number] = answer
        try:
            async with asyncio.timeout(seconds):
                return await answer
        finally:
            self._waiting.pop(number, None)

    def notify(self, method: str, params: object) -> None:
        """Tell something."""
        self._write(_Notification(method, params))

    def respond(self, request: Raw, result: object) -> None:
        """Answer a request of the agent."""
        self._write(_Result(request, result))

    def refuse(self, request: Raw, code: int, message: str) -> None:
        """Answer a request of the agent with an error."""
        self._write(_Error(request, {"code": code, "message": message}))

    def _write(self, message: object) -> None:
        if not self._gone:
            self.process.write(self._encoder.encode(message) + b"\n")

    def _message(self, line: bytes | LongLine) -> Message | None:
        if isinstance(line, LongLine):
            return self._too_long(line)
        message = decode(line)
        if isinstance(message, Reply) and (waiting := self._waiting.get(message.id)) is not None:
            if waiting.done():
                return None
            if message.error is not None:
                waiting.set_exception(CallFailed(message.error))
            else:
                waiting.set_result(message.result)
            return None
        return message

    def _too_long(self, line: LongLine) -> Message:
        # What waits for it must not wait for ever: neither the agent for its request, nor a turn for its end.
        said = f"a line of {line.size / 1e6:.1f} MB, more than is read"
        found = _ID.search(line.head) or _ID.search(line.tail)
        if found is None:
            return Garbage(said)
        if b'"method"' in line.head or b'"method"' in line.tail:
            self.refuse(Raw(found[1]), TOO_LARGE, said)
            return Garbage(said)
        fault = Fault(message=f"the answer was {said}")
        number = int(found[1]) if not found[1].startswith(b'"') else 0
        if (waiting := self._waiting.get(number)) is not None and not waiting.done():
            waiting.set_exception(CallFailed(fault))
            return Garbage(said)
        return Reply(number, error=fault)

    def _abandon(self) -> None:
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(AgentGone())
