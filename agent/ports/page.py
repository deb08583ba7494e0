"""Ports to what the door of the page keeps: logins that survive a restart, tickets as files for a browser to open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Protocol

from msgspec import Meta, Raw, Struct

Digest = Annotated[str, Meta(max_length=64)]


class Login(Struct, frozen=True, kw_only=True):
    """One browser that was let in. `cookie` and `enrol` are digests of what it was given."""

    cookie: Digest
    origin: Annotated[str, Meta(max_length=512)]
    run: Digest  # of the service: another one at each start
    expires_at: float  # Unix seconds
    resume: Digest  # what documents say that were alive before a restart of the service
    enrol: Digest = ""  # lets the page name its key; empty once it has
    key: Annotated[bytes, Meta(max_length=256)] = b""  # of the page: DER of a P-256 public key


class KeptLogins(Struct, frozen=True, kw_only=True):
    """What the page's door remembers over a restart. It is no loss: without it every browser logs in again."""

    key: Annotated[bytes, Meta(max_length=1024)] = b""  # by which the service is known to a page: PKCS #8, DER
    logins: Annotated[tuple[Login, ...], Meta(max_length=64)] = ()


class ValueStore(Protocol):
    """What pages keep in the service, since their own origin is another one at each start: small values by name."""

    def load(self) -> dict[str, Raw]:
        """What was saved last, as MessagePack; nothing, if that cannot be read."""

    def save(self, values: Mapping[str, Raw]) -> None:
        """Keep these and no others; if they cannot be written, until the end of this process.

        Raises: BadParams, if a value cannot be written in any file.
        """


class PageStore(Protocol):
    """The files of the page's door. Each one is readable by the own user only."""

    def load(self) -> KeptLogins:
        """What was saved last; nothing, if that cannot be read."""

    def save(self, kept: KeptLogins) -> None:
        """Keep that, until it is replaced; if it cannot be written, until the end of this process."""

    def put_ticket(self, document: str) -> str:
        """Write a document that logs in whoever opens it; its path. Raises: StateError."""

    def remove_ticket(self, path: str) -> None:
        """Delete a ticket; one that is gone is no error."""

    def clear_tickets(self) -> None:
        """Delete the tickets that a service left which was killed."""
