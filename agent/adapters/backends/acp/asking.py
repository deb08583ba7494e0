"""Questions of an agent on their way to people, and answers on their way back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Raw

from agent.adapters.backends.acp.connection import Connection
from agent.adapters.backends.acp.questions import (
    ACCEPT,
    ELICITATION,
    ELICITATION_DONE,
    PERMISSION,
    TAKEN_BACK,
    Question,
    Questions,
    refuses,
)
from agent.adapters.backends.acp.schema import METHOD_NOT_FOUND
from agent.ports import BackendEvent, Withdrew
from agent.protocol.events import Answer
from agent.protocol.jsonrpc import CANCELLED, Notification, Request

_METHODS = {PERMISSION, ELICITATION}
_CANCEL = "$/cancel_request"


class Asking:
    """The open questions of one session, each with the agent that waits for its answer."""

    def __init__(self, tell: Callable[[BackendEvent], Awaitable[None]]) -> None:
        self._tell = tell
        self._questions = Questions()
        self._waiting: dict[str, Connection] = {}

    @property
    def open(self) -> bool:
        """Whether something is asked."""
        return bool(self._questions.open)

    async def request(self, connection: Connection, request: Request[Raw], *, stopping: bool) -> None:
        """Take a request of an agent. `stopping`: the turn was cancelled, so nobody is asked any more."""
        if request.method not in _METHODS:
            connection.refuse(request.id, METHOD_NOT_FOUND, f"{request.method} is not offered")
            return
        question = None if stopping else self._questions.ask(request)
        if question is None:
            connection.respond(request.id, TAKEN_BACK[request.method])
            return
        self._waiting[question.asked.request_id] = connection
        await self._tell(question.asked)

    async def notice(self, notice: Notification) -> bool:
        """Take a notification that may close a question. Whether it was one of those."""
        if notice.method == _CANCEL:
            if question := self._questions.taken_back(notice.params):
                self._of(question).refuse(question.request.id, CANCELLED, "cancelled")
                await self._tell(Withdrew(question.asked.request_id))
            return True
        if notice.method == ELICITATION_DONE:
            if question := self._questions.done_elsewhere(notice.params):
                self._of(question).respond(question.request.id, {"action": ACCEPT})
                await self._tell(Withdrew(question.asked.request_id))
            return True
        return False

    def answer(self, request_id: str, answer: Answer) -> bool:
        """Hand an answer to the agent that waits for it. Whether that was a refusal."""
        found = self._questions.answered(request_id, answer)
        if found is None:
            return False
        question, result = found
        self._of(question).respond(question.request.id, result)
        return refuses(question, answer)

    async def take_back(self) -> bool:
        """Answer all open questions with `cancelled`. Whether there were any."""
        questions = self._questions.withdraw()
        for question in questions:
            self._of(question).respond(question.request.id, TAKEN_BACK[question.request.method])
        for question in questions:
            await self._tell(Withdrew(question.asked.request_id))
        return bool(questions)

    def _of(self, question: Question) -> Connection:
        return self._waiting.pop(question.asked.request_id)
