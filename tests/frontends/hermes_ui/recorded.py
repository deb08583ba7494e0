"""What a real gateway said: frames of hermes-agent 0.19.0, recorded against `tests.models`, shortened.

Each row has the seconds, the direction as the client saw it, and the frame.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

Json = dict[str, Any]
FRAMES: list[Json] = [
    json.loads(row) for row in (Path(__file__).parent / "recordings/gateway.jsonl").read_text("utf-8").splitlines()
]

ALSO: dict[str, dict[str, set[str]]] = {
    "tool.start": {"todos": {"list"}},
    "tool.progress": {"name": {"str"}, "preview": {"str"}},
    "tool.complete": {"summary": {"str"}, "error": {"str"}},
    "review.summary": {"text": {"str"}},
    "error": {"message": {"str"}},
    "clarify.request": {"choices": {"list", "NoneType"}},
    "secret.request": {"request_id": {"str"}, "prompt": {"str"}, "env_var": {"str"}},
    "status.update": {"text": {"str"}},
}
"""What the UI also reads (its `createGatewayEventHandler`), and that recording did not bring about."""


def _kind(value: object) -> str:
    return "float" if isinstance(value, int) and not isinstance(value, bool) else type(value).__name__


def events() -> dict[str, dict[str, set[str]]]:
    """Type of an event -> key of its payload -> types of its values."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in FRAMES:
        params = row["frame"].get("params", {})
        if row["frame"].get("method") == "event":
            for key, value in (params.get("payload") or {}).items():
                found[params["type"]][key].add(_kind(value))
            found[params["type"]].setdefault("", set())
    for name, keys in ALSO.items():
        for key, kinds in keys.items():
            found[name][key] |= kinds
    return found


EVENTS = events()


def assert_shape(kind: str, payload: Json | None) -> None:
    """A frame has no key and no type of a value that the real gateway has not, or the UI does not read."""
    assert kind in EVENTS, kind
    for key, value in (payload or {}).items():
        assert _kind(value) in EVENTS[kind].get(key, set()), (kind, key, value)


def result_of(method: str, *, number: int = 0) -> Json:
    """What the real gateway answered that method."""
    asked = [row["frame"]["id"] for row in FRAMES if row["frame"].get("method") == method]
    results = [row["frame"]["result"] for row in FRAMES if row["frame"].get("id") in asked and "result" in row["frame"]]
    found: Json = results[number]
    return found


def assert_like(given: Json, recorded: Json) -> None:
    """Every key of a result is one of the real gateway's, with a value of the same type."""
    for key, value in given.items():
        assert key in recorded, key
        assert _kind(value) == _kind(recorded[key]), (key, value, recorded[key])
