"""Browsers that may use the page: draws what lets them in, keeps their logins, knows their connections (T8).

The door (`agent.gateway.page`) asks, `rules.page_login` decides; keys are made when the first page is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from msgspec import Struct

from agent.ports import Channel, Clock
from agent.ports.page import KeptLogins, Login, PageStore
from agent.trust.rules.page_login import (
    CODE_LENGTH,
    LABEL_LENGTH,
    TICKET_FOR,
    Given,
    Logins,
    signed,
    spelled,
    ticket_document,
    words_of_page,
    words_of_service,
)


class Greeting(Struct, frozen=True, kw_only=True):
    """What proves to a page that it speaks with the service that let it in."""

    nonce: str
    signature: bytes


class PageLogins:
    """Lets browsers in, and tells which connection is a page of which login."""

    def __init__(self, run: str, store: PageStore, clock: Clock, entropy: Callable[[int], bytes]) -> None:
        """`run` names this start of the service. Nothing is read or drawn yet but the label of this start."""
        self.label = spelled(entropy(LABEL_LENGTH))
        self._run = run
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._loaded: Logins | None = None
        self._key: ec.EllipticCurvePrivateKey | None = None
        self._tickets: dict[str, tuple[str, float]] = {}  # ticket -> its file, and when it is worth nothing any more
        self._pages: dict[Channel, Login] = {}

    def offer_ticket(self, origin: str) -> str:
        """Write a file that logs in whoever opens it, once and soon; its path. Raises: StateError."""
        self.tidy()
        ticket = self._secret()
        path = self._store.put_ticket(ticket_document(origin, ticket))
        self._logins.offer_ticket(ticket, self._clock.time())
        self._tickets[ticket] = (path, self._clock.time() + TICKET_FOR)
        return path

    def offer_code(self) -> str:
        """A code that logs in whoever types it, once and soon."""
        code = spelled(self._entropy(CODE_LENGTH))
        self._logins.offer_code(code, self._clock.time())
        return f"{code[:4]}-{code[4:]}"

    def redeem_ticket(self, ticket: str, origin: str) -> Given:
        """Log a browser in by a ticket. Raises: Forbidden."""
        given = self._given()
        self._logins.redeem_ticket(ticket, origin, given, self._clock.time())
        self._remove(ticket)
        self._save()
        return given

    def redeem_code(self, code: str, origin: str) -> Given:
        """Log a browser in by a code. Raises: Forbidden."""
        given = self._given()
        self._logins.redeem_code(code, origin, given, self._clock.time())
        self._save()
        return given

    def enrol(self, cookie: str, token: str, key: bytes, origin: str) -> tuple[bytes, str]:
        """Take a page's key; that of the service and the word to resume by. Raises: Forbidden, BadParams."""
        login = self._logins.enrol(cookie, token, key, origin, self._clock.time())
        self._save()
        return self._private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), login.resume

    def find(self, cookie: str, origin: str) -> Login | None:
        """The login of a cookie at that origin, if there is one."""
        return self._logins.find(cookie, origin, self._clock.time())

    def greet(self, origin: str, page_nonce: str) -> Greeting:
        """Prove to a page, which asks with a number of its own, that this is no squatter."""
        nonce = self._secret()
        return Greeting(nonce=nonce, signature=signed(self._private, words_of_service(origin, page_nonce, nonce)))

    def believes(self, login: Login, greeting: Greeting, page_nonce: str, signature: bytes, resume: str) -> bool:
        """Whether the page is one of that login."""
        words = words_of_page(login.origin, page_nonce, greeting.nonce)
        return self._logins.proves(login, signature, words, resume)

    @contextmanager
    def connected(self, login: Login, channel: Channel) -> Iterator[None]:
        """Count a page's connection while it lasts; it is closed when its login is over."""
        self._pages[channel] = login
        try:
            yield
        finally:
            del self._pages[channel]

    def is_page(self, channel: Channel) -> bool:
        """Whether a client is a page."""
        return channel in self._pages

    def log_out(self) -> int:
        """End every login and every page; how many logins there were."""
        gone = self._logins.end()
        for ticket in list(self._tickets):
            self._remove(ticket)
        self.tidy()
        self._save()
        return len(gone)

    def tidy(self) -> None:
        """Delete the files of tickets that are worth nothing any more, and close the pages whose login is over."""
        now = self._clock.time()
        for ticket, (_, until) in list(self._tickets.items()):
            if until <= now:
                self._remove(ticket)
        for channel, login in self._pages.items():
            if not self._logins.holds(login, now):
                channel.close("logged out")

    async def run(self) -> None:
        """Tidy up once a minute, by the time of day: a machine that slept counts, too; first what was left behind."""
        self._store.clear_tickets()
        while True:
            await self._clock.sleep(TICKET_FOR)
            self.tidy()

    @property
    def _logins(self) -> Logins:
        if self._loaded is None:
            kept = self._store.load()
            self._loaded = Logins(self._run, kept.logins)
            if kept.key:
                with suppress(ValueError, TypeError):
                    key = load_der_private_key(kept.key, None)
                    if isinstance(key, ec.EllipticCurvePrivateKey):
                        self._key = key
        return self._loaded

    @property
    def _private(self) -> ec.EllipticCurvePrivateKey:
        if self._key is None:
            self._key = ec.generate_private_key(ec.SECP256R1())
        return self._key

    def _save(self) -> None:
        key = self._private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        self._store.save(KeptLogins(key=key, logins=self._logins.logins))

    def _remove(self, ticket: str) -> None:
        path, _ = self._tickets.pop(ticket, ("", 0.0))
        if path:
            self._store.remove_ticket(path)

    def _given(self) -> Given:
        return Given(cookie=self._secret(), enrol=self._secret(), resume=self._secret())

    def _secret(self) -> str:
        return self._entropy(32).hex()
