"""Who a device is: an Ed25519 key, and a certificate that is a pure function of it (T1).

Exactly one certificate exists for a key, byte for byte. A paired peer with a certificate of another form (CA:TRUE,
another key type, other dates) could mint certificates that verify, so nothing but this profile is ever trusted, and
the check compares bytes instead of reading fields. Source: FACTS-SECURITY §3.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from agent.errors import Refused
from agent.protocol.model import DeviceId

KEY_SIZE = 32
"""Bytes of an Ed25519 seed and of a public key."""
SIGNATURE_SIZE = 64
"""Bytes of an Ed25519 signature, the last ones of a certificate."""

# A Pi without a clock boots in 1970 and would lock itself out with any later start; validity is enforced for pins too.
_NOT_BEFORE = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_AFTER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


class BadCertificate(Refused):
    """A certificate that is not of this program's one profile."""

    hint = "the other device may run another version: `agent status`"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The identity of this device: its private key, certificate and id."""

    key: Ed25519PrivateKey = field(repr=False)
    certificate: bytes  # DER
    pem_path: str  # the file with key and certificate: the ssl module takes no key from memory

    @property
    def id(self) -> DeviceId:
        """The id under which other devices know this one."""
        return device_id(self.certificate)


def make_certificate(key: Ed25519PrivateKey) -> bytes:
    """Make the certificate (DER) of a key: the same bytes every time."""
    public = key.public_key().public_bytes_raw()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _name(public))])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(_serial(public))
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    return builder.sign(key, None).public_bytes(Encoding.DER)


def check_profile(der: bytes) -> None:
    """Check that `der` is the one certificate that its key has. Raises: BadCertificate.

    Compares, and verifies one signature of what passes; builds and signs nothing, so that a stranger's bytes are cheap
    to refuse.
    """
    layout = _layout()
    public = der[layout.key : layout.key + KEY_SIZE]
    if len(der) != layout.size or der[:-SIGNATURE_SIZE] != layout.unsigned(public):
        raise BadCertificate("that certificate is not one of this program's")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(der[-SIGNATURE_SIZE:], der[layout.signed])
    except InvalidSignature:
        raise BadCertificate("that certificate is not signed by its own key") from None


def public_key(der: bytes) -> Ed25519PublicKey:
    """The key in a certificate of the profile. Raises: BadCertificate."""
    check_profile(der)
    return _key_of(der)


def is_signed(der: bytes, signature: bytes, data: bytes) -> bool:
    """Whether the key in a certificate has signed the data. Raises: BadCertificate."""
    check_profile(der)
    return is_signed_by(der, signature, data)


def is_signed_by(der: bytes, signature: bytes, data: bytes) -> bool:
    """Whether the key in a certificate that `check_profile` has passed before has signed the data."""
    return signed_by(_key_of(der), signature, data)


def signed_by(key: Ed25519PublicKey, signature: bytes, data: bytes) -> bool:
    """Whether that key has signed the data. Faster than `is_signed` for a caller that keeps the key."""
    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _key_of(der: bytes) -> Ed25519PublicKey:
    offset = _layout().key
    return Ed25519PublicKey.from_public_bytes(der[offset : offset + KEY_SIZE])


def fingerprint(der: bytes) -> bytes:
    """The SHA-256 of a certificate, which is pinned."""
    return hashlib.sha256(der).digest()


def device_id(der: bytes) -> DeviceId:
    """The id of the device with this certificate: 80 bits of its fingerprint."""
    return device_of(fingerprint(der))


def device_of(mark: bytes) -> DeviceId:
    """The id of the device with this fingerprint: its first 80 bits."""
    return DeviceId(_base32(mark[:10]))


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()


class _Layout(NamedTuple):
    # Of every certificate of the profile: what is the same in all, around what follows from the key.
    size: int
    key: int  # where the public key stands
    signed: slice  # what the certificate's own signature covers
    fixed: tuple[bytes, ...]  # around serial number, issuer, subject and key

    def unsigned(self, public: bytes) -> bytes:
        """The certificate of a public key, without its signature."""
        serial, name = _serial(public).to_bytes(16), _name(public).encode()
        first, second, third, fourth, last = self.fixed
        return b"".join((first, serial, second, name, third, name, fourth, public, last))


@cache
def _layout() -> _Layout:
    key = Ed25519PrivateKey.from_private_bytes(bytes(KEY_SIZE))
    public = key.public_key().public_bytes_raw()
    der = make_certificate(key)
    signed = x509.load_der_x509_certificate(der).tbs_certificate_bytes
    begins = der.index(signed)
    name = _name(public).encode()
    fixed, rest = [], der[:-SIGNATURE_SIZE]
    for varies in (_serial(public).to_bytes(16), name, name, public):
        before, _, rest = rest.partition(varies)
        fixed.append(before)
    return _Layout(len(der), der.index(public), slice(begins, begins + len(signed)), (*fixed, rest))


def _name(public: bytes) -> str:
    # OpenSSL looks issuers up by name: a name of its own for each key keeps that from finding another one's.
    return f"lan-agent {_base32(hashlib.sha256(public).digest())}"


def _serial(public: bytes) -> int:
    # Always 16 bytes and positive: every certificate of the profile has the same length.
    return int.from_bytes(hashlib.sha256(public).digest()[:16]) & ~(1 << 127) | (1 << 126)
