"""The questions that a Hermes session asks people: as events or as requests of the gateway's own. Pure.

Older gateways take an approval without saying which: the oldest open one gets it. So one at a time is asked, and
exactly one answer is handed over for each; a second one would be for a command that nobody has seen.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any, Literal

from msgspec import Raw, Struct

from agent.adapters.backends.hermes.mapping import payload
from agent.adapters.backends.hermes.redact import Redactor
from agent.adapters.backends.hermes.wire import GatewayEvent, GatewayQuestion
from agent.ports import Asked, BackendEvent, Withdrew
from agent.protocol.bounds import Many, Words
from agent.protocol.events import Answer, Choice, Field, Scalar

What = Literal["approval", "clarify", "sudo", "secret"]
_CHOICES = {
    "once": ("Allow once", "allow_once"),
    "session": ("Allow in this session", "allow_always"),
    "always": ("Always allow", "allow_always"),
    "deny": ("Deny", "reject_once"),
}


NOT_IN_TIME = "nobody answered in time"


class _Part(Struct, frozen=True):
    qid: Words = ""
    question: Words | None = ""
    choices: Many[Words] | None = None
    multi_select: bool | None = False


class _Asked(Struct, frozen=True):
    request_id: Words = ""
    command: Words | None = ""
    description: Words | None = ""
    choices: Many[Words] | None = None
    question: Words | None = ""
    multi_select: bool | None = False
    questions: Many[_Part] | None = None
    prompt: Words | None = ""


class PendingQuestion(Struct, frozen=True, kw_only=True):
    """A question that is open. `number`: of the gateway's own request, empty if it came as an event."""

    asked: Asked
    what: What
    request_id: str = ""
    number: str = ""
    command: str = ""
    words: dict[str, str] = {}  # choice -> what it stands for
    parts: bool = False  # a form of several questions

    def reply(self, answer: Answer, live: str) -> tuple[str, dict[str, Any]]:
        """Method and parameters of the answer; no method: the result of a response."""
        said = self._said(answer)
        if self.number:
            word = {"approval": "choice", "clarify": "answers" if self.parts else "answer"}.get(self.what, "value")
            return "", {word: said}
        method, word = _RESPOND[self.what]
        if self.what == "approval":
            return method, {"session_id": live, word: said}
        return method, {"request_id": self.request_id, word: said}

    def _said(self, answer: Answer) -> object:
        if self.asked.kind != "form":
            return self._meant(str(answer))
        filled = {name: self._meant(value) for name, value in answer.items()} if isinstance(answer, dict) else {}
        if self.parts:
            return filled
        chosen = filled.get("answer")  # nothing, of one that was declined
        return ", ".join(chosen) if isinstance(chosen, list) else str(chosen or "")

    def _meant(self, value: Scalar | list[str]) -> Scalar | list[str]:
        if isinstance(value, list):
            return [self.words.get(each, each) for each in value]
        return self.words.get(value, value) if isinstance(value, str) else value


class HermesQuestions:
    """The open questions of one session, oldest first."""

    def __init__(self, redactor: Redactor, *, remote_secrets: bool) -> None:
        """`remote_secrets` says whether other devices may answer for passwords."""
        self._redactor, self._remote_secrets = redactor, remote_secrets
        self._prefix, self._count = secrets.token_hex(4), 0
        self._open: list[PendingQuestion] = []
        self._shown: set[str] = set()  # ids that people were asked

    def __bool__(self) -> bool:
        return bool(self._open)

    def event(self, event: GatewayEvent) -> list[BackendEvent] | None:
        """The events that a question gives which came as an event; None, if that is no question."""
        what = _EVENTS.get(event.type)
        if what is None:
            return None
        return self._add(what, event.payload, "")

    def question(self, question: GatewayQuestion) -> list[BackendEvent] | None:
        """The events that a request of the gateway's own gives; None, if it is not for people."""
        what = _METHODS.get(question.method)
        if what is None:
            return None
        if any(each.number == question.id for each in self._open):
            return []  # told again when one attaches
        return self._add(what, question.params, question.id)

    def ended(self, event: GatewayEvent) -> list[BackendEvent] | None:
        """The events by which the gateway waits no more for an answer; None, if this one is about something else."""
        if event.type == "request.cancel":
            cancelled = payload(event.payload, _Cancelled)
            reason = self._redactor.redacted(cancelled.reason or "") or "Hermes takes no answer any more"
            return self._remove(lambda each: each.number == cancelled.id, reason)
        if event.type in {"sudo.expire", "secret.expire", "clarify.expire"}:
            request_id = payload(event.payload, _Asked).request_id
            return self._remove(lambda each: each.request_id == request_id and not each.number, NOT_IN_TIME)
        return None

    def tool_over(self, command: str, *, last: bool) -> list[BackendEvent]:
        """Note that a tool has ended: nobody waits for its approval. `last`: no other one runs."""
        return self._remove(
            lambda each: each.what == "approval" and not each.number and (last or each.command == command),
            "its tool has ended",
        )

    def clear(self, reason: str) -> list[BackendEvent]:
        """Withdraw everything: the turn is over, and nobody waits for any answer. `reason`: for `Withdrew`."""
        return self._remove(lambda _: True, reason)

    def take(self, request_id: str) -> PendingQuestion | None:
        """Take the question that was answered; None, if it is no longer open. `more` must follow."""
        for each in self._open:
            if each.asked.request_id == request_id and request_id in self._shown:
                self._open.remove(each)
                self._shown.discard(request_id)
                return each
        return None

    def more(self) -> list[BackendEvent]:
        """What is to be asked now: every question, but of approvals without an id the oldest only."""
        events: list[BackendEvent] = []
        blocked = False
        for each in self._open:
            nameless = each.what == "approval" and not each.number
            if not (nameless and blocked) and each.asked.request_id not in self._shown:
                self._shown.add(each.asked.request_id)
                events.append(each.asked)
            blocked = blocked or nameless
        return events

    def _add(self, what: What, raw: Raw, number: str) -> list[BackendEvent]:
        self._count += 1
        self._open.append(self._made(what, payload(raw, _Asked), number, f"{what}-{self._prefix}-{self._count}"))
        return self.more()

    def _remove(self, gone: Callable[[PendingQuestion], bool], reason: str) -> list[BackendEvent]:
        removed = [each for each in self._open if gone(each)]
        self._open = [each for each in self._open if not gone(each)]
        ids = [each.asked.request_id for each in removed if each.asked.request_id in self._shown]
        self._shown.difference_update(ids)
        return [*(Withdrew(each, reason) for each in ids), *(self.more() if removed else ())]

    def _made(self, what: What, told: _Asked, number: str, request_id: str) -> PendingQuestion:
        redacted = self._redactor.redacted
        command = told.command or ""
        words = dict[str, str]()
        parts = False
        if what == "approval":
            choices = tuple(
                Choice(id=each, name=name, kind=kind)
                for each in told.choices or ("once", "deny")
                for name, kind in (_CHOICES.get(each, (each, "")),)
            )
            prompt = f"Run this? {redacted(told.description or '')}".strip()
            asked = Asked(
                request_id=request_id, kind="choices", prompt=prompt, choices=choices, detail=redacted(command)
            )
        elif what == "clarify" and (told.questions or told.multi_select):
            parts = bool(told.questions)
            asked_parts = told.questions or [_Part("answer", told.question, told.choices, True)]
            offered = [_offered(part.choices or (), f"{at}-") for at, part in enumerate(asked_parts, 1)]
            fields = tuple(map(_field, asked_parts, offered))
            words = {key: text for each in offered for key, text in each.items()}
            asked = Asked(request_id=request_id, kind="form", prompt=told.question or "Some questions", fields=fields)
        elif what == "clarify" and told.choices:
            words = _offered(told.choices)
            choices = tuple(Choice(id=key, name=each) for key, each in words.items())
            asked = Asked(
                request_id=request_id, kind="choices", prompt=told.question or "", choices=choices, own_words=True
            )
        elif what == "clarify":
            asked = Asked(request_id=request_id, kind="line", prompt=told.question or "")
        else:
            prompt = redacted(told.prompt or "") if what == "secret" else "Password for sudo: "
            local = not self._remote_secrets
            asked = Asked(request_id=request_id, kind="secret", prompt=prompt, detail=redacted(command), local=local)
        return PendingQuestion(
            asked=asked,
            what=what,
            request_id=told.request_id,
            number=number,
            command=command,
            words=words,
            parts=parts,
        )


class _Cancelled(Struct, frozen=True):
    id: Words = ""
    reason: Words | None = ""


def _field(part: _Part, offered: dict[str, str]) -> Field:
    choices = tuple(Choice(id=key, name=text) for key, text in offered.items())
    kind: Literal["text", "choice", "choices"] = "text"
    if choices:
        kind = "choices" if part.multi_select else "choice"
    return Field(name=part.qid, title=part.question or "", type=kind, choices=choices, own_words=bool(choices))


def _offered(choices: Sequence[str], prefix: str = "") -> dict[str, str]:
    # By id, which is the text itself unless that is too long for one.
    return {text if len(text) <= 128 else f"choice-{prefix}{at}": text for at, text in enumerate(choices, 1)}


_EVENTS: dict[str, What] = {
    "approval.request": "approval",
    "clarify.request": "clarify",
    "sudo.request": "sudo",
    "secret.request": "secret",
}
_RESPOND: dict[What, tuple[str, str]] = {
    "approval": ("approval.respond", "choice"),
    "clarify": ("clarify.respond", "answer"),
    "sudo": ("sudo.respond", "password"),
    "secret": ("secret.respond", "value"),
}
_METHODS: dict[str, What] = {"approval": "approval", "clarify": "clarify", "sudo": "sudo", "secret": "secret"}
