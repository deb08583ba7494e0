"""What a person typed into a followed session, until the session has accepted it (L8): sent in order, never lost."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Callable

from agent.client.follow import Mark
from agent.client.pending import WaitingCall
from agent.client.prompts import not_sent
from agent.client.stream import Stream
from agent.errors import AgentError, PeerLost
from agent.frontends.cli.line_editor import Typed
from agent.protocol.messages import Submit, Submitted
from agent.protocol.methods import PROMPT_SUBMIT
from agent.protocol.waiting import Waiting

SHOWN_MAX = 1000
"""Prompts that are printed when they were not sent."""


class Outbox:
    """The prompts on their way. `run` sends one after the other, each until it is accepted, given up or taken back."""

    def __init__(
        self,
        stream: Stream,
        mark: Mark,
        *,
        shown: Callable[[str], None],
        waiting: Callable[[Waiting, str], None],
        accepted: Callable[[Submitted], None],
        failed: Callable[[Typed, AgentError], None],
    ) -> None:
        """`shown` is given the text of each that waits, once, so that the person sees what is not sent yet.

        `waiting` is told why one has not been accepted yet, and its text if others wait after it; `failed` which one
        never will be, and why.
        """
        self._stream = stream
        self._mark = mark
        self._shown = shown
        self._waiting = waiting
        self._accepted = accepted
        self._failed = failed
        self._queue: deque[Typed] = deque()
        self._some = asyncio.Event()
        self._stopped = False
        self._current: tuple[Typed, WaitingCall] | None = None
        self._doubtful: dict[str, str] = {}  # text that may have arrived -> its prompt id, for when it is sent again

    @property
    def empty(self) -> bool:
        """Whether everything typed was accepted, or given back."""
        return not self._queue and self._current is None

    @property
    def waits(self) -> bool:
        """Whether the person was told that something was not sent yet."""
        return self._current is not None and self._current[1].note is not None

    @property
    def unsent(self) -> list[str]:
        """The prompts of which the person was told that they were not sent yet, in order."""
        return [self._current[0].text, *(given.text for given in self._queue)] if self._current and self.waits else []

    def put(self, given: Typed) -> None:
        """Send a prompt, after all that were put before it."""
        if self.waits:
            self._shown(given.text)
        self._queue.append(given)
        self._some.set()

    def take_back(self) -> Typed | None:
        """Take the newest prompt back. None: it is on its way, and `failed` tells if it could be stopped."""
        if self._queue:
            return self._queue.pop()
        if self._current is not None:
            self._stream.take_back(self._current[1])
        return None

    def given_back(self) -> list[str]:
        """The prompts that were not accepted, in order, as lines to be printed at the end."""
        lines = [not_sent(given.text) for given in self._queue]
        if self._current is not None:
            given, call = self._current
            lines.insert(0, not_sent(given.text, doubtful=call.note is not None and call.note.sent))
        more = [f"and {len(lines) - SHOWN_MAX} more"] if len(lines) > SHOWN_MAX else []
        return [*lines[:SHOWN_MAX], *more]

    def stop(self) -> None:
        """Send no more prompts: the rest is given back."""
        self._stopped = True

    async def run(self) -> None:
        """Send prompts until stopped or cancelled: what is on its way then is given back."""
        while not self._stopped:
            while self._queue and not self._stopped:
                await self._send(self._queue.popleft())
            self._some.clear()
            await self._some.wait()

    def _waits(self, given: Typed, note: Waiting) -> None:
        if self._current is not None and self._current[1].first:
            self._shown(given.text)
            for other in self._queue:
                self._shown(other.text)
        self._waiting(note, given.text if self._queue else "")

    async def _send(self, given: Typed) -> None:
        call = WaitingCall(lambda note: self._waits(given, note))
        self._current = given, call
        prompt_id = self._doubtful.pop(given.text, "") or uuid.uuid4().hex
        params = Submit(session_id=self._mark.session, prompt_id=prompt_id, text=given.text, steer=given.steer)
        try:
            told = await self._stream.insist(PROMPT_SUBMIT, params, call=call)
        except AgentError as exc:
            self._current = None
            if isinstance(exc, PeerLost):
                self._doubtful[given.text] = prompt_id
            self._failed(given, exc)
        else:
            self._current = None
            self._accepted(told)
