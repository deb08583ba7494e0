"""One reply as it is received: what each message adds to it, and what its end means (S14). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from agent.adapters.backends.openai.chunks import Chunk, ReplyChoice, plain
from agent.ports import Said, Thought
from agent.protocol.events import TEXT_MAX
from agent.protocol.names import clean
from agent.protocol.turn_causes import TurnCause

PIECE = 16_384
"""Characters of one event (`ports.Backend`)."""
TOOLS_MAX = 8
"""Tools that are named."""

_REASONS: dict[TurnCause, str] = {
    "max_tokens": "length max_tokens max_output_tokens max_completion_tokens model_length",
    "filtered": "content_filter content_filtered safety recitation blocklist prohibited_content spii sensitive",
    "refusal": "refusal refused",
    "tool_calls": "tool_calls tool_call tool_use function_call",
    "cut": "error abort aborted cancelled canceled network_error insufficient_system_resource",
}
"""Reasons of servers to end a reply, in lower case. Any other one is an ordinary end."""
_CAUSES = {reason: cause for cause, reasons in _REASONS.items() for reason in reasons.split()}


class Ending(NamedTuple):
    """How a reply ended. No cause: with success. `error`: the line to tell, if the cause alone says too little."""

    cause: TurnCause = ""
    error: str = ""


class ReceivedReply:
    """What has come of one reply so far.

    `finish`: the server's reason to end it; `whole`: it came in one piece; `tokens`: of the whole exchange.
    """

    def __init__(self) -> None:
        self.said = ""
        self.finish = ""
        self.whole = False
        self.tokens = 0
        self._thought = False
        self._streamed = False  # whether it comes in pieces: a whole one that follows repeats them
        self._refused = False
        self._tools: list[str] = []

    def take(self, chunks: Iterable[Chunk]) -> Iterator[Said | Thought]:
        """Add messages; yields what to tell of them, neighbours joined, thoughts and reply in their order."""
        for kind, told in groupby(self._texts(chunks), key=lambda each: each[0]):
            text = "".join(piece for _, piece in told)
            for start in range(0, len(text), PIECE):
                yield kind(text[start : start + PIECE])

    def ending(self, stray: str) -> Ending:
        """How the reply has ended. `stray`: what the server sent beside it, in one line."""
        cause = "refusal" if self._refused else _CAUSES.get(self.finish.lower(), "")
        if not cause and not self.said:
            cause = "tool_calls" if self._tools else "empty"
        error = ""
        if cause == "refusal":
            error = "the model refused to answer"
        elif cause == "tool_calls" and self._tools:
            error = f"the model called a tool ({', '.join(self._tools)}), and a chat has none"
        elif cause == "cut":
            error = f"the server ended the reply: {stray or clean(self.finish, 64)}"
        elif cause == "empty" and stray:
            error = f"nothing was said, but the server sent: {stray}"
        elif cause == "empty" and self._thought:
            error = "the model thought, and nothing was said: send it again, or choose another model"
        return Ending(cause, error)

    def _texts(self, chunks: Iterable[Chunk]) -> Iterator[tuple[type[Said | Thought], str]]:
        for chunk in chunks:
            if chunk.usage is not None:
                self.tokens = chunk.usage.total or self.tokens
            for choice in chunk.choices or ():
                self.finish = choice.finish_reason or self.finish
                yield from self._of_choice(choice)

    def _of_choice(self, choice: ReplyChoice) -> Iterator[tuple[type[Said | Thought], str]]:
        delta, message = choice.delta, choice.message
        if delta is not None and (delta.said or delta.thought):
            self._streamed, message = True, None
        self.whole = self.whole or (message is not None and bool(message.said))
        for more in (delta, message):
            if more is None:
                continue
            self._refused = self._refused or bool(plain(more.refusal))
            self._tools += [clean(name, 64) for name in more.tools][: TOOLS_MAX - len(self._tools)]
            if more.thought and not (more is message and self._streamed):
                self._thought = True
                yield Thought, more.thought
            if text := self._new(more.said) if more is message else more.said:
                yield self._say(text)
        if text := plain(choice.text):
            yield self._say(text)

    def _new(self, whole: str) -> str:
        if not self._streamed:
            return whole
        return whole[len(self.said) :] if whole.startswith(self.said) else ""

    def _say(self, text: str) -> tuple[type[Said], str]:
        if len(self.said) < TEXT_MAX:
            self.said += text
        return Said, text
