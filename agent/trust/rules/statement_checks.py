"""Reads statements that a device sends into a roster: cheap checks first, a few signatures at a time.

A member may send thousands of statements in one frame. Bytes are parsed, then the signer must be known, then the
signature is verified, then the certificate that an admission names is compared with the one profile; the first bad
signature ends the reading, since no honest device passes one on. Nothing changes before `Roster.settle`.
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
"""Signatures that one step verifies: 3 ms (measured), so that others hardly wait."""
PARSED = 512
"""Statements that one step parses."""
DEPTH_MAX = 64
"""Admissions between the founder and a member."""


class KnownStatements(Protocol):
    """The statements that are known already: those of a roster."""

    household: bytes

    def has(self, digest: bytes) -> bool:
        """Whether the statement with that digest is known."""

    def admission(self, digest: bytes) -> tuple[Rank, bytes] | None:
        """Rank and certificate (DER) of an admission (or FOUNDING); None, if it is not known."""


class Reading:
    """A batch of statements that is being read. `checked` counts verified signatures, `forged` tells of a bad one."""

    def __init__(self, known: KnownStatements, statements: Iterable[Signed]) -> None:
        self.entered: dict[bytes, tuple[Signed, Statement]] = {}  # by digest, signers first
        self.checked = 0
        self.forged = False
        self._known = known
        self._unread = iter(statements)
        self._seen: set[bytes] = set()
        self._admissions: dict[bytes, tuple[Rank, bytes]] = {}  # of those that entered
        self._waiting: dict[bytes, list[tuple[bytes, Signed, Statement]]] = {}  # by the admission they are under
        self._ready: deque[tuple[bytes, Signed, Statement]] = deque()
        self._parsed = False

    def step(self, checks: int = CHECKS) -> bool:
        """Read on, verifying up to `checks` signatures; returns whether there is more to read."""
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
                statement = read(signed)
            except BadParams:
                continue
            if statement.household == self._known.household:
                self._waiting.setdefault(statement.under, []).append((digest, signed, statement))
        if self._parsed:
            for under in [under for under in self._waiting if self._known.admission(under) is not None]:
                self._ready += self._waiting.pop(under)

    def _judge(self, digest: bytes, signed: Signed, statement: Statement) -> None:
        signer = self._admissions.get(statement.under) or self._known.admission(statement.under)
        if signer is None:
            return
        (depth, path), certificate = signer
        if depth >= DEPTH_MAX or statement.by != fingerprint(certificate):
            return
        self.checked += 1
        if not is_genuine(signed, certificate):
            self.forged = True
            return
        if statement.kind == "admit":
            self.checked += 1
            try:
                check_profile(statement.who)
            except BadCertificate:
                return
            self._admissions[digest] = ((depth + 1, (*path, (statement.seq, digest))), statement.who)
            self._ready += self._waiting.pop(digest, [])
        self.entered[digest] = signed, statement
