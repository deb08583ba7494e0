"""The end of a long transcript: as many lines as are wanted, read back page by page, and how much is before it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence

from agent.client.stream import Stream
from agent.client.terminal_text import clean
from agent.client.view import Hydration, LogEntry, SessionView
from agent.errors import AgentError
from agent.frontends.cli.duration import counted
from agent.frontends.cli.screen import SplitScreen
from agent.frontends.cli.transcript import TranscriptPrinter
from agent.protocol.events import Event, RequestOpen, UserMessage
from agent.protocol.messages import History
from agent.protocol.methods import SESSION_HISTORY
from agent.protocol.snapshot import compact

LINES = 200
"""Lines of a transcript that `agent attach` prints, unless it is told otherwise."""
PAGE = 1000
"""Events that are asked for at a time: what the wire allows."""
PAGES_MAX = 20
"""Pages that are read back for the lines that are wanted by default: a stream of words has few lines in many events."""
IN_TEXT = {"line", "keys", "secret"}
"""Kinds of questions that a program asks in the midst of its text."""


class TranscriptTail:
    """Prints what of a transcript stands before what follows: its last lines, or with `lines` None all of it."""

    def __init__(self, screen: SplitScreen, lines: int | None) -> None:
        self._screen = screen
        self._lines = lines

    async def show(self, stream: Stream, session: str, seq: int, hydration: Hydration) -> TranscriptPrinter:
        """Print the end of a log of `seq` events, of which the client has just got a snapshot; what prints the rest."""
        printer = TranscriptPrinter(self._screen)
        asked = any(
            isinstance(each.payload, RequestOpen) and each.payload.kind in IN_TEXT for each in hydration.entries
        )
        if self._lines is None and (hydration.truncated or asked):
            view, opened = SessionView(), set[str]()
            async for page in self._pages(stream, session, 0, seq):
                for entry in map(view.entry, page):
                    printer.show(entry)
                    opened |= _opens([entry])
            printer.settle(hydration, opened)
            return printer
        entries: Sequence[LogEntry] = hydration.entries
        wanted = self._lines
        if wanted is not None:
            if (hydration.truncated and self._count(entries) < wanted) or (asked and wanted):
                entries = await self._read_back(stream, session, seq, entries, wanted)
            self._leave_out(session, entries, wanted)
        for entry in entries:
            printer.show(entry)
        self._screen.skip(0)
        printer.settle(hydration, _opens(entries))
        return printer

    async def _read_back(
        self, stream: Stream, session: str, seq: int, entries: Sequence[LogEntry], wanted: int
    ) -> Sequence[LogEntry]:
        # Not compacted on the way, so that pages join without a seam, and what was said stands where it was said.
        first = entries[0].event.seq if entries else seq + 1
        blocks: list[list[Event]] = []
        begin, lines = seq, 0
        try:
            while begin and lines < wanted and len(blocks) < PAGES_MAX + wanted // 10:
                begin, end = max(0, begin - PAGE), begin
                blocks.append([event async for page in self._pages(stream, session, begin, end) for event in page])
                lines += self._count(_entries(compact(blocks[-1])))
        except AgentError:
            return entries  # what there is for certain
        if begin and begin >= first - 1 and lines < wanted:
            return entries
        return _in_order(event for block in reversed(blocks) for event in block)

    async def _pages(self, stream: Stream, session: str, after: int, last: int) -> AsyncIterator[Sequence[Event]]:
        # The events of a log after one and up to another, oldest first.
        colours = self._screen.printer.color
        while after < last:
            asked = History(session_id=session, after=after, limit=min(PAGE, last - after), colours=colours)
            events = [event for event in (await stream.insist(SESSION_HISTORY, asked)).events if event.seq <= last]
            if not events:
                return
            yield events
            after = events[-1].seq

    def _count(self, entries: Iterable[LogEntry]) -> int:
        return sum(self._heights(entries))

    def _heights(self, entries: Iterable[LogEntry]) -> list[int]:
        # How many lines each entry takes.
        counter = SplitScreen(self._screen.printer, lively=self._screen.lively)
        counter.skip()
        printer = TranscriptPrinter(counter)
        heights: list[int] = []
        for entry in entries:
            before = counter.skipped
            printer.show(entry)
            heights.append(counter.skipped - before)
        return heights

    def _leave_out(self, session: str, entries: Sequence[LogEntry], wanted: int) -> None:
        # Has the screen leave out what is too much, and says what that is.
        heights = self._heights(entries)
        skips = rest = max(0, sum(heights) - wanted)
        begins = 0
        while skips and begins < len(heights) and rest >= heights[begins]:
            rest -= heights[begins]
            begins += 1
        shown = entries[begins:]
        before = shown[0].event.seq - 1 if shown else (entries[-1].event.seq if entries else 0)
        if before or rest:
            prompts = _prompts_before(entries, begins)
            self._screen.notice(f"-- {_said(session, before, prompts, cut=bool(rest))}")
        self._screen.skip(skips)


def _said(session: str, before: int, prompts: int, *, cut: bool) -> str:
    parts = [counted(prompts, "prompt")] if prompts else []
    parts += [counted(before, "entry", "entries")] if before else []
    what = " and ".join([", ".join(parts), *(["the beginning of this"] if cut else [])]).removeprefix(" and ")
    return f"before this: {what}; `agent log {clean(session)}` prints all"


def _prompts_before(entries: Sequence[LogEntry], begins: int) -> int:
    # Turns count prompts.
    for entry in entries[begins:]:
        if isinstance(entry.payload, UserMessage):
            return entry.payload.turn - 1
    return max((getattr(entry.payload, "turn", 0) for entry in entries), default=0)


def _entries(events: Iterable[Event]) -> list[LogEntry]:
    view = SessionView()
    return [view.entry(event, merged=True) for event in events]


def _in_order(events: Iterable[Event]) -> list[LogEntry]:
    # Shortened between questions only: a snapshot has all text of a reply behind them. A reply that began before the
    # first event is shortened as a whole, since its end repeats what is not here.
    runs: list[list[Event]] = [[]]
    begun = False
    for event in events:
        begun = begun or event.type == "message.start"
        runs[-1].append(event)
        if begun and event.type in {"request.open", "request.closed"}:
            runs.append([])
    view = SessionView()
    return [view.entry(event) for run in runs for event in compact(run)]


def _opens(entries: Iterable[LogEntry]) -> set[str]:
    return {entry.payload.request_id for entry in entries if isinstance(entry.payload, RequestOpen)}
