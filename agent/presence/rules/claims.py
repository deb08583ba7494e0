"""Which device owns a session id: the one that claimed it first (R13).

Ids are random, so two devices that claim one are no chance: one of them lies. Whoever was first keeps it for as long as
it is paired, whatever times the other names, and also while it is away or has closed the session: an id is never used
again (S11).
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from msgspec import Struct

from agent.protocol.model import DeviceId, SessionId

SHORTEST = 4
"""Characters that two ids must share to be compared."""
KEPT_MAX = 4096
"""Ids of one device that are remembered beyond those that it has listed."""


class Contest(Struct, frozen=True):
    """A claim of one device to a session that is another's."""

    session: str  # its id, or the beginning of one
    owner: DeviceId
    rival: DeviceId


class Claims:
    """The owners of all session ids ever heard of. An announced beginning of an id claims every id that begins so."""

    def __init__(self) -> None:
        self.version = 0  # grows whenever an id may be claimed that was another's
        self._wholes: dict[str, DeviceId] = {}
        self._beginnings: dict[str, DeviceId] = {}
        self._filed: dict[str, set[str]] = {}  # all of both, by their first characters
        self._of: dict[DeviceId, dict[str, None]] = {}  # oldest first
        self._contests: dict[tuple[DeviceId, DeviceId], Contest] = {}  # by rival and owner: the first one

    def claim(self, device: DeviceId, session: str, *, whole: bool) -> Contest | None:
        """Claim an id, `whole` or its beginning, for a device. Returns the contest, if the id is another device's."""
        owner = self._owner_of_whole(session) if whole else self._owner_of_beginning(session, device)
        if owner is not None and owner != device:
            return Contest(session, owner, device)
        self._file(session, device, self._wholes if whole else self._beginnings)
        return None

    def claim_hosted(self, device: DeviceId, session: SessionId) -> None:
        """Claim the id of a session that is hosted here, whoever claimed it before: nobody knows better."""
        for cut in _cuts(session):
            if self._beginnings.get(cut, device) != device:
                self._free(self._beginnings[cut], [cut])
        self._file(session, device, self._wholes)

    def is_news(self, contest: Contest) -> bool:
        """Whether this is the first contest between that rival and that owner; asking records it."""
        pair = contest.rival, contest.owner
        if pair in self._contests:
            return False
        self._contests[pair] = contest
        return True

    def release_beginnings(self, device: DeviceId) -> None:
        """Free the ids that the device claimed by their beginnings: all of its whole ids are known now."""
        for each in [each for each in self._of.get(device, ()) if self._beginnings.get(each) == device]:
            del self._beginnings[each]
            if self._wholes.get(each) != device:
                self._free(device, [each])

    def trim(self, device: DeviceId, listed: Container[SessionId], most: int = KEPT_MAX) -> None:
        """Forget the oldest ids of a device beyond `most`, and none that is listed."""
        kept = self._of.get(device, {})
        if len(kept) > 2 * most:
            old = [each for each in kept if SessionId(each) not in listed]
            self._free(device, old[:-most])

    def forget(self, device: DeviceId) -> None:
        """Free all ids of a device that is trusted no longer."""
        self._free(device, list(self._of.pop(device, {})))
        self._contests = {pair: contest for pair, contest in self._contests.items() if device not in pair}

    # --- how ---------------------------------------------------------------------------------------------------------

    def _owner_of_whole(self, session: str) -> DeviceId | None:
        owner = self._wholes.get(session)
        if owner is not None:
            return owner
        return next((self._beginnings[cut] for cut in _cuts(session) if cut in self._beginnings), None)

    def _owner_of_beginning(self, session: str, device: DeviceId) -> DeviceId | None:
        # It is the device's own if any that it may stand for is; else whoever has one of those.
        filed = self._filed.get(session[:SHORTEST], ())
        alike = {self._wholes[each] for each in filed if each in self._wholes and each.startswith(session)}
        alike |= {
            self._beginnings[each]
            for each in filed
            if each in self._beginnings and (each.startswith(session) or session.startswith(each))
        }
        return None if device in alike else min(alike, default=None)

    def _file(self, session: str, device: DeviceId, among: dict[str, DeviceId]) -> None:
        before = among.get(session)
        if before is not None and before != device:
            self._of.get(before, {}).pop(session, None)
        among[session] = device
        self._filed.setdefault(session[:SHORTEST], set()).add(session)
        self._of.setdefault(device, {})[session] = None

    def _free(self, device: DeviceId, sessions: list[str]) -> None:
        for session in sessions:
            for among in (self._wholes, self._beginnings):
                if among.get(session) == device:
                    del among[session]
            self._of.get(device, {}).pop(session, None)
            if session not in self._wholes and session not in self._beginnings:
                filed = self._filed[session[:SHORTEST]]
                filed.discard(session)
                if not filed:
                    del self._filed[session[:SHORTEST]]
        self.version += bool(self._contests)


def _cuts(session: str) -> Iterator[str]:
    return (session[:length] for length in range(SHORTEST, len(session) + 1))
