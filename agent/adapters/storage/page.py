"""The files of the page's door: `page-logins.json` in the state folder, tickets in the runtime folder."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path

import msgspec

from agent.adapters.storage.files import private_folder, read_private, write_private
from agent.errors import StateError
from agent.ports.page import KeptLogins

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
