"""What follows from statements on one device: who is in, who is out, who came in by whom (T4, T12).

A statement *stands* if its signer was let in (the admission it is under stands) and every tombstone of that signer
has seen it: what a revoked device signed behind the revoker's back is void. A tombstone takes effect in the order of
its signer's seniority, breadth-first from the founder, and a later one cannot undo an earlier one: of two devices
that revoke each other the senior stays. A member is a device with an admission that stands and that knows every
tombstone of the device that is in effect, so that a revoked device comes back by a new admission only.
Source: FACTS-SECURITY §4 "Household roster".

Devices that may only watch on this one are its *limits*: what such a device says of others does not stand here,
whoever passes it on, but for what it had said by then, and that stays: no tombstone that it signs of itself later voids
it, or a key that it had put out would be back. Elsewhere it counts as ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from msgspec import Struct, structs

from agent.protocol.household import Limits
from agent.protocol.identity import fingerprint
from agent.protocol.model import NAME_MAX
from agent.protocol.names import clean
from agent.trust.rules.statement import FOUNDING, Statement

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


class Standing:
    """A pure function of statements, ranks and limits, worked out when it is made."""

    def __init__(
        self, founder: bytes, said: Mapping[bytes, Statement], ranks: Mapping[bytes, Rank], limits: Limits
    ) -> None:
        """`founder` is a certificate (DER); `said` and `ranks` are by digest, and change no more."""
        self._founder = founder
        self._said = said
        self._ranks = ranks
        self._limits = limits
        self.effective: dict[bytes, dict[bytes, frozenset[bytes]]] = {}  # device -> its tombstones, what they saw
        self.members: dict[bytes, Member] = {}  # by fingerprint, most senior first
        self._kills: dict[bytes, list[frozenset[bytes]]] = {}  # by admission, as of the tombstones in effect
        self._settle()

    def _settle(self) -> None:
        tombs = [digest for digest, said in self._said.items() if said.kind != "admit"]
        for digest in sorted(tombs, key=self.order):
            if self.stands(digest):
                said = self._said[digest]
                self.effective.setdefault(said.who, {})[digest] = self._seen(said)
                self._kills.clear()
        for admission in self.admissions():
            self._let_in(admission)

    def _let_in(self, admission: bytes) -> None:
        device, let_in = self.device(admission), self._said.get(admission)
        knows = frozenset(let_in.seen if let_in else ())
        if (known := self.members.get(device)) is not None:
            known = structs.replace(known, knows=known.knows | knows)
            if not known.name and let_in:  # the founder says its name by admitting itself
                known = structs.replace(known, name=clean(let_in.name, NAME_MAX), admitted_at=let_in.at)
            self.members[device] = known
            return
        self.members[device] = Member(
            certificate=self.certificate(admission),
            name=clean(let_in.name, NAME_MAX) if let_in else "",
            admission=admission,
            admitted_by=let_in.by if let_in else device,
            admitted_at=let_in.at if let_in else 0,
            knows=knows,
        )

    # --- one statement -----------------------------------------------------------------------------------------------

    def stands(self, digest: bytes) -> bool:
        """Whether a statement counts on this device."""
        while digest != FOUNDING:
            said = self._said[digest]
            if self._is_void_here(digest, said):
                return False
            if any(digest not in seen for seen in self._killers(said.under)):
                return False
            digest = said.under
        return True

    def _is_void_here(self, digest: bytes, said: Statement) -> bool:
        # T12. What it says of itself counts: that it leaves, above all.
        limit = self._limits.get(said.by)
        return limit is not None and digest not in limit and said.device != said.by

    def _seen(self, tombstone: Statement) -> frozenset[bytes]:
        # T12. A device that may only watch leaves, and takes nothing back by it.
        own = tombstone.who == tombstone.by
        return frozenset(tombstone.seen) | (self._limits.get(tombstone.by, frozenset()) if own else frozenset())

    def _killers(self, admission: bytes) -> list[frozenset[bytes]]:
        # What the tombstones had seen that end this admission: those in effect that it does not know.
        found = self._kills.get(admission)
        if found is None:
            known = self._said[admission].seen if admission else ()
            tombs = self.effective.get(self.device(admission), {})
            found = self._kills[admission] = [seen for tomb, seen in tombs.items() if tomb not in known]
        return found

    def device(self, admission: bytes) -> bytes:
        """Fingerprint of the device that an admission is of."""
        return self._said[admission].device if admission else fingerprint(self._founder)

    def certificate(self, admission: bytes) -> bytes:
        """Certificate (DER) of the device that an admission is of."""
        return self._said[admission].who if admission else self._founder

    def order(self, digest: bytes) -> tuple[Rank, int, bytes]:
        """Where a statement is by seniority of who says it, then as its signer counted."""
        said = self._said[digest]
        return self._ranks[said.under], said.seq, digest

    # --- all of them -------------------------------------------------------------------------------------------------

    def admissions(self) -> Iterator[bytes]:
        """Digests of those by which somebody is in, most senior first."""
        for admission in sorted(self._ranks, key=self._ranks.__getitem__):
            if self.stands(admission) and not self._killers(admission):
                yield admission

    @property
    def out(self) -> frozenset[bytes]:
        """Devices (fingerprints) that somebody has ever let in, or that were put out, and that are not in."""
        let_in = {self.device(admission) for admission in self._ranks}
        return frozenset(let_in | self.effective.keys()) - self.members.keys()

    @property
    def removed(self) -> bytes:
        """Digest of who was put out: another one means that somebody who has the household's keys has left."""
        gone = sorted(digest for tombstones in self.effective.values() for digest in tombstones)
        return hashlib.sha256(b"".join(gone)).digest()

    def tombstone(self, device: bytes) -> Statement | None:
        """Why a device (fingerprint) is out, if it was put out."""
        tombs = self.effective.get(device, {}) if device not in self.members else {}
        return self._said[min(tombs, key=self.order)] if tombs else None

    def let_in_by(self, device: bytes, own: bytes) -> list[bytes]:
        """Members that are in by what `device` has said and by nothing else, most senior first.

        Those that it let in, those that these let in, and so on; not this device (`own`), nor whom this one let in.
        """
        reached = self._reached(own, {device})
        return [member for member in self.members if member != device and member not in reached]

    def brought_by(self, device: bytes, own: bytes) -> set[bytes]:
        """Whom `device` has ever let in, whom these have, and so on, whether that stands and whether they are in.

        Not this device (`own`), nor who is in by others that may do everything here.
        """
        let_in: dict[bytes, set[bytes]] = {}
        for said in self._said.values():
            if said.kind == "admit":
                let_in.setdefault(said.by, set()).add(said.device)
        return _closure({device}, let_in, set()) - self._reached(own, {device} | self._limits.keys()) - {device, own}

    def _reached(self, own: bytes, without: AbstractSet[bytes]) -> set[bytes]:
        # Who is in by this device or the founder, and not only by one of those.
        let_in: dict[bytes, set[bytes]] = {}
        for admission in self.admissions():
            if admission != FOUNDING:
                let_in.setdefault(self._said[admission].by, set()).add(self.device(admission))
        return _closure({own, fingerprint(self._founder)} & self.members.keys() - without, let_in, without)


def _closure(first: set[bytes], let_in: Mapping[bytes, set[bytes]], without: AbstractSet[bytes]) -> set[bytes]:
    reached, waiting = set[bytes](), set(first)
    while waiting:
        one = waiting.pop()
        reached.add(one)
        waiting |= let_in.get(one, set()) - reached - without
    return reached
