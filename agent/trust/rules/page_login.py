"""Who may use the page: tickets and codes that let a browser in, logins, and the signatures of both sides (T8).

A browser sends cookies to every port of a host, and whoever held our port while we were away may have left a worker on
its origin. So a cookie alone opens nothing: the page signs with a key that its browser never gives away, and before it
does, the service proves with a key that the page has pinned that it is no squatter. A login that was made before this
start of the service counts only for documents that have been alive since: they alone know its `resume` word.
"""

from __future__ import annotations

import hashlib
import hmac
import html
from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from msgspec import Struct, structs

from agent.errors import BadParams, Forbidden
from agent.ports.page import Login

TICKET_FOR = 60.0
"""Seconds for which a ticket or a code is good, once."""
CODE_TRIES = 3
LOGIN_FOR = 43_200.0
"""Seconds after which a browser must log in again."""
LOGINS_MAX = 32
"""Logins at once; the oldest leaves first."""
TICKETS_MAX = 16
ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
"""Of labels and codes: 32 characters that nobody takes for another one."""
LABEL_LENGTH, CODE_LENGTH = 12, 8
_PART = 32  # bytes of each half of a signature


class Given(Struct, frozen=True, kw_only=True):
    """What a browser gets with its login, drawn by whoever lets it in."""

    cookie: str
    enrol: str
    resume: str


class _Ticket(Struct, kw_only=True):
    expires_at: float
    tries: int


class Logins:
    """Tickets, codes and logins. Nothing is stored here: after each call `logins` are those to keep."""

    def __init__(self, run: str, logins: Iterable[Login] = ()) -> None:
        """`run` names this start of the service; `logins` are those of earlier ones."""
        self._run = run
        self._logins = {each.cookie: each for each in logins}
        self._tickets: dict[str, _Ticket] = {}  # by digest
        self._codes: dict[str, _Ticket] = {}

    @property
    def logins(self) -> tuple[Login, ...]:
        """Every login, oldest first."""
        return tuple(self._logins.values())

    def offer_ticket(self, ticket: str, now: float) -> None:
        """Let in whoever brings that ticket."""
        _offer(self._tickets, ticket, now, tries=1)

    def offer_code(self, code: str, now: float) -> None:
        """Let in whoever types that code; the one before is void."""
        self._codes.clear()
        _offer(self._codes, code, now, tries=CODE_TRIES)

    def redeem_ticket(self, ticket: str, origin: str, given: Given, now: float) -> Login:
        """Turn a ticket into a login. Raises: Forbidden, for one that was used, is too old, or never was."""
        found = self._tickets.pop(digest(ticket), None)
        if found is None or found.expires_at <= now:
            raise Forbidden("that ticket was used, or is too old", hint="run `agent page` once more")
        return self._let_in(origin, given, now)

    def redeem_code(self, code: str, origin: str, given: Given, now: float) -> Login:
        """Turn a code into a login. Raises: Forbidden; after three wrong ones there is none any more."""
        typed = digest(normal(code))
        for known, offered in list(self._codes.items()):
            if offered.expires_at <= now:
                del self._codes[known]
            elif hmac.compare_digest(known, typed):
                del self._codes[known]
                return self._let_in(origin, given, now)
            else:
                offered.tries -= 1
                if offered.tries <= 0:
                    del self._codes[known]
        left = sum(each.tries for each in self._codes.values())
        hint = f"{left} more {'try' if left == 1 else 'tries'}" if left else "run `agent page --code` once more"
        raise Forbidden("that is not the code", hint=hint)

    def enrol(self, cookie: str, token: str, key: bytes, origin: str, now: float) -> Login:
        """Take the page's key, once after its login. Raises: Forbidden, BadParams."""
        login = self.find(cookie, origin, now)
        if login is None or not login.enrol or not hmac.compare_digest(login.enrol, digest(token)):
            raise Forbidden("this page may not name a key", hint="run `agent page` once more")
        check_key(key)
        self._logins[login.cookie] = login = structs.replace(login, key=key, enrol="")
        return login

    def find(self, cookie: str, origin: str, now: float) -> Login | None:
        """The login that belongs to a cookie at that origin; None if there is none, or it is over."""
        self.expire(now)
        login = self._logins.get(digest(cookie))
        return login if login is not None and login.origin == origin else None

    def holds(self, login: Login, now: float) -> bool:
        """Whether a login that was found is not over yet."""
        self.expire(now)
        return login.cookie in self._logins

    def proves(self, login: Login, signature: bytes, words: bytes, resume: str) -> bool:
        """Whether whoever says so is a page of that login: by its key, and from before a restart by `resume` too."""
        if not login.key or not verifies(login.key, signature, words):
            return False
        return login.run == self._run or hmac.compare_digest(login.resume.encode(), resume.encode())

    def expire(self, now: float) -> list[Login]:
        """Forget what is over; the logins that are gone."""
        gone = [each for each in self._logins.values() if each.expires_at <= now]
        for each in gone:
            del self._logins[each.cookie]
        return gone

    def end(self) -> list[Login]:
        """End every login, and void every ticket and code; the logins that are gone."""
        gone = list(self._logins.values())
        self._logins.clear()
        self._tickets.clear()
        self._codes.clear()
        return gone

    def _let_in(self, origin: str, given: Given, now: float) -> Login:
        login = Login(
            cookie=digest(given.cookie),
            origin=origin,
            run=self._run,
            expires_at=now + LOGIN_FOR,
            resume=given.resume,
            enrol=digest(given.enrol),
        )
        while len(self._logins) >= LOGINS_MAX:
            del self._logins[next(iter(self._logins))]
        self._logins[login.cookie] = login
        return login


def _offer(offers: dict[str, _Ticket], secret: str, now: float, *, tries: int) -> None:
    for known in [known for known, each in offers.items() if each.expires_at <= now]:
        del offers[known]
    while len(offers) >= TICKETS_MAX:
        del offers[next(iter(offers))]
    offers[digest(normal(secret) if tries > 1 else secret)] = _Ticket(expires_at=now + TICKET_FOR, tries=tries)


def digest(secret: str) -> str:
    """What is kept of a secret, and looked up by: nobody learns it from how long a look takes."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def spelled(entropy: bytes) -> str:
    """A label or a code, one character of five bits for each byte."""
    return "".join(ALPHABET[each % len(ALPHABET)] for each in entropy)


def is_label(text: str) -> bool:
    """Whether a text can have been the label of a start of the service."""
    return len(text) == LABEL_LENGTH and set(text) <= set(ALPHABET)


def normal(code: str) -> str:
    """A code as it was typed, without spaces and dashes, in lower case."""
    return "".join(each for each in code[:64].lower() if each.isalnum())


# --- signatures ------------------------------------------------------------------------------------------------------


def words_of_service(origin: str, page_nonce: str, service_nonce: str) -> bytes:
    """What the service signs, so that the page tells it from a squatter."""
    return f"lan-agent-service|{origin}|{page_nonce}|{service_nonce}".encode()


def words_of_page(origin: str, page_nonce: str, service_nonce: str) -> bytes:
    """What the page signs, after it has believed the service."""
    return f"lan-agent-page|{origin}|{page_nonce}|{service_nonce}".encode()


def check_key(key: bytes) -> None:
    """Raise BadParams for what is no P-256 public key."""
    try:
        found = load_der_public_key(key)
    except ValueError as exc:
        raise BadParams("that is no public key") from exc
    if not isinstance(found, ec.EllipticCurvePublicKey) or not isinstance(found.curve, ec.SECP256R1):
        raise BadParams("a key of the page is of P-256")


def verifies(key: bytes, signature: bytes, words: bytes) -> bool:
    """Whether a signature, as WebCrypto makes it (r and s, 32 bytes each), is that of a P-256 key."""
    if len(signature) != 2 * _PART:
        return False
    found = load_der_public_key(key)
    assert isinstance(found, ec.EllipticCurvePublicKey)
    numbers = (int.from_bytes(part, "big") for part in (signature[:_PART], signature[_PART:]))
    try:
        found.verify(utils.encode_dss_signature(*numbers), words, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def signed(key: ec.EllipticCurvePrivateKey, words: bytes) -> bytes:
    """A signature as WebCrypto takes it."""
    r, s = utils.decode_dss_signature(key.sign(words, ec.ECDSA(SHA256())))
    return r.to_bytes(_PART, "big") + s.to_bytes(_PART, "big")


def ticket_document(origin: str, ticket: str) -> str:
    """A document that logs in whoever opens it as a file: it posts its ticket, so that no address has a secret."""
    return (
        '<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer"><title>lan-agent</title>'
        f'<form method="post" action="{html.escape(origin)}/login">'
        f'<input type="hidden" name="ticket" value="{html.escape(ticket)}"><button>Open lan-agent</button></form>'
        "<script>document.forms[0].submit()</script>"
    )
