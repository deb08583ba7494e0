"""Sessions of other devices as they were known last, in one file, `last-known.json` (R12)."""

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
    """The sessions that were known last in a file (`ports.LastKnownStore`).

    Not synced to the disk, and begun anew if it is damaged: links tell it all again.
    """

    def __init__(self, folder: Path) -> None:
        """Prepare the folder; nothing is read yet. Raises: StateError."""
        self._path = private_folder(folder) / LAST_KNOWN

    def load(self) -> list[SessionRow]:
        """The sessions that were saved last. Raises: StateError, if others may have written them."""
        data = read_private(self._path)
        try:
            kept = msgspec.json.decode(data, type=_Kept) if data else None
        except (ValueError, RecursionError) as exc:
            _log.info("what was known of other devices is begun anew", extra={"error": str(exc)})
            return []
        return list(kept.sessions) if kept is not None and kept.version == 1 else []

    def save(self, rows: Sequence[SessionRow]) -> None:
        """Keep these sessions and no others. Raises: StateError, and then nothing has changed."""
        write_private(self._path, msgspec.json.encode(_Kept(version=1, sessions=tuple(rows))), durable=False)
