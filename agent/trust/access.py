"""Access control: rights and quotas of every request of another device, from what is stored here at that moment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from agent.errors import AgentError, Ambiguous, Busy, Forbidden, NotPaired, SessionNotFound
from agent.ports import Clock
from agent.protocol.messages import CreateSession
from agent.protocol.methods import Method, On, P, R, Right
from agent.protocol.model import DeviceId, PairedDevice, SessionRow, Share
from agent.protocol.names import short_id
from agent.protocol.ratelimit import Bucket, Rate
from agent.sessions.host import Sessions
from agent.trust.audit import Audit
from agent.trust.devices import TrustedDevices
from agent.trust.rules.rights import SELF, Access, access_of

RATES = {
    "connects": Rate(30.0, 30),
    "requests": Rate(12_000.0, 1000),
    "prompts": Rate(60.0, 20),
    "new sessions": Rate(20.0, 10),
    "searches": Rate(60.0, 20),
    "refusals": Rate(60.0, 30),
}
"""Quotas of each other device. Refusals: those that are noted in the audit log."""


class AccessControl:
    """Decides on requests of other devices; this device's own clients are never limited."""

    def __init__(self, *, trusted: TrustedDevices, sessions: Sessions, clock: Clock, audit: Audit) -> None:
        self._trusted = trusted
        self._sessions = sessions
        self._clock = clock
        self._audit = audit
        self._buckets: dict[tuple[DeviceId, str], Bucket] = {}

    # --- who is in ---------------------------------------------------------------------------------------------------

    def of(self, device: DeviceId | None) -> Access:
        """The rights of a device (None: this one) at this moment. Raises: NotPaired."""
        if device is None:
            return SELF
        known = self._trusted.get(device)
        if known is None:
            raise NotPaired("this device is not paired with that one (any more)")
        return access_of(known)

    def trust_changed(self, devices: Iterable[PairedDevice]) -> None:
        """Forget the used quotas of devices that are not among the trusted ones any more."""
        trusted = {device.id for device in devices}
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if key[0] in trusted}

    # --- requests ----------------------------------------------------------------------------------------------------

    def connecting(self, device: DeviceId) -> None:
        """Count a connection that a device opens. Raises: Busy, with the time to wait."""
        self._take(device, "connects")

    def admit(self, device: DeviceId, method: Method[P, R], request: P) -> P:
        """Check a request of a device; returns it with the whole id of its session. Raises: AgentError."""
        try:
            admitted: P = self._admit(device, method, request)
        except AgentError as exc:
            session = self._session_of(request)
            wrong = isinstance(exc, SessionNotFound | Ambiguous) and not session  # a slip, of which there are many
            if not wrong and self._wait(device, "refusals") == 0.0:
                self._audit.note("refused", device, session, detail=f"{method.name}: {exc.kind}")
            raise
        return admitted

    def _session_of(self, request: Any) -> str:
        # The session that a refused request was about, as the owner sees it: for the audit log only.
        try:
            return self._sessions.index.find(request.session_id).id
        except (AttributeError, SessionNotFound, Ambiguous):
            return ""

    def _admit(self, device: DeviceId, method: Method[Any, Any], request: Any) -> Any:
        self._take(device, "requests")
        access, sessions = self.of(device), self._sessions
        share: Share = "all"
        if method.on is On.SESSION and access.role != "host":
            meta = sessions.index.find(request.session_id, access.sees)
            request = msgspec.structs.replace(request, session_id=meta.id)
            share = meta.share
        refusal = access.refusal(method.right, share, self._clock.time())
        if refusal is not None:
            refusal.lead_on(session=getattr(request, "session_id", ""), device=short_id(device))
            raise refusal
        if isinstance(request, CreateSession) and request.share != "all":
            raise Forbidden(
                "only the device that has a session decides who shares it",
                hint="make it private on that device",
            )
        if method.quota is not None:
            self._take(device, method.quota)
        return request

    def may(self, device: DeviceId | None, right: Right, share: Share) -> bool:
        """Whether a device (None: this one) may do what needs `right` on a session that is shared like that."""
        return self.of(device).refusal(right, share, self._clock.time()) is None

    def shown(self, device: DeviceId | None, rows: Iterable[SessionRow]) -> list[SessionRow]:
        """The rows, of those of sessions here, that a device sees, each with how it may use the session."""
        if device is None:
            return list(rows)
        try:
            access = self.of(device)
        except NotPaired:
            return []  # it is being put out
        return [
            msgspec.structs.replace(row, share=access.share_for_device(row.share))
            for row in rows
            if access.sees(row.id, row.share)
        ]

    def _take(self, device: DeviceId, what: str) -> None:
        wait = self._wait(device, what)
        if wait:
            again = f"try again in {max(1, round(wait))} s"
            raise Busy(f"too many {what} from this device", hint=again, retry_after=wait)

    def _wait(self, device: DeviceId, what: str) -> float:
        now = self._clock.monotonic()
        bucket = self._buckets.get((device, what))
        if bucket is None:
            bucket = self._buckets[device, what] = Bucket(RATES[what], now)
        return bucket.take(now)
