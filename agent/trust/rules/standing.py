"""What follows from the statements, on one device: who is in, who is out, who came in by whom (T4, T12).

A statement *stands* if its signer was let in (the admission it is under stands) and every tombstone of that signer
has seen it: what a revoked device signed behind the revoker's back is void. A tombstone takes effect in the order of
its signer's seniority, breadth-first from the founder, and a later one cannot undo an earlier one: of two devices
that revoke each other the senior stays. A member is a device with an admission that stands and that knows every
tombstone of the device that is in effect, so that a revoked device comes back by a new admission only.
Source: FACTS-SECURITY §4 "Household roster".

Devices that may only watch on this one are its *limits*: statements of such a device on others do not stand here,
whoever passes them on, except those that it had made by then. Those stay: no tombstone that it signs of itself later
voids them, or a key that it had put out would be back. Elsewhere all its statements count as ever.
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
    """A device that is in the household, and how it came in."""

    certificate: bytes  # DER
    name: str  # that it had when it was let in, cleaned
    admission: bytes  # digest of the most senior one; FOUNDING
    admitted_by: bytes  # fingerprint; the founder's own for the founder
    admitted_at: int  # Unix seconds as the admitter's clock had it
    knows: frozenset[bytes]  # tombstones that its admissions overcome


class Standing:
    """Who is in and who is out: a pure function of statements, ranks and limits, worked out when it is made."""

    def __init__(
        self, founder: bytes, statements: Mapping[bytes, Statement], ranks: Mapping[bytes, Rank], limits: Limits
    ) -> None:
        """`founder` is a certificate (DER); `statements` and `ranks` are by digest, and change no more."""
        self._founder = founder
        self._statements = statements
        self._ranks = ranks
        self._limits = limits
        self.effective: dict[bytes, dict[bytes, frozenset[bytes]]] = {}  # device -> its tombstones, what they saw
        self.members: dict[bytes, Member] = {}  # by fingerprint, most senior first
        self._kills: dict[bytes, list[frozenset[bytes]]] = {}  # by admission, as of the tombstones in effect
        self._settle()

    def _settle(self) -> None:
        tombs = [digest for digest, statement in self._statements.items() if statement.kind != "admit"]
        for digest in sorted(tombs, key=self.order):
            if self.stands(digest):
                statement = self._statements[digest]
                self.effective.setdefault(statement.who, {})[digest] = self._seen(statement)
                self._kills.clear()
        for admission in self.admissions():
            self._let_in(admission)

    def _let_in(self, admission: bytes) -> None:
        device, let_in = self.device(admission), self._statements.get(admission)
        knows = frozenset(let_in.seen if let_in else ())
        known = self.members.get(device)
        if known is not None:
            known = structs.replace(known, knows=known.knows | knows)
            if not known.name and let_in:  # the founder gives its name by admitting itself
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
            statement = self._statements[digest]
            if self._is_void_here(digest, statement):
                return False
            if any(digest not in seen for seen in self._killers(statement.under)):
                return False
            digest = statement.under
        return True

    def _is_void_here(self, digest: bytes, statement: Statement) -> bool:
        # T12. Statements of a device on itself count: that it leaves, above all.
        limit = self._limits.get(statement.by)
        return limit is not None and digest not in limit and statement.device != statement.by

    def _seen(self, tombstone: Statement) -> frozenset[bytes]:
        # T12. A device that may only watch can leave, and takes nothing back by it.
        own = tombstone.who == tombstone.by
        return frozenset(tombstone.seen) | (self._limits.get(tombstone.by, frozenset()) if own else frozenset())

    def _killers(self, admission: bytes) -> list[frozenset[bytes]]:
        # What the tombstones had seen that end this admission: those in effect which the admission does not know.
        found = self._kills.get(admission)
        if found is None:
            known = self._statements[admission].seen if admission else ()
            tombs = self.effective.get(self.device(admission), {})
            found = self._kills[admission] = [seen for tomb, seen in tombs.items() if tomb not in known]
        return found

    def device(self, admission: bytes) -> bytes:
        """Fingerprint of the device that an admission lets in."""
        return self._statements[admission].device if admission else fingerprint(self._founder)

    def certificate(self, admission: bytes) -> bytes:
        """Certificate (DER) of the device that an admission lets in."""
        return self._statements[admission].who if admission else self._founder

    def order(self, digest: bytes) -> tuple[Rank, int, bytes]:
        """Sort key of a statement: seniority of its signer, then the signer's own count."""
        statement = self._statements[digest]
        return self._ranks[statement.under], statement.seq, digest

    # --- all of them -------------------------------------------------------------------------------------------------

    def admissions(self) -> Iterator[bytes]:
        """Digests of the admissions by which devices are in, most senior first."""
        for admission in sorted(self._ranks, key=self._ranks.__getitem__):
            if self.stands(admission) and not self._killers(admission):
                yield admission

    @property
    def out(self) -> frozenset[bytes]:
        """Devices (fingerprints) that were ever let in or put out, and that are not in now."""
        let_in = {self.device(admission) for admission in self._ranks}
        return frozenset(let_in | self.effective.keys()) - self.members.keys()

    @property
    def removed(self) -> bytes:
        """Digest of all revocations in effect: another one means that a device which has the household's keys left."""
        gone = sorted(digest for tombstones in self.effective.values() for digest in tombstones)
        return hashlib.sha256(b"".join(gone)).digest()

    def tombstone(self, device: bytes) -> Statement | None:
        """The revocation of a device (fingerprint), if it was put out."""
        tombs = self.effective.get(device, {}) if device not in self.members else {}
        return self._statements[min(tombs, key=self.order)] if tombs else None

    def let_in_by(self, device: bytes, own: bytes) -> list[bytes]:
        """Members that are in by statements of `device` alone, most senior first.

        Those that it let in, those that these let in, and so on; not this device (`own`), nor those it let in.
        """
        reached = self._reached(own, {device})
        return [member for member in self.members if member != device and member not in reached]

    def brought_by(self, device: bytes, own: bytes) -> set[bytes]:
        """Devices that `device` has ever let in, those that these have, and so on, in or not, standing or not.

        Not this device (`own`), nor devices that are in by others without a limit here.
        """
        let_in: dict[bytes, set[bytes]] = {}
        for statement in self._statements.values():
            if statement.kind == "admit":
                let_in.setdefault(statement.by, set()).add(statement.device)
        return _closure({device}, let_in, set()) - self._reached(own, {device} | self._limits.keys()) - {device, own}

    def _reached(self, own: bytes, without: AbstractSet[bytes]) -> set[bytes]:
        # Devices that are in by this device or the founder, and not only by one of `without`.
        let_in: dict[bytes, set[bytes]] = {}
        for admission in self.admissions():
            if admission != FOUNDING:
                let_in.setdefault(self._statements[admission].by, set()).add(self.device(admission))
        return _closure({own, fingerprint(self._founder)} & self.members.keys() - without, let_in, without)


def _closure(first: set[bytes], let_in: Mapping[bytes, set[bytes]], without: AbstractSet[bytes]) -> set[bytes]:
    reached, waiting = set[bytes](), set(first)
    while waiting:
        one = waiting.pop()
        reached.add(one)
        waiting |= let_in.get(one, set()) - reached - without
    return reached
