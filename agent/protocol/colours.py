"""The colours of what programs print (SGR): kept in the log and on the wire, for whoever asks for them.

Replies of shells and terminals have no other control sequence; what agents say is as it came. Source: ECMA-48
§8.3.117; ISO 8613-6 for the sub-parameters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Raw
from msgspec.structs import replace

from agent.protocol.events import NAMES, Event, MessageComplete, MessageDelta, encoded, payload_of

SGR = re.compile(r"\x1b\[[0-9;:]*m")
RESET = "\x1b[0m"
_RESETS = frozenset({RESET, "\x1b[m"})
_BEGUN = re.compile(r"\x1b(?:\[[0-9;:]*)?\Z")
_REST = re.compile(r"\[?[0-9;:]*m")
_REPLY = frozenset({NAMES[MessageDelta], NAMES[MessageComplete]})


def plain(text: str) -> str:
    """Take the colours out of a text."""
    return SGR.sub("", text) if "\x1b" in text else text


def plain_event(event: Event) -> Event:
    """An event whose text of a reply has no colours. Raises: BadFrame, for a damaged one."""
    if event.type not in _REPLY or b"\x1b[" not in bytes(event.payload):
        return event
    payload = payload_of(event)
    assert isinstance(payload, MessageDelta | MessageComplete)
    return replace(event, payload=Raw(encoded(replace(payload, text=plain(payload.text)))))


def as_wanted(events: Iterable[Event], *, colours: bool) -> tuple[Event, ...]:
    """Events with the colours of replies, or without. Raises: BadFrame, for a damaged one."""
    return tuple(events if colours else map(plain_event, events))


def reset_of(text: str) -> str:
    """What ends the colour in which a text leaves off; empty, if it leaves off in none."""
    last = SGR.match(text, max(0, text.rfind("\x1b")))
    return RESET if last is not None and last.group() not in _RESETS else ""


def whole_before(text: str, end: int) -> int:
    """The last place up to `end` at which a text can be cut without parting a colour."""
    found = _BEGUN.search(text, max(0, end - 64), end) if end < len(text) else None
    return end if found is None else found.start()


def whole_after(text: str, start: int) -> int:
    """The first place from `start` on at which a text can be cut without parting a colour."""
    begins = whole_before(text, start)
    found = _REST.match(text, start) if begins < start else None
    return start if found is None else found.end()
