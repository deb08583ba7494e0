"""The epochs of a log, and which of them a client has seen (S15).

A log may be restored from an older copy and then grow in another way, and no counter beside it can show that: it would
be restored too. So each start of the service that goes on with a log begins another epoch: the first event that it adds
carries a new random id. A client names the epoch that it saw last, and its place. If the log has that epoch, its
events up to the end of that epoch are those that the client has seen. Beyond that end, or of an epoch that the log
does not have, nothing is known, and the client starts over.
"""

from __future__ import annotations

KEPT = 1024
"""Epochs of one log that are remembered. A client of an earlier one starts over."""


class Epochs:
    """The epochs of one log, each with the number of its first event."""

    def __init__(self, first: str) -> None:
        """`first` is the epoch of a new log, which no event carries."""
        self._begun = {first: 1}  # epoch -> number of the first event in it, oldest first
        self.current = first  # the present one

    def begin(self, epoch: str, seq: int) -> None:
        """Note that another epoch begins with event `seq`."""
        self.current = epoch
        self._begun[epoch] = seq
        if len(self._begun) > KEPT:
            del self._begun[next(iter(self._begun))]

    def includes(self, epoch: str, seq: int) -> bool:
        """Whether a client of `epoch` that has seen every event up to `seq` has seen events of this very log.

        That the log has an event `seq` at all is for the caller to know.
        """
        if epoch not in self._begun:
            return False
        later = list(self._begun)
        after = later.index(epoch) + 1
        return after == len(later) or seq < self._begun[later[after]]
