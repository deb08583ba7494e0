"""Answers of people as they are typed on a terminal."""

from __future__ import annotations

from agent.errors import BadParams, TooLarge
from agent.protocol.events import Answer, RequestKind

LINE_MAX = 4000
"""Bytes in a line that a terminal hands to a program (4,095 on Linux)."""


def typed_answer(kind: RequestKind, answer: Answer) -> bytes:
    r"""An answer as it is typed: a line with its end; keys as they are, where "\n" is Enter.

    A line that ends in Ctrl-D (U+0004) ends the input instead. Raises: BadParams, TooLarge.
    """
    if not isinstance(answer, str):
        raise BadParams("a shell takes text as an answer")
    if kind == "keys":
        return answer.replace("\n", "\r").encode(errors="replace")
    data = (answer if answer.endswith(("\n", "\x04")) else answer + "\n").encode(errors="replace")
    if max(map(len, data.split(b"\n"))) > LINE_MAX:
        raise TooLarge(f"a terminal takes lines of up to {LINE_MAX:,} bytes")
    return data
