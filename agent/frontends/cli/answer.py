"""`agent answer`: answer what a session asks."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Sequence

import click

from agent.client.answers import Answering, answer_of, over_before, too_late
from agent.client.request_text import field_lines, request_lines
from agent.client.stream import streaming
from agent.client.terminal_text import clean
from agent.errors import AgentError, Ambiguous, RequestNotFound
from agent.frontends.cli.complete import complete_session
from agent.frontends.cli.keyboard import piped_text, read_line
from agent.frontends.cli.main import App, Exit
from agent.frontends.cli.output import Printer
from agent.frontends.cli.patience import patiently, wait_option
from agent.protocol.events import Answer, RequestOpen
from agent.protocol.messages import AnswerRequest, Attach
from agent.protocol.methods import REQUEST_ANSWER, SESSION_ATTACH


@click.command()
@click.argument("session", shell_complete=complete_session)
@click.argument("words", nargs=-1, metavar="[REQUEST] ANSWER")
@wait_option
@click.pass_obj
def answer(app: App, session: str, words: tuple[str, ...], wait: float) -> int:
    """Answer what a session asks.

    ANSWER is text, or the number, id or name of a choice; `yes`, `no`, `always` and `never` are the choice that allows
    or refuses once or for good, wherever it stands. `-` reads ANSWER from standard input, which is how a password is
    given. A form takes a JSON object, or `decline`; one of a single field takes its value. Where the program takes
    your own words beside its choices, any other text is those. Without ANSWER, a terminal is asked, a form field by
    field. REQUEST is needed only while several are open.
    """
    if len(words) > 2:
        raise click.UsageError("one answer is needed: quote it")
    given = words[-1] if words else None
    if given is None and not sys.stdin.isatty():
        raise click.UsageError("an answer is needed; `-` reads it from standard input")
    if given == "-":
        given = piped_text()
    return asyncio.run(_answer(app, session, words[0] if len(words) == 2 else "", given, wait))


async def _answer(app: App, session: str, wanted: str, given: str | None, wait: float) -> int:
    async with streaming(app.client.path, wait=wait) as stream:
        attached = await patiently(app, stream, SESSION_ATTACH, Attach(session_id=session))
        over = (
            ""
            if _open(attached.requests, wanted)
            else over_before(attached, wanted, stream.clock.time(), own=stream.device)
        )
        if over:
            app.printer.error(f"{over}; your answer was not sent")
            return Exit.FAILED
        request = pick(attached.requests, wanted, session)
        found = await ask(request, app.printer) if given is None else answer_of(request, given)
        if found is None:
            return Exit.INTERRUPTED
        params = AnswerRequest(session_id=attached.session_id, request_id=request.request_id, answer=found)
        told = await patiently(app, stream, REQUEST_ANSWER, params)
    why = too_late(told, request, own=stream.device)
    if why:
        app.printer.error(why)
        return Exit.FAILED
    return Exit.OK


async def ask(request: RequestOpen, printer: Printer) -> Answer | None:
    """Ask a request on the terminal, until the answer fits; None at the end of the input."""
    asked = Answering(request)
    opening = request_lines(request, fields=False)

    def show() -> None:  # once the terminal no longer echoes a secret: from here on it may be typed
        field = asked.form.field if asked.form is not None else None
        for text, style in [*opening, *(field_lines(field) if field is not None else [])]:
            printer.talk(text, style)
        opening.clear()
        printer.ask(asked.label)

    while True:
        given = await read_line(sys.stdin.fileno(), show, secret=request.kind == "secret")
        if given is None:
            return None
        if request.kind == "secret":
            printer.talk("")  # the end of that line was not echoed
        try:
            found = asked.take(given)
        except AgentError as exc:
            printer.error(str(exc), exc.hint)
            continue
        if found is not None:
            return found


def pick(requests: Sequence[RequestOpen], wanted: str, session: str) -> RequestOpen:
    """The open request of that id or unique prefix, or the only one. Raises: RequestNotFound, Ambiguous."""
    found = _open(requests, wanted)
    exact = [request for request in found if request.request_id == wanted]
    if len(exact or found) > 1:
        listed = "\n".join(f"{clean(request.request_id)}  {clean(request.prompt)}" for request in found)
        raise Ambiguous(f"several requests are open:\n{listed}", hint="name one: `agent answer SESSION REQUEST ANSWER`")
    if not found:
        if requests:
            ids = ", ".join(clean(request.request_id) for request in requests)
            raise RequestNotFound(f"no open request {wanted!r}", hint=f"open: {ids}")
        raise RequestNotFound(
            "the session asks nothing now", hint=f"`agent attach {shlex.quote(clean(session))}` shows what it does"
        )
    return (exact or found)[0]


def _open(requests: Sequence[RequestOpen], wanted: str) -> list[RequestOpen]:
    return [request for request in requests if request.request_id.startswith(wanted)]
