"""What a server says, from bytes to what was said, how it ended and what went wrong. Pure; any field may be anything.

Source: the chat completions of OpenAI; what Ollama, LM Studio, llama.cpp and vLLM do otherwise is in
docs/design/backends.md and in the tests.
"""

from __future__ import annotations

import html
import re

from msgspec import Struct, structs

from agent.adapters.backends.openai.sse import EVENT_MAX, EventReader, SentEvent
from agent.protocol.bounds import Many, Whole, Words
from agent.protocol.lenient import LenientReader, read
from agent.protocol.names import clean

WORDS_MAX = 300
"""Characters of a server's own words in an error."""
WORDS_IN = 65_536
"""Bytes of an answer that are looked through for words."""
_TITLE = re.compile(r"(?is)<title[^>]*>\s*([^<]*\S)\s*</title>")
_MARKUP = re.compile(r"(?is)<(script|style)\b.*?</\1\s*>|<[^>]*>")


class Part(Struct, frozen=True):
    """One piece of a content that comes as a list."""

    text: Words | None = None


Content = Words | Many[Part] | None


class CalledFunction(Struct, frozen=True):
    """The function that the model wants to be called."""

    name: Words | None = None


class CalledTool(Struct, frozen=True):
    """A tool that the model wants to use; none was offered."""

    function: CalledFunction | None = None


class Delta(Struct, frozen=True):
    """One more piece of the reply. Thoughts have two names, and a refusal is a reply too."""

    content: Content = None
    text: Content = None
    reasoning_content: Content = None
    reasoning: Content = None
    refusal: Content = None
    tool_calls: Many[CalledTool] | None = None
    function_call: CalledFunction | None = None

    @property
    def said(self) -> str:
        """The text that is said in the piece."""
        return plain(self.content) or plain(self.text) or plain(self.refusal)

    @property
    def thought(self) -> str:
        """The text that is thought in the piece."""
        return plain(self.reasoning_content) or plain(self.reasoning)

    @property
    def tools(self) -> list[str]:
        """The names of the tools that are called in the piece; only the first of its pieces names a tool."""
        called = [each.function for each in self.tool_calls or ()] + [self.function_call]
        return [each.name for each in called if each is not None and each.name]


class ReplyChoice(Struct, frozen=True):
    """One of the replies; only one was asked for. `message` is a whole one, `text` one of the older completions."""

    delta: Delta | None = None
    message: Delta | None = None
    text: Content = None
    finish_reason: Words | None = None


class TokenUsage(Struct, frozen=True):
    """The number of tokens of the whole exchange."""

    total_tokens: Whole | None = None
    prompt_tokens: Whole | None = None
    completion_tokens: Whole | None = None

    @property
    def total(self) -> int:
        """All tokens, 0: not told."""
        return max(0, self.total_tokens or (self.prompt_tokens or 0) + (self.completion_tokens or 0))


class ServerFault(Struct, frozen=True):
    """What went wrong, in the server's words."""

    message: Words | None = None
    msg: Words | None = None
    detail: Words | None = None
    error: Words | None = None
    code: Words | None = None
    type: Words | None = None

    @property
    def words(self) -> str:
        """The words of it that a person can read, in one line."""
        return clean(self.message or self.msg or self.detail or self.error or "", WORDS_MAX)


class Chunk(Struct, frozen=True):
    """One message of the stream; any field may be missing."""

    choices: Many[ReplyChoice] | None = None
    usage: TokenUsage | None = None
    error: ServerFault | Words | None = None
    errors: Many[ServerFault | Words] | None = None
    object: Words | None = None
    type: Words | None = None
    code: Words | None = None
    message: Words | None = None  # of an error that is the whole object
    detail: Many[ServerFault | Words] | None = None  # of an error of FastAPI, one or several
    title: Words | None = None  # of a problem (RFC 9457)

    @property
    def fault(self) -> ServerFault | None:
        """The error that a message tells, in whichever form."""
        if self.error:
            told = self.error if isinstance(self.error, ServerFault) else ServerFault(error=self.error)
            return told if told.words else structs.replace(told, message=self.message)
        if faults := [*(self.errors or ()), *(self.detail or ())]:
            words = (each.words if isinstance(each, ServerFault) else each for each in faults)
            return ServerFault(message="; ".join(filter(None, words)), code=self.code, type=self.type)
        if "error" in {self.object, self.type, (self.type or "").rpartition("_")[2]}:
            return ServerFault(message=self.message or self.title, code=self.code, type=self.type)
        return None

    @property
    def words(self) -> str:
        """The words for a person, of a message that is no part of a reply."""
        return (self.fault or ServerFault(message=self.message or self.title)).words


class ChunkReader:
    """Makes messages of a stream's bytes. An event that is no message is passed over and remembered."""

    def __init__(self) -> None:
        self.done = False  # whether the server has said that this is all
        self._events = EventReader()
        self._json = LenientReader()
        self._unread = b""

    @property
    def stray(self) -> str:
        """The beginning of what was no part of a reply, in one line: the words of a proxy, most often."""
        return words_of(self._unread or self._events.stray)

    @property
    def broken(self) -> bool:
        """Whether something came that could not be read: perhaps a piece of the reply."""
        return bool(self._unread)

    def feed(self, data: bytes) -> list[Chunk]:
        """The messages that are complete with these bytes."""
        chunks = self._read(self._events.feed(data))
        if self._events.overflowed and not self.done:
            self.done = True
            chunks.append(Chunk(error=f"it sent more than {EVENT_MAX:,} bytes in one piece"))
        return chunks

    def end(self) -> list[Chunk]:
        """The message that the server did not end."""
        return self._read(self._events.end())

    def _read(self, events: list[SentEvent]) -> list[Chunk]:
        return [chunk for event in events if not self.done and (chunk := self._chunk(event)) is not None]

    def _chunk(self, event: SentEvent) -> Chunk | None:
        if event.data.strip() == b"[DONE]":
            self.done = True
            return None
        chunk = self._json.read(event.data, Chunk)
        if event.name == "error" and (chunk is None or chunk.fault is None):
            return Chunk(error=ServerFault(message=words_of(event.data)))
        idle = chunk is None or not (chunk.choices or chunk.usage or chunk.fault)
        if idle and event.name in {"", "message"} and (chunk is None or chunk.words):
            self._unread = self._unread or event.data
        if chunk is not None and event.bare and any(each.message or each.text for each in chunk.choices or ()):
            self.done = True  # a whole answer, of a server that does not stream
        return chunk


def plain(content: Content) -> str:
    """A content as text."""
    return content if isinstance(content, str) else "".join(part.text or "" for part in content or ())


def words_of(page: bytes) -> str:
    """The words of an answer that is no reply, in one line: of an error in JSON, of a page of HTML, or all of it."""
    chunk = read(page[:WORDS_IN], Chunk)
    if chunk is not None and chunk.words:
        return chunk.words
    text = page[:WORDS_IN].decode(errors="replace")
    if "<" in text:
        title = _TITLE.search(text)
        text = html.unescape(title[1] if title else _MARKUP.sub(" ", text))
    return clean(" ".join(text.split()), WORDS_MAX)
