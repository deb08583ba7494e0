"""Which channels watch which of the sessions here: told when they come and go, counted for each device."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.errors import Busy
from agent.ports import Channel
from agent.protocol.audit import Action
from agent.protocol.model import DeviceId, SessionId, SessionRow

ATTACHED_MAX = 512
"""Sessions that one other device has attached here, over all its connections."""
Noted = Callable[[Action, DeviceId, SessionId, int], None]
"""Told what a device did to a session, and how many characters its text had."""


class Attachments:
    """Channels with something attached."""

    def __init__(self, own: DeviceId, noted: Noted) -> None:
        self._own, self._noted = own, noted
        self._attached: dict[Channel, set[SessionId]] = {}
        self._terminals: dict[Channel, set[SessionId]] = {}
        self._watched: dict[Channel, set[SessionId]] = {}  # once attached over a channel that is still open

    def join(self, channel: Channel, device: DeviceId, session: SessionId, *, terminal: bool = False) -> None:
        """A channel watches a session's log, or its terminal, from now on. Again changes nothing.

        Raises: Busy, if its device watches as much as one may.
        """
        table = self._terminals if terminal else self._attached
        more = channel.device is not None and session not in table.get(channel, ())
        if more and self.count(device) >= ATTACHED_MAX:
            raise Busy(f"{ATTACHED_MAX} sessions are attached over there", hint="leave some: Ctrl-D leaves one")
        if session not in self._attached.get(channel, ()) and session not in self._terminals.get(channel, ()):
            self._noted("attached", device, session, 0)
        for table in (self._terminals if terminal else self._attached, self._watched):
            table.setdefault(channel, set()).add(session)
        channel.busy(attached=True)

    def leave(self, channel: Channel, session: SessionId, *, terminal: bool = False) -> None:
        """It watches the log, or the terminal, of that one no more."""
        table, other = (self._terminals, self._attached) if terminal else (self._attached, self._terminals)
        sessions = table.get(channel, set())
        if session in sessions:
            sessions.discard(session)
            if session not in other.get(channel, ()):
                self._noted("detached", channel.device or self._own, session, 0)
        if not sessions:
            table.pop(channel, None)
        if not sessions and not other.get(channel):
            channel.busy(attached=False)

    def drop(self, channel: Channel) -> set[SessionId]:
        """A channel is gone; the sessions whose log it watched."""
        self._watched.pop(channel, None)
        sessions = self._attached.pop(channel, set())
        for session in sorted(sessions | self._terminals.pop(channel, set())):
            self._noted("detached", channel.device or self._own, session, 0)
        return sessions

    def typed(self, channel: Channel, session: SessionId) -> None:
        """Somebody types on a terminal over this channel, for the first time since it was attached."""
        self._noted("typed", channel.device or self._own, session, 0)

    def of(self, session: SessionId) -> list[Channel]:
        """The channels that watch it."""
        tables = (self._attached, self._terminals)
        return list({channel: None for table in tables for channel, sessions in table.items() if session in sessions})

    def forget(self, session: SessionId) -> None:
        """A session is closed: nobody watches it, and nothing of it stays."""
        for channel in self.of(session):
            self.leave(channel, session)
            self.leave(channel, session, terminal=True)
        for watched in self._watched.values():
            watched.discard(session)

    def count(self, device: DeviceId) -> int:
        """How much a device has attached here, over all its channels that are not being closed."""
        tables = (self._attached, self._terminals)
        return sum(
            len(each)
            for table in tables
            for channel, each in table.items()
            if channel.device == device and channel.open
        )

    def protects(self, device: DeviceId, row_of: Callable[[Iterable[SessionId]], Iterable[SessionRow]]) -> bool:
        """Whether a device has a session attached, or had over its link one that still works (L4)."""
        for channel, sessions in self._watched.items():
            if channel.device == device and (
                channel in self._attached
                or channel in self._terminals
                or any(row.status in {"working", "needs-input"} for row in row_of(sessions))
            ):
                return True
        return False
