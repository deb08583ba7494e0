"""The pairing window: a chance for one device to pair, as the person who opened it sees it (T3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from msgspec import structs

from agent.errors import AgentError
from agent.protocol.guests import Terms
from agent.protocol.messages import PairNews
from agent.protocol.model import DeviceId, Endpoint
from agent.trust.rules.code import Code

TRIES = 3
"""Guesses at a short code. A long one cannot be guessed, so its tries have no end."""
LINK_ADDRESSES = 2
"""In a link: each one makes the QR code larger."""


class Window:
    """Shows one code. `code` goes to the person and nowhere else."""

    def __init__(self, code: Code, ttl: float, news: Callable[[PairNews], None], guest: Terms | None = None) -> None:
        self.code, self.ttl = str(code), ttl  # ttl in seconds
        self.slot, self.secret = code.slot, code.secret
        self._code = code
        self.guest = guest  # whoever comes is let in here alone, on these terms
        self.tries = 0 if code.long else TRIES  # 0: any number
        self.failed = 0  # tries that failed, or are under way
        self.turn = asyncio.Lock()  # one run at a time
        self.listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.over, self.gone = asyncio.Event(), asyncio.Event()  # ended; and nothing of it is left
        self.outcome: PairNews | None = None
        self.tell = news

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.listening.result()

    def link(self, device: DeviceId, hosts: Iterable[str]) -> str:
        """All that a QR code of it says; empty for a short code. A zone means nothing on the other device."""
        usable = [host for host in hosts if "%" not in host]
        usable.sort(key=lambda host: ":" in host)
        endpoints = tuple(Endpoint(host, self.port) for host in usable[:LINK_ADDRESSES])
        return structs.replace(self._code, device=device, endpoints=endpoints).link() if self._code.long else ""

    def failure(self, *, wrong_code: bool) -> None:
        """A try has failed: say so; the last one ends the window."""
        left = self._tries_left()
        self.tell(PairNews(what="wrong-code" if wrong_code else "failed", tries_left=left, failed=self.failed))
        if self.tries and not left:
            self.end(PairNews(what="exhausted", failed=self.failed))

    def declined(self, name: str, reason: AgentError) -> None:
        """A device that knows the code, called `name`, cannot be paired: that was no guess, so it uses up no try."""
        self.failed -= 1
        left, told = self._tries_left(), str(reason)
        self.tell(
            PairNews(what="failed", name=name, reason=told, hint=reason.hint, tries_left=left, failed=self.failed)
        )

    def _tries_left(self) -> int:
        return max(0, self.tries - self.failed)

    def close(self) -> None:
        """End it if nothing else has. Idempotent."""
        self.end(PairNews(what="closed"))

    def end(self, outcome: PairNews) -> None:
        """The first outcome stands."""
        if self.outcome is None:
            self.outcome = outcome
            self.over.set()
