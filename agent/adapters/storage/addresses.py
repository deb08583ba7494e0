"""The addresses that members told of themselves, in one file, `addresses.json`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from agent.adapters.storage.files import private_folder, read_private, write_private
from agent.protocol.household import Signed

ADDRESSES = "addresses.json"
_log = logging.getLogger(__name__)


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    # The file: bytes are in base64. A later version adds fields with defaults.
    version: int
    records: tuple[Signed, ...] = ()


class AddressFile:
    """The addresses of members in a file (`ports.AddressStore`).

    Not synced to the disk, and begun anew if it is damaged: members tell it all again.
    """

    def __init__(self, folder: Path) -> None:
        """Prepare the folder; nothing is read yet. Raises: StateError."""
        self._path = private_folder(folder) / ADDRESSES

    def load(self) -> list[Signed]:
        """The addresses that were saved last. Raises: StateError, if others may have written them."""
        data = read_private(self._path)
        try:
            kept = msgspec.json.decode(data, type=_Kept) if data else None
        except (ValueError, RecursionError) as exc:
            _log.info("addresses are begun anew", extra={"error": str(exc)})
            return []
        return list(kept.records) if kept is not None and kept.version == 1 else []

    def save(self, records: Sequence[Signed]) -> None:
        """Keep these addresses and no others. Raises: StateError, and then nothing has changed."""
        write_private(self._path, msgspec.json.encode(_Kept(version=1, records=tuple(records))), durable=False)
