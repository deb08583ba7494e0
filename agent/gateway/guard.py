"""Clients that run inside a session of this device: what they may not do in the owner's name (T9)."""

from __future__ import annotations

from agent.errors import Forbidden
from agent.ports import Channel
from agent.protocol.model import SessionId


class InsideGuard:
    """Knows which clients are programs of a session here, and refuses them."""

    def __init__(self, *, allowed: bool) -> None:
        """`allowed`: whether programs inside sessions may use other devices and act for a person."""
        self.allowed = allowed
        self._sessions: dict[Channel, SessionId] = {}

    def note(self, channel: Channel, session: SessionId) -> None:
        """Remember that the client is a program that runs in that session."""
        if not self.allowed:
            self._sessions[channel] = session

    def holds(self, channel: Channel) -> bool:
        """Whether the client is refused."""
        return channel in self._sessions

    def refuse(self, channel: Channel, method: str) -> None:
        """Raise Forbidden, if the client runs inside a session."""
        session = self._sessions.get(channel)
        if session is not None:
            raise Forbidden(
                f"{method}: a program inside a session ({session}) may not act on other devices or for a person",
                hint="run it in a terminal of your own; `sessions.may_prompt_others = true` allows it",
            )

    def drop(self, channel: Channel) -> None:
        """Forget a client that is gone."""
        self._sessions.pop(channel, None)
