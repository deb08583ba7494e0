"""The sessions that are listed, and how one is found by what a person types (R3, R4, R5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from agent.errors import Ambiguous, DeviceNotFound, SessionNotFound
from agent.presence.rules.changes import PendingChanges
from agent.presence.rules.selectors import PREFIX_MIN
from agent.protocol.model import DeviceId, DeviceRow, SessionId, SessionRow
from agent.protocol.names import short_id

BUCKET = PREFIX_MIN
"""Characters of an id under which it is filed: 20 bits, so that a bucket holds one or two of 20,000."""
CANDIDATES = 8
"""Matches that an error lists."""


class Where(Struct, frozen=True):
    """Where a session is."""

    device: DeviceId
    session: SessionId | None  # None: only `prefix` of its id is known here, that device knows the rest
    prefix: str
    local: bool


class SessionIndex:
    """One row per session id, that of its owner (`claims`); look-up by id or prefix is one dictionary access (R5)."""

    def __init__(self) -> None:
        self.rows: dict[SessionId, SessionRow] = {}
        self._buckets: dict[str, set[SessionId]] = {}
        self._titles: dict[str, set[SessionId]] = {}

    def put(self, row: SessionRow, pending: PendingChanges) -> None:
        """List a session, or list it otherwise."""
        if row.id in self.rows:
            _take_out(self._titles, self.rows[row.id].title, row.id)
        _file(self._buckets, row.id[:BUCKET], row.id)
        _file(self._titles, row.title, row.id)
        self.rows[row.id] = row
        pending.session(row.id, row)

    def drop(self, device: DeviceId, session: SessionId, pending: PendingChanges) -> None:
        """Take a device's row of a session away, unless the row is another's already."""
        if self.rows[session].device.id != device:
            return
        _take_out(self._buckets, session[:BUCKET], session)
        _take_out(self._titles, self.rows.pop(session).title, session)
        pending.session(session, None)

    def starting_with(self, prefix: str) -> list[SessionRow]:
        """Rows whose id begins with `prefix`, which has `PREFIX_MIN` characters or more; by id."""
        ids = self._buckets.get(prefix[:BUCKET], ())
        return [self.rows[each] for each in sorted(ids) if each.startswith(prefix)]

    def beginning(self, session: str) -> list[SessionRow]:
        """Rows whose id is a beginning of `session`, as records of the network carry it."""
        return [self.rows[each] for each in self._buckets.get(session[:BUCKET], ()) if session.startswith(each)]

    def titled(self, title: str) -> list[SessionRow]:
        """Rows with exactly that title, by id."""
        return [self.rows[each] for each in sorted(self._titles.get(title, ()))]


def _file(among: dict[str, set[SessionId]], key: str, session: SessionId) -> None:
    among.setdefault(key, set()).add(session)


def _take_out(among: dict[str, set[SessionId]], key: str, session: SessionId) -> None:
    among[key].discard(session)
    if not among[key]:
        del among[key]


def newest_first(rows: Iterable[SessionRow]) -> list[SessionRow]:
    """Newest first, ties by id (R4)."""
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
    raise DeviceNotFound(f"no device {selector!r}")


def find_session(
    index: SessionIndex,
    selector: str,
    *,
    whole: Callable[[SessionRow], bool],
    device: Callable[[str], DeviceId],
    incomplete: Callable[[DeviceId], bool],
) -> Where:
    """The session with that id, unique prefix, exact title, or `DEVICE/` and one of these.

    Ids and titles are what other devices say they are: a selector that means one session by its id and another one by
    its title means neither (R13). `whole` tells whether a row's id is all of it, `device` finds a device, `incomplete`
    tells whether a device has sessions that are not listed here. Raises: SessionNotFound, Ambiguous.
    """
    if (exact := _exact(index, selector, whole)) is not None:
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
                raise _ambiguous(selector, elsewhere, f"and {name} has sessions that are not known here")
            if not found:
                return Where(on, None, rest, local=False)
        found = [*found, *(row for row in there if row not in found)]
        selector = rest if there else selector
    # Whether it can be used now makes no difference: what was meant for one must not go to its namesake (R12, R13).
    if len(found) > 1:
        raise _ambiguous(selector, found)
    if not found:
        raise SessionNotFound(f"no session {selector!r}")
    row = found[0]
    session = row.id if whole(row) else None
    prefix = selector if session is None and selector.startswith(row.id) else row.id
    return Where(row.device.id, session, prefix, row.local)


def _exact(index: SessionIndex, selector: str, whole: Callable[[SessionRow], bool]) -> Where | None:
    row = index.rows.get(SessionId(selector))
    if row is None or not whole(row):
        return None
    # An own session with that very title was perhaps meant; what other devices call theirs hides no id.
    named = [each for each in index.titled(selector) if each.local and each.id != row.id]
    if named and not row.local:
        raise _ambiguous(selector, [row, *named])
    return Where(row.device.id, row.id, row.id, row.local)


def _matches(index: SessionIndex, selector: str, whole: Callable[[SessionRow], bool]) -> list[SessionRow]:
    found = {row.id: row for row in index.titled(selector)}
    if len(selector) >= PREFIX_MIN:
        found |= {row.id: row for row in index.starting_with(selector)}
        found |= {row.id: row for row in index.beginning(selector) if not whole(row)}
    return list(found.values())


def _ambiguous(selector: str, rows: Iterable[SessionRow], more: str = "") -> Ambiguous:
    names = _few(f"{row.id} {row.title!r} on {row.device.name}" for row in rows)
    return Ambiguous(f"several sessions match {selector!r}: {names} {more}".rstrip())


def _few(names: Iterable[str]) -> str:
    listed = list(names)
    rest = len(listed) - CANDIDATES
    return ", ".join(listed[:CANDIDATES]) + (f" and {rest} more" if rest > 0 else "")
