"""JSON-RPC 2.0 with one agent over its pipes: requests, answers, notifications, one message a line."""

from __future__ import annotations

import asyncio
import re

import msgspec
from msgspec import Raw, Struct

from agent.adapters.backends.acp.process import AgentProcess
from agent.adapters.backends.acp.schema import (
    PARSE_ERROR,
    TOO_LARGE,
    AgentResponse,
    Garbage,
    Other,
    Unread,
    decode,
    messages_in,
)
from agent.pending_calls import PendingCall
from agent.protocol.jsonrpc import CallFailed, LenientEnd, Response
from agent.protocol.lenient import LenientReader, number_or_text

_encode = msgspec.json.Encoder().encode
_ID = re.compile(rb'"id"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?)')
_OF_AN_ANSWER = (b'"result"', b'"error"', b'"stopReason"')

LINE_MAX = 4_194_304
"""Bytes of one line that are kept: four times what a frame of ours may carry."""
EDGE = 4096
"""Bytes of a longer line that are kept from its beginning and from its end."""


class AgentGone(Exception):
    """The agent ended before it answered a call."""


class Connection:
    """Speaks JSON-RPC 2.0 with one agent.

    One task calls `receive` until it returns nothing; others call, and are answered meanwhile.
    """

    def __init__(self, process: AgentProcess) -> None:
        self.process = process
        self._lines = LineSplitter()
        self._reader = LenientReader()
        self._end: LenientEnd[bytes, Other] = LenientEnd(_encode, self._decoded)
        self._gone = False
        self._loop = asyncio.get_running_loop()
        self.heard_at = 0.0  # by the loop's clock

    @property
    def open(self) -> bool:
        """Whether the agent can still be read from."""
        return not self._gone

    async def receive(self) -> list[Other | AgentResponse]:
        """What the agent has sent since the last call, waiting for something; empty at the end of all.

        Answers to `call` are handed to who waits for them and left out.
        """
        while True:
            data = await self.process.read()
            self.heard_at = self._loop.time()
            lines = self._lines.feed(data) if data else [self._lines.rest()]
            messages = [each for line in lines if line for each in self._messages(line)]
            if not data:
                self._gone = True
                self._end.fail(AgentGone)
            if messages or not data:
                return messages

    def send(self, method: str, params: object) -> int | str:
        """Send a request whose answer comes by `receive`, and return its number."""
        request_id, line = self._end.request(method, params)
        self._write(line)
        return request_id

    async def call(self, method: str, params: object, seconds: float) -> Raw:
        """Send a request and wait for its answer. Raises: CallFailed, AgentGone, TimeoutError."""
        if self._gone:
            raise AgentGone
        with PendingCall(self._end, method, params) as call:
            self._write(call.frame)
            return await call.answer(seconds)

    def notify(self, method: str, params: object) -> None:
        """Send a notification, which has no answer."""
        self._write(self._end.notification(method, params))

    def respond(self, request: Raw, result: object) -> None:
        """Answer a request of the agent with a result."""
        self._write(self._end.response(request, result))

    def refuse(self, request: Raw, code: int, message: str) -> None:
        """Answer a request of the agent with an error."""
        self._write(self._end.failure(request, {"code": code, "message": message}))

    def _write(self, line: bytes) -> None:
        if not self._gone:
            self.process.write(line + b"\n")

    def _decoded(self, line: bytes) -> Other | AgentResponse:
        return decode(line, self._reader)

    def _messages(self, line: bytes | LongLine) -> list[Other | AgentResponse]:
        if isinstance(line, LongLine):
            named, said = unread(line), f"a line of {line.size / 1e6:.1f} MB, more than is read"
            answers = [] if named.update else self._unread(said, line.head, line.tail, TOO_LARGE)[1:]
            return [named, *answers]
        found = self._end.receive(line)
        parts = messages_in(line, self._reader) if isinstance(found, Garbage) else []
        told: list[Other | AgentResponse] = []
        for part, each in [(part, self._end.receive(part)) for part in parts] or [(line, found)]:
            if isinstance(each, Garbage):
                told += self._unread(each.text, part[:EDGE], part[-EDGE:], PARSE_ERROR) if part.strip() else []
            elif isinstance(each, Response) and not self._end.made(each.id):
                told.append(Garbage("an answer to a request that nobody made"))
            elif each is not None:
                told.append(each)
        return told

    def _unread(self, said: str, head: bytes, tail: bytes, code: int) -> list[Other | AgentResponse]:
        # What waits for it must not wait for ever: neither the agent for its request, nor a turn for its end.
        told: list[Other | AgentResponse] = [Garbage(said)]
        named = [found[1] for part in (head, tail) for found in _ID.finditer(part)]
        if b'"method"' in head or b'"method"' in tail:
            if named:
                self.refuse(Raw(named[0]), code, said)
            return told
        if not any(word in head or word in tail for word in (b'"jsonrpc"', b'"stopReason"')):
            return told  # the line of a log
        waiting = [number for each in named if (number := number_or_text(Raw(each))) in self._end.open]
        if not waiting and any(word in head or word in tail for word in _OF_AN_ANSWER):
            waiting = [*self._end.open][:1]
        if waiting and (answer := self._end.answered(Response(waiting[0], error=CallFailed(f"the answer was {said}")))):
            told.append(answer)
        return told


class LongLine(Struct, frozen=True):
    """The place of a line that was left out because it was too long."""

    size: int  # bytes
    head: bytes
    tail: bytes


def unread(line: LongLine) -> Unread:
    """What the ends of a line tell of it: an image or a resource by its name, and the tool call that it is about."""
    kind, uri = _field(line, "mimeType"), _field(line, "uri") or _field(line, "name")
    what = f"{kind or 'a line'} of {line.size / 1e6:.1f} MB left out"
    return Unread(
        what=f"{what}: {uri}" if uri else what,
        update=_field(line, "sessionUpdate"),
        tool=_field(line, "toolCallId"),
        title=_field(line, "title") or None,
        status=_field(line, "status") or None,
    )


def _field(line: LongLine, name: str) -> str:
    # Of something that is nested, perhaps: good enough for a name.
    pattern = rb'"%s"\s*:\s*("(?:[^"\\]|\\.){0,300}")' % name.encode()
    found = re.findall(pattern, line.head + b"\n" + line.tail)
    try:
        return msgspec.json.decode(found[0], type=str) if found else ""
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


class LineSplitter:
    """Cuts what was read into whole lines; holds at most one line in memory."""

    def __init__(self, most: int = LINE_MAX) -> None:
        self._most = most
        self._parts: list[bytes] = []
        self._size = 0
        self._head = self._tail = b""  # of a line that is too long

    def feed(self, data: bytes) -> list[bytes | LongLine]:
        """The lines that end in `data`, without their ends; empty ones are left out."""
        pieces = data.split(b"\n")
        found: list[bytes | LongLine] = []
        for piece in pieces[:-1]:
            self._add(piece)
            if line := self._take():
                found.append(line)
        self._add(pieces[-1])
        return found

    def rest(self) -> bytes | LongLine:
        """The bytes that came after the last line, at the end of all."""
        return self._take()

    def _add(self, piece: bytes) -> None:
        if not piece:
            return
        self._size += len(piece)
        if self._size <= self._most:
            self._parts.append(piece)
            return
        if self._parts or not self._head:
            self._head = b"".join([*self._parts, piece])[:EDGE]
            self._parts = []
        self._tail = (self._tail + piece[-EDGE:])[-EDGE:]

    def _take(self) -> bytes | LongLine:
        size, self._size = self._size, 0
        if size > self._most:
            line = LongLine(size, self._head, self._tail)
            self._head = self._tail = b""
            return line
        if len(self._parts) == 1:
            return self._parts.pop()
        whole = b"".join(self._parts)
        self._parts.clear()
        return whole
