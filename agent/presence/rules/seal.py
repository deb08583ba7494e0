"""Announcements that only the household reads and only their device can have written (T5; FACTS-SECURITY §6).

*Sealed*: the session entries, padded so that their lengths tell little, under a key that every member can derive and
nobody else. *Signed*: all strings of the record with its instance name and port, so that no record can be changed,
mixed, or sent again as somebody else's. Everything that is read here may come from anybody: reading gives None or
False, and raises nothing.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Meta, Struct

from agent.protocol.model import TITLE_MAX, DeviceId, SessionClaim, Status
from agent.protocol.names import clean_title, truncate_bytes

NONCE_SIZE = 12
TAG_SIZE = 16
SIGNATURE_ROOM = 69
"""Bytes that a signature takes in a record: `sig=`, 64 bytes, and the length byte before them."""
SIGNED_MAX = 1300
"""Bytes of strings that are looked at: what is larger no device of ours has written."""
TITLE_BYTES = 40
"""Of a sealed title: no reader pays for a stranger's curiosity, so it may be longer than an open one."""
ENTRIES_MAX = 64
CHUNK = 251
"""Bytes of sealed data in one string: with `e0=` before them they fit 255."""
PAD = 64
"""The plaintext is a multiple of this: its length does not tell how long the titles are."""

PublicKey = Ed25519PublicKey
"""What a signature is checked with: `identity.public_key` of a pinned certificate."""

_SEAL_LABEL = b"lan-agent seal 1\0_lan-agent._tcp.local.\0"
_KEY_LABEL = b"lan-agent seal key 1\0"
_SIGN_LABEL = b"lan-agent announcement 1\0"
_SIG = b"sig="
_KEY_SIZE = 32
_CHUNK_KEY = re.compile(rb"e([0-9])=")
_SESSION = re.compile(r"[a-z2-7]{6,16}")
_LETTERS = {Status.WORKING: "w", Status.NEEDS_INPUT: "n"}
_STATUSES = {"w": Status.WORKING, "n": Status.NEEDS_INPUT}


class _Entry(Struct, frozen=True, array_like=True, gc=False):
    # A session as it is sealed. A later version adds fields at the end.
    id: Annotated[str, Meta(max_length=16)]
    status: Annotated[str, Meta(max_length=8)]
    updated_at: Annotated[int, Meta(ge=0, le=36**7)]
    title: Annotated[str, Meta(max_length=TITLE_MAX)]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Annotated[tuple[_Entry, ...], Meta(max_length=ENTRIES_MAX)])


def seal(
    claims: Sequence[SessionClaim], *, key: bytes, epoch: int, device: DeviceId, revision: int, nonce: bytes
) -> list[bytes]:
    """Seal claims, in their order, into the strings `e0=…`, `e1=…`; no strings for no claims.

    `key` is the household's key of that epoch (32 bytes); `nonce` is 12 random bytes, never used twice.
    """
    if not claims:
        return []
    assert len(nonce) == NONCE_SIZE, "a nonce of 12 bytes"
    packed = _encoder.encode([_entry(claim) for claim in claims])
    plain = len(packed).to_bytes(2) + packed
    plain += bytes(-len(plain) % PAD)
    cipher = ChaCha20Poly1305(_device_key(key, epoch, device))
    data = nonce + cipher.encrypt(nonce, plain, _bound_to(device, revision))
    return [b"e%d=" % (at // CHUNK) + data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]


def unseal(
    strings: Iterable[bytes], *, keys: Mapping[int, bytes], device: DeviceId, revision: int
) -> tuple[SessionClaim, ...] | None:
    """Read the claims that were sealed into a record with any of the keys (by epoch); None if none can be read.

    Malformed claims are left out, titles are cleaned.
    """
    data = _joined(strings)
    if data is None:
        return None
    nonce, sealed = data[:NONCE_SIZE], data[NONCE_SIZE:]
    for epoch in sorted(keys, reverse=True):
        try:
            plain = ChaCha20Poly1305(_device_key(keys[epoch], epoch, device)).decrypt(
                nonce, sealed, _bound_to(device, revision)
            )
            entries = _decoder.decode(_unpadded(plain))
        except InvalidTag:
            continue
        except (ValueError, RecursionError):
            return None
        return _claims(entries)
    return None


def sign(strings: Sequence[bytes], *, instance: str, port: int, key: Ed25519PrivateKey) -> bytes:
    """The string `sig=…` that signs all others, for a record that is announced under that instance name and port."""
    return _SIG + key.sign(_signed(strings, instance, port))


def verify(strings: Sequence[bytes], *, instance: str, port: int, key: PublicKey) -> bool:
    """Whether exactly these strings, in any order, were signed with that key for that instance name and port."""
    signatures = [string for string in strings if string.startswith(_SIG)]
    if len(signatures) != 1 or not 0 <= port < 65536 or sum(map(len, strings)) + len(strings) > SIGNED_MAX:
        return False
    others = [string for string in strings if not string.startswith(_SIG)]
    try:
        key.verify(signatures[0][len(_SIG) :], _signed(others, instance, port))
    except InvalidSignature:
        return False
    return True


def is_signed(strings: Iterable[bytes]) -> bool:
    """Whether a record claims to be signed, rightly or not."""
    return any(string.startswith(_SIG) for string in strings)


def _signed(strings: Iterable[bytes], instance: str, port: int) -> bytes:
    # Names of the DNS are the same in upper and lower case, and a cache keeps the case that it met first.
    name = instance.lower().encode("utf-8", "surrogatepass")
    parts = [_SIGN_LABEL, struct.pack("!HH", port, len(name)), name]
    for string in sorted(strings):
        parts += (struct.pack("!H", len(string)), string)
    return b"".join(parts)


def _unpadded(plain: bytes) -> bytes:
    size = int.from_bytes(plain[:2])
    if not 0 < size <= len(plain) - 2:
        raise ValueError("the length does not fit the plaintext")
    return plain[2 : 2 + size]


def _device_key(key: bytes, epoch: int, device: DeviceId) -> bytes:
    info = _KEY_LABEL + struct.pack("!Q", epoch) + device.encode()
    return HKDF(algorithm=SHA256(), length=_KEY_SIZE, salt=None, info=info).derive(key)


def _bound_to(device: DeviceId, revision: int) -> bytes:
    return _SEAL_LABEL + f"{device}\0{revision}".encode()


def _entry(claim: SessionClaim) -> _Entry:
    title = truncate_bytes(clean_title(claim.title), TITLE_BYTES, "…")
    return _Entry(claim.id, _LETTERS.get(claim.status, "i"), claim.updated_at, title)


def _claims(entries: Iterable[_Entry]) -> tuple[SessionClaim, ...]:
    claims = {
        entry.id: SessionClaim(
            id=entry.id,
            status=_STATUSES.get(entry.status, Status.IDLE),  # R7: an unknown status reads idle
            updated_at=entry.updated_at,
            title=clean_title(entry.title),
        )
        for entry in entries
        if _SESSION.fullmatch(entry.id)
    }
    return tuple(claims.values())


def _joined(strings: Iterable[bytes]) -> bytes | None:
    chunks = {int(found[1]): string[3:] for string in strings if (found := _CHUNK_KEY.match(string))}
    data = b"".join(chunks[number] for number in sorted(chunks))
    whole = chunks and max(chunks) == len(chunks) - 1 and len(data) >= NONCE_SIZE + TAG_SIZE
    return data if whole else None
