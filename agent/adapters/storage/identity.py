"""The key of this device in `identity.pem`, and which machine it was made on.

The file notes the machine as keyed hashes, so that it does not tell which one it is. Whoever copies a home to another
machine gets a key of that machine's own; what belongs to the other key is set aside, whole, and is taken back on the
machine that it was made on. Nothing that was set aside is ever overwritten. Source:
docs/decisions/0023-which-machine.md.
"""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from agent.adapters.storage.files import damaged, private_folder, read_private, write_private
from agent.adapters.storage.machine import UNKNOWN, Machine
from agent.adapters.storage.state import HOUSEHOLD, IDENTITY, TRUST
from agent.errors import StateError
from agent.protocol.identity import KEY_SIZE, Identity, make_certificate

ASIDE = ".other-machine"
"""Ends the names of files that came from another machine; those of the second one end in `-2` besides, and so on."""
HARDWARE_MAX = 16
"""Parts of a machine that are noted."""
_NOTE = re.compile(rb"^(machine|hardware|place): ([0-9a-f]{64})$", re.MULTILINE)


class _Marks(NamedTuple):
    # What the file notes of its machine.
    machine: str = ""
    hardware: frozenset[str] = frozenset()
    place: str = ""

    def lines(self) -> bytes:
        """As they stand before the key, which PEM allows (RFC 7468 §2)."""
        noted = [("machine", self.machine), *(("hardware", each) for each in sorted(self.hardware))]
        noted.append(("place", self.place))
        return "".join(f"{kind}: {mark}\n" for kind, mark in noted if mark).encode()

    def is_made_on(self, here: _Marks) -> bool:
        """Whether that is surely the same machine."""
        return (bool(self.machine) and self.machine == here.machine) or bool(self.hardware & here.hardware)

    def may_be(self, here: _Marks) -> bool:
        """Whether nothing says that it is another machine."""
        if self.is_made_on(here):
            return True
        if self.hardware and here.hardware:
            return False
        if not self.machine or not here.machine:
            return True
        return bool(self.place) and self.place == here.place

    def renewed(self, here: _Marks) -> _Marks:
        """What to note now, on the same machine: a part that is not there at the moment may be there again."""
        kept = sorted(self.hardware - here.hardware)[: max(0, HARDWARE_MAX - len(here.hardware))]
        return _Marks(here.machine or self.machine, here.hardware | frozenset(kept), here.place or self.place)


class _Stored(NamedTuple):
    identity: Identity
    marks: _Marks
    pem: bytes  # key and certificate


def load_or_create_identity(
    folder: Path,
    entropy: Callable[[int], bytes] = os.urandom,
    *,
    machine: Machine = UNKNOWN,
    notice: Callable[[str], None] = lambda text: None,  # noqa: ARG005 - tells nobody
) -> Identity:
    """This device's identity: made on the first start, and anew on another machine than the one it was made on.

    What belongs to the other machine's identity is set aside, and what was set aside before and was made on this one is
    taken back; `notice` is told. Raises: StateError.
    """
    path = private_folder(folder) / IDENTITY
    stored = _load(path)
    if stored is not None and stored.marks.may_be(_marks(stored.identity.key, machine)):
        return _kept(path, stored, machine, notice)
    suffix = _set_aside(folder) if stored is not None else ""
    if (former := _made_here(folder, machine)) is not None:
        _move(folder, former, "")
        taken = _load(path)
        assert taken is not None
        again = "this device has its former identity and pairings again: they were made on this machine"
        notice(again + _beside(suffix))
        return _kept(path, taken, machine, notice)
    key = Ed25519PrivateKey.from_private_bytes(entropy(KEY_SIZE))
    certificate = make_certificate(key)
    write_private(path, _marks(key, machine).lines() + _pem(key, certificate))
    if suffix:
        notice(
            "this device has a new identity, as its files were copied from another machine: pair it again"
            + _beside(suffix)
        )
    return Identity(key=key, certificate=certificate, pem_path=str(path))


def _beside(suffix: str) -> str:
    return f" (the other machine's are kept beside it as *{suffix})" if suffix else ""


def _kept(path: Path, stored: _Stored, machine: Machine, notice: Callable[[str], None]) -> Identity:
    here = _marks(stored.identity.key, machine)
    marks = stored.marks.renewed(here)
    if marks != stored.marks:
        write_private(path, marks.lines() + stored.pem)
    if stored.marks.machine and here.machine and here.machine != stored.marks.machine:
        same = "hardware" if stored.marks.hardware & here.hardware else "disk"
        notice(
            f"the id of this machine's system is another one than before and its {same} is the same: "
            "this device keeps its identity and pairings"
        )
    return stored.identity


def _load(path: Path) -> _Stored | None:
    data = read_private(path, secret=True)
    if data is None:
        return None
    try:
        key = load_pem_private_key(data, password=None)
        certificate = x509.load_pem_x509_certificate(data).public_bytes(Encoding.DER)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise damaged(path, "no key and certificate in it") from exc
    if not isinstance(key, Ed25519PrivateKey) or certificate != make_certificate(key):
        raise damaged(path, "the certificate is not the key's")
    notes, begin, pem = data.partition(b"-----BEGIN")
    noted = [(kind.decode(), mark.decode()) for kind, mark in _NOTE.findall(notes)]
    known = dict(noted)
    hardware = frozenset(mark for kind, mark in noted if kind == "hardware")
    marks = _Marks(known.get("machine", ""), hardware, known.get("place", ""))
    return _Stored(Identity(key=key, certificate=certificate, pem_path=str(path)), marks, begin + pem)


def _marks(key: Ed25519PrivateKey, machine: Machine) -> _Marks:
    def mark(text: str) -> str:
        return hmac.digest(key.private_bytes_raw(), text.encode(), "sha256").hex() if text else ""

    parts = sorted(machine.hardware)[:HARDWARE_MAX]
    return _Marks(mark(machine.id), frozenset(mark(f"hardware {part}") for part in parts), mark(machine.place))


def _pem(key: Ed25519PrivateKey, certificate: bytes) -> bytes:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + x509.load_der_x509_certificate(certificate).public_bytes(Encoding.PEM)


# --- what belongs to another machine ---------------------------------------------------------------------------------

# The identity last: without it nothing is done twice, whenever this is broken off.
_FILES = (HOUSEHOLD, TRUST, IDENTITY)


def _set_aside(folder: Path) -> str:
    # How the names end now. A set without an identity is one that was broken off, and is finished.
    number = 1
    while True:
        suffix = ASIDE if number == 1 else f"{ASIDE}-{number}"
        ours = [name for name in _FILES if (folder / name).exists()]
        if not any(os.path.lexists(folder / f"{name}{suffix}") for name in {*ours, IDENTITY}):
            break
        number += 1
    _move(folder, "", suffix)
    return suffix


def _made_here(folder: Path, machine: Machine) -> str | None:
    # How the names of a set end that was surely made on this machine.
    for path in sorted(folder.glob(f"{IDENTITY}{ASIDE}*"), key=lambda path: (len(path.name), path.name)):
        try:
            stored = _load(path)
        except StateError:
            continue  # damaged, or a folder: it stays where it is
        if stored is not None and stored.marks.is_made_on(_marks(stored.identity.key, machine)):
            return path.name.removeprefix(IDENTITY)
    return None


def _move(folder: Path, before: str, after: str) -> None:
    for name in _FILES:
        source, target = folder / f"{name}{before}", folder / f"{name}{after}"
        if not source.exists():
            continue
        if os.path.lexists(target):
            raise StateError(f"cannot move {source} to {target}, which is there", hint="move one of the two away")
        try:
            source.rename(target)
        except OSError as exc:
            hint = "check the folder's permissions"
            raise StateError(f"cannot set {source} aside: {exc.strerror}", hint=hint) from exc
