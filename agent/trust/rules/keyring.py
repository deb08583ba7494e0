"""The keys that a household shares: which epochs are kept, which of two keys counts, when the next one is due (T4)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from agent.protocol.household import KeyEpoch

EPOCHS_KEPT = 4
EPOCH_DAYS = 30
DAY = 86_400
CLOCKS_APART = 3600
"""Seconds by which the clock of a device that may only watch may be ahead, for its key to be taken."""
EPOCHS_AHEAD = 1024
"""Epochs by which a key of another member may be ahead: one that lies must not use up the numbers."""


class KeyRing:
    """The keys of the newest epochs. Of two keys with one number all members take the same one."""

    def __init__(self, keys: Iterable[KeyEpoch] = ()) -> None:
        self._epochs: dict[int, KeyEpoch] = {}
        self._lent_at = -math.inf  # Unix seconds at which a key of a device that may only watch was taken last
        self._take(keys)

    @property
    def newest(self) -> KeyEpoch | None:
        """The epoch to seal with; None, if there is none yet."""
        return self._epochs[max(self._epochs)] if self._epochs else None

    @property
    def epochs(self) -> tuple[KeyEpoch, ...]:
        """All epochs that are kept, oldest first."""
        return tuple(self._epochs[number] for number in sorted(self._epochs))

    def keys(self) -> Mapping[int, bytes]:
        """The 32-byte keys by number of their epoch."""
        return {number: epoch.key for number, epoch in self._epochs.items()}

    def add(self, keys: Iterable[KeyEpoch]) -> bool:
        """Take keys that another member sent; returns whether that changed anything."""
        before = self.epochs
        highest = before[-1].number + EPOCHS_AHEAD if before else 2**32
        self._take(epoch for epoch in keys if epoch.number <= highest)
        return self.epochs != before

    def add_due(self, keys: Iterable[KeyEpoch], removed: bytes, now: float) -> bool:
        """Take a key of a device that may only watch, if a key is due (T12); returns whether it was taken.

        That device may be the one to make it. It cannot run ahead, nor replace the key in use, nor make a key that is
        due again at once or never: one a day is taken.
        """
        newest = self.newest
        if newest is None or not self.is_stale(removed, now) or now - self._lent_at < DAY:
            return False
        # Some epochs were perhaps missed while this device was away.
        numbers = range(newest.number + 1, newest.number + 1 + EPOCHS_KEPT)
        due = [epoch for epoch in keys if epoch.number in numbers and epoch.removed == removed]
        due = [epoch for epoch in due if now - EPOCH_DAYS * DAY < epoch.at <= now + CLOCKS_APART]
        if not self.add(due[-1:]):
            return False
        self._lent_at = now
        return True

    def is_stale(self, removed: bytes, now: float) -> bool:
        """Whether another key is due: a device that has the newest one was put out since, or the key is old."""
        newest = self.newest
        return newest is None or newest.removed != removed or now - newest.at >= EPOCH_DAYS * DAY

    def turn(self, key: bytes, removed: bytes, now: float, *, over: bool = False) -> None:
        """Begin another epoch with `key`, 32 random bytes; `over`: with a number above the next one of others."""
        newest = self.newest
        number = newest.number + 1 + over if newest else 1
        self._take([KeyEpoch(number=number, key=key, removed=removed, at=int(now))])

    def _take(self, keys: Iterable[KeyEpoch]) -> None:
        for epoch in keys:
            known = self._epochs.get(epoch.number)
            if known is None or (epoch.key, epoch.removed, epoch.at) > (known.key, known.removed, known.at):
                self._epochs[epoch.number] = epoch
        for number in sorted(self._epochs)[:-EPOCHS_KEPT]:
            del self._epochs[number]
