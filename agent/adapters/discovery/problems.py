"""Why this device cannot be found: failures that zeroconf only logs, as one sentence for a person."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable

_SENTENCES = {
    errno.EADDRINUSE: "another program keeps UDP port 5353 for itself"
    " (avahi: set disallow-other-stacks=no in avahi-daemon.conf)",
    errno.EHOSTUNREACH: "the system refuses multicast: no route to host"
    " (macOS: allow it in System Settings, Privacy & Security, Local Network)",
    errno.EPERM: "a firewall on this device blocks multicast to UDP port 5353",
    errno.EACCES: "a firewall on this device blocks multicast to UDP port 5353",
}


class SocketTrouble(logging.Filter):
    """Reports each problem once; while it is a filter of zeroconf's logger it sees (and swallows) failures to send.

    `report` gets a sentence, or "" when the problem is over. An interface that just went away is none: the watch
    on interfaces sees to it.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        super().__init__()
        self._report, self._reported = report, ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Take failures of a socket; let the rest be logged."""
        failure = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if not isinstance(failure, OSError):
            return True
        self.note(failure)
        return False

    def note(self, failure: OSError) -> None:
        """A socket failed."""
        self.say(_SENTENCES.get(failure.errno or 0, ""))

    def say(self, sentence: str) -> None:
        """Report that, unless it was reported last."""
        if sentence and sentence != self._reported:
            self._reported = sentence
            self._report(sentence)

    def over(self) -> None:
        """It works."""
        if self._reported:
            self._reported = ""
            self._report("")
