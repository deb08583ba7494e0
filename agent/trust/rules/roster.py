"""The statements of one household: a set that every member has sooner or later, whatever order they came in (T4).

Who is in follows from the set (`trust.rules.standing`). What one device or all of them may say is bounded; beyond that
the most junior do not count, everywhere the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from agent.errors import Forbidden
from agent.protocol.household import NO_LIMITS, Limits, Signed
from agent.protocol.identity import Identity, check_profile, fingerprint
from agent.protocol.model import NAME_MAX
from agent.protocol.names import clean
from agent.trust.rules.reading import Reading
from agent.trust.rules.standing import Member, Rank, Standing
from agent.trust.rules.statement import FOUNDING, SEEN_MAX, Statement, sign

ROSTER_MAX = 393_216
"""Bytes of all statements: one frame of a link carries them, one state file keeps them."""
SIGNER_MAX = 98_304
"""Bytes of what the founder says itself, and of what everybody says who came in by one admission of the founder's."""
BRANCH_MAX = (SIGNER_MAX, SIGNER_MAX // 2, SIGNER_MAX * 3 // 8)
"""The same of an admission at depth 1, 2, and deeper: with it counts what it has led to, or each key that a device lets
in would bring a budget of its own. The longest chain of admissions fits. Beyond it the most junior do not count."""


class Roster:
    """The statements of one household, and what follows from them."""

    def __init__(
        self, household: bytes, founder: bytes, statements: Iterable[Signed] = (), limits: Limits = NO_LIMITS
    ) -> None:
        """`founder` is a certificate (DER); `limits`: who may only watch on this device.

        Statements that do not belong here are left out. Raises: BadCertificate, if the founder's is of another form.
        """
        check_profile(founder)
        self.household, self.founder = household, founder
        self._signed: dict[bytes, Signed] = {}
        self._said: dict[bytes, Statement] = {}
        self._ranks: dict[bytes, Rank] = {FOUNDING: (0, ())}
        self._limits = dict(limits)
        self._settle()
        self.add(statements)

    # --- the set -----------------------------------------------------------------------------------------------------

    def add(self, statements: Iterable[Signed]) -> list[Signed]:
        """Take what is new, genuine, of this household and within bounds; those that were, signers first."""
        reading = self.read(statements)
        while reading.step():
            pass
        return self.settle(reading)

    def read(self, statements: Iterable[Signed]) -> Reading:
        """The same in steps, for what somebody tells; `settle` must follow."""
        return Reading(self, statements)

    def settle(self, reading: Reading) -> list[Signed]:
        """Take what was read, and work out what follows; those that are new, signers first."""
        fresh = []
        for digest, (signed, said) in reading.entered.items():
            # The set may be another one since the reading began.
            if digest not in self._signed and said.under in self._ranks:
                self._signed[digest], self._said[digest] = signed, said
                fresh.append(digest)
                if said.kind == "admit":
                    depth, path = self._ranks[said.under]
                    self._ranks[digest] = (depth + 1, (*path, (said.seq, digest)))
        if fresh:
            self._trim()
            self._settle()
        return [self._signed[digest] for digest in fresh if digest in self._signed]

    def has(self, digest: bytes) -> bool:
        """Whether a statement is here."""
        return digest in self._signed

    def admission(self, digest: bytes) -> tuple[Rank, bytes] | None:
        """Rank and certificate (DER) of an admission (or FOUNDING); None, if it is not here."""
        if digest not in self._ranks:
            return None
        return self._ranks[digest], self._said[digest].who if digest else self.founder

    def _trim(self) -> None:
        # Keeps the most senior ones: the same ones however they came, and no statement without what it stands on.
        if sum(map(_size, self._signed.values())) <= BRANCH_MAX[-1]:
            return
        spent: dict[bytes, int] = {}
        total, kept = 0, {FOUNDING}
        for digest in sorted(self._said, key=self._order):
            size, under = _size(self._signed[digest]), self._said[digest].under
            if self._spend(spent, under, size) and under in kept:
                total += size
                if total <= ROSTER_MAX:
                    kept.add(digest)
        for digest in set(self._said) - kept:
            del self._signed[digest], self._said[digest]
            self._ranks.pop(digest, None)

    def _spend(self, spent: dict[bytes, int], under: bytes, size: int) -> bool:
        # Of the smallest branch first: what is too much for that one costs the larger ones nothing.
        branches = [admission for _, admission in self._ranks[under][1]] or [FOUNDING]
        for depth, branch in reversed(list(enumerate(branches))):
            spent[branch] = spent.get(branch, 0) + size
            if spent[branch] > BRANCH_MAX[min(depth, len(BRANCH_MAX) - 1)]:
                return False
        return True

    def _order(self, digest: bytes) -> tuple[Rank, int, bytes]:
        said = self._said[digest]
        return self._ranks[said.under], said.seq, digest

    @property
    def statements(self) -> list[Signed]:
        """All of them, most senior first: none comes before what it stands on."""
        return [self._signed[digest] for digest in sorted(self._said, key=self._order)]

    @property
    def digests(self) -> frozenset[bytes]:
        """Which statements there are."""
        return frozenset(self._said)

    # --- what follows ------------------------------------------------------------------------------------------------

    def limit(self, limits: Limits) -> None:
        """From now on these may only watch on this device."""
        if limits != self._limits:
            self._limits = dict(limits)
            self._settle()

    @property
    def members(self) -> Mapping[bytes, Member]:
        """Who is in, by fingerprint, most senior first."""
        return self._here.members

    @property
    def out(self) -> frozenset[bytes]:
        """Devices (fingerprints) that somebody has ever let in, or that were put out, and that are not in."""
        return self._here.out

    @property
    def removed(self) -> bytes:
        """Digest of who was put out, the same on every device: limits have no part in it."""
        return self._everywhere.removed

    def tombstone(self, device: bytes) -> Statement | None:
        """Why a device (fingerprint) is out, if it was put out."""
        return self._here.tombstone(device)

    def let_in_by(self, device: bytes, own: bytes) -> list[bytes]:
        """Members (fingerprints) that are in only by what `device` has said; `own` is this device's."""
        return self._here.let_in_by(device, own)

    def brought_by(self, device: bytes, own: bytes) -> set[bytes]:
        """Devices (fingerprints) that `device` has ever let in, and that no other one that may do everything has."""
        return self._here.brought_by(device, own)

    def said_by(self, device: bytes) -> frozenset[bytes]:
        """Digests of what a device (fingerprint) has said and that stands."""
        return frozenset(
            digest for digest, said in self._said.items() if said.by == device and self._here.stands(digest)
        )

    def _settle(self) -> None:
        self._everywhere = Standing(self.founder, self._said, self._ranks, NO_LIMITS)
        self._here = self._everywhere
        if self._limits:
            self._here = Standing(self.founder, self._said, self._ranks, self._limits)

    # --- saying something --------------------------------------------------------------------------------------------

    def admit(self, identity: Identity, certificate: bytes, name: str, at: float) -> Signed:
        """Let a device in, also one that was put out before. Raises: Forbidden, if this device is not in itself."""
        device = fingerprint(certificate)
        effective = self._here.effective.get(device, {})
        tombs = [digest for digest, said in self._said.items() if said.kind != "admit" and said.who == device]
        # A void one may yet take effect, when what voids it turns out to be void itself.
        tombs.sort(key=lambda digest: (digest not in effective, self._here.order(digest)))
        return self._say(identity, "admit", certificate, tombs, at, clean(name, NAME_MAX))

    def revoke(self, identity: Identity, device: bytes, at: float) -> Signed:
        """Put a device (fingerprint) out, or leave, if it is this one. Raises: Forbidden, as above."""
        leaving = device == fingerprint(identity.certificate)
        known = sorted(self.said_by(device), key=self._here.order)
        return self._say(identity, "leave" if leaving else "revoke", device, known, at)

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
        if own not in self.members:
            raise Forbidden("this device is not in the household itself", hint="pair it with a device that is")
        statement = Statement(
            household=self.household,
            kind=kind,
            by=own,
            under=self.members[own].admission,
            seq=1 + max((said.seq for said in self._said.values() if said.by == own), default=0),
            who=who,
            name=name,
            at=int(at),
            seen=tuple(seen[:SEEN_MAX]),
        )
        return sign(statement, identity)


def _size(signed: Signed) -> int:
    return len(signed.body) + len(signed.signature)
