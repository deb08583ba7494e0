"""Questions of an agent on their way to people, and answers on their way back.

Permissions and forms are each shown alone: a question need not belong to any tool call.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import pairwise
from typing import Literal

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from agent.adapters.backends.acp.connection import Connection
from agent.adapters.backends.acp.schema import ABSENT, METHOD_NOT_FOUND, Place
from agent.adapters.backends.acp.tools import ID_MAX, ToolFacts, facts_of, shown_of, text_of_input
from agent.ports import Asked, BackendEvent, Withdrew
from agent.protocol.answers import DECLINE
from agent.protocol.bounds import Amount, Many, Table, Whole, Words
from agent.protocol.events import Answer, Choice, Field, Scalar
from agent.protocol.excerpts import shortened
from agent.protocol.jsonrpc import CANCELLED, Notification, Request
from agent.protocol.lenient import number_or_text, read

PERMISSION, ELICITATION = "session/request_permission", "elicitation/create"
ELICITATION_DONE = "elicitation/complete"
OPEN_MAX = 32
"""Questions that may be open at a time; no agent was seen to ask more than one."""
DETAIL_MAX = 65_536
"""Characters of what a question is about."""
ACCEPT = "accept"
TAKEN_BACK = {PERMISSION: {"outcome": {"outcome": "cancelled"}}, ELICITATION: {"action": "cancel"}}
"""The answer that takes a question back."""

_METHODS = {PERMISSION, ELICITATION}
_CANCEL = "$/cancel_request"


class _Choice(Struct):
    id: Words = msgspec.field(name="optionId")
    name: Words = ""
    kind: Words = ""
    description: Words | None = None


class _Tool(Struct):
    id: Words | None = msgspec.field(default=None, name="toolCallId")
    title: Words | None = None
    kind: Words | None = None
    content: Many[Raw] | None = None
    raw_input: Raw = msgspec.field(default=ABSENT, name="rawInput")
    locations: Many[Place] | None = None
    tool_name: Words | None = msgspec.field(default=None, name="toolName")
    meta: Raw = msgspec.field(default=ABSENT, name="_meta")


class _Permission(Struct):
    options: Many[_Choice]
    tool: _Tool = msgspec.field(default_factory=_Tool, name="toolCall")


class _Const(Struct):
    const: Words
    title: Words = ""
    description: Words | None = None


class _Items(Struct):
    enum: Many[Words] | None = None
    any_of: Many[_Const] | None = msgspec.field(default=None, name="anyOf")
    one_of: Many[_Const] | None = msgspec.field(default=None, name="oneOf")


class _Property(Struct):
    type: Words = "string"
    title: Words | None = None
    description: Words | None = None
    default: Words | Whole | Amount | bool | Many[Words] | None = None
    enum: Many[Words] | None = None
    enum_names: Many[Words] | None = msgspec.field(default=None, name="enumNames")
    one_of: Many[_Const] | None = msgspec.field(default=None, name="oneOf")
    items: _Items | None = None


class _Schema(Struct):
    properties: Table[_Property] = msgspec.field(default_factory=dict)
    required: Many[Words] | None = None


class _Elicitation(Struct):
    message: Words = ""
    mode: Words = "form"
    schema: _Schema = msgspec.field(default_factory=_Schema, name="requestedSchema")
    url: Words = ""
    id: Words = msgspec.field(default="", name="elicitationId")


class _Done(Struct):
    id: Words = msgspec.field(default="", name="elicitationId")


class _Cancelled(Struct):
    request: Raw = msgspec.field(default=ABSENT, name="requestId")


_Type = Literal["text", "integer", "number", "boolean", "choice", "choices"]
_TYPES: dict[str, _Type] = {"integer": "integer", "number": "number", "boolean": "boolean"}


class AgentQuestion(Struct):
    """A question of the agent that is open."""

    request: Request[Raw]
    asked: Asked
    options: dict[str, str] = {}  # what people choose -> optionId
    refusals: frozenset[str] = frozenset()  # of these
    defaults: dict[str, str | int | float | bool] = {}  # of a form
    own_words: dict[str, str] = {}  # of a form: a field -> the one beside it that takes one's own words
    elicitation: str = ""  # id of one that ends elsewhere


def no_facts(call_id: str) -> ToolFacts:  # noqa: ARG001 - as `ToolTracker.facts`
    """Tell nothing of a tool call."""
    return ToolFacts()


class AgentQuestions:
    """The open questions of one session. Their ids are never used again, also not after a restart."""

    def __init__(self, facts: Callable[[str], ToolFacts] = no_facts) -> None:
        """`facts`: what is known of the tool call of that id."""
        self._facts = facts
        self._prefix, self._count = secrets.token_hex(4), 0
        self.open: dict[str, AgentQuestion] = {}

    def ask(self, request: Request[Raw]) -> AgentQuestion | None:
        """Open the question that a request is; None if nobody could answer it, or too many are open."""
        if len(self.open) >= OPEN_MAX:
            return None
        self._count += 1
        name = f"{self._prefix}-{self._count}"
        permission = request.method == PERMISSION
        question = _permission(name, request, self._facts) if permission else _elicitation(name, request)
        if question is not None:
            self.open[name] = question
        return question

    def answered(self, request_id: str, answer: Answer) -> tuple[AgentQuestion, object] | None:
        """Close a question and tell what to send the agent; None if it is no longer open."""
        question = self.open.pop(request_id, None)
        return None if question is None else (question, _answer(question, answer))

    def taken_back(self, params: Raw) -> AgentQuestion | None:
        """Close the question that the agent cancels (`$/cancel_request`)."""
        number = number_or_text((read(params, _Cancelled) or _Cancelled()).request)
        return self._close(lambda each: number is not None and number_or_text(each.request.id) == number)

    def done_elsewhere(self, params: Raw) -> AgentQuestion | None:
        """Close the question that was answered in a browser (`elicitation/complete`)."""
        done = (read(params, _Done) or _Done()).id
        return self._close(lambda each: bool(done) and each.elicitation == done)

    def withdraw(self) -> list[AgentQuestion]:
        """Close all open questions of the session, and return them."""
        left = list(self.open.values())
        self.open.clear()
        return left

    def _close(self, which: Callable[[AgentQuestion], bool]) -> AgentQuestion | None:
        for name, question in self.open.items():
            if which(question):
                return self.open.pop(name)
        return None


def refuses(question: AgentQuestion, answer: Answer) -> bool:
    """Whether that answer to the question says no."""
    return answer == DECLINE or (isinstance(answer, str) and answer in question.refusals)


def _permission(name: str, request: Request[Raw], facts: Callable[[str], ToolFacts]) -> AgentQuestion | None:
    permission = read(request.params, _Permission)
    if permission is None:
        return None
    tool = permission.tool
    options: dict[str, str] = {}
    choices: list[Choice] = []
    refusals: set[str] = set()
    for number, option in enumerate(permission.options, 1):
        known = option.id if len(option.id) <= ID_MAX and option.id not in options else f"option-{number}"
        options[known] = option.id
        choices.append(
            Choice(id=known, name=option.name or option.id, kind=option.kind, description=option.description or "")
        )
        if option.kind.startswith("reject"):
            refusals.add(known)
    if not choices:
        return None
    shown = shown_of(tool.content or ())
    patches = (f"{diff.path}\n{diff.patch}" for diff in shown.diffs)
    about = [text_of_input(tool.raw_input, beside=shown.diffs), shown.text, *patches]
    title = tool.title or tool.kind or "The agent asks for permission"
    detail = shortened("\n".join(dict.fromkeys(text for text in about if text and text != title)), DETAIL_MAX)
    own = facts_of(tool.kind, tool.raw_input, tool.locations, tool.tool_name, tool.meta)
    noted = facts(tool.id or "")  # agents tell most of it with the call, and ask about no more than its title
    asked = Asked(
        request_id=name,
        kind="choices",
        prompt=title,
        choices=tuple(choices),
        detail=detail,
        tool=own.kind or noted.kind,
        tool_name=own.name or noted.name,
        cwd=own.cwd or noted.cwd,
        locations=own.locations or noted.locations,
    )
    return AgentQuestion(request, asked, options, frozenset(refusals))


def _elicitation(name: str, request: Request[Raw]) -> AgentQuestion | None:
    told = read(request.params, _Elicitation)
    if told is None:
        return None
    if told.mode == "url":
        choices = (Choice(id=ACCEPT, name="I have opened it", kind="allow_once"),
                   Choice(id=DECLINE, name="No", kind="reject_once"))  # fmt: skip
        asked = Asked(request_id=name, kind="choices", prompt=told.message, choices=choices, detail=told.url)
        return AgentQuestion(request, asked, refusals=frozenset({DECLINE}), elicitation=told.id)
    required = set(told.schema.required or ())
    fields = [_field(key, each, required=key in required) for key, each in told.schema.properties.items()]
    own_words = _own_words(fields)
    fields = [replace(field, own_words=field.name in own_words) for field in fields
              if field.name not in own_words.values()]  # fmt: skip
    defaults = {field.name: field.default for field in fields if field.default is not None}
    asked = Asked(request_id=name, kind="form", prompt=told.message, fields=tuple(fields))
    return AgentQuestion(request, asked, defaults=defaults, own_words=own_words)


def _own_words(fields: Sequence[Field]) -> dict[str, str]:
    """Which fields have another one beside them that takes an answer in one's own words ("Other").

    The protocol has no form for that. Claude's agent asks `question_0` and after it `question_0_custom`; up to 0.44 one
    `customAnswer` at the end, which belongs to no single one of several questions.
    """
    beside: dict[str, str] = {}
    for field, other in pairwise(fields):
        named = {f"{field.name}_custom", *(["customAnswer"] if len(fields) == 2 else [])}
        if field.type in {"choice", "choices"} and not field.required and other.type == "text" and other.name in named:
            beside[field.name] = other.name
    return beside


def _field(name: str, told: _Property, *, required: bool) -> Field:
    default = None if isinstance(told.default, list) else told.default
    kind = _TYPES.get(told.type, "text")
    choices = _choices(told.enum, told.one_of, told.enum_names)
    if told.type == "array" and told.items is not None:
        kind, choices = "choices", _choices(told.items.enum, told.items.any_of or told.items.one_of, None)
    elif choices:
        kind = "choice"
    return Field(name=name, title=told.title or "", description=told.description or "", choices=choices,
                 type=kind, required=required, default=default)  # fmt: skip


def _choices(enum: list[str] | None, consts: list[_Const] | None, names: list[str] | None) -> tuple[Choice, ...]:
    if consts is not None:
        return tuple(
            Choice(id=each.const, name=each.title or each.const, description=each.description or "") for each in consts
        )
    titles = names if names is not None and len(names) == len(enum or ()) else enum or ()
    return tuple(Choice(id=value, name=title) for value, title in zip(enum or (), titles, strict=True))


def _answer(question: AgentQuestion, answer: Answer) -> object:
    if question.request.method == PERMISSION:
        option = question.options.get(answer) if isinstance(answer, str) else None
        return TAKEN_BACK[PERMISSION] if option is None else {"outcome": {"outcome": "selected", "optionId": option}}
    if isinstance(answer, Mapping):
        return {"action": ACCEPT, "content": _content(question, {**question.defaults, **answer})}
    return {"action": ACCEPT if answer == ACCEPT else DECLINE}


def _content(question: AgentQuestion, values: dict[str, Scalar | list[str]]) -> dict[str, Scalar | list[str]]:
    # What is none of the choices goes into the field beside them.
    for field in question.asked.fields:
        beside, value = question.own_words.get(field.name), values.get(field.name)
        if beside is None or value is None:
            continue
        ids = {choice.id for choice in field.choices}
        given = value if isinstance(value, list) else [str(value)]
        own = ", ".join(each for each in given if each not in ids)
        if own:
            values[beside] = own
            picked = [each for each in given if each in ids]
            if picked:
                values[field.name] = picked
            else:
                del values[field.name]
    return values


class QuestionDelivery:
    """The open questions of one session, each with the agent that waits for its answer."""

    def __init__(
        self, tell: Callable[[BackendEvent], Awaitable[None]], facts: Callable[[str], ToolFacts] = no_facts
    ) -> None:
        """`facts`: what is known of the tool call of that id."""
        self._tell = tell
        self._questions = AgentQuestions(facts)
        self._waiting: dict[str, Connection] = {}

    @property
    def open(self) -> bool:
        """Whether an answer of a person is waited for."""
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
        """Take a notification that may close a question, and tell whether it was one of those."""
        if notice.method == _CANCEL:
            if question := self._questions.taken_back(notice.params):
                self._of(question).refuse(question.request.id, CANCELLED, "cancelled")
                await self._tell(Withdrew(question.asked.request_id, "the agent takes no answer any more"))
            return True
        if notice.method == ELICITATION_DONE:
            if question := self._questions.done_elsewhere(notice.params):
                self._of(question).respond(question.request.id, {"action": ACCEPT})
                await self._tell(Withdrew(question.asked.request_id, "it was done in a browser"))
            return True
        return False

    def answer(self, request_id: str, answer: Answer) -> bool:
        """Hand an answer to the agent that waits for it, and tell whether it was a refusal."""
        found = self._questions.answered(request_id, answer)
        if found is None:
            return False
        question, result = found
        self._of(question).respond(question.request.id, result)
        return refuses(question, answer)

    async def take_back(self, reason: str) -> bool:
        """Answer all open questions with `cancelled`, and tell whether there were any. `reason`: for `Withdrew`."""
        questions = self._questions.withdraw()
        for question in questions:
            self._of(question).respond(question.request.id, TAKEN_BACK[question.request.method])
        for question in questions:
            await self._tell(Withdrew(question.asked.request_id, reason))
        return bool(questions)

    def _of(self, question: AgentQuestion) -> Connection:
        return self._waiting.pop(question.asked.request_id)
