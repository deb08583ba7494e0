"""The devices that this one trusts at this moment, observers of changes, and what is kept of each of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from msgspec import structs

from agent.errors import StateError
from agent.observers import Observers
from agent.ports import Clock, TrustStore
from agent.presence.rules.registry import Registry
from agent.problems import Problems
from agent.protocol.audit import Action
from agent.protocol.model import DeviceId, Endpoint, PairedDevice, SessionId
from agent.protocol.names import short_id
from agent.tasks import Alarm
from agent.trust.audit import Audit
from agent.trust.rules.devices import is_notice, known_as, renamed
from agent.trust.rules.rights import access_of

LOOK_EVERY = 30.0
"""Seconds after which the time is read again: the wall clock may be set."""
REACHED_MAX = 4
"""Endpoints at which a device was reached last that are kept."""


class TrustedDevices:
    """The entries of the trust store, without guests whose time is over. `run` until cancelled."""

    def __init__(self, store: TrustStore, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._alarm = Alarm(clock)
        self.changes: Observers[[Sequence[PairedDevice]]] = Observers()
        """Observers of changes; they get all devices that are trusted then."""

    def devices(self) -> list[PairedDevice]:
        """All devices that are trusted now, by id."""
        now = self._clock.time()
        return [device for device in self._store.devices() if not access_of(device).expired(now)]

    def get(self, device: DeviceId) -> PairedDevice | None:
        """The entry of a device, if it is trusted now."""
        return next((known for known in self.devices() if known.id == device), None)

    def trusts(self, device: DeviceId) -> bool:
        """Whether a device is trusted now."""
        return self.get(device) is not None

    def put(self, device: PairedDevice) -> None:
        """Trust a device, or trust it otherwise, and tell everybody. Raises: StateError."""
        self._store.put(device)
        self.changed()

    def remove(self, device: DeviceId) -> None:
        """Trust a device no longer, and tell everybody. Raises: StateError."""
        self._store.remove(device)
        self.changed()

    def changed(self) -> None:
        """Notify observers that the trust store was changed. Raises: StateError, if one of them failed."""
        self.changes.notify(self.devices())
        self._alarm.ring()

    async def run(self) -> None:
        """Remove guests when their time is over, until cancelled."""
        while True:
            now = self._clock.time()
            limited = [device for device in self._store.devices() if device.expires_at]
            over = [device for device in limited if device.expires_at <= now]
            if over:
                self.changes.notify(self.devices())
            for device in over:
                with suppress(StateError):  # it has no rights all the same; the next look tries again
                    self._store.remove(device.id)
            ends = [device.expires_at - now for device in limited if device.expires_at > now]
            await self._alarm.wait(min([LOOK_EVERY, *ends]) if limited else None)


class Encounters:
    """Keeps in the trust store where a trusted device was reached, its name, and that it prompted here."""

    def __init__(self, store: TrustStore, clock: Clock, registry: Registry, audit: Audit, problems: Problems) -> None:
        self._store = store
        self._clock = clock
        self._registry = registry
        self._audit = audit
        self._problems = problems

    def link_changed(self, device: DeviceId, up: bool) -> None:
        """Take that a device is linked now, or is no more."""
        row = self._registry.device(device)
        if up and row is not None:
            self.met(device, row.name, tuple(self._registry.endpoints(device)[:REACHED_MAX]))

    def met(self, device: DeviceId, name: str, reached: tuple[Endpoint, ...]) -> None:
        """Keep where a device was reached (L3), and the name that it gave over the link (T5)."""
        known = self._entry(device)
        if known is None:
            return
        now = self._clock.time()
        if name != known.name:
            self._audit.note("renamed", device, detail=f"was {known.name}", name=name)
        if is_notice(known, name, now):
            self._problems.notice(
                f"{known.name} ({short_id(device)}) calls itself {name} now", about=f"name of {device}"
            )
        with suppress(StateError):  # a full disk: the next start tries where it was reached before
            self._store.put(structs.replace(renamed(known, name, now), endpoints=reached, seen_at=now))

    def noted(self, action: Action, device: DeviceId, session: SessionId, length: int) -> None:
        """Notify the owner of the first prompt of a device (`viewers.Noted`)."""
        if action not in {"prompted", "typed"} and not (action == "created" and length):
            return
        known = self._entry(device)
        if known is None or known.prompted_at:
            return
        now = self._clock.time()
        who = f"{known_as(known, now)} ({short_id(device)})"
        row = self._registry.session(session)
        called = f"{row.title} ({session})" if row is not None and row.title else session
        self._problems.notice(
            f"{who} prompted a session on this device for the first time: {called}",
            about=f"first prompt of {device}",
        )
        with suppress(StateError):  # a full disk: the notice comes once more after the next prompt
            self._store.put(structs.replace(known, prompted_at=now))

    def _entry(self, device: DeviceId) -> PairedDevice | None:
        return next((known for known in self._store.devices() if known.id == device), None)
