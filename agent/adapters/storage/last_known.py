"""What was known last of the sessions of other devices, in one file, `last-known.json` (R12)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from agent.adapters.storage.files import private_folder, read_private, write_private
from agent.protocol.model import SessionRow

LAST_KNOWN = "last-known.json"
_log = logging.getLogger(__name__)


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    # The file. A later version adds fields with defaults.
    version: int
    sessions: tuple[SessionRow, ...] = ()


class LastKnownFile:
    """`ports.LastKnownStore`. Not synced to the disk, and begun anew if it is damaged: links tell it all again."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet. Raises: StateError."""
        self._path = private_folder(folder) / LAST_KNOWN

    def load(self) -> list[SessionRow]:
        """What was saved last. Raises: StateError, if others may have written it."""
        data = read_private(self._path)
        try:
            kept = msgspec.json.decode(data, type=_Kept) if data else None
        except (ValueError, RecursionError) as exc:
            _log.info("what was known of other devices is begun anew", extra={"error": str(exc)})
            return []
        return list(kept.sessions) if kept is not None and kept.version == 1 else []

    def save(self, rows: Sequence[SessionRow]) -> None:
        """Keep these and no others. Raises: StateError, and then nothing has changed."""
        write_private(self._path, msgspec.json.encode(_Kept(version=1, sessions=tuple(rows))), durable=False)
