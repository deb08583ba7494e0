"""What the owner lets others do, and what they did (`session.share`, `device.limit`, `audit.list`). No other device."""

from __future__ import annotations

from agent.core.messages import LimitDevice, ListAudit, Nothing, ShareSession
from agent.core.records import Sender
from agent.core.registry import Registry
from agent.core.transcript import rfc3339, unix_seconds
from agent.errors import BadParams, Forbidden, SessionNotFound
from agent.ports import Channel
from agent.services.access import AccessControl
from agent.services.audit import Audit
from agent.services.sessions import Sessions


class Consent:
    """Answers them for the owner of this device."""

    def __init__(
        self, *, registry: Registry, sessions: Sessions, access: AccessControl, audit: Audit, owner: Sender
    ) -> None:
        self._registry, self._sessions, self._access, self._audit = registry, sessions, access, audit
        self._owner = owner

    async def share(self, channel: Channel, asked: ShareSession) -> object:
        """Let other devices use a session here, watch it, or not know of it. Raises: Forbidden, for one elsewhere."""
        session: str = asked.session_id
        try:
            where = self._registry.find_session(session)
        except SessionNotFound:
            where = None  # perhaps one that was closed: the sessions say so
        if where is not None and not where.local:
            raise Forbidden("only the device that has a session decides who shares it", hint="run it on that device")
        if where is not None and where.session is not None:
            session = where.session
        await self._sessions.share(session, asked.share, self._owner)
        return Nothing()

    async def limit(self, channel: Channel, asked: LimitDevice) -> object:
        """Let a device only watch here, or do what its role allows. Raises: NotPaired, DeviceNotFound, StateError."""
        self._access.limit(self._registry.find_device(asked.device), read_only=asked.read_only)
        return Nothing()

    async def audit(self, channel: Channel, asked: ListAudit) -> object:
        """The newest entries of the log, oldest first. Raises: BadParams, StateError."""
        since = ""
        if asked.since:
            try:
                since = rfc3339(unix_seconds(asked.since))  # the same form as in the log, whatever the zone
            except (ValueError, OverflowError) as exc:
                raise BadParams(f"{asked.since!r} is not a time", hint="like 2026-01-31T12:00:00Z") from exc
        return await self._audit.read(since, asked.limit)
