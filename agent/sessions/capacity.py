"""How many sessions one device runs: a place is taken before anything is waited for, so that a burst finds no gap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from agent.errors import Busy
from agent.protocol.model import DeviceId, DeviceRef
from agent.sessions.directory import Directory

SESSIONS_MAX = 256
"""Live sessions on one device."""
FROM_OTHER_MAX = 64
"""Live sessions that one other device has started here."""


class Capacity:
    """Places for sessions of this device."""

    def __init__(self, own: DeviceRef, directory: Directory) -> None:
        self._own, self._directory = own, directory
        self._coming: Counter[DeviceId] = Counter()  # who has one made that is not listed yet

    @contextmanager
    def place(self, creator: DeviceId) -> Iterator[None]:
        """Hold a place for a session, until it is listed or nothing has come of it. Raises: Busy."""
        coming = self._coming
        if len(self._directory.hosted) + coming.total() >= SESSIONS_MAX:
            raise Busy(f"{SESSIONS_MAX} sessions are open on {self._own.name}", hint="`agent close` some")
        started = self._directory.created_by(creator) + coming[creator]
        if creator != self._own.id and started >= FROM_OTHER_MAX:
            raise Busy(f"{FROM_OTHER_MAX} sessions of this device are open there", hint="`agent close` some")
        coming[creator] += 1
        try:
            yield
        finally:
            coming[creator] -= 1
            if not coming[creator]:
                del coming[creator]
