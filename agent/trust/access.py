"""Every request of another device passes here: rights and quotas, from what is stored on this device at that moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import msgspec

from agent.errors import AgentError, Ambiguous, Busy, Forbidden, NotPaired, SessionNotFound, StateError
from agent.ports import Clock, TrustStore
from agent.protocol.audit import Action
from agent.protocol.messages import CreateSession
from agent.protocol.model import DeviceId, Endpoint, PairedDevice, SessionId, SessionRow, Share
from agent.protocol.names import short_id
from agent.protocol.ratelimit import Bucket, Rate
from agent.sessions.host import Sessions
from agent.tasks import Alarm
from agent.trust.audit import Audit
from agent.trust.rules.devices import is_notice, known_as, renamed
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
LOOK_EVERY = 30.0
"""Seconds after which the time is looked at again: the clock on the wall may be set."""


class AccessControl:
    """Decides for other devices; this device's own clients are never limited."""

    def __init__(
        self,
        *,
        trust: TrustStore,
        sessions: Sessions,
        clock: Clock,
        audit: Audit,
        notice: Callable[[str], None],
        expired: Callable[[], None],
    ) -> None:
        """`expired` is called when a guest's time is over, `notice` with what the owner should hear of."""
        self._trust, self._sessions, self._clock, self._audit = trust, sessions, clock, audit
        self._notice, self._expired = notice, expired
        self._buckets: dict[tuple[DeviceId, str], Bucket] = {}
        self._known: dict[DeviceId, str] | None = None  # by id, with names
        self._alarm = Alarm(clock)

    # --- who is in ---------------------------------------------------------------------------------------------------

    def devices(self) -> list[PairedDevice]:
        """The trusted ones; a guest whose time is over is none."""
        now = self._clock.time()
        return [device for device in self._trust.devices() if not access_of(device).expired(now)]

    def of(self, device: DeviceId | None) -> Access:
        """What a device (None: this one) may do at this moment. Raises: NotPaired."""
        if device is None:
            return SELF
        for known in self.devices():
            if known.id == device:
                return access_of(known)
        raise NotPaired("this device is not paired with that one (any more)")

    def trust_changed(self) -> None:
        """Other devices are trusted than before, or otherwise: note who came and who went."""
        now = {device.id: device for device in self.devices()}
        if self._known is not None:
            for device in sorted(now.keys() - self._known.keys()):
                self._audit.note("paired", device, detail=now[device].role, name=now[device].name)
            for device in sorted(self._known.keys() - now.keys()):
                self._audit.note("unpaired", device, name=self._known[device])
                self._buckets = {key: bucket for key, bucket in self._buckets.items() if key[0] != device}
        self._known = {device.id: device.name for device in now.values()}
        self._alarm.ring()

    async def run(self) -> None:
        """Put guests out when their time is over, until cancelled."""
        while True:
            now = self._clock.time()
            limited = [device for device in self._trust.devices() if device.expires_at]
            over = [device for device in limited if device.expires_at <= now]
            if over:
                self._expired()
                for device in over:
                    self._forget(device)
            ends = [device.expires_at - now for device in limited if device.expires_at > now]
            await self._alarm.wait(min([LOOK_EVERY, *ends]) if limited else None)

    def _forget(self, device: PairedDevice) -> None:
        try:
            self._trust.remove(device.id)
        except StateError:
            return  # it is out all the same; the next look tries again

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
            return self._sessions.directory.find(asked.session_id).id
        except (AttributeError, SessionNotFound, Ambiguous):
            return ""

    def _admit(self, device: DeviceId, method: str, asked: Any) -> Any:
        self._take(device, "requests")
        access, sessions = self.of(device), self._sessions
        share: Share = "all"
        if (selector := getattr(asked, "session_id", None)) is not None and access.role != "host":
            meta = sessions.directory.find(selector, access.sees)
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
            msgspec.structs.replace(row, share=access.as_told(row.share))
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

    # --- what was heard ----------------------------------------------------------------------------------------------

    def met(self, device: DeviceId, name: str, reached: tuple[Endpoint, ...]) -> None:
        """A link to a device carries: keep where it was reached (L3), and the name that it gave itself there (T5)."""
        now = self._clock.time()
        for known in self._trust.devices():
            if known.id != device:
                continue
            if name != known.name:
                self._audit.note("renamed", device, detail=f"was {known.name}", name=name)
            if is_notice(known, name, now):
                self._notice(f"{known.name} ({short_id(device)}) calls itself {name} now")
            seen = msgspec.structs.replace(renamed(known, name, now), endpoints=reached, seen_at=now)
            with suppress(StateError):  # a full disk: the next start tries where it was reached before
                self._trust.put(seen)

    # --- what was done -----------------------------------------------------------------------------------------------

    def noted(self, action: Action, device: DeviceId, session: SessionId, length: int) -> None:
        """A device did something to a session here (`attachments.Noted`)."""
        self._audit.note(action, device, session, length)
        if action in {"prompted", "typed"} or (action == "created" and length):
            self._prompted(device, session)

    def _prompted(self, device: DeviceId, session: SessionId) -> None:
        for known in self._trust.devices():
            if known.id == device and not known.prompted_at:
                who = f"{known_as(known, self._clock.time())} ({short_id(device)})"
                self._notice(f"{who} prompted a session on this device for the first time: {session}")
                try:
                    self._trust.put(msgspec.structs.replace(known, prompted_at=self._clock.time()))
                except StateError:
                    return  # a full disk: it is told once more after the next prompt
