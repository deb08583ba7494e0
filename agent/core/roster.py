"""Who belongs to the household: a pure function of the set of statements, whatever order they came in (T4).

A statement *stands* if its signer was let in (the admission it is under stands) and every tombstone of that signer
has seen it: what a revoked device signed behind the revoker's back is void. A tombstone takes effect in the order of
its signer's seniority, breadth-first from the founder, and a later one cannot undo an earlier one: of two devices
that revoke each other the senior stays. A member is a device with an admission that stands and that knows every
tombstone of the device that is in effect, so that a revoked device comes back by a new admission only.
Source: FACTS-SECURITY §4 "Household roster".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct, structs

from agent.core.household import Signed
from agent.core.identity import Identity, fingerprint
from agent.core.names import clean
from agent.core.records import NAME_MAX
from agent.core.statement import FOUNDING, SEEN_MAX, Statement, is_genuine, read, sign
from agent.errors import BadParams, Forbidden

ROSTER_MAX = 393_216
"""Bytes of all statements: one frame of a link carries them, one state file keeps them."""
SIGNER_MAX = 98_304
"""Bytes of what one device says under one admission. Beyond it what it said last does not count."""
DEPTH_MAX = 64
"""Admissions between the founder and a member."""

Rank = tuple[int, tuple[tuple[int, bytes], ...]]
"""Seniority of an admission: depth, then the path to it; each step is numbered by who admitted. Smaller is senior."""


class Member(Struct, frozen=True, kw_only=True):
    """A device that is in."""

    certificate: bytes  # DER
    name: str  # what it called itself when it was let in, cleaned
    admission: bytes  # digest of the most senior one; FOUNDING
    admitted_by: bytes  # fingerprint; the founder's own for the founder
    admitted_at: int  # Unix seconds as the admitter's clock had it
    knows: frozenset[bytes]  # tombstones that its admissions overcome


class Roster:
    """The statements of one household, and what follows from them."""

    def __init__(self, household: bytes, founder: bytes, statements: Iterable[Signed] = ()) -> None:
        """`founder` is a certificate (DER) of the profile. Statements that do not belong here are left out."""
        self.household, self.founder = household, founder
        self._founder = fingerprint(founder)
        self._signed: dict[bytes, Signed] = {}
        self._said: dict[bytes, Statement] = {}
        self._ranks: dict[bytes, Rank] = {FOUNDING: (0, ())}
        self._effective: dict[bytes, dict[bytes, frozenset[bytes]]] = {}  # device -> its tombstones, what they saw
        self._members: dict[bytes, Member] = {}
        self._settle()
        self.add(statements)

    # --- the set -----------------------------------------------------------------------------------------------------

    def add(self, statements: Iterable[Signed]) -> list[Signed]:
        """Take what is new, genuine, of this household and within bounds; those that were, signers first."""
        waiting: dict[bytes, tuple[Signed, Statement]] = {}
        for signed in statements:
            digest = signed.digest
            if digest not in self._signed:
                try:
                    said = read(signed)
                except BadParams:
                    continue
                if said.household == self.household:
                    waiting[digest] = (signed, said)
        fresh: list[bytes] = []
        while ready := [digest for digest, (_, said) in waiting.items() if said.under in self._ranks]:
            for digest in ready:
                signed, said = waiting.pop(digest)
                if self._enter(digest, signed, said):
                    fresh.append(digest)
        if fresh:
            self._trim()
            self._settle()
        return [self._signed[digest] for digest in fresh if digest in self._signed]

    def _enter(self, digest: bytes, signed: Signed, said: Statement) -> bool:
        depth, path = self._ranks[said.under]
        signer = self._certificate(said.under)
        if said.by != self._device(said.under) or depth >= DEPTH_MAX or not is_genuine(signed, signer):
            return False
        self._signed[digest], self._said[digest] = signed, said
        if said.kind == "admit":
            self._ranks[digest] = (depth + 1, (*path, (said.seq, digest)))
        return True

    def _trim(self) -> None:
        # Keeps the most senior ones: the same ones however they came, and no statement without what it stands on.
        if sum(map(_size, self._signed.values())) <= SIGNER_MAX:
            return
        spent: dict[bytes, int] = {}
        total, kept = 0, {FOUNDING}
        for digest in sorted(self._said, key=self._order):
            size, under = _size(self._signed[digest]), self._said[digest].under
            spent[under] = spent.get(under, 0) + size
            if under in kept and spent[under] <= SIGNER_MAX:
                total += size
                if total <= ROSTER_MAX:
                    kept.add(digest)
        for digest in set(self._said) - kept:
            del self._signed[digest], self._said[digest]
            self._ranks.pop(digest, None)

    @property
    def statements(self) -> list[Signed]:
        """All of them, most senior first: none comes before what it stands on."""
        return [self._signed[digest] for digest in sorted(self._said, key=self._order)]

    @property
    def digests(self) -> frozenset[bytes]:
        """Which statements there are."""
        return frozenset(self._said)

    # --- what follows ------------------------------------------------------------------------------------------------

    @property
    def members(self) -> Mapping[bytes, Member]:
        """Who is in, by fingerprint, most senior first."""
        return self._members

    @property
    def out(self) -> frozenset[bytes]:
        """Devices (fingerprints) that somebody has ever let in, or that were put out, and that are not in."""
        let_in = {self._device(admission) for admission in self._ranks}
        return frozenset(let_in | self._effective.keys()) - self._members.keys()

    @property
    def removed(self) -> bytes:
        """Digest of who was put out: another one means that somebody who has the household's keys has left."""
        gone = sorted(digest for tombstones in self._effective.values() for digest in tombstones)
        return hashlib.sha256(b"".join(gone)).digest()

    def tombstone(self, device: bytes) -> Statement | None:
        """Why a device (fingerprint) is out, if it was put out."""
        tombs = self._effective.get(device, {}) if device not in self._members else {}
        return self._said[min(tombs, key=self._order)] if tombs else None

    def _settle(self) -> None:
        self._effective = {}
        tombs = [digest for digest, said in self._said.items() if said.kind != "admit"]
        for digest in sorted(tombs, key=self._order):
            if self._stands(digest):
                said = self._said[digest]
                self._effective.setdefault(said.who, {})[digest] = frozenset(said.seen)
        self._members = {}
        for admission in sorted(self._ranks, key=self._ranks.__getitem__):
            if not self._stands(admission) or self._killers(admission):
                continue
            device, let_in = self._device(admission), self._said.get(admission)
            knows = frozenset(let_in.seen if let_in else ())
            if (known := self._members.get(device)) is not None:
                known = structs.replace(known, knows=known.knows | knows)
                if not known.name and let_in:  # the founder says its name by admitting itself
                    known = structs.replace(known, name=clean(let_in.name, NAME_MAX), admitted_at=let_in.at)
                self._members[device] = known
                continue
            self._members[device] = Member(
                certificate=self._certificate(admission),
                name=clean(let_in.name, NAME_MAX) if let_in else "",
                admission=admission,
                admitted_by=let_in.by if let_in else self._founder,
                admitted_at=let_in.at if let_in else 0,
                knows=knows,
            )

    def _stands(self, digest: bytes) -> bool:
        while digest != FOUNDING:
            under = self._said[digest].under
            if any(digest not in seen for seen in self._killers(under)):
                return False
            digest = under
        return True

    def _killers(self, admission: bytes) -> list[frozenset[bytes]]:
        # What the tombstones had seen that end this admission: those in effect that it does not know.
        known = self._said[admission].seen if admission else ()
        tombs = self._effective.get(self._device(admission), {})
        return [seen for tomb, seen in tombs.items() if tomb not in known]

    def _device(self, admission: bytes) -> bytes:
        return self._said[admission].device if admission else self._founder

    def _certificate(self, admission: bytes) -> bytes:
        return self._said[admission].who if admission else self.founder

    def _order(self, digest: bytes) -> tuple[Rank, int, bytes]:
        said = self._said[digest]
        return self._ranks[said.under], said.seq, digest

    # --- saying something --------------------------------------------------------------------------------------------

    def admit(self, identity: Identity, certificate: bytes, name: str, at: float) -> Signed:
        """Let a device in, also one that was put out before. Raises: Forbidden, if this device is not in itself."""
        device = fingerprint(certificate)
        effective = self._effective.get(device, {})
        tombs = [digest for digest, said in self._said.items() if said.kind != "admit" and said.who == device]
        # A void one may yet take effect, when what voids it turns out to be void itself.
        tombs.sort(key=lambda digest: (digest not in effective, self._order(digest)))
        return self._say(identity, "admit", certificate, tombs, at, clean(name, NAME_MAX))

    def revoke(self, identity: Identity, device: bytes, at: float) -> Signed:
        """Put a device (fingerprint) out, or leave, if it is this one. Raises: Forbidden, as above."""
        known = [digest for digest, said in self._said.items() if said.by == device and self._stands(digest)]
        leaving = device == fingerprint(identity.certificate)
        return self._say(identity, "leave" if leaving else "revoke", device, sorted(known, key=self._order), at)

    def _say(  # noqa: PLR0917 - the fields of a statement
        self,
        identity: Identity,
        kind: Literal["admit", "revoke", "leave"],
        who: bytes,
        seen: list[bytes],
        at: float,
        name: str = "",
    ) -> Signed:
        own = fingerprint(identity.certificate)
        if own not in self._members:
            raise Forbidden("this device is not in the household itself", hint="pair it with a device that is")
        statement = Statement(
            household=self.household,
            kind=kind,
            by=own,
            under=self._members[own].admission,
            seq=1 + max((said.seq for said in self._said.values() if said.by == own), default=0),
            who=who,
            name=name,
            at=int(at),
            seen=tuple(seen[:SEEN_MAX]),
        )
        return sign(statement, identity)


def _size(signed: Signed) -> int:
    return len(signed.body) + len(signed.signature)
