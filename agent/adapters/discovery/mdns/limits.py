"""What python-zeroconf takes from anybody without a bound that suits a small service, and how it is bounded here."""

from __future__ import annotations

from zeroconf import DNSQuestion, DNSRecord, Zeroconf  # type: ignore[attr-defined]  # its `__all__` forgets the records
from zeroconf._handlers.query_handler import QueryHandler
from zeroconf._history import QuestionHistory

PACKET_MAX = 8966
"""Bytes; zeroconf looks at none that is longer."""


class NoHistory(QuestionHistory):
    """Remembers no questions.

    The history is there to leave a question out that somebody else has just asked. It keeps 10,000 questions of anybody
    for up to 10 s, each with 256 records that its sender knows: hundreds of MiB; and who asks all that we would ask
    keeps us from asking.
    """

    def add_question_at_time(self, question: DNSQuestion, now: float, known_answers: set[DNSRecord]) -> None:
        """Forget it."""


def without_history(zeroconf: Zeroconf) -> None:
    """Let it remember no questions. To be called before its sockets are served, so without waiting in between."""
    zeroconf.question_history = NoHistory()
    zeroconf.query_handler = QueryHandler(zeroconf)  # it holds the history that was there when it was made


def read_small(zeroconf: Zeroconf) -> None:
    """Give each packet a small buffer. To be called whenever there are other sockets.

    asyncio reads a datagram into 256 KiB and gives back what is not needed. What a packet leaves behind then lies
    between holes of that size, and malloc takes new memory for the next one: 15 MiB in a minute of 300 packets a second
    of which 4 MiB were in use (glibc, measured).
    """
    for reader in zeroconf.engine.readers:
        reader.transport.max_size = PACKET_MAX + 1  # type: ignore[attr-defined]  # of asyncio's transports, on all systems
