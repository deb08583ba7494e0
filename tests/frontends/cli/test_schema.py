"""`agent schema`: what a client in another language is made from."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import msgspec

from agent.errors import KINDS
from agent.frontends.cli.schema import document
from agent.protocol.events import TYPES
from agent.protocol.methods import METHODS, NOTIFICATIONS
from tests.protocol.test_codec import FILLED


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_it_prints_one_json_document_and_needs_no_service() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "agent", "schema"], capture_output=True, check=True, env={"LAN_AGENT_HOME": "/nowhere"}
    )
    assert printed.stderr == b""
    assert json.loads(printed.stdout) == json.loads(msgspec.json.encode(document()))


def test_it_has_every_method_notification_event_and_error() -> None:
    schema = document()
    assert set(schema["methods"]) == set(METHODS)
    assert set(schema["notifications"]) == set(NOTIFICATIONS)
    assert set(schema["events"]) == set(TYPES)
    assert schema["errors"].keys() > KINDS.keys()


def test_every_type_that_it_names_is_in_it() -> None:
    schema = document()
    named = set(references(schema))
    assert len(named) > len(METHODS)
    assert named == {f"#/$defs/{name}" for name in schema["$defs"]}


def test_its_types_take_what_the_wire_takes() -> None:
    schema = document()
    for name, row in METHODS.items():
        fields = schema["$defs"][row.params.__name__]
        filled = FILLED.get(name, {})
        assert set(filled) >= set(fields.get("required", ())), name
        assert set(filled) <= set(fields["properties"]), name


def test_what_is_about_a_session_says_who_may_call_it() -> None:
    assert json.loads(msgspec.json.encode(document()))["methods"]["session.configure"] == {
        "on": "session",
        "right": "own",
        "guarded": True,
        "patient": True,
        "follows": None,
        "since": "0.1.0",
        "params": {"$ref": "#/$defs/Configure"},
        "result": {"$ref": "#/$defs/Nothing"},
    }
