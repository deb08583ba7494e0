"""Decodes a streamed chat completion, from bytes to what was said. Pure; tolerant of what servers make of the format.

Source: the chat completions of OpenAI; what Ollama, LM Studio, llama.cpp and vLLM do otherwise is in
docs/design/backends.md and in the tests.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from agent.errors import BackendFailed
from agent.protocol.bounds import Many, Whole, Words

LINE_MAX = 1_048_576
"""Bytes of one line of the stream."""


class Part(Struct, frozen=True):
    """One piece of a content that comes as a list."""

    text: Words | None = None


class Delta(Struct, frozen=True):
    """One more piece of the reply. Thoughts have two names, and a refusal is a reply too."""

    content: Words | Many[Part] | None = None
    reasoning_content: Words | None = None
    reasoning: Words | None = None
    refusal: Words | None = None

    @property
    def text(self) -> str:
        """The text that is said in the piece."""
        if isinstance(self.content, list):
            return "".join(part.text or "" for part in self.content)
        return self.content or self.refusal or ""

    @property
    def thought(self) -> str:
        """The text that is thought in the piece."""
        return self.reasoning_content or self.reasoning or ""


class ReplyChoice(Struct, frozen=True):
    """One of the replies; only one was asked for. `message` is a whole one, of a server that does not stream."""

    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: Words | None = None


class TokenUsage(Struct, frozen=True):
    """The number of tokens of the whole exchange."""

    total_tokens: Whole | None = None


class ServerFault(Struct, frozen=True):
    """What went wrong, in the server's words."""

    message: Words | None = None
    code: Words | Whole | None = None
    type: Words | None = None


class Detail(Struct, frozen=True):
    """One part of an error of FastAPI."""

    msg: Words | None = None


class Chunk(Struct, frozen=True):
    """One message of the stream; any field may be missing."""

    choices: Many[ReplyChoice] | None = None
    usage: TokenUsage | None = None
    error: ServerFault | Words | None = None
    object: Words | None = None
    message: Words | None = None  # of an error that is the whole object
    detail: Words | Many[Detail] | None = None  # of an error of FastAPI


_decoder = msgspec.json.Decoder(Chunk)


def decode(data: bytes) -> Chunk:
    """Decode one message of the stream. Raises: BackendFailed, if it is none."""
    try:
        return _decoder.decode(data)
    except (ValueError, RecursionError) as exc:  # UnicodeDecodeError and msgspec's errors are ValueErrors
        raise BackendFailed("the server sent something that is no chat completion") from exc


def fault_of(chunk: Chunk) -> ServerFault | None:
    """The error that a message tells, in whichever form."""
    if isinstance(chunk.error, str):
        return ServerFault(message=chunk.error)
    if chunk.error is not None:
        return chunk.error
    if isinstance(chunk.detail, list):
        return ServerFault(message="; ".join(each.msg or "" for each in chunk.detail))
    if chunk.object == "error" or chunk.detail:
        return ServerFault(message=chunk.message or chunk.detail)
    return None


class EventLines:
    """Server-sent events, one message a line: none of these servers sends a message in several.

    A line that begins with a brace is taken too: an error that a server wrote into the stream as it was.
    """

    def __init__(self) -> None:
        self._rest = b""
        self.done = False  # whether the server has said that this is all

    def feed(self, data: bytes) -> list[Chunk]:
        """The messages that are complete with these bytes. Raises: BackendFailed."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_MAX:
            raise BackendFailed(f"the server sent a line of more than {LINE_MAX:,} bytes")
        return [chunk for line in lines if (chunk := self._read(line)) is not None]

    def end(self) -> list[Chunk]:
        """The message in the last line, if the server did not end that. Raises: BackendFailed."""
        rest, self._rest = self._rest, b""
        chunk = self._read(rest)
        return [chunk] if chunk else []

    def _read(self, line: bytes) -> Chunk | None:
        line = line.strip()
        name, _, value = line.partition(b":")
        if line.startswith(b"{"):
            value = line
        elif name == b"error":  # llama.cpp, before 2025
            fault = decode(value.strip())
            return fault if fault_of(fault) else Chunk(error=ServerFault(message=fault.message))
        elif name != b"data":
            return None  # a comment that keeps the connection up, or the name of an event
        value = value.strip()
        if value == b"[DONE]":
            self.done = True
            return None
        return decode(value) if value and not self.done else None
