"""The statements of one household: a set that every member has sooner or later, whatever order they came in (T4).

Who is in follows from the set (`trust.rules.standing`). The bytes of statements are bounded, for one device and in all;
beyond the bound the most junior statements do not count, on every device the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from agent.errors import Forbidden
from agent.protocol.household import NO_LIMITS, Limits, Signed
from agent.protocol.identity import Identity, check_profile, fingerprint
from agent.protocol.model import NAME_MAX
from agent.protocol.names import clean
from agent.trust.rules.standing import Member, Rank, Standing
from agent.trust.rules.statement import FOUNDING, SEEN_MAX, Statement, sign
from agent.trust.rules.statement_checks import Reading

ROSTER_MAX = 393_216
"""Bytes of all statements: one frame of a link carries them, one state file keeps them."""
SIGNER_MAX = 98_304
"""Bytes of statements of the founder itself, and of all devices that came in by one admission of the founder."""
BRANCH_MAX = (SIGNER_MAX, SIGNER_MAX // 2, SIGNER_MAX * 3 // 8)
"""Bytes of statements that one admission at depth 1, 2, and deeper has led to: else each key that a device lets in
would bring a budget of its own. The longest chain of admissions fits. Beyond it the most junior do not count."""


class Roster:
    """The statements of one household, and who is in by them."""

    def __init__(
        self, household: bytes, founder: bytes, statements: Iterable[Signed] = (), limits: Limits = NO_LIMITS
    ) -> None:
        """`founder` is a certificate (DER); `limits` are devices that may only watch on this one.

        Statements of other households are left out. Raises: BadCertificate, if the founder's is of another form.
        """
        check_profile(founder)
        self.household = household
        self.founder = founder
        self._signed: dict[bytes, Signed] = {}
        self._statements: dict[bytes, Statement] = {}
        self._ranks: dict[bytes, Rank] = {FOUNDING: (0, ())}
        self._limits = dict(limits)
        self._settle()
        self.add(statements)

    # --- the set -----------------------------------------------------------------------------------------------------

    def add(self, statements: Iterable[Signed]) -> list[Signed]:
        """Take statements that are new, genuine, of this household and within bounds; returns those, signers first."""
        reading = self.read(statements)
        while reading.step():
            pass
        return self.settle(reading)

    def read(self, statements: Iterable[Signed]) -> Reading:
        """Begin to read statements that a device sent, in steps; `settle` must follow."""
        return Reading(self, statements)

    def settle(self, reading: Reading) -> list[Signed]:
        """Take the statements that were read, and work out who is in; returns the new ones, signers first."""
        fresh = []
        for digest, (signed, statement) in reading.entered.items():
            # The set may have changed since the reading began.
            if digest not in self._signed and statement.under in self._ranks:
                self._signed[digest] = signed
                self._statements[digest] = statement
                fresh.append(digest)
                if statement.kind == "admit":
                    depth, path = self._ranks[statement.under]
                    self._ranks[digest] = (depth + 1, (*path, (statement.seq, digest)))
        if fresh:
            self._trim()
            self._settle()
        return [self._signed[digest] for digest in fresh if digest in self._signed]

    def has(self, digest: bytes) -> bool:
        """Whether the statement with that digest is known."""
        return digest in self._signed

    def admission(self, digest: bytes) -> tuple[Rank, bytes] | None:
        """Rank and certificate (DER) of an admission (or FOUNDING); None, if it is not known."""
        if digest not in self._ranks:
            return None
        return self._ranks[digest], self._statements[digest].who if digest else self.founder

    def _trim(self) -> None:
        # Keeps the most senior statements: the same ones in whatever order they came, none without its admission.
        if sum(map(_size, self._signed.values())) <= BRANCH_MAX[-1]:
            return
        spent: dict[bytes, int] = {}
        total, kept = 0, {FOUNDING}
        for digest in sorted(self._statements, key=self._order):
            size, under = _size(self._signed[digest]), self._statements[digest].under
            if self._spend(spent, under, size) and under in kept:
                total += size
                if total <= ROSTER_MAX:
                    kept.add(digest)
        for digest in set(self._statements) - kept:
            del self._signed[digest], self._statements[digest]
            self._ranks.pop(digest, None)

    def _spend(self, spent: dict[bytes, int], under: bytes, size: int) -> bool:
        # From the smallest branch first: a statement too large for that one costs the larger ones nothing.
        branches = [admission for _, admission in self._ranks[under][1]] or [FOUNDING]
        for depth, branch in reversed(list(enumerate(branches))):
            spent[branch] = spent.get(branch, 0) + size
            if spent[branch] > BRANCH_MAX[min(depth, len(BRANCH_MAX) - 1)]:
                return False
        return True

    def _order(self, digest: bytes) -> tuple[Rank, int, bytes]:
        statement = self._statements[digest]
        return self._ranks[statement.under], statement.seq, digest

    @property
    def statements(self) -> list[Signed]:
        """All statements, most senior first: none comes before the admission that it stands on."""
        return [self._signed[digest] for digest in sorted(self._statements, key=self._order)]

    @property
    def digests(self) -> frozenset[bytes]:
        """Digests of all statements."""
        return frozenset(self._statements)

    # --- what follows ------------------------------------------------------------------------------------------------

    def limit(self, limits: Limits) -> None:
        """Let exactly these devices only watch on this device, from now on."""
        if limits != self._limits:
            self._limits = dict(limits)
            self._settle()

    @property
    def members(self) -> Mapping[bytes, Member]:
        """All members by fingerprint, most senior first."""
        return self._here.members

    @property
    def out(self) -> frozenset[bytes]:
        """Devices (fingerprints) that were ever let in or put out, and that are not in now."""
        return self._here.out

    @property
    def removed(self) -> bytes:
        """Digest of all revocations in effect, the same on every device: limits have no part in it."""
        return self._everywhere.removed

    def tombstone(self, device: bytes) -> Statement | None:
        """The revocation of a device (fingerprint), if it was put out."""
        return self._here.tombstone(device)

    def let_in_by(self, device: bytes, own: bytes) -> list[bytes]:
        """Members (fingerprints) that are in only by statements of `device`; `own` is this device's fingerprint."""
        return self._here.let_in_by(device, own)

    def brought_by(self, device: bytes, own: bytes) -> set[bytes]:
        """Devices (fingerprints) that `device` has ever let in, and no other device without a limit has."""
        return self._here.brought_by(device, own)

    def statements_by(self, device: bytes) -> frozenset[bytes]:
        """Digests of all statements of a device (fingerprint) that stand."""
        return frozenset(
            digest
            for digest, statement in self._statements.items()
            if statement.by == device and self._here.stands(digest)
        )

    def _settle(self) -> None:
        self._everywhere = Standing(self.founder, self._statements, self._ranks, NO_LIMITS)
        self._here = self._everywhere
        if self._limits:
            self._here = Standing(self.founder, self._statements, self._ranks, self._limits)

    # --- new statements ----------------------------------------------------------------------------------------------

    def admit(self, identity: Identity, certificate: bytes, name: str, at: float) -> Signed:
        """Sign the admission of a device, also of one that was put out. Raises: Forbidden, if this device is not in."""
        device = fingerprint(certificate)
        effective = self._here.effective.get(device, {})
        revoking = (digest for digest, statement in self._statements.items() if statement.kind != "admit")
        tombs = [digest for digest in revoking if self._statements[digest].who == device]
        # A void revocation may yet take effect, when the one that voids it turns out to be void itself.
        tombs.sort(key=lambda digest: (digest not in effective, self._here.order(digest)))
        return self._sign(identity, "admit", certificate, tombs, at, clean(name, NAME_MAX))

    def revoke(self, identity: Identity, device: bytes, at: float) -> Signed:
        """Sign the revocation of a device (fingerprint), or the leave of this one.

        Raises: Forbidden, if this device is not in.
        """
        leaving = device == fingerprint(identity.certificate)
        known = sorted(self.statements_by(device), key=self._here.order)
        return self._sign(identity, "leave" if leaving else "revoke", device, known, at)

    def _sign(  # noqa: PLR0917 - the fields of a statement
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
            seq=1 + max((statement.seq for statement in self._statements.values() if statement.by == own), default=0),
            who=who,
            name=name,
            at=int(at),
            seen=tuple(seen[:SEEN_MAX]),
        )
        return sign(statement, identity)


def _size(signed: Signed) -> int:
    return len(signed.body) + len(signed.signature)
