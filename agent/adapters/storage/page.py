"""The files of the page: logins and what pages keep in the state folder, tickets in the runtime folder."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw

from agent.adapters.storage.files import private_folder, read_private, write_private
from agent.errors import BadParams, StateError
from agent.ports.page import KeptLogins

VALUES = "page-values.json"
LOGINS = "page-logins.json"
TICKETS = "page-{}.html"
_log = logging.getLogger(__name__)


class PageFiles:
    """What the page's door keeps, in private files (`ports.page.PageStore`)."""

    def __init__(self, state: Path, runtime: Path) -> None:
        """Nothing is made or read yet."""
        self._path = state / LOGINS
        self._runtime = runtime

    def load(self) -> KeptLogins:
        """What was saved last; nothing, if that cannot be read: then every browser logs in again."""
        try:
            data = read_private(self._path, secret=True)
            return msgspec.json.decode(data, type=KeptLogins) if data else KeptLogins()
        except (StateError, ValueError, RecursionError) as exc:
            _log.info("logins of the page are begun anew", extra={"error": str(exc)})
            return KeptLogins()

    def save(self, kept: KeptLogins) -> None:
        """Keep that, until it is replaced; if it cannot be written, until the end of this process."""
        try:
            write_private(self._path, msgspec.json.encode(kept), durable=False)
        except StateError as exc:
            _log.info("logins of the page are remembered until the end only", extra={"error": str(exc)})

    def put_ticket(self, document: str) -> str:
        """Write a document that logs in whoever opens it; its path. Raises: StateError."""
        path = private_folder(self._runtime) / TICKETS.format(secrets.token_hex(8))
        write_private(path, document.encode(), durable=False)
        return str(path)

    def remove_ticket(self, path: str) -> None:
        """Delete a ticket; one that is gone is no error."""
        Path(path).unlink(missing_ok=True)

    def clear_tickets(self) -> None:
        """Delete the tickets that a service left which was killed."""
        for path in self._runtime.glob(TICKETS.format("*")):
            path.unlink(missing_ok=True)


class ValueFile:
    """What pages keep, in one private file of JSON (`ports.page.ValueStore`)."""

    def __init__(self, state: Path) -> None:
        """Nothing is made or read yet."""
        self._path = state / VALUES

    def load(self) -> dict[str, Raw]:
        """What was saved last, as MessagePack; nothing, if that cannot be read."""
        try:
            data = read_private(self._path, secret=True)
            values = msgspec.json.decode(data, type=dict[str, Any]) if data else {}
            return {name: Raw(msgspec.msgpack.encode(value)) for name, value in values.items()}
        except (StateError, ValueError, RecursionError, OverflowError) as exc:
            _log.info("what pages keep is begun anew", extra={"error": str(exc)})
            return {}

    def save(self, values: Mapping[str, Raw]) -> None:
        """Keep these and no others; if they cannot be written, until the end of this process. Raises: BadParams."""
        try:
            data = msgspec.json.encode({name: msgspec.msgpack.decode(value) for name, value in values.items()})
        except (ValueError, RecursionError, TypeError) as exc:
            raise BadParams(f"that cannot be kept: {exc}") from exc
        try:
            write_private(self._path, data, durable=False)
        except StateError as exc:
            _log.info("what pages keep is remembered until the end only", extra={"error": str(exc)})
