"""The values that members of a household share and keep: signed statements as they travel, and the keys."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

from msgspec import Meta, Struct

BODY_MAX = 6144
"""Bytes of one statement without its signature."""


HouseholdId = Annotated[bytes, Meta(min_length=16, max_length=16)]
"""Random id of a household: two households of one founder have nothing in common."""
Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]
"""SHA-256: of a statement's body (which one), or of a certificate (which device)."""
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]

Limits = Mapping[bytes, frozenset[bytes]]
"""Fingerprint of a device that may only watch -> digests of its statements at the moment when that was decided."""
NO_LIMITS: Limits = MappingProxyType({})


class Signed(Struct, frozen=True, kw_only=True):
    """A statement (`trust.rules.statement`) as it travels and is kept."""

    body: Annotated[bytes, Meta(max_length=BODY_MAX)]
    signature: Signature

    @property
    def digest(self) -> bytes:
        """SHA-256 of the body, which names the statement: a signer can make many signatures for one body."""
        return hashlib.sha256(self.body).digest()


class KeyEpoch(Struct, frozen=True, kw_only=True):
    """One key of the household, in use from when it was made until a device is put out."""

    number: Annotated[int, Meta(ge=1, le=2**48)]
    key: Digest  # 32 random bytes
    removed: Digest  # `Roster.removed` when it was made: those who were put out by then do not have it
    at: Annotated[int, Meta(ge=0, le=2**40)]  # Unix seconds


class HouseholdState(Struct, frozen=True, kw_only=True):
    """The household in the form in which it survives a restart."""

    id: HouseholdId
    founder: Annotated[bytes, Meta(max_length=1024)]  # certificate (DER)
    statements: tuple[Signed, ...] = ()
    keys: tuple[KeyEpoch, ...] = ()
    blocked: dict[str, str] = {}  # fingerprint -> digest of the tombstone that was made here; hexadecimal
