"""Server-sent events, read as the WHATWG has them and as servers write them beside. Pure.

Lines end in CR, LF or CRLF, also where a read ends between the two; a byte order mark is passed over; an event may have
several `data` lines; a comment is nothing. Beyond that: no blank line is needed between events that are one line each,
nor after the last; an error that a server writes into the stream as it is, and a whole answer of one that does not
stream, are events too. Source: html.spec.whatwg.org, "Interpreting an event stream".
"""

from __future__ import annotations

import re

from msgspec import Raw, Struct

from agent.protocol.lenient import read

EVENT_MAX = 1_048_576
"""Bytes of one event, and of one line."""
STRAY_MAX = 2_000
"""Bytes that are kept of what is no event: words of a proxy, most often."""
_BOM = b"\xef\xbb\xbf"
_END = re.compile(rb"\r\n|\r|\n")


class SentEvent(Struct, frozen=True):
    """One event of a stream. `name` is empty if the server gave it none. `bare`: it stood there without `data:`."""

    data: bytes
    name: str = ""
    bare: bool = False


class EventReader:
    """Makes events of bytes as they come. Holds no more than one event."""

    def __init__(self) -> None:
        self.stray = b""  # the beginning of what was no event
        self.overflowed = False  # whether an event was too long: nothing more is read
        self._line: list[bytes] = []
        self._size = 0  # bytes of the line and of the event that are being read
        self._after_return = False
        self._name = ""
        self._data: list[bytes] = []
        self._bare: list[bytes] = []  # lines of JSON that stands in the stream as it is
        self._events: list[SentEvent] = []

    def feed(self, data: bytes) -> list[SentEvent]:
        """The events that are complete with these bytes."""
        if self.overflowed:
            return []
        if self._after_return and data.startswith(b"\n"):
            data = data[1:]
        self._after_return = data.endswith(b"\r") if data else self._after_return
        first, *others = _END.split(data)
        self._line.append(first)
        self._size += len(first)
        for piece in others:
            self._take(b"".join(self._line))
            self._line = [piece]
            self._size += len(piece)
        self.overflowed = self._size > EVENT_MAX
        return self._told()

    def end(self) -> list[SentEvent]:
        """The event that the server did not end."""
        self._take(b"".join(self._line))
        self._take_bare()
        self._dispatch()
        self._line = []
        return self._told()

    def _told(self) -> list[SentEvent]:
        events, self._events = self._events, []
        return events

    def _take(self, line: bytes) -> None:
        line = line.removeprefix(_BOM)
        if self._bare and not line.startswith((b"data:", b"event:")):
            self._bare.append(line)
            if line.startswith((b"}", b"]")):
                self._take_bare()
            return
        self._take_bare()
        name, colon, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name.strip().lower():
            case b"" if not colon:
                self._dispatch()
            case b"data":
                self._add(value)
            case b"event":
                self._name = value.decode(errors="replace").strip()
            case b"error":  # llama.cpp, before 2025
                self._events.append(SentEvent(value, "error"))
            case b"" | b"id" | b"retry":
                pass
            case _ if line.lstrip().startswith((b"{", b"[")):
                self._begin_bare(line)
            case _:
                self.stray = (self.stray + line + b"\n")[:STRAY_MAX]
        if not self._data and not self._bare:
            self._size = 0

    def _add(self, value: bytes) -> None:
        # One line that is whole JSON is an event at once: not every server ends them.
        if not self._data and (value.strip() == b"[DONE]" or is_json(value)):
            self._events.append(SentEvent(value, self._name))
        else:
            self._data.append(value)

    def _dispatch(self) -> None:
        lines, self._data = self._data, []
        whole = b"\n".join(lines)
        if len(lines) > 1 and not is_json(whole) and any(map(is_json, lines)):
            self._events += (SentEvent(line, self._name) for line in lines)  # events without a blank line between
        elif whole.strip():
            self._events.append(SentEvent(whole, self._name))
        self._name = ""

    def _begin_bare(self, line: bytes) -> None:
        self._bare = [line]
        if is_json(line):
            self._take_bare()

    def _take_bare(self) -> None:
        if self._bare:
            whole, self._bare = b"\n".join(self._bare), []
            self._events.append(SentEvent(whole, bare=True))


def is_json(data: bytes) -> bool:
    """Whether this is one whole object or list, apart from what can be mended."""
    return data.lstrip().startswith((b"{", b"[")) and read(data, Raw) is not None
