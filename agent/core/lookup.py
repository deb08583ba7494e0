"""The sessions that are listed, and how one is found by what a person types (R3, R4, R5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from agent.core.changes import Draft
from agent.core.names import short_id
from agent.core.records import DeviceId, DeviceRow, SessionId, SessionRow
from agent.errors import Ambiguous, DeviceNotFound, SessionNotFound

BUCKET = 4
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

    def put(self, row: SessionRow, draft: Draft) -> None:
        """List a session, or list it otherwise."""
        if row.id not in self.rows:
            self._buckets.setdefault(row.id[:BUCKET], set()).add(row.id)
        self.rows[row.id] = row
        draft.session(row.id, row)

    def drop(self, device: DeviceId, session: SessionId, draft: Draft) -> None:
        """Take a device's row of a session away, unless the row is another's already."""
        if self.rows[session].device.id != device:
            return
        del self.rows[session]
        bucket = self._buckets[session[:BUCKET]]
        bucket.discard(session)
        if not bucket:
            del self._buckets[session[:BUCKET]]
        draft.session(session, None)

    def starting_with(self, prefix: str) -> list[SessionRow]:
        """Rows whose id begins with `prefix`, by id."""
        ids: Iterable[SessionId] = self.rows
        if len(prefix) >= BUCKET:
            ids = self._buckets.get(prefix[:BUCKET], ())
        return [self.rows[each] for each in sorted(ids) if each.startswith(prefix)]

    def beginning(self, session: str) -> list[SessionRow]:
        """Rows whose id is a beginning of `session`, as records of the network carry it."""
        return [self.rows[each] for each in self._buckets.get(session[:BUCKET], ()) if session.startswith(each)]

    def titled(self, title: str) -> list[SessionRow]:
        """Rows with exactly that title, by id."""
        return sorted((row for row in self.rows.values() if row.title == title), key=lambda row: row.id)


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

    `whole` tells whether a row's id is all of it, `device` finds a device, `incomplete` tells whether a device has
    sessions that are not listed here. Raises: SessionNotFound, Ambiguous.
    """
    if found := _choose(index, selector, None, whole):
        return found
    name, slash, rest = selector.partition("/")
    if slash and rest:
        try:
            on = device(name)
        except DeviceNotFound:
            raise SessionNotFound(f"no session {selector!r}: there is no device {name!r}") from None
        if found := _choose(index, rest, on, whole):
            return found
        if incomplete(on):
            return Where(on, None, rest, local=False)
    raise SessionNotFound(f"no session {selector!r}")


def _choose(
    index: SessionIndex, selector: str, on: DeviceId | None, whole: Callable[[SessionRow], bool]
) -> Where | None:
    exact = index.rows.get(SessionId(selector))
    if exact is not None and whole(exact) and on in {None, exact.device.id}:
        return Where(exact.device.id, exact.id, exact.id, exact.local)
    if not selector:
        return None
    # Two letters are the beginning of some id by chance, and a title on purpose.
    for matches in (_by_id, _by_title) if len(selector) >= BUCKET else (_by_title, _by_id):
        found = [row for row in matches(index, selector, whole) if on in {None, row.device.id}]
        # Whether it can be used now makes no difference: what was meant for one must not go to its namesake (R12, R13).
        if len(found) == 1:
            row = found[0]
            session = row.id if whole(row) else None
            prefix = selector if session is None and selector.startswith(row.id) else row.id
            return Where(row.device.id, session, prefix, row.local)
        if found:
            names = _few(f"{row.id} {row.title!r} on {row.device.name}" for row in found)
            raise Ambiguous(f"several sessions match {selector!r}: {names}")
    return None


def _by_id(index: SessionIndex, selector: str, whole: Callable[[SessionRow], bool]) -> list[SessionRow]:
    shorter = (row for row in index.beginning(selector) if row.id != selector and not whole(row))
    return [*index.starting_with(selector), *shorter]


def _by_title(index: SessionIndex, selector: str, _whole: Callable[[SessionRow], bool]) -> list[SessionRow]:
    return index.titled(selector)


def _few(names: Iterable[str]) -> str:
    listed = list(names)
    rest = len(listed) - CANDIDATES
    return ", ".join(listed[:CANDIDATES]) + (f" and {rest} more" if rest > 0 else "")
