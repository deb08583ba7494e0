"""`agent prompt`: one prompt, its reply on stdout, its outcome as the exit status."""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
import uuid
from collections.abc import AsyncIterator

import click
import msgspec

from agent.client.answers import how_to_answer, submit_answer, too_late
from agent.client.follow import Mark, follow
from agent.client.pending import WaitingCall
from agent.client.prompts import not_sent, prompts_before, prompts_named, standing, taken_back, to_withdraw
from agent.client.reading import event_json, request_over
from agent.client.request_text import request_lines
from agent.client.stream import Stream, streaming
from agent.client.terminal_text import clean
from agent.client.view import Change, Hydration, LogEntry, LogReplaced, RowsMoved, SessionView, sentence
from agent.errors import AgentError
from agent.frontends.cli import streams
from agent.frontends.cli.answer import ask
from agent.frontends.cli.complete import complete_session
from agent.frontends.cli.keyboard import piped_text
from agent.frontends.cli.main import App, Exit
from agent.frontends.cli.parameters import Span
from agent.frontends.cli.patience import call, saying, wait_option
from agent.frontends.cli.reply_printer import ReplyPrinter
from agent.frontends.cli.screen import redrawn
from agent.frontends.cli.transcript import style_of
from agent.protocol.events import (
    MessageStart,
    RequestClosed,
    RequestOpen,
    SessionInfo,
    TurnComplete,
    UserMessage,
)
from agent.protocol.messages import History, Interrupt, Submit
from agent.protocol.methods import PROMPT_SUBMIT, PROMPT_WITHDRAW, SESSION_HISTORY, SESSION_INTERRUPT
from agent.protocol.prompts import Withdraw
from agent.protocol.waiting import Waiting

TAKING_BACK = 5.0
"""Seconds that taking a prompt back may wait for a device that is out of reach."""


@click.command()
@click.argument("session", shell_complete=complete_session)
@click.argument("text", nargs=-1, required=True)
@click.option("--no-wait", is_flag=True, help="Only send it; print its id.")
@click.option("--steer", is_flag=True, help="Stop the running turn, and go before what waits.")
@click.option("--json", "as_json", is_flag=True, help="Print the events of the turn, one a line.")
@click.option("--timeout", type=Span(0.1), metavar="S", help="Wait S seconds at most.")
@click.option("--withdraw", "withdraws", is_flag=True,
              help="At the end of --timeout or at Ctrl-C, take it back if it has not begun.")  # fmt: skip
@wait_option
@click.option("--id", "prompt_id", metavar="ID", help="Of the prompt: the same one again never runs twice.")
@click.pass_obj
def prompt(
    app: App,
    *,
    session: str,
    text: tuple[str, ...],
    no_wait: bool,
    steer: bool,
    as_json: bool,
    timeout: float | None,
    withdraws: bool,
    wait: float,
    prompt_id: str | None,
) -> int:
    """Send one prompt and print the reply. TEXT `-` reads it from standard input.

    While the session's device is out of reach it waits; Ctrl-C takes the prompt back. Ctrl-C while the turn runs
    interrupts it. While other turns run before it, Ctrl-C leaves, and the prompt stays, unless --withdraw is given.

    Of a reply the first 98,304 and the last 16,384 characters are kept; standard error says so where some are missing.

    Exit status: 0 when the turn is complete, 1 when it failed or a shell command did, 130 when it was interrupted,
    6 when the device stayed out of reach, 7 when the time was up (a turn that began goes on).
    """
    piped = text == ("-",)
    asked = piped_text() if piped else " ".join(text)
    if not asked.strip():
        raise click.UsageError("the prompt is empty")
    submit = Submit(session_id=session, prompt_id=prompt_id or uuid.uuid4().hex, text=asked, steer=steer)
    if no_wait and withdraws:
        raise click.UsageError("--withdraw is for a command that waits: leave out --no-wait")
    if no_wait:
        return _send_only(app, submit, wait, as_json=as_json, piped=piped)
    turn = _Turn(app, submit, wait, as_json=as_json, known=prompt_id is not None, piped=piped, withdraws=withdraws)
    return asyncio.run(turn.run(timeout))


def _send_only(app: App, submit: Submit, wait: float, *, as_json: bool, piped: bool) -> int:
    try:
        told = call(app, PROMPT_SUBMIT, submit, wait=wait, seconds=60.0)
    except (AgentError, BaseExceptionGroup):
        if piped:  # else the shell still has it
            app.printer.talk(not_sent(submit.text), "yellow")
        raise
    streams.acted(_sent(submit.session_id))
    if as_json:
        app.printer.json({"prompt_id": submit.prompt_id, **msgspec.to_builtins(told)})
        return Exit.OK
    app.printer.line(submit.prompt_id)
    where = standing(told, steer=submit.steer)
    if told.status == "queued":
        where += f"; {to_withdraw(submit.session_id, submit.prompt_id)} takes it back"
    app.printer.talk(where)
    return Exit.OK


def _sent(session: str) -> str:
    # So that nobody sends it again because its reply could not be printed.
    return f"the prompt was sent, and `agent log {shlex.quote(clean(session))}` shows what comes of it"


def _tell_before(app: App, session: str, request: RequestOpen) -> None:
    """Say what is asked by a turn that a prompt waits for, whoever began that, and how it is answered."""
    lines = " ".join(text for text, _ in request_lines(msgspec.structs.replace(request, detail="", fields=())))
    app.printer.talk(f"waits for an answer: {lines}", "yellow")
    app.printer.talk(f"  answer with {how_to_answer(session, request)}")


class _Turn:
    """One prompt's turn, from submitting to its end."""

    def __init__(
        self, app: App, submit: Submit, wait: float, *, as_json: bool, known: bool, piped: bool, withdraws: bool
    ) -> None:
        """`wait`: seconds for a device that is out of reach. `known`: the prompt's id was given, perhaps once more.

        `piped`: the text came from standard input, so nobody else has it. `withdraws`: whoever gives up takes it back.
        """
        self._app = app
        self._submit = submit
        self._wait = wait
        self._as_json = as_json
        self._known = known
        self._gives_back = piped
        self._say = saying(app)
        self._sending: WaitingCall | None = None  # the prompt on its way
        self._withdraws = withdraws
        self._turn = 0
        self._queued = False  # it was accepted, and its turn has not begun
        self._taking_back = False
        self._view = SessionView()
        self._reply = ReplyPrinter(app.printer, as_json=as_json)
        colours = app.printer.always if as_json else app.printer.color
        self._mark = Mark(submit.session_id, colours=colours, tail=self._reply.moves)
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._answered: set[str] = set()  # ids of requests whose answers are on their way from here
        self._interrupted, self._accepted, self._over = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._left: asyncio.Future[int] | None = None
        self._seen = 0

    async def run(self, seconds: float | None) -> int:
        loop = asyncio.get_running_loop()
        self._left = loop.create_future()
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        loop.add_signal_handler(signal.SIGTERM, self._leave, 128 + signal.SIGTERM)
        try:
            async with asyncio.timeout(seconds) as limit, streaming(self._app.client.path, wait=self._wait) as stream:
                limit.reschedule(None)
                stream.waiting = self._waits
                return await self._run(stream, self._left, seconds)
        except TimeoutError:
            self._not_accepted(seconds)
            return Exit.TIMED_OUT
        except (AgentError, BaseExceptionGroup):
            if not self._turn:
                self._give_back()
            raise
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            loop.remove_signal_handler(signal.SIGTERM)

    async def _run(self, stream: Stream, left: asyncio.Future[int], seconds: float | None) -> int:
        with redrawn(self._reply.screen):
            async with asyncio.TaskGroup() as tasks:
                jobs = [
                    tasks.create_task(self._follow(stream, tasks), name="cli.follow"),
                    tasks.create_task(self._stop(stream), name="cli.interrupt"),
                    tasks.create_task(self._expire(stream, seconds), name="cli.timeout"),
                ]
                status = await left
                for job in [*jobs, *self._asking.values()]:
                    job.cancel()
        self._reply.end_line()
        return status

    def _leave(self, status: int) -> None:
        if self._left is not None and not self._left.done():
            self._left.set_result(status)

    async def _follow(self, stream: Stream, tasks: asyncio.TaskGroup) -> None:
        changes = self._view.changes(follow(stream, self._mark))
        first = await anext(changes)
        assert isinstance(first, Hydration)
        seq, asked_before = self._mark.seq, tuple(self._view.requests.values())
        params = msgspec.structs.replace(self._submit, session_id=self._mark.session)
        self._sending = WaitingCall(self._waits)
        told = await stream.insist(PROMPT_SUBMIT, params, call=self._sending)
        self._turn = told.turn
        self._queued = told.status == "queued" or (told.status == "duplicate" and told.position > 0)
        self._accepted.set()
        streams.acted(_sent(self._mark.session))
        if told.status == "queued" or (told.status == "duplicate" and self._known):
            self._app.printer.talk(standing(told, steer=params.steer), "dim")
        if told.status == "duplicate":
            await self._replay(stream, seq)
        for request in asked_before:
            if request.turn != self._turn:
                _tell_before(self._app, self._mark.session, request)
        async for change in changes:
            if isinstance(change, Hydration) and change.anew:
                await self._start_over(stream)
            else:
                self._take(change, tasks, stream)

    async def _start_over(self, stream: Stream) -> None:
        # S15: turns have other numbers, and the prompt is in the copy or not. It is not sent again: it may have run.
        self._reply.start_over()
        self._app.printer.talk(sentence(LogReplaced()), "yellow")
        self._seen = 0
        self._turn = 0
        async for entry in _logged(stream, self._mark, self._view, self._mark.seq):
            if isinstance(entry.payload, UserMessage) and entry.payload.prompt_id == self._submit.prompt_id:
                self._turn = entry.payload.turn
                self._queued = entry.payload.queued
            self._entry(entry)
        if not self._turn:
            hint = f"`agent log {self._mark.session}` shows what is left; send it again if it is to run"
            lost = f"{sentence(LogReplaced())}, which does not have this prompt: it may have run"
            self._app.printer.error(lost, hint)
            self._leave(Exit.FAILED)

    def _waits(self, note: Waiting) -> None:
        # Attaching comes first, and it is the prompt that the person waits for.
        self._gives_back = True
        if self._sending is None:
            note = msgspec.structs.replace(note, method=PROMPT_SUBMIT.name, sent=False)
        self._say(note)

    async def _replay(self, stream: Stream, seq: int) -> None:
        # It was sent before: its turn may be over, and longer ago than the snapshot reaches.
        async for entry in _logged(stream, self._mark, self._view, seq):
            self._entry(entry)
            if self._left is not None and self._left.done():
                return

    def _take(self, change: Change, tasks: asyncio.TaskGroup, stream: Stream) -> None:
        match change:
            case LogEntry():
                self._show_rows()  # what moved and is now said must not stand twice
                request = self._entry(change)
                if request is not None:
                    task = tasks.create_task(self._ask(stream, request), name="cli.ask")
                    self._asking[request.request_id] = task
                elif self._queued and isinstance(change.payload, RequestOpen) and change.payload.turn != self._turn:
                    _tell_before(self._app, self._mark.session, change.payload)
            case Hydration():
                for entry in change.entries:
                    self._entry(entry)
            case RowsMoved():
                pass
            case _:
                self._app.printer.talk(sentence(change), style_of(change) or "dim")
        self._show_rows()

    def _show_rows(self) -> None:
        asks = any(not task.done() for task in self._asking.values())  # then the person types below
        self._reply.rows(self._view.rows if self._view.turn == self._turn and not asks else ())

    def _entry(self, entry: LogEntry) -> RequestOpen | None:
        """Print one entry if it is of this turn; a request that it opened."""
        if entry.event.seq <= self._seen:
            return None
        self._seen = entry.event.seq
        payload = entry.payload
        turn_of = getattr(payload, "turn", None)
        if isinstance(payload, SessionInfo) and self._turn and self._view.turn == self._turn:
            self._reply.tell_info(payload, self._mark.session)
        if turn_of != self._turn:
            return None
        if self._as_json:
            self._app.printer.json_line(event_json(self._mark.session, entry.event))
        self._reply.show(payload, merged=entry.merged)
        match payload:
            case MessageStart():
                self._queued = False
            case RequestOpen():
                return payload
            case RequestClosed(request_id=request_id):
                task = self._asking.get(request_id)
                if task is not None and not task.done() and request_id not in self._answered:
                    task.cancel()
                    self._reply.end_line()
                    self._app.printer.talk(request_over(entry.closes, payload), "yellow")
            case TurnComplete():
                self._over.set()
                if not (self._taking_back and payload.withdrawn_by):
                    self._leave(self._reply.over(payload))
            case _:
                pass
        return None

    # --- the person --------------------------------------------------------------------------------------------------

    async def _ask(self, stream: Stream, request: RequestOpen) -> None:
        printer, session = self._app.printer, self._mark.session
        self._reply.end_line()
        if not (sys.stdin.isatty() and printer.err_tty):
            for text, style in request_lines(request, ids=True):
                printer.talk(text, style)
            printer.talk(f"  answer with {how_to_answer(session, request)}")
            return
        try:
            found = await ask(request, printer)
            if found is not None:
                self._answered.add(request.request_id)
                why = too_late(await submit_answer(stream, session, request, found), request, own=stream.device)
                if why:
                    printer.talk(why, "yellow")
        except AgentError as exc:
            printer.error(str(exc), exc.hint)

    def _interrupt(self) -> None:
        # A second Ctrl-C does not wait for what the first one asked for.
        if self._interrupted.is_set():
            self._leave(Exit.INTERRUPTED)
        self._interrupted.set()

    async def _stop(self, stream: Stream) -> None:
        await self._interrupted.wait()
        if self._sending is None:
            self._give_back()
            self._leave(Exit.INTERRUPTED)
            return
        if not self._turn:
            stream.take_back(self._sending)  # how that went ends `_follow`, or there is a turn after all
            await self._accepted.wait()
        before = self._before
        if self._queued and await self._taken_back(stream):
            self._app.printer.talk(f"it had not begun, {before}, and was taken back", "yellow")
            self._leave(Exit.INTERRUPTED)
        elif self._queued:
            self._app.printer.talk(f"it has not begun, {before}; it will run", "yellow")
            self._app.printer.hint(f"{to_withdraw(self._mark.session, self._submit.prompt_id)} takes it back")
            self._leave(Exit.INTERRUPTED)
        else:
            self._app.printer.talk("interrupting", "dim")
            asked = Interrupt(session_id=self._mark.session, turn=self._turn)
            told = await stream.insist(SESSION_INTERRUPT, asked)
            if told.queue:
                self._app.printer.talk(f"runs next: {prompts_named(told.queue)}", "dim")

    async def _expire(self, stream: Stream, seconds: float | None) -> None:
        if seconds is None:
            return
        await asyncio.sleep(seconds)
        self._reply.end_line()
        session, before = self._mark.session, self._before
        if not self._turn:
            self._not_accepted(seconds)
        elif self._queued and await self._taken_back(stream):
            self._app.printer.error(f"it had not begun within {seconds:g} s, {before}, and was taken back")
        elif self._queued:
            hint = f"it will run; {to_withdraw(session, self._submit.prompt_id)} takes it back"
            self._app.printer.error(f"it has not begun within {seconds:g} s, {before}", hint)
        else:
            hint = f"`agent attach {session}` follows it, `agent interrupt {session}` stops it"
            self._app.printer.error(f"no end of the turn within {seconds:g} s; it goes on", hint)
        self._leave(Exit.TIMED_OUT)

    async def _taken_back(self, stream: Stream) -> bool:
        # If that is wanted, and the prompt has not begun meanwhile.
        if not self._withdraws:
            return False
        self._taking_back = True
        asked = Withdraw(session_id=self._mark.session, prompt_id=self._submit.prompt_id, wait=TAKING_BACK)
        try:
            told = await stream.insist(PROMPT_WITHDRAW, asked)
        except AgentError as exc:
            self._app.printer.error(f"it could not be taken back: {exc}", exc.hint)
            return False
        if told.status == "started":
            self._queued = False
            return False
        await self._over.wait()
        if self._gives_back:
            self._app.printer.talk(taken_back(self._submit.text), "yellow")
        return True

    @property
    def _before(self) -> str:
        return prompts_before(self._view.queue, self._view.turn, self._turn)

    def _not_accepted(self, seconds: float | None) -> None:
        self._give_back()
        self._app.printer.error(f"it was not accepted within {seconds:g} s")

    def _give_back(self) -> None:
        # At once refused it is still on the command line; after minutes of waiting it is looked for here.
        if self._gives_back:
            self._app.printer.talk(not_sent(self._submit.text), "yellow")


async def _logged(stream: Stream, mark: Mark, view: SessionView, seq: int) -> AsyncIterator[LogEntry]:
    # The log of the session that is followed, up to `seq`.
    after = 0
    while after < seq:
        asked = History(session_id=view.session, after=after, limit=1000, colours=mark.colours)
        page = await stream.insist(SESSION_HISTORY, asked)
        for event in page.events:
            if event.seq <= seq:
                yield view.entry(event)
        if not page.events:
            return
        after = page.events[-1].seq
