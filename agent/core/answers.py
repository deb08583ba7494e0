"""Whether an answer fits its question: said while it can still be mended. Pure."""

from __future__ import annotations

from agent.core.transcript import Answer, RequestOpen
from agent.errors import BadParams, TooLarge

LINE_MAX = 4000
"""Bytes of an answer that is typed: a terminal's line buffer holds 4096 (termios(3), N_TTY)."""


def checked(asked: RequestOpen, answer: Answer) -> Answer:
    """The answer as the program is to get it. Raises: BadParams (not one of the choices, not text), TooLarge."""
    if asked.kind == "choices":
        for choice in asked.choices:
            if answer in (choice.id, choice.name):
                return choice.id
        raise BadParams(
            f"{answer!r} is not one of the choices", hint="choose one of: " + ", ".join(c.id for c in asked.choices)
        )
    if asked.kind != "form":
        if not isinstance(answer, str):
            raise BadParams("this question takes text")
        if len(answer.encode(errors="replace")) > LINE_MAX:
            raise TooLarge(f"an answer of more than {LINE_MAX:,} bytes", hint="a terminal takes no longer line")
    return answer
