"""The pairing handshake PAIR-1: two devices that share a code learn to trust each other's key (T3).

The host shows the code, the joiner's user types it. Five messages over TLS whose certificate proves nothing yet:

| | from | what | so that |
| --- | --- | --- | --- |
| 1 | joiner | `Hello`: certificate, nonce, SPAKE2 share | |
| 2 | host | `HelloReply`: the same of its own | its certificate is the one that TLS showed |
| 3 | joiner | `Proof`: MAC under the common key, signature | the joiner knows the code, and has its key |
| 4 | host | `Grant`: the same, and a sealed `Bundle` | the host knows the code, and has its key |
| 5 | joiner | `Thanks`: its own sealed `Bundle` | |

Both fingerprints are identities of the SPAKE2 run, as the joiner saw them and as the host has them: whoever relays with
a certificate of his own makes the keys differ. MACs, signatures and seals cover the hash of messages 1 and 2 and name
their role. Any deviation ends a run for good. Source: FACTS-SECURITY §4.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Meta, Struct

from agent.errors import PairingFailed
from agent.ports.pairing import FRAME_MAX
from agent.protocol.guests import Terms
from agent.protocol.identity import BadCertificate, Identity, fingerprint, public_key
from agent.protocol.model import Port

if TYPE_CHECKING:  # else imported where a run begins: 25 ms and 0.9 MiB that a service which pairs nobody does without
    from spake2 import SPAKE2_A, SPAKE2_B

_LABEL = b"lan-agent pairing 1"
_JOINER, _HOST = b"J", b"H"

Certificate = Annotated[bytes, Meta(max_length=1024)]
Nonce = Annotated[bytes, Meta(min_length=16, max_length=16)]
Share = Annotated[bytes, Meta(min_length=33, max_length=33)]
Mac = Annotated[bytes, Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
Sealed = Annotated[bytes, Meta(max_length=3072)]


class WrongCode(PairingFailed):
    """The other side of a pairing does not know the code."""

    hint = "type the code as it is shown; `agent pair` gives a new one"


class Bundle(Struct, frozen=True, kw_only=True):
    """What paired devices send each other first. New fields get defaults; unknown ones are ignored."""

    name: Annotated[str, Meta(max_length=256)]  # not cleaned yet
    port: Port  # of the gateway
    hosts: Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=16)] = ()  # IP addresses
    household: Annotated[bytes, Meta(max_length=16)] = b""  # that it shares with other devices; empty: with none
    guest: Terms | None = None  # from the host: the joiner is let in on these terms, and into no household


class Partner(Struct, frozen=True, kw_only=True):
    """The device at the other end of a handshake that has succeeded."""

    certificate: bytes  # DER; its key is proven
    bundle: Bundle


class Hello(Struct, frozen=True, kw_only=True, tag="hello", forbid_unknown_fields=True):
    """Message 1, joiner to host: certificate, nonce, SPAKE2 share."""

    certificate: Certificate
    nonce: Nonce
    share: Share


class HelloReply(Struct, frozen=True, kw_only=True, tag="reply", forbid_unknown_fields=True):
    """Message 2, host to joiner: certificate, nonce, SPAKE2 share."""

    certificate: Certificate
    nonce: Nonce
    share: Share


class Proof(Struct, frozen=True, kw_only=True, tag="proof", forbid_unknown_fields=True):
    """Message 3, joiner to host: proof of the code and of the key."""

    mac: Mac
    signature: Signature


class Grant(Struct, frozen=True, kw_only=True, tag="grant", forbid_unknown_fields=True):
    """Message 4, host to joiner: proof of the code and of the key, and the sealed bundle."""

    mac: Mac
    signature: Signature
    sealed: Sealed


class Thanks(Struct, frozen=True, kw_only=True, tag="thanks", forbid_unknown_fields=True):
    """Message 5, joiner to host: its sealed bundle."""

    sealed: Sealed


M = TypeVar("M", Hello, HelloReply, Proof, Grant, Thanks, Bundle)
_encode = msgspec.msgpack.Encoder().encode


def decode(data: bytes, kind: type[M]) -> M:
    """Parse one handshake message of the kind that is due. Raises: PairingFailed, for anything else."""
    if len(data) > FRAME_MAX:
        raise PairingFailed("a pairing message is too long")
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (ValueError, RecursionError) as exc:
        raise PairingFailed(f"a pairing message is malformed: {exc}") from exc


_Step = Enum("_Step", ("START", "SHARED", "PROVEN", "DONE", "FAILED"))


class _Keys(Struct, frozen=True):
    # Each key is used for one message, so a fixed nonce never meets two of them.
    joiner_mac: bytes
    host_mac: bytes
    joiner_seal: bytes
    host_seal: bytes


class _Run:
    # What both roles do with the common secret.

    def __init__(self, identity: Identity, bundle: Bundle) -> None:
        self._identity = identity
        self._bundle = bundle
        self._step = _Step.START
        self._transcript = b""
        self._keys: _Keys | None = None
        self._theirs = b""  # certificate of the other side
        self.partner: Partner | None = None

    def _advance(self, due: _Step, then: _Step) -> None:
        # Callers go to FAILED first and leave it only when all is checked, so that no run goes on after an error.
        if self._step is not due:
            self._step = _Step.FAILED
            raise PairingFailed("a pairing message came out of turn")
        self._step = then

    def _agree(self, spake: SPAKE2_A | SPAKE2_B, share: bytes, messages: tuple[bytes, bytes], host: bytes) -> None:
        from spake2 import SPAKEError  # noqa: PLC0415 - see above
        from spake2.ed25519_basic import NotOnCurve  # noqa: PLC0415 - see above

        try:
            secret = spake.finish(share)
        except (SPAKEError, NotOnCurve, ValueError, AssertionError) as exc:
            raise PairingFailed(f"the other side's share is not valid: {type(exc).__name__}") from exc
        self._transcript = _digest(_LABEL, *messages, host)
        together = HKDF(SHA256(), 128, salt=self._transcript, info=_LABEL + b" keys").derive(secret)
        self._keys = _Keys(*(together[start : start + 32] for start in range(0, 128, 32)))

    def _sign(self, role: bytes) -> bytes:
        return self._identity.key.sign(_LABEL + role + self._transcript)

    def _verify(self, role: bytes, key: bytes, mac: bytes, signature: bytes) -> None:
        if not hmac.compare_digest(mac, _mac(key, role + self._transcript)):
            raise WrongCode
        try:
            public_key(self._theirs).verify(signature, _LABEL + role + self._transcript)
        except InvalidSignature:
            raise PairingFailed("the other side does not have the key of its certificate") from None

    def _seal(self, key: bytes) -> bytes:
        return ChaCha20Poly1305(key).encrypt(bytes(12), _encode(self._bundle), self._transcript)

    def _unseal(self, key: bytes, sealed: bytes) -> None:
        try:
            opened = ChaCha20Poly1305(key).decrypt(bytes(12), sealed, self._transcript)
        except InvalidTag:
            raise PairingFailed("a pairing message was changed on its way") from None
        self.partner = Partner(certificate=self._theirs, bundle=decode(opened, Bundle))


class Joiner(_Run):
    """The side on which the code is typed. Feed it the host's messages; after a PairingFailed it is of no more use."""

    def __init__(
        self, identity: Identity, secret: str, seen: bytes, bundle: Bundle, entropy: Callable[[int], bytes]
    ) -> None:
        """`seen` is the certificate (DER) that the host's TLS showed. Raises: PairingFailed, if it is our own."""
        from spake2 import SPAKE2_A  # noqa: PLC0415 - see above

        super().__init__(identity, bundle)
        if seen == identity.certificate:
            raise PairingFailed("that code is shown by this device", hint="type it on the other one")
        _check(seen)
        self._theirs = seen
        ours = _JOINER + fingerprint(identity.certificate)
        self._spake = SPAKE2_A(secret.encode(), idA=ours, idB=_HOST + fingerprint(seen), entropy_f=entropy)
        self._hello = _encode(Hello(certificate=identity.certificate, nonce=entropy(16), share=self._spake.start()))

    def hello(self) -> bytes:
        """Make message 1, the hello."""
        self._advance(_Step.START, _Step.SHARED)
        return self._hello

    def prove(self, reply: bytes) -> bytes:
        """Make message 3, the proof, from message 2. Raises: PairingFailed."""
        self._advance(_Step.SHARED, _Step.FAILED)
        theirs = decode(reply, HelloReply)
        if theirs.certificate != self._theirs:
            raise PairingFailed("the other device is not the one that answered: somebody is in between")
        self._agree(self._spake, theirs.share, (self._hello, reply), fingerprint(self._theirs))
        assert self._keys is not None
        mac = _mac(self._keys.joiner_mac, _JOINER + self._transcript)
        self._step = _Step.PROVEN
        return _encode(Proof(mac=mac, signature=self._sign(_JOINER)))

    def thank(self, grant: bytes) -> bytes:
        """Make message 5, the thanks, from message 4; `partner` is then known. Raises: PairingFailed, WrongCode."""
        self._advance(_Step.PROVEN, _Step.FAILED)
        assert self._keys is not None
        theirs = decode(grant, Grant)
        self._verify(_HOST, self._keys.host_mac, theirs.mac, theirs.signature)
        self._unseal(self._keys.host_seal, theirs.sealed)
        if self.partner and self.partner.bundle.guest:  # the household is no affair of a host
            self._bundle = msgspec.structs.replace(self._bundle, household=b"")
        self._step = _Step.DONE
        return _encode(Thanks(sealed=self._seal(self._keys.joiner_seal)))


class Host(_Run):
    """The side that shows the code. Feed it the joiner's messages; after a PairingFailed it is of no more use."""

    def __init__(self, identity: Identity, secret: str, bundle: Bundle, entropy: Callable[[int], bytes]) -> None:
        super().__init__(identity, bundle)
        self._secret = secret
        self._entropy = entropy

    def reply(self, hello: bytes) -> bytes:
        """Make message 2, the reply, from message 1. Raises: PairingFailed."""
        from spake2 import SPAKE2_B  # noqa: PLC0415 - see above

        self._advance(_Step.START, _Step.FAILED)
        theirs = decode(hello, Hello)
        if theirs.certificate == self._identity.certificate:
            raise PairingFailed("the other side shows this device's own certificate")
        _check(theirs.certificate)
        self._theirs = theirs.certificate
        own = fingerprint(self._identity.certificate)
        joiner, host = _JOINER + fingerprint(self._theirs), _HOST + own
        spake = SPAKE2_B(self._secret.encode(), idA=joiner, idB=host, entropy_f=self._entropy)
        ours = HelloReply(certificate=self._identity.certificate, nonce=self._entropy(16), share=spake.start())
        reply = _encode(ours)
        self._agree(spake, theirs.share, (hello, reply), own)
        self._step = _Step.SHARED
        return reply

    def grant(self, proof: bytes) -> bytes:
        """Make message 4, the grant, from message 3. Raises: PairingFailed, WrongCode."""
        self._advance(_Step.SHARED, _Step.FAILED)
        assert self._keys is not None
        theirs = decode(proof, Proof)
        self._verify(_JOINER, self._keys.joiner_mac, theirs.mac, theirs.signature)
        mac = _mac(self._keys.host_mac, _HOST + self._transcript)
        self._step = _Step.PROVEN
        return _encode(Grant(mac=mac, signature=self._sign(_HOST), sealed=self._seal(self._keys.host_seal)))

    def finish(self, thanks: bytes) -> None:
        """Take message 5, the thanks; `partner` is then known. Raises: PairingFailed."""
        self._advance(_Step.PROVEN, _Step.FAILED)
        assert self._keys is not None
        self._unseal(self._keys.joiner_seal, decode(thanks, Thanks).sealed)
        self._step = _Step.DONE


def _check(certificate: bytes) -> None:
    try:
        public_key(certificate)
    except BadCertificate as exc:
        raise PairingFailed(str(exc), hint=exc.hint) from exc


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _digest(*parts: bytes) -> bytes:
    # Lengths in front: no two lists of parts have the same bytes.
    return hashlib.sha256(b"".join(len(part).to_bytes(4) + part for part in parts)).digest()
