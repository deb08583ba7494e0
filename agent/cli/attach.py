"""`agent attach`: a session on the terminal, followed and spoken to."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator

import click

from agent.cli.answer import Answering, submit_answer
from agent.cli.arrival import banner, choose, commands_line, others
from agent.cli.complete import complete_session
from agent.cli.edit import Changed, Ended, Typed
from agent.cli.follow import BEGAN_ANEW, Hydrated, Mark, Seen, follow, stalled_line
from agent.cli.keyboard import Input, Interrupted, Keyboard, Stopped
from agent.cli.main import App, Exit
from agent.cli.screen import Screen
from agent.cli.stream import Lost, Note, PeerBack, Returned, Stream, streaming
from agent.cli.text import clean
from agent.cli.transcript import Transcript, name_of
from agent.core.messages import Attached, OnSession, ParticipantsChanged, PeerLink, SessionStalled, Submit, Submitted
from agent.core.transcript import RequestOpen
from agent.errors import AgentError

STDIN = 0
TERMINAL = "terminal"
"""The backend whose sessions are best seen as they are."""
LEAVE = "Ctrl-C again, or Ctrl-D, leaves; the session goes on"


@click.command()
@click.argument("session", required=False, shell_complete=complete_session)
@click.option("--raw", is_flag=True, help="Show its terminal as it is: for sessions of the backend terminal.")
@click.option("--detach-key", metavar="KEY", default="ctrl-]", show_default=True, help="Key that leaves, with --raw.")
@click.pass_obj
def attach(app: App, session: str | None, *, raw: bool, detach_key: str) -> int:
    """Follow a session, type prompts, answer its questions.

    Ctrl-C interrupts the running turn, Alt-Enter sends a prompt that does, Ctrl-D leaves. In a pipe every line is a
    prompt; at the end of the input it waits for what is running and queued. With --raw the program's own screen and
    keyboard.
    """
    if raw:
        from agent.cli.raw import raw_attached_to

        return raw_attached_to(app, session or choose(app), detach_key)
    return attached_to(app, session or choose(app))


def attached_to(app: App, session: str) -> int:
    """Stay with a session; the exit status."""
    return asyncio.run(_Attachment(app, session).run())


class _Attachment:
    def __init__(self, app: App, session: str) -> None:
        printer = app.printer
        self._path = app.client.path
        self._lively = sys.stdin.isatty() and printer.tty and not printer.dumb
        self._screen = Screen(printer, lively=self._lively)
        self._transcript = Transcript(self._screen)
        self._mark = Mark(session)
        self._inputs: asyncio.Queue[Input] = asyncio.Queue()  # as fast as a person types, or as long as the pipe is
        self._prompts: asyncio.Queue[Typed] = asyncio.Queue()
        self._keyboard = Keyboard(STDIN, self._inputs.put_nowait, lively=self._lively)
        self._answering: Answering | None = None
        self._here: dict[str, tuple[str, int]] = {}  # device -> name, clients
        self._left: asyncio.Future[int] | None = None
        self._ended_input = False
        self._sending = False
        self._warned = False

    async def run(self) -> int:
        self._left = left = asyncio.get_running_loop().create_future()
        async with streaming(self._path) as stream:
            events = follow(stream, self._mark)
            first = await anext(events)  # the terminal is touched only once there is a session
            assert isinstance(first, Hydrated)
            self._banner(stream, first)
            with self._keyboard.reading(self._control):
                try:
                    async with asyncio.TaskGroup() as tasks:
                        jobs = [
                            tasks.create_task(self._follow(stream, events), name="cli.follow"),
                            tasks.create_task(self._listen(stream), name="cli.input"),
                            tasks.create_task(self._send(stream), name="cli.submit"),
                        ]
                        self._redraw()
                        status: int = await left
                        for job in jobs:
                            job.cancel()
                finally:
                    self._screen.close()
        if self._lively:
            self._screen.notice(
                f"-- left {clean(self._mark.session)}; `agent attach {clean(self._mark.session)}` returns"
            )
        return status

    def _control(self, sequence: str) -> None:
        self._screen.printer.out.write(sequence)
        self._screen.printer.out.flush()

    def _leave(self, status: int) -> None:
        if self._left is not None and not self._left.done():
            self._left.set_result(status)

    # --- what the session does ---------------------------------------------------------------------------------------

    def _banner(self, stream: Stream, first: Hydrated) -> None:
        result = first.result
        if result.snapshot is not None:
            for line in banner(result.snapshot.session):
                self._screen.notice(line)
            if result.snapshot.session.backend == TERMINAL:
                self._screen.notice(f"-- it has a terminal: `agent attach --raw {result.session_id}` shows it")
            if result.snapshot.truncated:
                self._screen.notice(f"-- earlier: `agent log {result.session_id}`")
        self._here = others(result.participants, stream)
        if self._here:
            named = [name if count == 1 else f"{name} ({count})" for name, count in self._here.values()]
            self._screen.notice(f"-- also here: {', '.join(named)}")
        self._hydrate(first.result, first)
        if self._lively and first.result.commands:
            self._screen.notice(commands_line(first.result.commands))
        if self._lively:
            self._screen.notice("-- Ctrl-C interrupts the turn, Alt-Enter steers it, Ctrl-D leaves")

    def _hydrate(self, result: Attached, note: Hydrated) -> None:
        if note.anew:
            self._screen.notice(f"-- {BEGAN_ANEW}. It says:", "yellow")
            self._transcript = Transcript(self._screen)
        self._transcript.hydrate(note.events, result.requests)
        self._transcript.set_to(result.options)
        if note.again and not note.anew:
            self._screen.notice("-- back; nothing was lost")

    async def _follow(self, stream: Stream, events: AsyncIterator[Note]) -> None:
        async for note in events:
            self._take(stream, note)
            self._redraw()
            self._maybe_leave()

    def _take(self, stream: Stream, note: Note) -> None:
        match note:
            case Seen(event=event):
                self._transcript.show(event)
            case Hydrated():
                self._hydrate(note.result, note)
            case ParticipantsChanged() if note.session_id == self._mark.session:
                before, self._here = self._here, others(note.participants, stream)
                for device, (name, _) in self._here.items():
                    if device not in before:
                        self._screen.notice(f"-- {name} joined")
                for device, (name, _) in before.items():
                    if device not in self._here:
                        self._screen.notice(f"-- {name} left")
            case _:
                self._troubled(note)

    def _troubled(self, note: Note) -> None:
        # What is in the way between the session and this screen.
        match note:
            case PeerLink() if self._mark.session in note.sessions or not note.sessions:
                self._screen.notice(f"-- link to {clean(note.name)} lost; nothing is lost, retrying", "yellow")
            case PeerBack() if self._mark.session in note.link.sessions or not note.link.sessions:
                self._screen.notice(f"-- link to {clean(note.link.name)} is back")
            case SessionStalled() if note.session_id == self._mark.session:
                self._screen.notice(f"-- {clean(stalled_line(note), 4096)}", "yellow" if note.reason else "")
            case Lost():
                self._screen.notice("-- the service is away; nothing is lost, waiting for it", "yellow")
            case Returned():
                pass  # what follows says it
            case _:
                pass

    def _maybe_leave(self) -> None:
        if self._transcript.ended:
            self._screen.notice(f"-- the session has {self._transcript.ended}")
            self._leave(Exit.OK if self._transcript.ended == "ended" else Exit.FAILED)
        sent = self._ended_input and self._prompts.empty() and not self._sending
        if sent and self._transcript.done_turn >= self._transcript.last_turn:
            self._leave(Exit.OK)

    # --- what the person does ----------------------------------------------------------------------------------------

    @property
    def _request(self) -> RequestOpen | None:
        return next(iter(self._transcript.requests.values()), None)

    @property
    def _asked(self) -> Answering | None:
        # A form that is half filled in goes on until its request is answered, here or elsewhere.
        request = self._request
        if request is None:
            self._answering = None
        elif self._answering is None or self._answering.request != request:
            self._answering = Answering(request)
        return self._answering

    @property
    def _running(self) -> bool:
        return self._transcript.done_turn < self._transcript.last_turn

    def _redraw(self) -> None:
        asked, editor = self._asked, self._keyboard.editor
        editor.secret = asked is not None and asked.request.kind == "secret"
        prompt = "> " if asked is None else asked.label
        if self._running and asked is None and not editor.text:
            prompt = ""
        self._screen.edit(prompt, *(("", 0) if editor.secret else (editor.text, editor.cursor)))

    async def _listen(self, stream: Stream) -> None:
        while True:
            given = await self._inputs.get()
            match given:
                case Typed(text=text) if text.strip() or self._request is not None:
                    self._warned = False
                    await self._typed(stream, given)
                case Interrupted():
                    await self._interrupt(stream)
                case Stopped(signal=number):
                    self._leave(128 + number)
                case Ended() if self._lively:
                    self._leave(Exit.OK)
                case Ended():
                    self._ended_input = True
                    if self._request is not None:
                        self._hint_answer(self._request)
                    self._maybe_leave()
                case Changed() | Typed():
                    pass
            self._redraw()

    async def _typed(self, stream: Stream, given: Typed) -> None:
        asked = self._asked
        if asked is None or (given.steer and given.text.strip() and asked.request.kind != "secret"):
            self._prompts.put_nowait(given)
            return
        label, request = asked.label, asked.request
        try:
            answer = asked.take(given.text)
            if answer is None:
                self._screen.notice(f"   {label}{clean(given.text)}")
                return
            told = await submit_answer(stream, self._mark.session, request, answer)
        except AgentError as exc:
            self._trouble(exc)
            return
        self._transcript.requests.pop(request.request_id, None)
        if told.status == "already-answered":
            self._screen.notice(f"-- {f'[{name_of(told.by)}]' if told.by else 'somebody'} was first", "yellow")

    async def _interrupt(self, stream: Stream) -> None:
        if self._keyboard.editor.clear():
            return
        if self._running and not (self._warned and not self._lively):
            self._warned = not self._lively
            try:
                await stream.request("session.interrupt", OnSession(session_id=self._mark.session), dict)
            except AgentError as exc:
                self._trouble(exc)
        elif self._lively and not self._warned:
            self._warned = True
            self._screen.notice(f"-- {LEAVE}")
        else:
            self._leave(Exit.OK if self._lively else Exit.INTERRUPTED)

    async def _send(self, stream: Stream) -> None:
        # In order, each until the gateway has taken it: the same id never runs twice (S3).
        while True:
            given = await self._prompts.get()
            self._sending = True
            params = Submit(
                session_id=self._mark.session, prompt_id=uuid.uuid4().hex, text=given.text, steer=given.steer
            )
            try:
                told = await stream.insist("prompt.submit", params, Submitted)
                self._transcript.last_turn = max(self._transcript.last_turn, told.turn)
            except AgentError as exc:
                self._trouble(exc)
            self._sending = False
            self._redraw()
            self._maybe_leave()

    def _trouble(self, exc: AgentError) -> None:
        self._screen.notice(f"-- {clean(str(exc), 4096)}" + (f" ({clean(exc.hint)})" if exc.hint else ""), "red")

    def _hint_answer(self, request: RequestOpen) -> None:
        self._screen.notice(f"-- answer with: agent answer {self._mark.session} {clean(request.request_id)} ANSWER")
