"""The pairing code that a person carries from one device to the other: short to type, long to paste or scan (T3).

The protocol is the same for both. A short code allows three guesses; a long one has 128 bits, so that nobody who
guesses can use up its tries.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable

import msgspec
from msgspec import Struct

from agent.errors import BadParams
from agent.protocol.model import Endpoint
from agent.protocol.names import address, clean

SECRET_DIGITS = 6
"""Digits of the secret in a short code: three tries at a million are 3e-6."""
LONG_BYTES = 16
LINK = "lan-agent://pair?"
TEXT_MAX = 512
"""Characters of a code or link that are read."""
ADDRESSES_MAX = 8

_CODE = re.compile(r"([0-9]{2})([0-9]{6})")
_LONG = re.compile(r"[a-z2-7]{26}")
_BETWEEN = re.compile(r"[\s\u2010-\u2015\u2212-]+")
_LINK_LOCAL = re.compile(r"fe[89ab][0-9a-f]:", re.IGNORECASE)
_DEVICE = re.compile(r"[a-z2-7]{16}")


class Code(Struct, frozen=True):
    """A pairing code: finds a window, and proves that its screen was read. `str()` shows the secret, `repr()` never."""

    slot: str  # two digits, public: they find the window on the network
    secret: str  # six digits, or 26 characters of base32; never sent
    device: str = ""  # id of the device that shows it, from a link
    endpoints: tuple[Endpoint, ...] = ()  # of the window, from a link

    @property
    def long(self) -> bool:
        """Whether the code is a long one, beyond guessing."""
        return len(self.secret) != SECRET_DIGITS

    def __str__(self) -> str:
        """The code as people read it: `42-913-577`, or a long one in groups of four."""
        if self.long:
            return "-".join(self.secret[at : at + 4] for at in range(0, len(self.secret), 4))
        return f"{self.slot}-{self.secret[:3]}-{self.secret[3:]}"

    def __repr__(self) -> str:
        """The code without its secret, for logs and tracebacks."""
        return f"Code(slot={self.slot!r}, long={self.long})"

    def link(self) -> str:
        """The code as a link, for a QR code: `lan-agent://pair?id=…&a=HOST:PORT&s=…`."""
        words = [("id", self.device), *(("a", address(each)) for each in self.endpoints), ("s", self.secret)]
        return LINK + "&".join(f"{key}={value}" for key, value in words if value)


def new_code(below: Callable[[int], int]) -> Code:
    """Make a short code; `below(n)` must be an unguessable integer from 0 to n - 1 (`secrets.randbelow`)."""
    return Code(f"{below(100):02}", f"{below(10**SECRET_DIGITS):0{SECRET_DIGITS}}")


def new_long_code(entropy: Callable[[int], bytes]) -> Code:
    """Make a long code; `entropy` gives so many unguessable bytes."""
    return _long(base64.b32encode(entropy(LONG_BYTES)).decode().rstrip("=").lower())


def parse_code(text: str) -> Code:
    """Read a code as it was typed or pasted: short or long, with dashes or not; or a link. Raises: BadParams."""
    text = text.strip()
    if len(text) > TEXT_MAX:
        raise _unreadable()
    if text.lower().startswith(LINK):
        return _parse_link(text[len(LINK) :])
    bare = _BETWEEN.sub("", text)
    found = _CODE.fullmatch(bare)
    return Code(found[1], found[2]) if found else _parse_long(bare)


def _parse_long(bare: str) -> Code:
    bare = bare.lower()
    if not _LONG.fullmatch(bare):
        raise _unreadable()
    try:
        data = base64.b32decode(bare.upper() + "======")
    except binascii.Error:
        raise _unreadable() from None
    # Two bits of the 26 characters are unused: a code has one spelling only, or a typing error would be a wrong try.
    if base64.b32encode(data).decode().rstrip("=").lower() != bare:
        raise _unreadable()
    return _long(bare)


def _long(secret: str) -> Code:
    # The digits that find the window tell 1 of 100 about the secret, through a hash: 121 bits are left.
    digest = hashlib.sha256(b"lan-agent slot " + secret.encode()).digest()
    return Code(f"{int.from_bytes(digest[:8]) % 100:02}", secret)


def _parse_link(query: str) -> Code:
    words = [word.partition("=")[::2] for word in query.split("&")]
    fields = dict(words)
    device = fields.get("id", "")
    if device and not _DEVICE.fullmatch(device):
        raise _unreadable()
    code = _parse_long(_BETWEEN.sub("", fields.get("s", "")))
    found = [endpoint for key, value in words if key == "a" and (endpoint := parse_address(value))]
    return msgspec.structs.replace(code, device=device, endpoints=tuple(found[:ADDRESSES_MAX]))


def parse_address(text: str) -> Endpoint | None:
    """Read `HOST:PORT`, an IPv6 host in brackets; None if the text is something else."""
    host, _, port = text.strip().rpartition(":")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        return None
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port[:6]) < 65536:
        return None
    return Endpoint(host.removeprefix("[").removesuffix("]"), int(port))


def given_address(text: str) -> Endpoint:
    """Read the address that a person gave. Raises: BadParams."""
    endpoint = parse_address(text)
    if endpoint is None:
        hint = "`agent pair` shows its address, like 192.168.1.7:41234 or [fd00::7]:41234"
        raise BadParams(f"{clean(text, 80)!r} is not HOST:PORT", hint=hint)
    if _LINK_LOCAL.match(endpoint.host) and "%" not in endpoint.host:
        hint = f"name the interface of this device behind it: [{endpoint.host}%eth0]:{endpoint.port}"
        raise BadParams(f"{clean(endpoint.host, 80)} is link-local: every network has one of those", hint=hint)
    return endpoint


def _unreadable() -> BadParams:
    return BadParams(
        "a code has eight digits, like 42-913-577, or is the long one of `agent pair --long`",
        hint="`agent pair` on the other device shows it",
    )
