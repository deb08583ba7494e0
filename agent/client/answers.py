"""What a session asks, being answered: what a typed line means, and what became of an answer that was sent (S9)."""

from __future__ import annotations

from agent.client.choices import chosen, usable_words
from agent.client.form_input import FormInput, from_json, value_of
from agent.client.pending import WaitingCall
from agent.client.reading import request_over
from agent.client.stream import Stream
from agent.client.terminal_text import clean
from agent.protocol.answers import DECLINE, checked
from agent.protocol.events import Answer, RequestClosed, RequestOpen, payload_of
from agent.protocol.messages import Answered, AnswerRequest, Attached
from agent.protocol.methods import REQUEST_ANSWER
from agent.protocol.times import unix_seconds

RECENT = 600.0
"""Seconds for which whoever answers is told what became of a request that is open no more."""


class Answering:
    """A request being answered, line by line: a form takes one for each field, everything else one."""

    def __init__(self, request: RequestOpen, drafted: str = "") -> None:
        """`drafted`: what stood in the line already when the request opened."""
        self.request, self.drafted = request, drafted
        self.form = FormInput(request) if request.kind == "form" else None

    @property
    def label(self) -> str:
        """What stands before the input of the next line."""
        if self.form is not None:
            return self.form.label
        return "answer, or your own words: " if self.request.own_words else "answer: "

    def unsent(self, draft: str, closed: RequestClosed) -> str:
        """What is said of half an answer once its request is closed, in one clean line; "" if none was begun."""
        if draft in {"", self.drafted}:
            return ""
        told = "" if self.request.kind == "secret" else f": {clean(draft)}"
        return f"{request_over(self.request, closed)}; your answer was not sent{told}"

    def take(self, text: str) -> Answer | None:
        """Take a typed line; the answer, once it is complete. Raises: BadParams or TooLarge, if it does not fit."""
        return answer_of(self.request, text) if self.form is None else self.form.take(text)


def answer_of(request: RequestOpen, text: str) -> Answer:
    """What a typed line means as an answer. Raises: BadParams or TooLarge, if it does not fit the question."""
    if request.kind == "form":
        return checked(request, _filled_in(request, text))
    if request.kind == "choices" and request.choices:
        return checked(request, chosen(request.choices, text, own_words=request.own_words))
    return checked(request, text)


def _filled_in(request: RequestOpen, text: str) -> Answer:
    # The only field of a form needs no name.
    if len(request.fields) != 1 or text.strip() == DECLINE or text.lstrip().startswith("{"):
        return from_json(text)
    (field,) = request.fields
    return {field.name: value_of(field, text)}


def how_to_answer(session: str, request: RequestOpen) -> str:
    """The command that answers a request from another terminal, in one clean line, and what it takes."""
    one_field = request.kind == "form" and len(request.fields) == 1
    answer = "JSON" if request.kind == "form" and not one_field else "-" if request.kind == "secret" else "ANSWER"
    command = f"`agent answer {clean(session)} {clean(request.request_id)} {answer}`"
    if request.kind == "secret":
        return f"{command}, which reads it from standard input"
    if not request.choices:
        return command
    takes = [*usable_words(request.choices), "a number, name or id", *(["your own words"] if request.own_words else [])]
    return f"{command}, where ANSWER is {', or '.join([', '.join(takes[:-1]), takes[-1]] if takes[1:] else takes)}"


async def submit_answer(
    stream: Stream,
    session: str,
    request: RequestOpen,
    given: Answer,
    *,
    client: str = "",
    call: WaitingCall | None = None,
) -> Answered:
    """Answer a request of a session. Raises: RequestNotFound, and what `Stream.insist` raises.

    `client`: which client of this device answers; `call`: by which the answer can be taken back while it waits.
    """
    params = AnswerRequest(session_id=session, request_id=request.request_id, answer=given, client=client)
    return await stream.insist(REQUEST_ANSWER, params, call=call)


def too_late(told: Answered, request: RequestOpen | None = None, *, own: str = "") -> str:
    """Why an answer was not taken, in one clean line; "" for one that was.

    `request` names the choices, `own` is the id of the own device.
    """
    return "" if told.status == "accepted" else request_over(request, told, own=own)


def over_before(attached: Attached, wanted: str, now: float, *, own: str = "") -> str:
    """What became of a request that is open no more, in one clean line; "" if nothing was asked lately.

    `wanted`: the beginning of its id; empty: the newest. `now`: Unix seconds. `own`: the id of the own device. The
    snapshot tells, so that a session of any version does.
    """
    opened: dict[str, RequestOpen] = {}
    told = ""
    for event in attached.snapshot.events if attached.snapshot is not None else ():
        payload = payload_of(event)
        if isinstance(payload, RequestOpen):
            opened[payload.request_id] = payload
        elif isinstance(payload, RequestClosed) and payload.request_id.startswith(wanted):
            recent = wanted or abs(now - unix_seconds(event.at)) <= RECENT
            told = request_over(opened.get(payload.request_id), payload, own=own) if recent else ""
    return told
