"""What a session asks, put to the terminal UI: it has room for one question at a time, and a few kinds of them.

An approval, where the choices are those of Hermes (once, session, always, deny) under whatever name; a secret; for the
rest a clarification: a line, a choice by name, a form field by field.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from agent.client.answers import answer_of
from agent.client.form_input import FormInput
from agent.client.request_text import asked_line, field_lines, subject_lines
from agent.client.terminal_text import clean, one_line, plain
from agent.errors import BadParams, RequestNotFound
from agent.frontends.hermes_ui.outgoing import Json, UiEvent, line
from agent.protocol.answers import checked
from agent.protocol.events import Answer, Choice, RequestOpen

KINDS = {"allow_once": "once", "allow_always": "always", "reject_once": "deny"}
APPROVALS = {"once": "allow_once", "session": "allow_always", "always": "allow_always", "deny": "reject_once"}
"""What the UI offers, in its order, and as which kind of choice."""
OVER_MAX = 32
"""Questions of which is kept what became of them, for an answer that comes too late."""
EMPTY, LEAVE = "Answer with an empty line", "Leave it unanswered"
LABEL_MAX = 200
"""Characters shown of what a choice means."""
UNSEEN = 1.0
"""Seconds after a question took the place of another one in which an approval is not taken: it was meant for that."""


def approvals(request: RequestOpen) -> dict[str, Choice]:
    """Hermes's choices and what they mean here; empty, if the request is no such question."""
    found: dict[str, Choice] = {}
    if request.own_words:
        return found
    for choice in request.choices:
        kind = APPROVALS.get(choice.id, "none")  # an id counts only if it is no other kind of choice than it says
        word = choice.id if choice.kind in {"", kind} and kind != "none" else KINDS.get(choice.kind, "")
        if not word or word in found:
            return {}
        found[word] = choice
    return found if "deny" in found and len(found) > 1 else {}


class UiQuestions:
    """The open questions of a session; the oldest is shown."""

    def __init__(self, session: str, *, local: bool) -> None:
        """`local`: the session is one of this device."""
        self._session, self._local = session, local
        self._open: dict[str, RequestOpen] = {}  # oldest first
        self._shown: RequestOpen | None = None
        self._form: FormInput | None = None
        self._labels: dict[str, str] = {}  # of the choices that the UI shows: what each means as an answer
        self._over: dict[str, str] = {}  # what became of questions that were closed, oldest first
        self._doubting = False  # the UI sends nothing for both a dismissed question and an empty line: it was asked
        self._left: set[str] = set()  # what the person does not want to answer here
        self._replaced_at: float | None = None
        self._answered: set[str] = set()  # from here: the UI puts these away itself, with the reply to its answer

    @property
    def shown(self) -> RequestOpen | None:
        """The question that the UI shows, if any."""
        return self._shown

    def opened(self, request: RequestOpen) -> list[UiEvent]:
        """Take another question; the events that show it, or say why the UI does not."""
        if request.request_id in self._open:
            return []
        self._open[request.request_id] = request
        if request.local and not self._local:
            return [line(f"-- {asked_line(request)} (it can be answered on the session's own device only)")]
        if request.kind == "keys":
            return [
                line(
                    f"-- {asked_line(request)} (it waits for keys: `agent attach --raw {self._session}` in a terminal)"
                )
            ]
        return self._next()

    def closed(self, request_id: str, now: float) -> tuple[bool, list[UiEvent]]:
        """Drop a question that is no longer asked: whether the UI must put it away, and what comes next."""
        self._open.pop(request_id, None)
        self._left.discard(request_id)
        if self._shown is None or self._shown.request_id != request_id or request_id in self._answered:
            return False, []
        self._shown = None
        frames = self._next()
        if frames:
            self._replaced_at = now
        return True, frames

    def told_over(self, request_id: str, what: str) -> None:
        """Keep what became of a question, for an answer to it that comes too late (S9)."""
        self._over[request_id] = what
        if len(self._over) > OVER_MAX:
            del self._over[next(iter(self._over))]

    def answers(self, request_id: str) -> None:
        """Note that the answer to a question is on its way from here."""
        self._answered.add(request_id)

    def not_answered(self, request_id: str) -> None:
        """Note that the answer to a question could not be sent."""
        self._answered.discard(request_id)

    def was_answered(self, request_id: str) -> bool:
        """Whether an answer to a question was sent from here."""
        return request_id in self._answered

    def put_away(self) -> list[UiEvent]:
        """Note that the UI has the reply to its answer, and shows no question; the events of what comes next."""
        if self._shown is not None and self._shown.request_id in self._answered:
            self._open.pop(self._shown.request_id, None)
            self._shown = None
        return self._next()

    def open_now(self, requests: Collection[RequestOpen], now: float) -> tuple[bool, list[UiEvent]]:
        """Bring the questions to those that attaching told as open; the result is that of `closed` and `opened`."""
        withdrawn, frames = False, list[UiEvent]()
        for gone in self._open.keys() - {request.request_id for request in requests}:
            put_away, more = self.closed(gone, now)
            withdrawn, frames = withdrawn or put_away, frames + more
        for request in requests:
            frames += self.opened(request)
        return withdrawn, frames

    # --- answers -----------------------------------------------------------------------------------------------------

    def chosen(self, word: str, now: float) -> tuple[RequestOpen, Answer]:
        """The request and the answer that a choice of the UI's means. Raises: RequestNotFound, BadParams."""
        request = self._shown
        choices = approvals(request) if request is not None else {}
        if request is None or not choices:
            last = next(reversed(self._over.values()), "")  # an approval of the UI's names no question
            raise RequestNotFound(last or "no approval is asked for now", hint="")
        if self._replaced_at is not None and now - self._replaced_at < UNSEEN:
            raise BadParams("that was answered elsewhere, and this is another question: look again", hint="")
        if word not in choices:
            raise BadParams(f"{clean(word)!r} is none of the choices", hint="")
        return request, choices[word].id

    def given(self, request_id: str, text: str) -> tuple[RequestOpen, Answer | None, list[UiEvent]]:
        """The request and the answer that typed text means, or what to ask next. Raises: RequestNotFound."""
        request = self._shown
        if request is None or request.request_id != request_id.partition("#")[0]:
            over = self._over.get(request_id.partition("#")[0], "that is no longer asked")
            raise RequestNotFound(over, hint="")
        if self._doubting:
            return self._undoubted(request, text)
        if request.kind == "line" and not text:
            self._doubting = True
            return request, None, [_clarify(request, asked_line(request), (EMPTY, LEAVE))]
        if not text and request.kind != "form":
            return request, None, self._leave(request)
        try:
            text = self._labels.get(text, text)
            answer = self._form.take(text) if self._form is not None else answer_of(request, text)
        except BadParams as exc:
            return request, None, [line(f"-- {exc}" + (f" ({exc.hint})" if exc.hint else "")), self._frame(request)]
        return request, answer, [] if answer is not None else [self._frame(request)]

    def _undoubted(self, request: RequestOpen, text: str) -> tuple[RequestOpen, Answer | None, list[UiEvent]]:
        self._doubting = False
        if text == EMPTY:
            return request, checked(request, ""), []
        if text in {"", LEAVE}:
            return request, None, self._leave(request)
        return request, checked(request, text), []

    def _leave(self, request: RequestOpen) -> list[UiEvent]:
        self._left.add(request.request_id)
        self._shown = None
        where = f"`agent answer {self._session} {clean(request.request_id)}`"
        return [line(f"-- not answered, still asked: {where} in a terminal, or open the session again"), *self._next()]

    # --- frames ------------------------------------------------------------------------------------------------------

    def _next(self) -> list[UiEvent]:
        if self._shown is not None:
            return []
        for request in self._open.values():
            can_be_shown = request.kind != "keys" and (self._local or not request.local)
            if can_be_shown and request.request_id not in self._left:
                self._shown = request
                self._doubting = False
                self._replaced_at = None
                self._form = FormInput(request) if request.kind == "form" else None
                return [*_detail(request), self._frame(request)]
        return []

    def _frame(self, request: RequestOpen) -> UiEvent:
        if request.kind == "secret":
            told: Json = {"request_id": request.request_id, "prompt": asked_line(request), "env_var": "this session"}
            return UiEvent("secret.request", told)
        if self._form is not None:
            field = self._form.field
            about = "\n".join(text for text, _ in field_lines(field)) if field is not None else "all of it, as JSON"
            self._labels = labels(field.choices) if field and field.type == "choice" else {}
            question = f"{asked_line(request)}\n{about}\n  (decline refuses to fill it in)"
            return _clarify(request, question, tuple(self._labels))
        choices = approvals(request)
        if choices:
            return _approval(request, choices)
        self._labels = labels(request.choices)
        return _clarify(request, asked_line(request), tuple(self._labels))


def labels(choices: Sequence[Choice]) -> dict[str, str]:
    """What the UI shows of each choice, in their order, and what that means as an answer: its number.

    The UI sends back what it shows, which is cleaned and may be the number or the name of another choice.
    """
    shown: dict[str, str] = {}
    for number, choice in enumerate(choices, 1):
        name = clean(choice.name) or clean(choice.id)
        if choice.description:
            name = f"{name}: {clean(one_line(choice.description), LABEL_MAX)}"
        shown[name if name not in shown else f"{name} ({number})"] = f"#{number}"
    return shown


def _approval(request: RequestOpen, choices: dict[str, Choice]) -> UiEvent:
    told: Json = {
        "command": plain(request.detail) or asked_line(request),
        "description": asked_line(request),
        "pattern_key": "",
        "pattern_keys": [],
        "choices": [word for word in APPROVALS if word in choices],
        "allow_permanent": "always" in choices,
    }
    return UiEvent("approval.request", told)


def _clarify(request: RequestOpen, text: str, choices: tuple[str, ...]) -> UiEvent:
    told: Json = {"request_id": request.request_id, "question": text, "choices": list(choices) or None}
    return UiEvent("clarify.request", told)


def _detail(request: RequestOpen) -> list[UiEvent]:
    # An approval shows what it is about, if only the beginning: the whole of it stands above.
    if request.kind == "form":
        return []
    about = [text for text, _ in subject_lines(request)]
    return [line("\n".join(about))] if about else []
