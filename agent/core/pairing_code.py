"""The short code that a person carries from one device to the other (T3)."""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import Struct

from agent.errors import PairingFailed

SECRET_DIGITS = 6
"""Three tries at a million are 3e-6."""

_CODE = re.compile(r"([0-9]{2})([0-9]{6})")
_BETWEEN = re.compile(r"[\s\u2010-\u2015\u2212-]+")


class Code(Struct, frozen=True):
    """`42-913-577`: which window, and what proves that its screen was read."""

    slot: str  # two digits, public: they find the window on the network
    secret: str  # six digits, never sent

    def __str__(self) -> str:
        return f"{self.slot}-{self.secret[:3]}-{self.secret[3:]}"


def new_code(below: Callable[[int], int]) -> Code:
    """A fresh code; `below(n)` must be an unguessable integer from 0 to n - 1 (`secrets.randbelow`)."""
    return Code(f"{below(100):02}", f"{below(10**SECRET_DIGITS):0{SECRET_DIGITS}}")


def parse_code(text: str) -> Code:
    """A code as a person typed it, with or without dashes and spaces. Raises: PairingFailed."""
    found = _CODE.fullmatch(_BETWEEN.sub("", text))
    if found is None:
        raise PairingFailed(
            "a code has eight digits, like 42-913-577", hint="`agent pair` on the other device shows it"
        )
    return Code(*found.groups())
