"""What a session asks, being answered: what a typed line means, and what became of an answer that was sent (S9)."""

from __future__ import annotations

from agent.client.form_input import FormInput, chosen, from_json
from agent.client.pending import WaitingCall
from agent.client.reading import name_of
from agent.client.stream import Stream
from agent.protocol.answers import checked
from agent.protocol.events import Answer, RequestOpen
from agent.protocol.messages import Answered, AnswerRequest
from agent.protocol.methods import REQUEST_ANSWER


class Answering:
    """A request being answered, line by line: a form takes one for each field, everything else one."""

    def __init__(self, request: RequestOpen) -> None:
        self.request = request
        self.form = FormInput(request) if request.kind == "form" else None

    @property
    def label(self) -> str:
        """What stands before the input of the next line."""
        return "answer: " if self.form is None else self.form.label

    def take(self, text: str) -> Answer | None:
        """Take a typed line; the answer, once it is complete. Raises: BadParams or TooLarge, if it does not fit."""
        return answer_of(self.request, text) if self.form is None else self.form.take(text)


def answer_of(request: RequestOpen, text: str) -> Answer:
    """What a typed line means as an answer. Raises: BadParams or TooLarge, if it does not fit the question."""
    if request.kind == "form":
        return checked(request, from_json(text))
    if request.kind == "choices" and request.choices:
        return chosen(request.choices, text)
    return checked(request, text)


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


def too_late(told: Answered) -> str:
    """Why an answer was not taken, in one clean line; "" for one that was."""
    if told.status == "accepted":
        return ""
    if told.status == "expired":
        return "that is no longer asked"
    return f"that was answered by {name_of(told.by)} already" if told.by else "that was answered already"
