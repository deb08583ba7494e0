"""What is sent of a conversation: the newest exchanges that fit. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from agent.ports import Exchange

CHARACTERS = 100_000
"""Sent if the server does not say how much its model takes."""
CHARACTERS_MAX = 1_000_000
PER_TOKEN = 3
"""Characters of a token, rather too few: English has four, code three."""

Message = dict[str, str]


def budget_of(tokens: int) -> int:
    """Characters to send to a model that takes so many tokens, 0: not known. A quarter is left for its reply."""
    return min(CHARACTERS_MAX, tokens * PER_TOKEN * 3 // 4) if tokens > 0 else CHARACTERS


class Conversation:
    """A bounded conversation: what does not fit any more is forgotten, oldest first. The log has all of it."""

    def __init__(self, characters: int, past: Iterable[Exchange] = ()) -> None:
        """Begin with the exchanges of the `past`, oldest first."""
        self.characters = characters
        self._past: deque[Exchange] = deque(each for each in past if each.prompt.strip() and each.reply.strip())

    def messages(self, prompt: str) -> tuple[list[Message], int]:
        """The messages to send, and how many of the oldest exchanges were forgotten for them.

        The prompt is sent in any case.
        """
        left = self.characters - len(prompt)
        size = sum(map(_size, self._past))
        forgotten = 0
        while self._past and size > left:
            size -= _size(self._past.popleft())
            forgotten += 1
        told: list[Message] = []
        for each in self._past:
            told += [{"role": "user", "content": each.prompt}, {"role": "assistant", "content": each.reply}]
        return [*told, {"role": "user", "content": prompt}], forgotten

    def add(self, prompt: str, reply: str) -> None:
        """Add a turn that is over. One without a reply is left out: roles must take turns."""
        if prompt.strip() and reply.strip():
            self._past.append(Exchange(prompt, reply))

    def halve(self, prompt: str) -> bool:
        """Send half as much next, as it was too much for the model. False if there is nothing left to leave out."""
        if not self._past:
            return False
        self.characters = len(prompt) + sum(map(_size, self._past)) // 2
        return True


def _size(exchange: Exchange) -> int:
    return len(exchange.prompt) + len(exchange.reply)
