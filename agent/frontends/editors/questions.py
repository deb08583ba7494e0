"""What a session asks, asked in the editor: permission, or a form where the editor has forms."""

from __future__ import annotations

from collections.abc import Sequence

from agent.client.answers import how_to_answer
from agent.client.request_text import asked_line
from agent.client.terminal_text import one_line
from agent.frontends.editors.connection import EditorPeer
from agent.frontends.editors.incoming import ElicitationAnswer, Json, PermissionAnswer, Selected
from agent.frontends.editors.outgoing import (
    AskForm,
    AskPermission,
    Content,
    EditorText,
    PermissionOption,
    PermissionTool,
)
from agent.frontends.editors.updates import KINDS as TOOL_KINDS
from agent.frontends.editors.updates import located, named, request_tool, subject
from agent.protocol.events import Answer, Choice, Field, RequestOpen, Scalar

KINDS = frozenset({"allow_once", "allow_always", "reject_once", "reject_always"})
_REFUSALS = ("no", "n", "reject", "deny", "cancel", "abort", "decline")
_FIELD = "answer"
OWN_WORDS = "_custom"
"""What follows the name of a field in that of the one beside it, for an answer in one's own words (Claude's names)."""
_OTHER = {
    "choice": "Your own answer instead of one of those above",
    "choices": "Your own answer, beside those chosen above",
}
_TYPES = {"text": "string", "integer": "integer", "number": "number", "boolean": "boolean"}


async def answer_from(peer: EditorPeer, session: str, request: RequestOpen, *, forms: bool) -> Answer | None:
    """What the person at the editor answers; None if the editor cannot ask that, or it was dismissed.

    A secret is never asked there: an editor shows and keeps what is typed. Keys are for a terminal. When cancelled,
    the question is taken back. Raises: ClientRefused, BadParams.
    """
    in_a_form = request.own_words and forms  # only a form has room for them
    if request.kind == "choices" and request.choices and not in_a_form:
        told = await peer.ask("session/request_permission", permission(session, request), PermissionAnswer)
        return told.outcome.option_id if isinstance(told.outcome, Selected) else None
    if not forms or request.kind in {"secret", "keys"}:
        return None
    given = await peer.ask("elicitation/create", form(session, request), ElicitationAnswer)
    content = given.content or {}
    if request.kind == "form":
        filled = _with_own_words(request.fields, dict(content))
        return "decline" if given.action == "decline" else filled if given.action == "accept" else None
    if given.action != "accept":
        return None
    said = str(content.get(_FIELD + OWN_WORDS, "") or "") or str(content.get(_FIELD, "") or "")
    return said if said or not request.choices else None


def elsewhere(session: str, request: RequestOpen) -> str:
    """A line that says to the person at the editor how to answer elsewhere."""
    if request.kind == "keys":
        return f"{asked_line(request)}: it waits for keys; `agent attach {session}` in a terminal"
    return f"{asked_line(request)}: in a terminal, {how_to_answer(session, request)}"


def permission(session: str, request: RequestOpen) -> AskPermission:
    """A request with choices, as a permission that the editor asks for."""
    own_words = f"In your own words: in a terminal, {how_to_answer(session, request)}" if request.own_words else ""
    detail = "\n\n".join(filter(None, (subject(request), own_words)))
    return AskPermission(
        session_id=session,
        tool_call=PermissionTool(
            tool_call_id=request_tool(request.request_id),
            title=asked_line(request),
            content=(Content(EditorText(detail)),) if detail else (),
            kind=request.tool if request.tool in TOOL_KINDS else "",
            locations=located(request.locations),
            meta=named(request.tool_name),
        ),
        options=tuple(
            PermissionOption(
                option_id=choice.id,
                name=one_line(choice.name) or one_line(choice.id),
                kind=_kind(choice),
                description=one_line(choice.description),
            )
            for choice in request.choices
        ),
    )


def form(session: str, request: RequestOpen) -> AskForm:
    """A request for a line or a form, as a form that the editor shows."""
    if request.kind == "form":
        fields = request.fields
    elif request.choices:
        fields = (Field(name=_FIELD, type="choice", title="Answer", choices=request.choices, own_words=True),)
    else:
        fields = (Field(name=_FIELD, title=asked_line(request)),)
    properties: Json = {}
    for field in fields:
        properties[field.name] = _property(field)
        if field.own_words:
            properties[field.name + OWN_WORDS] = {"type": "string", "title": "Other", "description": _OTHER[field.type]}
    required = [field.name for field in fields if field.required and not field.own_words]
    schema: Json = {"type": "object", "properties": properties, "required": required}
    detail = subject(request)
    message = f"{asked_line(request)}\n\n{detail}" if detail else asked_line(request)
    return AskForm(session_id=session, message=message, requested_schema=schema, mode="form")


def _with_own_words(fields: Sequence[Field], content: dict[str, Scalar | list[str]]) -> Answer:
    for field in fields:
        own = content.pop(field.name + OWN_WORDS, None) if field.own_words else None
        if not own:
            continue
        picked = content.get(field.name)
        content[field.name] = [*picked, str(own)] if isinstance(picked, list) else _alone(field, str(own))
    return content


def _alone(field: Field, own: str) -> str | list[str]:
    return [own] if field.type == "choices" else own


def _kind(choice: Choice) -> str:
    # The protocol demands one of four; a choice between other things has none of them.
    if choice.kind in KINDS:
        return choice.kind
    words = {choice.id.lower(), choice.name.lower()}
    return "reject_once" if words & set(_REFUSALS) else "allow_once"


def _option(choice: Choice) -> Json:
    shown: Json = {"const": choice.id, "title": one_line(choice.name)}
    return {**shown, "description": one_line(choice.description)} if choice.description else shown


def _property(field: Field) -> Json:
    shown: Json = {"title": one_line(field.title) or one_line(field.name)}
    if field.description:
        shown["description"] = one_line(field.description)
    if field.default is not None:
        shown["default"] = field.default
    options = [_option(choice) for choice in field.choices]
    if field.type == "choice":
        return {"type": "string", **shown, "oneOf": options}
    if field.type == "choices":
        shown.pop("default", None)  # one value, where the schema wants several
        return {"type": "array", **shown, "items": {"anyOf": options}}
    return {"type": _TYPES[field.type], **shown}
