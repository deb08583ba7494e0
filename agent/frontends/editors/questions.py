"""What a session asks, asked in the editor: permission, or a form where the editor has forms."""

from __future__ import annotations

from agent.client.request_text import asked_line
from agent.client.terminal_text import one_line, plain
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
from agent.frontends.editors.updates import request_tool
from agent.protocol.events import Answer, Choice, Field, RequestOpen

KINDS = frozenset({"allow_once", "allow_always", "reject_once", "reject_always"})
_REFUSALS = ("no", "n", "reject", "deny", "cancel", "abort", "decline")
_FIELD = "answer"
_TYPES = {"text": "string", "integer": "integer", "number": "number", "boolean": "boolean"}


async def answer_from(peer: EditorPeer, session: str, request: RequestOpen, *, forms: bool) -> Answer | None:
    """What the person at the editor answers; None if the editor cannot ask that, or it was dismissed.

    A secret is never asked there: an editor shows and keeps what is typed. Keys are for a terminal. When cancelled,
    the question is taken back. Raises: ClientRefused, BadParams.
    """
    if request.kind == "choices" and request.choices:
        told = await peer.ask("session/request_permission", permission(session, request), PermissionAnswer)
        return told.outcome.option_id if isinstance(told.outcome, Selected) else None
    if not forms or request.kind in {"secret", "keys"}:
        return None
    given = await peer.ask("elicitation/create", form(session, request), ElicitationAnswer)
    content = given.content or {}
    if request.kind == "form":
        return "decline" if given.action == "decline" else dict(content) if given.action == "accept" else None
    return str(content.get(_FIELD, "") or "") if given.action == "accept" else None


def how_to_answer(session: str, request: RequestOpen) -> str:
    """A line that says to the person at the editor how to answer elsewhere."""
    if request.kind == "keys":
        return f"{asked_line(request)}: it waits for keys; `agent attach {session}` in a terminal"
    answer = {"secret": "-` types it in", "form": "JSON` answers"}.get(request.kind, "ANSWER` answers")
    return f"{asked_line(request)}: in a terminal, `agent answer {session} {one_line(request.request_id)} {answer}"


def permission(session: str, request: RequestOpen) -> AskPermission:
    """A request with choices, as a permission that the editor asks for."""
    detail = plain(request.detail)
    return AskPermission(
        session_id=session,
        tool_call=PermissionTool(
            tool_call_id=request_tool(request.request_id),
            title=asked_line(request),
            content=(Content(EditorText(detail)),) if detail else (),
        ),
        options=tuple(
            PermissionOption(option_id=choice.id, name=one_line(choice.name) or one_line(choice.id), kind=_kind(choice))
            for choice in request.choices
        ),
    )


def form(session: str, request: RequestOpen) -> AskForm:
    """A request for a line or a form, as a form that the editor shows."""
    if request.kind == "form":
        properties = {field.name: _property(field) for field in request.fields}
        required = [field.name for field in request.fields if field.required]
    else:
        properties, required = {_FIELD: {"type": "string", "title": asked_line(request)}}, []
    schema: Json = {"type": "object", "properties": properties, "required": required}
    detail = plain(request.detail)
    message = f"{asked_line(request)}\n\n{detail}" if detail else asked_line(request)
    return AskForm(session_id=session, message=message, requested_schema=schema, mode="form")


def _kind(choice: Choice) -> str:
    # The protocol demands one of four; a choice between other things has none of them.
    if choice.kind in KINDS:
        return choice.kind
    words = {choice.id.lower(), choice.name.lower()}
    return "reject_once" if words & set(_REFUSALS) else "allow_once"


def _property(field: Field) -> Json:
    shown: Json = {"title": one_line(field.title) or one_line(field.name)}
    if field.description:
        shown["description"] = one_line(field.description)
    if field.default is not None:
        shown["default"] = field.default
    options = [{"const": choice.id, "title": one_line(choice.name)} for choice in field.choices]
    if field.type == "choice":
        return {"type": "string", **shown, "oneOf": options}
    if field.type == "choices":
        shown.pop("default", None)  # one value, where the schema wants several
        return {"type": "array", **shown, "items": {"anyOf": options}}
    return {"type": _TYPES[field.type], **shown}
