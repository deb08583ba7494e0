"""Names and titles: made safe to show, cut to size, and found when there is none (T10, R7)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from itertools import islice

from agent.protocol.characters import BLANK, JOINERS, idle_joiner, unseen, unseen_but_joiners
from agent.protocol.model import NAME_MAX, TITLE_MAX, DeviceId, Endpoint

UNTITLED = "Untitled session"
MEANT_MAX = 500
"""Names that are compared with a word that is none: some milliseconds."""
INSTANCE_MAX = 63
"""Bytes of a DNS label (RFC 1035)."""
MARKS_MAX = 3
"""Combining marks in a row; more of them climb over the lines above."""
CUT = 4
"""Characters that are read for each one that may be kept: text is cut before it is normalised, which takes time
that grows with the square of a run of combining marks (measured: 64 KB of them 1.15 s)."""

_DROPPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_joiners = re.compile(f"[{JOINERS}]")
_TO_SPACE = str.maketrans(f"\r\n\t{BLANK}", "    ")


def clean(text: str, limit: int) -> str:
    """Make a stranger's text safe for a terminal and a page: at most `limit` characters, NFC, trimmed, on one line.

    Control, format (bidi), invisible, private and unassigned characters go; what is clean already comes back as it is.
    Of a longer text only the beginning counts, `CUT` times `limit` characters. Source: FACTS-SECURITY §6.
    """
    return _clean(text, limit, unseen)


def clean_title(text: str, limit: int = TITLE_MAX) -> str:
    """What a session is called, made safe as `clean` does; but joiners stay where they hold something together.

    Without them a family is four faces, and words of Persian and of India are misspelt.
    """
    return idle_joiner.sub("", _clean(text, limit, unseen_but_joiners)).rstrip()


def _clean(text: str, limit: int, left_out: re.Pattern[str]) -> str:
    text = text.strip()[: CUT * limit]
    if text.isascii() and text.isprintable():
        return text[:limit].rstrip()
    seen = left_out.sub("", text.translate(_TO_SPACE))
    kept = "".join(char for char in seen if char in JOINERS or unicodedata.category(char) not in _DROPPED)
    kept = _limit_marks(idle_joiner.sub("", kept))
    return _limit_marks(unicodedata.normalize("NFC", kept)).strip()[:limit].rstrip()


def folded(title: str) -> str:
    """A title as it is looked for: case and joiners make no difference, as terminals show none."""
    return _joiners.sub("", title).casefold()


def first_words(text: str, limit: int) -> str:
    """The beginning of a text on one clean line of at most `limit` characters; `…` says that it goes on."""
    line = " ".join(clean_title(text, CUT * limit).split())
    if len(line) <= limit:
        return line
    cut = line[: limit - 1]
    whole, _, _ = cut.rpartition(" ")
    return (whole if len(whole) > limit // 2 else cut).rstrip() + "…"


def _limit_marks(text: str) -> str:
    # Whatever is sorted or drawn onto the character before it counts, as marks are by which NFC takes long; a joiner
    # counts as one, else the marks after it began anew.
    kept: list[str] = []
    marks = 0
    for char in text:
        mark = unicodedata.combining(char) or unicodedata.category(char) in {"Mn", "Me"} or char in JOINERS
        marks = marks + 1 if mark else 0
        if marks <= MARKS_MAX:
            kept.append(char)
    return "".join(kept)


def truncate_bytes(text: str, limit: int, mark: str = "") -> str:
    """Cut text to at most `limit` bytes of UTF-8, between characters; `mark` ends a cut text, and counts."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode("utf-8")
    room = max(0, limit - len(mark.encode()))
    return data[:room].decode("utf-8", "ignore").rstrip() + mark


def short_id(device_id: str) -> str:
    """A device id as people read it: `xxxx-xxxx`, its first 40 bits (T1)."""
    return f"{device_id[:4]}-{device_id[4:8]}"


def address(endpoint: Endpoint) -> str:
    """An endpoint as `host:port`, an IPv6 host in brackets."""
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"{host}:{endpoint.port}"


def display_name(name: str, endpoint: Endpoint | None, device: str = "") -> str:
    """The name that a device is shown by: its cleaned name, else its address, else its short id (R7)."""
    shown = clean(name, NAME_MAX)
    if shown:
        return shown
    return address(endpoint) if endpoint else short_id(device)


def own_name(chosen: str, host_name: str, device: DeviceId, user: str = "") -> str:
    """This device's name: the chosen one, else the first label of the host name, else the short id.

    `user` is added to the host's name if several users of it have a device each: `den-ann`.
    """
    label = host_name.partition(".")[0]
    for name in (chosen, "" if label.lower() == "localhost" else f"{label}-{user}" if user and label else label):
        cleaned = clean(name, NAME_MAX)
        if cleaned:
            return cleaned
    return short_id(device)


def instance_name(name: str, device: DeviceId) -> str:
    """The DNS-SD instance name `NAME xxxx`: no dots (avahi splits labels there), at most 63 bytes (DESIGN §8)."""
    suffix = f" {device[:4]}"
    words = " ".join(clean(name, NAME_MAX).replace(".", " ").split())
    return (truncate_bytes(words, INSTANCE_MAX - len(suffix)) + suffix).strip()


def meant(word: str, names: Iterable[str]) -> str:
    """What was perhaps meant by a word that is none of these names: `did you mean desk? `, or empty."""
    import shlex  # noqa: PLC0415 - only for who mistyped
    from difflib import get_close_matches  # noqa: PLC0415 - as above

    known = {name.casefold(): name for name in islice(names, MEANT_MAX) if name}
    near = get_close_matches(word.casefold(), known, 1)
    return f"did you mean {shlex.quote(clean(known[near[0]], NAME_MAX))}? " if near else ""
