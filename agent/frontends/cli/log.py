"""`agent log`: a session's transcript."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator
from itertools import chain

import click

from agent.client.follow import Hydrated, Mark, NextEvent, follow
from agent.client.reading import VERBATIM, event_json
from agent.client.stream import Note, streaming
from agent.client.view import Hydration, LogEntry, LogReplaced, SessionView, sentence
from agent.frontends.cli.complete import complete_session
from agent.frontends.cli.export import MarkdownTranscript, Row, json_lines, markdown_head
from agent.frontends.cli.main import App, Exit
from agent.frontends.cli.parameters import Whole
from agent.frontends.cli.patience import call, saying, wait_option
from agent.frontends.cli.screen import SplitScreen, redrawn
from agent.frontends.cli.transcript import TranscriptPrinter
from agent.protocol.events import Event
from agent.protocol.messages import History, Page
from agent.protocol.methods import SESSION_HISTORY

PAGE = 500
"""Events asked for at a time."""
ASKED_SECONDS = 30.0
"""All devices are asked at once for a session that is over."""


@click.command()
@click.argument("session", shell_complete=complete_session)
@click.option("--json", "as_json", is_flag=True, help="Print the events, one a line.")
@click.option("--since", type=Whole(), default=0, metavar="SEQ", help="Only events after that number.")
@click.option("--follow", "stay", is_flag=True, help="Stay and print what comes.")
@click.option("--export", "form", type=click.Choice(["md", "json"]), help="Make a document of it: Markdown, or JSON.")
@click.option("-o", "--output", "file", metavar="FILE", help="Write the document there; - is stdout.")
@wait_option
@click.pass_obj
def log(
    app: App, *, session: str, as_json: bool, since: int, stay: bool, form: str | None, file: str | None, wait: float
) -> int:
    """Print a session's transcript, or make a document of it."""
    if form is None and file is not None:
        raise click.UsageError("-o needs --export md or --export json")
    if form is not None:
        if as_json or stay:
            raise click.UsageError("--export goes with neither --json nor --follow")
        _write(app, _document(app, session, form, since, wait), file)
        return Exit.OK
    show = _Log(app, session, as_json=as_json, stays=stay)
    mark = show.mark(since)
    last = since
    for page in _history(app, session, since, wait, colours=show.colours):
        show.session = page.session_id or session  # the id, whatever it was asked by
        for event in page.events:
            show.event(event)
            last = event.seq
        mark = show.mark(last, page.epoch)
    if stay:
        asyncio.run(_follow(app, mark, show, wait))
    elif last == since > 0:
        app.printer.talk(f"nothing after {since}")
    return Exit.OK


def _history(app: App, session: str, after: int, wait: float, *, colours: bool) -> Iterator[Page]:
    more = True
    while more:
        asked = History(session_id=session, after=after, limit=PAGE, colours=colours)
        page = call(app, SESSION_HISTORY, asked, wait=wait)
        session = page.session_id or session
        yield page
        more = page.more and bool(page.events)
        after = page.events[-1].seq if page.events else after


def _document(app: App, session: str, form: str, since: int, wait: float) -> Iterator[str]:
    # Its lines, as they are read; that there is such a session is known before the first one.
    pages = _history(app, session, since, wait, colours=app.printer.always)
    first = next(pages)
    session = first.session_id or session
    row = _row(app, session)
    events = (event for page in chain((first,), pages) for event in page.events)
    return json_lines(row, session, first.epoch, events) if form == "json" else _markdown(row, session, events)


def _markdown(row: Row, session: str, events: Iterable[Event]) -> Iterator[str]:
    yield from markdown_head(row, session)
    view, transcript = SessionView(), MarkdownTranscript(verbatim=row.get("backend") in VERBATIM)
    for event in events:
        for block in transcript.blocks(view.entry(event)):
            yield from ("", block)
    for block in transcript.rest():
        yield from ("", block)


def _row(app: App, session: str) -> Row:
    # As a list has it; else of those that are over.
    rows = app.client.call("session.list", {"all": True})
    found = next((row for row in rows if row["id"] == session), None)
    if found is None:
        past = app.client.call("session.past", {"scope": "all", "limit": 1000}, seconds=ASKED_SECONDS)
        found = next((row for row in past["sessions"] if row["id"] == session), None)
    return found or {}


def _write(app: App, lines: Iterator[str], file: str | None) -> None:
    if file in (None, "-"):
        for line in lines:
            app.printer.line(line)
        return
    try:  # only for its owner, as the transcript itself is
        descriptor = os.open(str(file), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as out:
            out.writelines(f"{line}\n" for line in lines)
    except OSError as exc:
        raise click.ClickException(f"{file} cannot be written: {exc.strerror}") from exc
    app.printer.talk(f"written to {file}")


async def _follow(app: App, mark: Mark, show: _Log, wait: float) -> None:
    async with streaming(app.client.path, wait=wait) as stream:
        stream.waiting = saying(app)
        with redrawn(show.screen):
            try:
                async for note in follow(stream, mark):
                    show.take(note)
            finally:
                show.screen.close()


class _Log:
    def __init__(self, app: App, session: str, *, as_json: bool, stays: bool) -> None:
        self.session = session
        self.colours = app.printer.always if as_json else app.printer.color
        self._printer, self._as_json = app.printer, as_json
        self._lively = stays and app.printer.tty and not app.printer.dumb and not as_json
        self.screen = SplitScreen(app.printer, lively=self._lively)
        self._view, self._transcript = SessionView(), TranscriptPrinter(self.screen)
        app.printer.make_way = self._hide_rows

    def mark(self, seq: int, epoch: str = "") -> Mark:
        """How far the log was printed, for whoever follows it from there."""
        return Mark(self.session, after=seq, epoch=epoch, colours=self.colours, tail=self._lively)

    def take(self, note: Hydrated | NextEvent | Note) -> None:
        """Print what a note of the service's adds to the log, and below it the rows that may still change."""
        for change in self._view.take(note):
            match change:
                case Hydration(entries=entries):
                    self.session = self._view.session
                    if change.anew:
                        self._printer.talk(sentence(LogReplaced()), "yellow")
                        self._transcript = TranscriptPrinter(self.screen)
                    for entry in entries:
                        self._entry(entry)
                case LogEntry():
                    self._entry(change)
                case _:
                    pass
        self.screen.moving(self._view.rows)

    def event(self, event: Event) -> None:
        """Print one entry of the log."""
        self._entry(self._view.entry(event))

    def _entry(self, entry: LogEntry) -> None:
        if self._as_json:
            self._printer.json_line(event_json(self.session, entry.event))
        else:
            self.screen.moving(self._view.rows)  # what moved and is now said must not stand twice
            self._transcript.show(entry)

    def _hide_rows(self) -> None:
        self.screen.moving(())
