"""Every request of another device passes here: rights and quotas, from what is stored on this device at that moment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from agent.errors import AgentError, Ambiguous, Busy, Forbidden, NotPaired, SessionNotFound
from agent.ports import Clock
from agent.protocol.messages import CreateSession
from agent.protocol.model import DeviceId, PairedDevice, SessionRow, Share
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
    "refusals": Rate(60.0, 30),
}
"""Of each other device. Refusals: those that are noted in the audit log."""
COUNTED = {"prompt.submit": "prompts", "session.create": "new sessions"}


class AccessControl:
    """Decides for other devices; this device's own clients are never limited."""

    def __init__(self, *, trusted: TrustedDevices, sessions: Sessions, clock: Clock, audit: Audit) -> None:
        self._trusted = trusted
        self._sessions = sessions
        self._clock = clock
        self._audit = audit
        self._buckets: dict[tuple[DeviceId, str], Bucket] = {}

    # --- who is in ---------------------------------------------------------------------------------------------------

    def of(self, device: DeviceId | None) -> Access:
        """What a device (None: this one) may do at this moment. Raises: NotPaired."""
        if device is None:
            return SELF
        known = self._trusted.get(device)
        if known is None:
            raise NotPaired("this device is not paired with that one (any more)")
        return access_of(known)

    def trust_changed(self, devices: Iterable[PairedDevice]) -> None:
        """These devices are trusted now: what the others have used up is forgotten."""
        trusted = {device.id for device in devices}
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if key[0] in trusted}

    # --- requests ----------------------------------------------------------------------------------------------------

    def connecting(self, device: DeviceId) -> None:
        """A device opens a connection. Raises: Busy, with the time to wait."""
        self._take(device, "connects")

    def admit(self, device: DeviceId, method: str, asked: Any) -> Any:
        """The request as it may be carried out: a session is named by its whole id. Raises: AgentError."""
        try:
            return self._admit(device, method, asked)
        except AgentError as exc:
            session = self._meant(asked)
            wrong = isinstance(exc, SessionNotFound | Ambiguous) and not session  # a slip, of which there are many
            if not wrong and self._wait(device, "refusals") == 0.0:
                self._audit.note("refused", device, session, detail=f"{method}: {exc.kind}")
            raise

    def _meant(self, asked: Any) -> str:
        # Which session it was about, with the owner's eyes: for the log only.
        try:
            return self._sessions.index.find(asked.session_id).id
        except (AttributeError, SessionNotFound, Ambiguous):
            return ""

    def _admit(self, device: DeviceId, method: str, asked: Any) -> Any:
        self._take(device, "requests")
        access, sessions = self.of(device), self._sessions
        share: Share = "all"
        if (selector := getattr(asked, "session_id", None)) is not None and access.role != "host":
            meta = sessions.index.find(selector, access.sees)
            asked, share = msgspec.structs.replace(asked, session_id=meta.id), meta.share
        if (refusal := access.refusal(method, share, self._clock.time())) is not None:
            raise refusal
        if isinstance(asked, CreateSession) and asked.share != "all":
            raise Forbidden("only the device that has a session decides who shares it", hint="`agent share` over there")
        if method in COUNTED:
            self._take(device, COUNTED[method])
        return asked

    def may(self, device: DeviceId | None, method: str, share: Share) -> bool:
        """Whether a device (None: this one) may call `method` on a session that is shared like that."""
        return self.of(device).refusal(method, share, self._clock.time()) is None

    def shown(self, device: DeviceId | None, rows: Iterable[SessionRow]) -> list[SessionRow]:
        """Of the sessions here those that a device sees, as it may use them."""
        if device is None:
            return list(rows)
        try:
            access = self.of(device)
        except NotPaired:
            return []  # it is being put out
        return [
            msgspec.structs.replace(row, share=access.announced_status(row.share))
            for row in rows
            if access.sees(row.id, row.share)
        ]

    def _take(self, device: DeviceId, what: str) -> None:
        if wait := self._wait(device, what):
            again = f"try again in {max(1, round(wait))} s"
            raise Busy(f"too many {what} from this device", hint=again, retry_after=wait)

    def _wait(self, device: DeviceId, what: str) -> float:
        now = self._clock.monotonic()
        bucket = self._buckets.get((device, what))
        if bucket is None:
            bucket = self._buckets[device, what] = Bucket(RATES[what], now)
        return bucket.take(now)
