"""`agent log`: a session's transcript."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import click

from agent.client.follow import Hydrated, Mark, NextEvent, follow
from agent.client.reading import event_json
from agent.client.stream import streaming
from agent.client.view import LogReplaced, SessionView, sentence
from agent.frontends.cli.complete import complete_session
from agent.frontends.cli.main import App, Exit
from agent.frontends.cli.parameters import Whole
from agent.frontends.cli.patience import call, saying, wait_option
from agent.frontends.cli.screen import SplitScreen
from agent.frontends.cli.transcript import TranscriptPrinter
from agent.protocol.events import Event
from agent.protocol.messages import History
from agent.protocol.methods import SESSION_HISTORY

PAGE = 500
"""Events asked for at a time."""


@click.command()
@click.argument("session", shell_complete=complete_session)
@click.option("--json", "as_json", is_flag=True, help="Print the events, one a line.")
@click.option("--since", type=Whole(), default=0, metavar="SEQ", help="Only events after that number.")
@click.option("--follow", "stay", is_flag=True, help="Stay and print what comes.")
@wait_option
@click.pass_obj
def log(app: App, *, session: str, as_json: bool, since: int, stay: bool, wait: float) -> int:
    """Print a session's transcript."""
    show = _Log(app, session, as_json=as_json)
    mark = Mark(session, after=since)
    for epoch, events in _history(app, show, since, wait):
        for event in events:
            show.event(event)
            since = event.seq
        mark = Mark(session, after=since, epoch=epoch)
    if stay:
        asyncio.run(_follow(app, mark, show, wait))
    return Exit.OK


def _history(app: App, show: _Log, after: int, wait: float) -> Iterator[tuple[str, tuple[Event, ...]]]:
    # The pages of the log, each with its epoch.
    more = True
    while more:
        asked = History(session_id=show.session, after=after, limit=PAGE)
        page = call(app, SESSION_HISTORY, asked, wait=wait)
        show.session = page.session_id or show.session  # the id, whatever it was asked by
        yield page.epoch, page.events
        more = page.more and bool(page.events)
        after = page.events[-1].seq if page.events else after


async def _follow(app: App, mark: Mark, show: _Log, wait: float) -> None:
    async with streaming(app.client.path, wait=wait) as stream:
        stream.waiting = saying(app)
        async for note in follow(stream, mark):
            if isinstance(note, Hydrated):
                show.session = note.result.session_id
                if note.anew:
                    show.begin_anew()
                for event in note.events:
                    show.event(event, merged=True)
            elif isinstance(note, NextEvent):
                show.event(note.event)


class _Log:
    def __init__(self, app: App, session: str, *, as_json: bool) -> None:
        self.session = session
        self._printer, self._as_json = app.printer, as_json
        self._view, self._transcript = SessionView(), TranscriptPrinter(SplitScreen(app.printer, lively=False))

    def begin_anew(self) -> None:
        """Say that what follows is another log."""
        self._printer.talk(sentence(LogReplaced()), "yellow")
        self._view, self._transcript = SessionView(), TranscriptPrinter(SplitScreen(self._printer, lively=False))

    def event(self, event: Event, *, merged: bool = False) -> None:
        """Print one entry of the log."""
        if self._as_json:
            self._printer.json_line(event_json(self.session, event))
        else:
            self._transcript.show(self._view.entry(event, merged=merged))
