"""What the owner lets others do, and what they did (`session.share`, `device.limit`, `audit.*`). No other device."""

from __future__ import annotations

from typing import Protocol

from agent.errors import BadParams, Forbidden, SessionNotFound
from agent.ports import Channel, Followed
from agent.presence.rules.registry import Registry
from agent.protocol.messages import AuditNoted, LimitDevice, Limited, ListAudit, Nothing, ShareSession
from agent.protocol.model import DeviceId, DeviceRef, PairedDevice, Sender
from agent.protocol.times import rfc3339, unix_seconds
from agent.sessions.host import Sessions
from agent.trust.audit import Audit


class Limit(Protocol):
    """Changes what a device may do here (`trust.gossip`)."""

    def __call__(self, device: DeviceId, *, read_only: bool) -> list[PairedDevice]:
        """The other devices that this changes. Raises: NotPaired, StateError."""


class Consent:
    """Answers them for the owner of this device."""

    def __init__(self, *, registry: Registry, sessions: Sessions, limit: Limit, audit: Audit, owner: Sender) -> None:
        self._registry = registry
        self._sessions = sessions
        self._limit = limit
        self._audit = audit
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
        device = self._registry.find_device(asked.device)
        if device == self._registry.own:
            raise BadParams("that is this device: it may always do everything here", hint="name another one")
        others = self._limit(device, read_only=asked.read_only)
        return Limited(others=tuple(DeviceRef(each.id, each.name) for each in others))

    async def audit(self, channel: Channel, asked: ListAudit) -> object:
        """The newest entries of the log, oldest first. Raises: BadParams, StateError."""
        return await self._audit.read(_since(asked.since), asked.limit)

    async def audit_watch(self, channel: Channel, asked: ListAudit) -> object:
        """The same, then every entry as it is made. Raises: BadParams, StateError."""
        entries = await self._audit.read(_since(asked.since), asked.limit)
        fresh = self._audit.subscribe()  # in the same step: none is left out, none comes twice

        async def follow() -> None:
            with fresh:
                while True:
                    channel.notify("audit.noted", AuditNoted(entries=await fresh.take()))
                    await channel.drained()

        return Followed(entries, follow)


def _since(stamp: str) -> str:
    # In the form that the log has, whatever the zone.
    try:
        return rfc3339(unix_seconds(stamp)) if stamp else ""
    except (ValueError, OverflowError) as exc:
        raise BadParams(f"{stamp!r} is not a time", hint="like 2026-01-31T12:00:00Z") from exc
