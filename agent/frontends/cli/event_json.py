"""One event of a transcript as a line of JSON: `agent log --json`, `agent prompt --json`."""

from __future__ import annotations

from typing import Any

import msgspec

from agent.errors import BadFrame
from agent.protocol.codec import json
from agent.protocol.events import Event
from agent.protocol.model import SessionId


def event_json(session: SessionId | str, event: Event) -> dict[str, Any]:
    """What is printed of it; its `payload` is null if another device put something there that has no JSON."""
    try:
        payload = msgspec.json.decode(json.translated(event.payload))
    except BadFrame:
        payload = None
    return {"session_id": session, "seq": event.seq, "type": event.type, "payload": payload, "at": event.at}
