"""Statements that somebody tells, on their way into a roster: the cheap questions first, a few signatures at a time.

A member may tell thousands of statements in one frame. Bytes are parsed, then the signer must be known, then the
signature is verified, then the certificate that an admission names is compared with the one profile; the first bad
signature ends the reading, since nobody who is honest passes one on. Nothing changes before `Roster.settle`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol

from agent.errors import BadParams
from agent.protocol.household import Signed
from agent.protocol.identity import BadCertificate, check_profile, fingerprint
from agent.trust.rules.standing import Rank
from agent.trust.rules.statement import Statement, is_genuine, read

CHECKS = 16
"""Signatures that one step verifies: 3 ms (measured), so that whoever else is served hardly waits."""
PARSED = 512
"""Statements that one step parses."""
DEPTH_MAX = 64
"""Admissions between the founder and a member."""


class Known(Protocol):
    """What a reading asks a roster."""

    household: bytes

    def has(self, digest: bytes) -> bool:
        """Whether a statement is here."""

    def admission(self, digest: bytes) -> tuple[Rank, bytes] | None:
        """Rank and certificate (DER) of an admission (or FOUNDING); None, if it is not here."""


class Reading:
    """One batch. `checked` counts the signatures that were verified, `forged` says whether one was bad."""

    def __init__(self, known: Known, statements: Iterable[Signed]) -> None:
        self.entered: dict[bytes, tuple[Signed, Statement]] = {}  # by digest, signers first
        self.checked = 0
        self.forged = False
        self._known, self._unread = known, iter(statements)
        self._seen: set[bytes] = set()
        self._admissions: dict[bytes, tuple[Rank, bytes]] = {}  # of those that entered
        self._waiting: dict[bytes, list[tuple[bytes, Signed, Statement]]] = {}  # by the admission they are under
        self._ready: deque[tuple[bytes, Signed, Statement]] = deque()
        self._parsed = False

    def step(self, checks: int = CHECKS) -> bool:
        """Read on, verifying up to `checks` signatures; whether there is more to read."""
        if not self._parsed:
            self._parse(islice(self._unread, PARSED))
            return True
        until = self.checked + checks
        while self._ready and self.checked < until and not self.forged:
            self._judge(*self._ready.popleft())
        return bool(self._ready) and not self.forged

    def _parse(self, portion: Iterator[Signed]) -> None:
        self._parsed = True
        for signed in portion:
            self._parsed = False
            digest = signed.digest
            if digest in self._seen or self._known.has(digest):
                continue
            self._seen.add(digest)
            try:
                said = read(signed)
            except BadParams:
                continue
            if said.household == self._known.household:
                self._waiting.setdefault(said.under, []).append((digest, signed, said))
        if self._parsed:
            for under in [under for under in self._waiting if self._known.admission(under) is not None]:
                self._ready += self._waiting.pop(under)

    def _judge(self, digest: bytes, signed: Signed, said: Statement) -> None:
        signer = self._admissions.get(said.under) or self._known.admission(said.under)
        if signer is None:
            return
        (depth, path), certificate = signer
        if depth >= DEPTH_MAX or said.by != fingerprint(certificate):
            return
        self.checked += 1
        if not is_genuine(signed, certificate):
            self.forged = True
            return
        if said.kind == "admit":
            self.checked += 1
            try:
                check_profile(said.who)
            except BadCertificate:
                return
            self._admissions[digest] = ((depth + 1, (*path, (said.seq, digest))), said.who)
            self._ready += self._waiting.pop(digest, [])
        self.entered[digest] = signed, said
