"""Values in state files, checked so that what is written is what the next start can read.

A value that the file's own type does not take is refused when it is written, while somebody can still be told, and not
when the service starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from agent.adapters.storage.files import damaged
from agent.errors import StateError

T = TypeVar("T")


def encoded(path: Path, value: Any, kind: Any = None) -> bytes:
    """The JSON of a value of `kind` (None: its own type), for `path`. Raises: StateError, if `decoded` would."""
    try:
        data = msgspec.json.format(msgspec.json.encode(value))
        msgspec.json.decode(data, type=kind or type(value))
    except (ValueError, OverflowError, RecursionError) as exc:
        raise StateError(f"{path.name} could not be read again: {exc}", hint="nothing was changed") from exc
    return data


def decoded(path: Path, data: bytes, kind: type[T]) -> T:
    """The value in the content of `path`. Raises: StateError, if it is damaged."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError) as exc:
        raise damaged(path, str(exc)) from exc
