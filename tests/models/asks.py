"""What the model was asked, whichever interface it came by."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

Body = dict[str, Any]
Dialect = Literal["chat", "responses", "gemini"]
Role = Literal["system", "user", "model", "tool"]


@dataclass(frozen=True)
class Turn:
    """One thing said so far. A tool's result is a turn of the tool."""

    role: Role
    text: str


@dataclass(frozen=True)
class Tool:
    """One that the agent offers. `parameters` is a JSON schema; a `custom` tool takes plain text instead."""

    name: str
    parameters: Body = field(default_factory=dict)
    custom: bool = False

    @property
    def properties(self) -> Body:
        found = self.parameters.get("properties")
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Ask:
    """One request for an answer."""

    dialect: Dialect
    model: str
    stream: bool
    turns: tuple[Turn, ...] = ()
    tools: tuple[Tool, ...] = ()

    def tool(self, *names: str) -> Tool | None:
        """The first of those names that is offered."""
        offered = {tool.name: tool for tool in self.tools}
        return next((offered[name] for name in names if name in offered), None)


def from_chat(body: Body) -> Ask:
    """OpenAI chat completions; also Ollama, LM Studio, llama.cpp and vLLM."""
    return Ask(
        dialect="chat",
        model=str(body.get("model", "")),
        stream=body.get("stream") is True,
        turns=tuple(Turn(_role(m.get("role")), _text(m.get("content"))) for m in body["messages"]),
        tools=tuple(
            Tool(tool["function"]["name"], tool["function"].get("parameters") or {}) for tool in body.get("tools") or ()
        ),
    )


def from_responses(body: Body) -> Ask:
    """OpenAI responses: `input` holds messages, calls and outputs of calls in one list."""
    given = body["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given

    def turns() -> Iterator[Turn]:
        yield Turn("system", body.get("instructions") or "")
        for item in items:
            if item.get("type") in {"function_call_output", "custom_tool_call_output", "local_shell_call_output"}:
                yield Turn("tool", _text(item.get("output")))
            elif item.get("type", "message") == "message":
                yield Turn(_role(item.get("role")), _text(item.get("content")))

    return Ask(
        dialect="responses",
        model=str(body.get("model", "")),
        stream=body.get("stream") is True,
        turns=tuple(turns()),
        tools=tuple(
            Tool(tool["name"], tool.get("parameters") or {}, tool["type"] == "custom")
            for tool in body.get("tools") or ()
            if tool.get("type") in {"function", "custom"}
        ),
    )


def from_gemini(body: Body, model: str, *, stream: bool) -> Ask:
    """Gemini generateContent: a turn has parts, and a tool's result is a part of a user's turn."""

    def turns() -> Iterator[Turn]:
        for part in (body.get("systemInstruction") or {}).get("parts") or ():
            yield Turn("system", part.get("text", ""))
        for content in body["contents"]:
            for part in content.get("parts") or ():
                if "functionResponse" in part:
                    result = part["functionResponse"].get("response") or {}
                    yield Turn("tool", _text(result.get("output", result.get("error", json.dumps(result)))))
                elif "text" in part:
                    yield Turn("model" if content.get("role") == "model" else "user", part["text"])

    return Ask(
        dialect="gemini",
        model=model,
        stream=stream,
        turns=tuple(turns()),
        tools=tuple(
            Tool(each["name"], each.get("parametersJsonSchema") or each.get("parameters") or {})
            for group in body.get("tools") or ()
            for each in group.get("functionDeclarations") or ()
        ),
    )


def _role(name: Any) -> Role:
    roles: dict[Any, Role] = {"system": "system", "developer": "system", "user": "user", "tool": "tool"}
    return roles.get(name, "model")


def _text(content: Any) -> str:
    """All text of a content, which may be a string, a part or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(filter(None, map(_text, content)))
    if isinstance(content, dict):
        return _text(content.get("text", ""))
    return ""
