"""A presence record as the strings of a DNS-SD TXT record, and back (DESIGN §8).

What is read comes from anybody on the network: reading never fails, it leaves out what makes no sense. Keys that are
not known are ignored, so that a later version can be heard by this one; `e0`… and `sig` are for `presence.rules.seal`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from agent.protocol.model import (
    NAME_MAX,
    REVISION_MAX,
    DeviceId,
    PresenceRecord,
    SessionClaim,
    SessionRow,
    Status,
)
from agent.protocol.names import clean, clean_title, truncate_bytes
from agent.protocol.times import unix_seconds

TXTVERS = 1
SIZE_MAX = 1200
"""Bytes of all strings with their length bytes: what fits one frame of either IP version with the longest names."""
STRING_MAX = 255
NAME_BYTES = 48
TITLE_BYTES = 32
PREFIX = 6
"""Characters of a session id that are enough on one device, unless two of its sessions share them."""
CLAIMS_MAX = 64
"""Sessions that are read of one record."""
HOSTS_MAX = 16
COUNT_MAX = 9999

_LETTERS = {Status.WORKING: "w", Status.NEEDS_INPUT: "n"}
_STATUSES = {"w": Status.WORKING, "n": Status.NEEDS_INPUT}
_ORDER = {Status.NEEDS_INPUT: 0, Status.WORKING: 1}
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_DEVICE = re.compile(r"[a-z2-7]{16}")
_REVISION = re.compile(r"[0-9a-z]{1,13}")
_COUNTS = re.compile(r"(\d{1,4}),(\d{1,4}),(\d{1,4})")
_VERSIONS = re.compile(r"\d{1,3}(,\d{1,3}){0,7}")
_CLAIM = re.compile(r"([a-z2-7]{6,16}),([a-z]?),([0-9a-z]{1,7}),(.*)", re.DOTALL)
_CLAIM_KEY = re.compile(r"s(\d{1,4})")

Entries = Callable[[Sequence[SessionClaim]], list[bytes]]
"""Sessions, first things first, as the strings that carry them."""


def announced_status(status: Status) -> Status:
    """The status that is announced for a session: one that starts, or whose log is being read, counts as idle."""
    return Status.IDLE if status is Status.STARTING else status


def make_record(
    device: DeviceId,
    revision: int,
    name: str,
    *,
    port: int,
    hosts: tuple[str, ...] = (),
    sessions: Iterable[SessionRow] = (),
) -> PresenceRecord:
    """The presence record of this device; sessions that have ended are left out."""
    live = {row.id: row for row in sessions if row.status.live}
    statuses = [row.status for row in live.values()]
    working, needs_input = statuses.count(Status.WORKING), statuses.count(Status.NEEDS_INPUT)
    return PresenceRecord(
        device=device,
        revision=revision,
        name=name,
        port=port,
        hosts=hosts,
        working=working,
        needs_input=needs_input,
        idle=len(live) - working - needs_input,
        sessions=tuple(
            SessionClaim(
                id=short,
                status=announced_status(row.status),
                updated_at=int(unix_seconds(row.updated_at)),
                title=row.title,
            )
            for short, row in zip(_prefixes(live), (live[session] for session in sorted(live)), strict=True)
        ),
    )


def _prefixes(ids: Iterable[str]) -> list[str]:
    """Of each id, in their order, as many characters as tell it from the others, six or more."""
    ordered = sorted(ids)
    needed = dict.fromkeys(ordered, PREFIX)
    for one, other in pairwise(ordered):
        shared = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))
        needed[one], needed[other] = max(needed[one], shared + 1), max(needed[other], shared + 1)
    return [session[:length] for session, length in needed.items()]


def open_entries(claims: Sequence[SessionClaim]) -> list[bytes]:
    """One readable string `s0=…` for each session claim."""
    return [_entry(number, claim) for number, claim in enumerate(claims)]


def encode(record: PresenceRecord, entries: Entries = open_entries, *, room: int = SIZE_MAX) -> list[bytes]:
    """Write a record as TXT strings in their order, at most `room` bytes with their length bytes.

    `entries` writes the sessions: in the open, or sealed. Sessions that need input come first, then those at work,
    then the newest. What does not fit is counted in `more`.
    """
    head = [
        f"txtvers={TXTVERS}",
        f"r={base36(record.revision)}",
        f"id={record.device}",
        f"n={truncate_bytes(clean(record.name, NAME_MAX), NAME_BYTES)}",
        f"pv={','.join(map(str, record.versions))}",
        f"c={','.join(str(min(COUNT_MAX, count)) for count in (record.working, record.needs_input, record.idle))}",
    ]
    strings = [each.encode() for each in head]
    ordered = sorted(record.sessions, key=lambda claim: (_ORDER.get(claim.status, 2), -claim.updated_at, claim.id))
    for fitting in range(min(len(ordered), CLAIMS_MAX), -1, -1):
        left_out = min(COUNT_MAX, record.more + len(ordered) - fitting)
        more = [f"more={left_out}".encode()] if left_out else []
        whole = [*strings, *more, *entries(ordered[:fitting])]
        if sum(map(len, whole)) + len(whole) <= room:
            return whole
    raise AssertionError("the fixed part of a record fits by its own limits")


def _entry(number: int, claim: SessionClaim) -> bytes:
    title = truncate_bytes(clean_title(claim.title), TITLE_BYTES, "…")
    letter = _LETTERS.get(claim.status, "i")
    return f"s{number}={claim.id},{letter},{base36(claim.updated_at)},{title}".encode()


def decode(strings: Iterable[bytes], *, port: int, hosts: Iterable[str] = ()) -> PresenceRecord | None:
    """Read the record of a service heard at `port` on `hosts` from TXT strings; None if it is not one of ours.

    Never raises, whatever the strings. A record of another `txtvers` gives its device without sessions.
    """
    values = _values(strings)
    device, revision = values.get("id", "").lower(), values.get("r", "").lower()
    if not _DEVICE.fullmatch(device) or not _REVISION.fullmatch(revision) or int(revision, 36) > REVISION_MAX:
        return None
    txtvers = values.get("txtvers", str(TXTVERS))
    readable = txtvers == str(TXTVERS)
    claims = tuple(_claims(values)) if readable else ()
    statuses = [claim.status for claim in claims]
    counts = _COUNTS.fullmatch(values.get("c", ""))
    working, needs_input, idle = (
        map(int, counts.groups())
        if counts and readable
        else (statuses.count(Status.WORKING), statuses.count(Status.NEEDS_INPUT), statuses.count(Status.IDLE))
    )
    versions = values.get("pv", "1")
    return PresenceRecord(
        device=DeviceId(device),
        revision=int(revision, 36),
        name=clean(values.get("n", ""), NAME_MAX),
        port=port if 0 < port < 65536 else 0,
        hosts=tuple(host for host in hosts if len(host) <= 64)[:HOSTS_MAX],
        txtvers=TXTVERS if readable else _number(txtvers),
        versions=tuple(map(int, versions.split(","))) if _VERSIONS.fullmatch(versions) else (),
        working=working,
        needs_input=needs_input,
        idle=idle,
        more=_number(values.get("more", "")) if readable else 0,
        sessions=claims,
    )


def _values(strings: Iterable[bytes]) -> dict[str, str]:
    values: dict[str, str] = {}
    for string in strings:
        key, equals, value = string[:STRING_MAX].partition(b"=")
        if equals and key:  # RFC 6763 §6.4: keys are ASCII in any case, the first of several counts
            values.setdefault(key.decode("latin-1").lower(), value.decode("utf-8", "replace"))
    return values


def _claims(values: dict[str, str]) -> Iterator[SessionClaim]:
    entries = ((match, value) for key, value in values.items() if (match := _CLAIM_KEY.fullmatch(key)))
    seen: set[str] = set()
    for _, value in sorted(entries, key=lambda entry: int(entry[0][1])):
        parts = _CLAIM.fullmatch(value)
        if parts is None or parts[1] in seen:
            continue
        seen.add(parts[1])
        yield SessionClaim(
            id=parts[1],
            status=_STATUSES.get(parts[2], Status.IDLE),  # R7: an unknown status reads idle
            updated_at=int(parts[3], 36),
            title=clean_title(parts[4]),
        )
        if len(seen) == CLAIMS_MAX:
            return


def _number(text: str) -> int:
    return min(COUNT_MAX, int(text)) if text.isascii() and text.isdigit() and len(text) <= 4 else 0


def base36(number: int) -> str:
    """Write a number, 0 or more, in base 36: digits and lower-case letters."""
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
        if not number:
            return digits
