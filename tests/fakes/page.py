"""The files of the page's door in memory, and a browser's part in logging in and greeting."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import Raw

from agent.ports.page import KeptLogins
from agent.trust.rules.page_login import signed, verifies, words_of_page, words_of_service


class MemoryPageFiles:
    """`ports.page.PageStore` without a disk."""

    def __init__(self) -> None:
        self.kept = KeptLogins()
        self.tickets: dict[str, str] = {}

    def load(self) -> KeptLogins:
        return self.kept

    def save(self, kept: KeptLogins) -> None:
        self.kept = kept

    def put_ticket(self, document: str) -> str:
        path = f"/run/page-{secrets.token_hex(4)}.html"
        self.tickets[path] = document
        return path

    def remove_ticket(self, path: str) -> None:
        self.tickets.pop(path, None)

    def clear_tickets(self) -> None:
        self.tickets.clear()


class MemoryValues:
    """`ports.page.ValueStore` without a disk."""

    def __init__(self) -> None:
        self.values: dict[str, Raw] = {}
        self.saved = 0

    def load(self) -> dict[str, Raw]:
        return dict(self.values)

    def save(self, values: Mapping[str, Raw]) -> None:
        self.values = dict(values)
        self.saved += 1


class BrowserKey:
    """What `key.js` does: a key, the pinned key of the service, and the word to resume by."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.service = b""
        self.resume = ""

    @property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    async def greet(
        self, send: Callable[[dict[str, Any]], Awaitable[None]], receive: Callable[[], Awaitable[dict[str, Any]]]
    ) -> None:
        """Greet; what is received may raise, if the service does not want this page."""
        nonce = secrets.token_hex(16)
        await send({"nonce": nonce})
        proof = await receive()
        signature = base64.b64decode(proof["signature"])
        assert verifies(self.service, signature, words_of_service(self.origin, nonce, proof["nonce"]))
        mine = signed(self.private, words_of_page(self.origin, nonce, proof["nonce"]))
        await send({"signature": base64.b64encode(mine).decode(), "resume": self.resume})
        self.resume = (await receive())["resume"]
