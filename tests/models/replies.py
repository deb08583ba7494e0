"""The model's answer in each interface, streamed or whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Protocol
from uuid import uuid4

from tests.models.asks import Ask, Body
from tests.models.script import Call, Piece

CREATED = 1_700_000_000
"""Unix seconds; agents show it nowhere."""


def event(data: Body | str, name: str = "") -> bytes:
    """One server-sent event."""
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


class Reply(Protocol):
    """One answer as it grows. Each step gives the events to send; `whole` is all so far, where no stream is wanted."""

    def begin(self) -> Iterator[bytes]: ...
    def piece(self, piece: Piece) -> Iterator[bytes]: ...
    def call(self, call: Call) -> Iterator[bytes]: ...
    def end(self) -> Iterator[bytes]: ...
    def whole(self) -> Body: ...


class ChatReply:
    """OpenAI chat completions. `thought_key` is where thoughts go, on which servers differ."""

    def __init__(self, ask: Ask, *, thought_key: str = "reasoning_content") -> None:
        self._head = {"id": f"chatcmpl-{uuid4().hex}", "created": CREATED, "model": ask.model}
        self._thought_key = thought_key
        self._content, self._thought = "", ""
        self._calls: list[Body] = []

    def begin(self) -> Iterator[bytes]:
        yield self._chunk({"role": "assistant", "content": ""})

    def piece(self, piece: Piece) -> Iterator[bytes]:
        if piece.thought:
            self._thought += piece.text
        else:
            self._content += piece.text
        yield self._chunk({self._thought_key if piece.thought else "content": piece.text})

    def call(self, call: Call) -> Iterator[bytes]:
        arguments = json.dumps(call.arguments)
        function = {"name": call.tool.name, "arguments": arguments}
        made = {"id": f"call_{uuid4().hex}", "type": "function", "function": function}
        # As real servers do: the name first, then the arguments in parts.
        yield self._chunk(
            {"tool_calls": [{**made, "index": len(self._calls), "function": {**function, "arguments": ""}}]}
        )
        for part in (arguments[:9], arguments[9:]):
            yield self._chunk({"tool_calls": [{"index": len(self._calls), "function": {"arguments": part}}]})
        self._calls.append(made)

    def end(self) -> Iterator[bytes]:
        yield self._chunk({}, self._finish())
        yield event({**self._head, "object": "chat.completion.chunk", "choices": [], "usage": self._usage()})
        yield event("[DONE]")

    def whole(self) -> Body:
        message: Body = {"role": "assistant", "content": self._content}
        if self._thought:
            message[self._thought_key] = self._thought
        if self._calls:
            message["tool_calls"] = self._calls
        choice = {"index": 0, "message": message, "finish_reason": self._finish()}
        return {**self._head, "object": "chat.completion", "choices": [choice], "usage": self._usage()}

    def _chunk(self, delta: Body, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return event({**self._head, "object": "chat.completion.chunk", "choices": [choice]})

    def _finish(self) -> str:
        return "tool_calls" if self._calls else "stop"

    @staticmethod
    def _usage() -> Body:
        return {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


class ResponsesReply:
    """OpenAI responses: items are opened, filled and closed one after the other."""

    def __init__(self, ask: Ask) -> None:
        self._head: Body = {
            "id": f"resp_{uuid4().hex}",
            "object": "response",
            "created_at": CREATED,
            "model": ask.model,
        }
        self._items: list[Body] = []
        self._open: Body | None = None
        self._text = ""

    def begin(self) -> Iterator[bytes]:
        yield self._event("response.created", response={**self._head, "status": "in_progress", "output": []})

    def piece(self, piece: Piece) -> Iterator[bytes]:
        kind = "reasoning" if piece.thought else "message"
        if self._open is None or self._open["type"] != kind:
            yield from self._close()
            self._open = {"type": kind, "id": f"{kind[:3]}_{uuid4().hex}"}
            empty = {"summary": []} if piece.thought else {"role": "assistant", "content": []}
            yield self._event("response.output_item.added", output_index=len(self._items), item={**self._open, **empty})
            if piece.thought:
                part = {"type": "summary_text", "text": ""}
                yield self._event("response.reasoning_summary_part.added", **self._place("summary_index"), part=part)
        self._text += piece.text
        name, index = ("reasoning_summary_text", "summary_index") if piece.thought else ("output_text", "content_index")
        yield self._event(f"response.{name}.delta", **self._place(index), delta=piece.text)

    def call(self, call: Call) -> Iterator[bytes]:
        yield from self._close()
        head = {
            "id": f"fc_{uuid4().hex}",
            "call_id": f"call_{uuid4().hex}",
            "name": call.tool.name,
            "status": "completed",
        }
        if isinstance(call.arguments, str):
            item = {"type": "custom_tool_call", **head, "input": call.arguments}
        else:
            item = {"type": "function_call", **head, "arguments": json.dumps(call.arguments)}
        yield self._event("response.output_item.added", output_index=len(self._items), item=item)
        yield self._done(item)

    def end(self) -> Iterator[bytes]:
        yield from self._close()
        yield self._event("response.completed", response=self.whole())

    def whole(self) -> Body:
        output = [*self._items, *([self._filled()] if self._open else [])]
        usage = {
            "input_tokens": 10,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 15,
        }
        return {**self._head, "status": "completed", "output": output, "usage": usage}

    def _filled(self) -> Body:
        assert self._open is not None
        if self._open["type"] == "reasoning":
            return {**self._open, "summary": [{"type": "summary_text", "text": self._text}]}
        content = [{"type": "output_text", "text": self._text, "annotations": []}]
        return {**self._open, "role": "assistant", "status": "completed", "content": content}

    def _close(self) -> Iterator[bytes]:
        if self._open:
            item = self._filled()
            self._open, self._text = None, ""
            yield self._done(item)

    def _done(self, item: Body) -> bytes:
        self._items.append(item)
        return self._event("response.output_item.done", output_index=len(self._items) - 1, item=item)

    def _place(self, index: str) -> Body:
        assert self._open is not None
        return {"item_id": self._open["id"], "output_index": len(self._items), index: 0}

    @staticmethod
    def _event(name: str, **fields: Any) -> bytes:
        return event({"type": name, **fields}, name)


class GeminiReply:
    """Gemini: every event is a whole small answer."""

    def __init__(self, ask: Ask) -> None:
        self._model = ask.model
        self._parts: list[Body] = []

    def begin(self) -> Iterator[bytes]:
        yield from ()

    def piece(self, piece: Piece) -> Iterator[bytes]:
        yield self._add({"text": piece.text, **({"thought": True} if piece.thought else {})})

    def call(self, call: Call) -> Iterator[bytes]:
        yield self._add({"functionCall": {"name": call.tool.name, "args": call.arguments}})

    def end(self) -> Iterator[bytes]:
        yield event(self._answer([{"text": ""}], finishReason="STOP"))

    def whole(self) -> Body:
        return self._answer(self._parts, finishReason="STOP")

    def _add(self, part: Body) -> bytes:
        self._parts.append(part)
        return event(self._answer([part]))

    def _answer(self, parts: list[Body], **more: str) -> Body:
        usage = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
        candidate = {"index": 0, "content": {"role": "model", "parts": parts}, **more}
        return {"candidates": [candidate], "modelVersion": self._model, "usageMetadata": usage}
