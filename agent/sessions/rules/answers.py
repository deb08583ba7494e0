"""Who may answer a request of a session, and what `request.answer` returns (S9)."""

from __future__ import annotations

from typing import Literal

from agent.errors import Forbidden
from agent.protocol.events import Answer, RequestClosed
from agent.protocol.messages import Answered, AnswerRequest
from agent.protocol.model import DeviceId, Sender
from agent.sessions.rules.effects import Decision
from agent.sessions.rules.state import SessionMachine


def decide_answer(
    session: SessionMachine, own: DeviceId, request_id: str, answer: Answer, by: Sender
) -> tuple[Decision, RequestClosed]:
    """Answer a request of a session (S9), some of which only its own device (`own`) may answer.

    Returns the decision, and how the request was closed, now or before.
    Raises: RequestNotFound, Ambiguous, BadParams, Forbidden.
    """
    local = {request.request_id for request in session.requests.values() if request.local}
    decision, closed = session.answer(request_id, answer, by)
    if decision.payloads and closed.request_id in local and by.device != own:
        hint = "run `agent answer SESSION` on that device; or its owner sets `remote_secrets` in config.toml"
        raise Forbidden("this question is answered on the device of the session only", hint=hint)
    return decision, closed


def answer_result(request: AnswerRequest, by: Sender, closed: RequestClosed, *, first: bool) -> Answered:
    """The result of `request.answer`: whether this answer counted, and whose did (S9)."""
    if closed.status == "expired":
        return Answered(status="expired", request_id=closed.request_id, reason=closed.reason)
    # The same answer of the same device is a retry over a new link, not a second opinion (L5).
    retried = closed.by == by and closed.answer in (request.answer, "")
    status: Literal["accepted", "already-answered"] = "accepted" if first or retried else "already-answered"
    told = "" if status == "accepted" else closed.answer
    return Answered(status=status, by=closed.by, request_id=closed.request_id, answer=told)
