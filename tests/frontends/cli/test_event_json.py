"""client.reading.event_json: one event as a line of JSON."""

from __future__ import annotations

import json

import pytest
from msgspec import Raw, msgpack

from agent.client.reading import event_json
from agent.protocol.events import Event


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (msgpack.encode({"turn": 1}), {"turn": 1}),
        (msgpack.encode({"data": b"abc"}), {"data": "YWJj"}),
        (msgpack.encode({"x": msgpack.Ext(5, b"x")}), None),
        (b"\x91" * 200_000 + b"\xc0", None),  # deeper than any Python goes
        (b"\xdd\xff\xff\xff\xff", None),
    ],
)
def test_t11_a_payload_of_any_bytes_can_be_printed(payload: bytes, shown: object) -> None:
    line = json.dumps(event_json("abcd", Event(7, "x.y", Raw(payload), "2026-01-01T00:00:00.000Z")))
    assert json.loads(line)["payload"] == shown
