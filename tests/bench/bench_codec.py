"""Frames encoded and decoded, beside bare msgspec doing the same for a dictionary.

Run: `python -m tests.bench.bench_codec [ROUNDS]`. CPU microseconds a frame and the ratio to the bare one, medians of
interleaved rounds. The bare ones check nothing; ours check every field and bound.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import msgspec

from agent.protocol.codec import json, msgpack, typed
from agent.protocol.events import MessageDelta, make_event, payload_of
from agent.protocol.messages import EventOf, Submit
from agent.protocol.model import SessionId
from agent.sessions.viewers import event_of

FRAMES = 20_000
SESSION = SessionId("abcdefghijklmnop")
TEXT = "about eighty characters of a streamed reply, the size that an agent usually sends"
NOW = 1_800_000_000.0

Job = Callable[[], object]


def jobs() -> dict[str, tuple[Job, Job]]:
    """Ours and the bare one, by name."""
    event = make_event(7, MessageDelta(turn=1, text=TEXT), NOW)
    frame, text = (codec.notification("event", event_of(SESSION, event)) for codec in (msgpack, json))
    payload = {"turn": 1, "text": TEXT}
    told = {"session_id": SESSION, "seq": 7, "type": event.type, "payload": payload, "at": event.at}
    plain = {"jsonrpc": "2.0", "method": "event", "params": told}
    asked = Submit(session_id=SESSION, prompt_id="1", text=TEXT)
    request = msgpack.request(1, "prompt.submit", asked)
    asked_plain = {"session_id": SESSION, "prompt_id": "1", "text": TEXT}
    request_plain = {"jsonrpc": "2.0", "id": 1, "method": "prompt.submit", "params": asked_plain}
    pack, unpack = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode
    to_text, from_text = msgspec.json.Encoder().encode, msgspec.json.Decoder().decode
    return {
        "event made and encoded": (
            lambda: msgpack.notification(
                "event", event_of(SESSION, make_event(7, MessageDelta(turn=1, text=TEXT), NOW))
            ),
            lambda: pack(plain),
        ),
        "event encoded": (lambda: msgpack.notification("event", event_of(SESSION, event)), lambda: pack(plain)),
        "event encoded as JSON": (lambda: json.notification("event", event_of(SESSION, event)), lambda: to_text(plain)),
        "envelope decoded": (lambda: msgpack.decode(frame), lambda: unpack(frame)),
        "event decoded": (lambda: typed(msgpack.decode(frame).params, EventOf), lambda: unpack(frame)),
        "payload decoded": (lambda: payload_of(event), lambda: unpack(event.payload)),
        "request decoded": (lambda: typed(msgpack.decode(request).params, Submit), lambda: unpack(request)),
        "request encoded": (lambda: msgpack.request(1, "prompt.submit", asked), lambda: pack(request_plain)),
        "event translated to JSON": (lambda: json.translated(frame), lambda: to_text(unpack(frame))),
        "JSON envelope decoded": (lambda: json.decode(text), lambda: from_text(text)),
    }


def micros(job: Job) -> float:
    """CPU microseconds of one run."""
    began = time.process_time()
    for _ in range(FRAMES):
        job()
    return (time.process_time() - began) / FRAMES * 1e6


def main(rounds: int = 7) -> None:
    for name, (ours, bare) in jobs().items():
        taken = [(micros(ours), micros(bare)) for _ in range(rounds)]
        ratio = statistics.median(ours / bare for ours, bare in taken)
        us, plain = (statistics.median(each) for each in zip(*taken, strict=True))
        print(f"{name:26} {us:6.2f} us   bare {plain:6.2f} us   {ratio:5.1f} x   {1e6 / us:10,.0f}/s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
