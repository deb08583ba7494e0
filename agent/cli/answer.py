"""`agent answer`: answer what a session asks."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence

import click
import msgspec

from agent.cli.complete import complete_session
from agent.cli.main import App, Exit
from agent.cli.output import Printer
from agent.cli.stream import Stream, streaming
from agent.cli.text import clean
from agent.cli.transcript import name_of, question
from agent.core.messages import Answered, AnswerRequest, Attach, Attached
from agent.core.transcript import Answer, RequestOpen
from agent.errors import Ambiguous, BadParams, RequestNotFound


@click.command()
@click.argument("session", shell_complete=complete_session)
@click.argument("words", nargs=-1, metavar="[REQUEST] ANSWER")
@click.pass_obj
def answer(app: App, session: str, words: tuple[str, ...]) -> int:
    """Answer what a session asks.

    ANSWER is text, or the number, id or name of a choice; `-` reads it from standard input, which is how a password
    is given. Without it, a terminal is asked. REQUEST is needed only while several are open.
    """
    if len(words) > 2:
        raise click.UsageError("one answer is needed: quote it")
    given = words[-1] if words else None
    if given is None and not sys.stdin.isatty():
        raise click.UsageError("an answer is needed; `-` reads it from standard input")
    if given == "-":
        given = sys.stdin.read().removesuffix("\n")
    return asyncio.run(_answer(app, session, words[0] if len(words) == 2 else "", given))


async def _answer(app: App, session: str, wanted: str, given: str | None) -> int:
    async with streaming(app.client.path) as stream:
        attached = await stream.request("session.attach", Attach(session_id=session), Attached)
        request = pick(attached.requests, wanted)
        if given is None:
            given = _asked(request, app.printer)
        told = await submit_answer(stream, attached.session_id, request, answer_of(request, given))
    return report(told, app.printer)


def _asked(request: RequestOpen, printer: Printer) -> str:
    for line in question(request):
        printer.talk(line, "yellow")
    return str(click.prompt("answer", prompt_suffix=": ", hide_input=request.kind == "secret", err=True))


async def submit_answer(stream: Stream, session: str, request: RequestOpen, given: Answer) -> Answered:
    """Tell the session. Raises: RequestNotFound, and what the stream raises."""
    params = AnswerRequest(session_id=session, request_id=request.request_id, answer=given)
    return await stream.insist("request.answer", params, Answered)


def report(told: Answered, printer: Printer) -> int:
    """Say how it went."""
    if told.status == "accepted":
        return Exit.OK
    who = f"[{name_of(told.by)}] has answered that already" if told.by else "that was answered already"
    printer.error(who if told.status == "already-answered" else "that is no longer asked")
    return Exit.FAILED


def pick(requests: Sequence[RequestOpen], wanted: str) -> RequestOpen:
    """The open request of that id or unique prefix, or the only one. Raises: RequestNotFound, Ambiguous."""
    found = [request for request in requests if request.request_id.startswith(wanted)]
    exact = [request for request in found if request.request_id == wanted]
    if len(exact or found) > 1:
        listed = "\n".join(f"{clean(request.request_id)}  {clean(request.prompt)}" for request in found)
        raise Ambiguous(f"several requests are open:\n{listed}", hint="name one: `agent answer SESSION REQUEST ANSWER`")
    if not found:
        raise RequestNotFound(f"no open request {wanted!r}" if wanted else "the session asks nothing")
    return (exact or found)[0]


def answer_of(request: RequestOpen, text: str) -> Answer:
    """What a typed line means as an answer. Raises: BadParams, if it is none of the choices or no form."""
    if request.kind == "form":
        try:
            return msgspec.convert(json.loads(text), dict[str, str | int | float | bool | list[str] | None])
        except ValueError:
            raise BadParams("a form is answered by a JSON object", hint='such as {"name": "value"}') from None
    if request.kind != "choices" or not request.choices:
        return text
    word = text.strip()
    if word.isdecimal() and 1 <= int(word) <= len(request.choices):
        return request.choices[int(word) - 1].id
    for choice in request.choices:
        if word == choice.id or word.lower() == choice.name.lower():
            return choice.id
    raise BadParams(f"{clean(word)!r} is none of the choices", hint=f"give a number from 1 to {len(request.choices)}")
