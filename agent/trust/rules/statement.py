"""Statements of members about who is in the household: signed, never changed, passed on by anybody (T4).

A statement stands on the admission under which its signer acts, and names by digest the statements that its signer
knew: so their order needs no clock. Bytes from a peer become statements here and nowhere else.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from agent.errors import BadParams
from agent.protocol.household import BODY_MAX, Digest, HouseholdId, Signed
from agent.protocol.identity import Identity, fingerprint, is_signed_by
from agent.protocol.model import NAME_MAX

SEEN_MAX = 128
"""Statements that one statement may name."""
_LABEL = b"lan-agent household 1"

FOUNDING = b""
"""Stands for the admission of the founder, which has none."""


class Statement(Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """One signed statement of a member: admits a device, revokes one, or leaves. It has exactly one encoding."""

    household: HouseholdId
    kind: Literal["admit", "revoke", "leave"]
    by: Digest  # fingerprint of the signer
    under: Annotated[bytes, Meta(max_length=32)]  # digest of the signer's admission, or FOUNDING
    seq: Annotated[int, Meta(ge=1, le=2**32)]  # counts the statements of the signer
    who: Annotated[bytes, Meta(min_length=32, max_length=1024)]  # admit: certificate; else: fingerprint
    name: Annotated[str, Meta(max_length=NAME_MAX)]  # admit: what the device called itself
    at: Annotated[int, Meta(ge=0, le=2**40)]  # Unix seconds, for people only
    seen: Annotated[tuple[Digest, ...], Meta(max_length=SEEN_MAX)]
    # admit: tombstones of the device that this admission knows, and overcomes.
    # revoke, leave: known statements of the device, which stand; everything else that it signed is void.

    @property
    def device(self) -> bytes:
        """Fingerprint of the device that the statement is about."""
        return fingerprint(self.who) if self.kind == "admit" else self.who


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Statement)


def sign(statement: Statement, identity: Identity) -> Signed:
    """Sign a statement as this device. Raises: BadParams, if it is too long."""
    body = _encode(statement)
    if len(body) > BODY_MAX:
        raise BadParams("that statement is too long")
    return Signed(body=body, signature=identity.key.sign(_LABEL + body))


def read(signed: Signed) -> Statement:
    """Parse a statement, without checking its signature or a certificate in it. Raises: BadParams."""
    try:
        statement = _decoder.decode(signed.body)
    except (ValueError, RecursionError) as exc:
        raise BadParams(f"a statement is malformed: {exc}") from exc
    if len(signed.body) > BODY_MAX or _encode(statement) != signed.body:
        raise BadParams("a statement is not in its one encoding")
    if len(statement.under) not in {0, 32}:
        raise BadParams("a statement stands on nothing")
    if statement.kind == "admit":
        return statement
    if len(statement.who) != 32 or (statement.kind == "leave" and statement.who != statement.by):
        raise BadParams("a statement puts out what is no device")
    return statement


def is_genuine(signed: Signed, certificate: bytes) -> bool:
    """Whether the key of that certificate (DER, known to be of the profile) has signed a statement."""
    return is_signed_by(certificate, signed.signature, _LABEL + signed.body)
