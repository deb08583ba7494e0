"""The lives of a log, and which of them a client has seen (S15). Pure.

A log may be restored from an older copy and then grow in another way, and no counter beside it tells: that would be
restored too. So each start of the service that goes on with a log begins another life of it: the first event that it
adds carries a new epoch, at random. A client names the epoch that it saw last, and its place. If the log has that
epoch, its events up to the end of that life are those that the client has seen. Beyond that end, or of an epoch that
the log does not have, nothing is known, and the client starts over.
"""

from __future__ import annotations

KEPT = 1024
"""Lives of one log that are remembered. Whoever comes from an earlier one starts over."""


class Lives:
    """The epochs of one log, as its events tell them."""

    def __init__(self, epoch: str) -> None:
        """`epoch`: of the first life, which has no event of its own for that."""
        self._begun = {epoch: 1}  # epoch -> number of the first event in it, oldest first
        self.epoch = epoch  # of the present life

    def begin(self, epoch: str, seq: int) -> None:
        """Note that another life begins with event `seq`."""
        self.epoch = epoch
        self._begun[epoch] = seq
        if len(self._begun) > KEPT:
            del self._begun[next(iter(self._begun))]

    def include(self, epoch: str, seq: int) -> bool:
        """Whether a client of life `epoch` that has seen every event up to `seq` has seen events of this very log.

        That the log has an event `seq` at all is for the caller to know.
        """
        if epoch not in self._begun:
            return False
        later = list(self._begun)
        after = later.index(epoch) + 1
        return after == len(later) or seq < self._begun[later[after]]
