"""Selectors: how a word that a person types finds a device or a session, by one rule for all lists (R5, DESIGN §9).

A session is named by its whole id; else by its title, in any case, or the first characters of its id. A word that means
one session by its id and another one by its title means neither (R13): several matches are listed, and none is taken.
Of one title, sessions that still take prompts go before those that have ended.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from agent.errors import Ambiguous, DeviceNotFound, SessionNotFound
from agent.presence.rules.changes import PendingChanges
from agent.protocol.model import DeviceId, DeviceRow, SessionId, SessionRow
from agent.protocol.names import UNTITLED, folded, meant, short_id

PREFIX_MIN = 4
"""Characters of an id that may stand for it. Ids are filed under as many: 20 bits, one or two of 20,000 in a bucket."""
CANDIDATES = 8
"""Matches that an error lists."""


class SessionNames:
    """The ids and titles of sessions; each look-up is a dictionary access, whatever their number (R5)."""

    def __init__(self, titles: Iterable[tuple[SessionId, str]] = ()) -> None:
        self._title_of: dict[SessionId, str] = {}
        self._by_title: dict[str, set[SessionId]] = {}
        self._by_prefix: dict[str, set[SessionId]] = {}
        for session, title in titles:
            self.put(session, title)

    def put(self, session: SessionId, title: str) -> None:
        """Add a session, or give a known one another title."""
        title = folded(title)
        if self._title_of.get(session) == title:
            return
        self.drop(session)
        self._title_of[session] = title
        self._by_title.setdefault(title, set()).add(session)
        self._by_prefix.setdefault(session[:PREFIX_MIN], set()).add(session)

    def drop(self, session: SessionId) -> None:
        """Forget the id and the title of a session, if they are known."""
        title = self._title_of.pop(session, None)
        if title is not None:
            _take_out(self._by_title, title, session)
            _take_out(self._by_prefix, session[:PREFIX_MIN], session)

    def titled(self, title: str) -> list[SessionId]:
        """Sessions with that title, in any case, by id."""
        return sorted(self._by_title.get(folded(title), ()))

    def starting_with(self, prefix: str) -> list[SessionId]:
        """Sessions whose id begins with `prefix`, by id; none for one of fewer than `PREFIX_MIN` characters."""
        if len(prefix) < PREFIX_MIN:
            return []
        return sorted(each for each in self._by_prefix.get(prefix[:PREFIX_MIN], ()) if each.startswith(prefix))

    def beginning(self, session: str) -> list[SessionId]:
        """Ids that are a beginning of `session`, as records of the network carry them."""
        return sorted(each for each in self._by_prefix.get(session[:PREFIX_MIN], ()) if session.startswith(each))

    def named_by(self, word: str) -> list[SessionId]:
        """All the sessions that a word which is no whole id may mean: first those of that title."""
        return list(dict.fromkeys((*self.titled(word), *self.starting_with(word))))


def _take_out(among: dict[str, set[SessionId]], key: str, session: SessionId) -> None:
    among[key].discard(session)
    if not among[key]:
        del among[key]


class SessionLocation(Struct, frozen=True):
    """The place of a session: its device, and its id as far as it is known here."""

    device: DeviceId
    session: SessionId | None  # None: only `prefix` of its id is known here, that device knows the rest
    prefix: str
    local: bool


class SessionIndex:
    """One row per session id, that of its owner (`claims`), with the names by which it is found."""

    def __init__(self) -> None:
        self.rows: dict[SessionId, SessionRow] = {}
        self.names = SessionNames()

    def put(self, row: SessionRow, pending: PendingChanges) -> None:
        """List a session, or replace the row that is listed of it."""
        self.names.put(row.id, row.title)
        self.rows[row.id] = row
        pending.session(row.id, row)

    def drop(self, device: DeviceId, session: SessionId, pending: PendingChanges) -> None:
        """Take a device's row of a session away, unless the row is another's already."""
        if self.rows[session].device.id != device:
            return
        self.names.drop(session)
        del self.rows[session]
        pending.session(session, None)


def newest_first(rows: Iterable[SessionRow]) -> list[SessionRow]:
    """The rows sorted newest first, ties by id (R4)."""
    return sorted(sorted(rows, key=lambda row: row.id), key=lambda row: row.updated_at, reverse=True)


def find_device(rows: list[DeviceRow], selector: str) -> DeviceId:
    """The device with that name, id or unique prefix of either.

    A stranger who takes the name of a trusted device is not meant. Raises: DeviceNotFound, Ambiguous.
    """
    wanted = selector.strip()
    folded, plain = wanted.casefold(), wanted.lower().replace("-", "")
    kinds: tuple[Callable[[DeviceRow], bool], ...] = (
        lambda row: plain in {row.id, row.id[:8]},
        lambda row: row.name == wanted,
        lambda row: row.name.casefold() == folded,
        lambda row: row.id.startswith(plain) or row.name.casefold().startswith(folded),
    )
    for matches in kinds if plain else ():
        found = [row for row in rows if matches(row)]
        trusted = [row for row in found if row.self or row.paired]
        for choice in (trusted, found):
            if len(choice) == 1:
                return choice[0].id
        if found:
            raise Ambiguous(
                f"several devices match {selector!r}: " + _few(f"{row.name} ({short_id(row.id)})" for row in found)
            )
    near = meant(wanted, (row.name for row in rows))
    raise DeviceNotFound(f"no device {selector!r}", hint=f"{near}see `agent peers`")


def find_session(
    index: SessionIndex,
    selector: str,
    *,
    whole: Callable[[SessionRow], bool],
    device: Callable[[str], DeviceId],
    incomplete: Callable[[DeviceId], bool],
) -> SessionLocation:
    """The session with that id, unique prefix, title, or `DEVICE/` and one of these.

    Ids and titles are what other devices say they are: a selector that means one session by its id and another one by
    its title means neither (R13). `whole` tells whether a row's id is all of it, `device` finds a device, `incomplete`
    tells whether a device has sessions that are not listed here. Raises: SessionNotFound, Ambiguous.
    """
    exact = _exact(index, selector, whole)
    if exact is not None:
        return exact
    found = _matches(index, selector, whole)
    name, slash, rest = selector.partition("/")
    on = None
    if slash and rest:
        try:
            on = device(name)
        except DeviceNotFound:
            if not found:
                raise SessionNotFound(f"no session {selector!r}: there is no device {name!r}") from None
    if on is not None:
        exact = _exact(index, rest, whole)
        if exact is not None and exact.device == on and not found:
            return exact
        there = [row for row in _matches(index, rest, whole) if row.device.id == on]
        elsewhere = [row for row in found if row.device.id != on]
        if not there and incomplete(on):
            if elsewhere:
                raise _ambiguous(index, selector, elsewhere, f"and {name} has sessions that are not known here")
            if not found:
                return SessionLocation(on, None, rest, local=False)
        found += [row for row in there if row not in found]
        selector = rest if there else selector
    found = _unended(selector, found)
    # Whether it can be used now makes no difference: what was meant for one must not go to its namesake (R12, R13).
    if len(found) > 1:
        raise _ambiguous(index, selector, found)
    if not found:
        near = meant(selector, (row.title for row in index.rows.values()))
        hint = _longer(selector, index.rows) or f"{near}see `agent sessions`"
        raise SessionNotFound(f"no session {selector!r}", hint=hint)
    row = found[0]
    session = row.id if whole(row) else None
    prefix = selector if session is None and selector.startswith(row.id) else row.id
    return SessionLocation(row.device.id, session, prefix, row.local)


def _exact(index: SessionIndex, selector: str, whole: Callable[[SessionRow], bool]) -> SessionLocation | None:
    row = index.rows.get(SessionId(selector))
    if row is None or not whole(row):
        return None
    # An own session with that very title was perhaps meant; what other devices call theirs hides no id.
    titled = (index.rows[each] for each in index.names.titled(selector))
    named = [each for each in titled if each.local and each.id != row.id]
    if named and not row.local:
        raise _ambiguous(index, selector, [row, *named])
    return SessionLocation(row.device.id, row.id, row.id, row.local)


def _matches(index: SessionIndex, selector: str, whole: Callable[[SessionRow], bool]) -> list[SessionRow]:
    found = [index.rows[each] for each in index.names.named_by(selector)]
    if len(selector) >= PREFIX_MIN:
        begun = (index.rows[each] for each in index.names.beginning(selector))
        found += [row for row in begun if row not in found and not whole(row)]
    return found


def _unended(title: str, found: list[SessionRow]) -> list[SessionRow]:
    # A session that has ended stands in nobody's way who means a live one by the same title.
    live = [row for row in found if row.status.live]
    ended = [row for row in found if not row.status.live]
    return [*live, *(row for row in ended if not live or folded(row.title) != folded(title))]


class OwnSession(Struct, frozen=True):
    """The title of a session of this device, and how far it is over."""

    title: str
    state: Literal["live", "ended", "closed"] = "live"  # ended: still listed; closed: only its log is left


def find_own(selector: str, sessions: Mapping[SessionId, OwnSession], device: str) -> SessionId:
    """The session of this device with that id, unique prefix or title: a live one before one that has ended or closed.

    Whoever may not see a session leaves it out. Raises: SessionNotFound, naming the device; Ambiguous.
    """
    exact = SessionId(selector)
    if exact in sessions:
        return exact
    wanted = selector.casefold()
    titled = sorted(each for each, own in sessions.items() if own.title.casefold() == wanted)
    begins = sorted(each for each in sessions if each.startswith(selector)) if len(selector) >= PREFIX_MIN else []
    named = list(dict.fromkeys((*titled, *begins)))
    found = [each for each in named if sessions[each].state != "closed"] or named
    if any(sessions[each].state == "live" for each in found):
        found = [each for each in found if sessions[each].state == "live" or each not in titled]
    if len(found) > 1:
        names = SessionNames((session, own.title) for session, own in sessions.items())
        raise _several(selector, [(each, sessions[each].title, device) for each in found], names)
    if not found:
        raise SessionNotFound(f"no session {selector!r} on {device}", hint=_longer(selector, sessions) or None)
    return found[0]


def _longer(selector: str, sessions: Iterable[SessionId]) -> str:
    # What to do with a beginning of an id that is too short; empty, if it is none.
    short = 0 < len(selector) < PREFIX_MIN and any(each.startswith(selector) for each in sessions)
    return f"give {PREFIX_MIN} characters or more of its id: see `agent sessions`" if short else ""


def _ambiguous(index: SessionIndex, selector: str, rows: Iterable[SessionRow], more: str = "") -> Ambiguous:
    return _several(selector, [(row.id, row.title, row.device.name) for row in rows], index.names, more)


def _several(
    selector: str, found: Sequence[tuple[SessionId, str, str]], names: SessionNames, more: str = ""
) -> Ambiguous:
    told = _few(_called(each, found, names) for each in found)
    hint = "name one of them as it stands here"
    return Ambiguous(f"several sessions match {selector!r}: {told} {more}".rstrip(), hint=hint)


def _called(one: tuple[SessionId, str, str], found: Sequence[tuple[SessionId, str, str]], names: SessionNames) -> str:
    # By what means this session and no other one, as a shell takes it: DEVICE/TITLE, else its id.
    session, title, device = one
    alike = [each for each in found if each[1].casefold() == title.casefold()]
    on = Counter(name.casefold() for _, _, name in alike)
    if title in ("", UNTITLED) or on[device.casefold()] > 1 or len(alike) < len(names.titled(title)):
        return f"{session} ({title!r} on {device})" if title else f"{session} (on {device})"
    return shlex.quote(f"{device}/{title}")


def _few(names: Iterable[str]) -> str:
    listed = list(names)
    rest = len(listed) - CANDIDATES
    return ", ".join(listed[:CANDIDATES]) + (f" and {rest} more" if rest > 0 else "")
