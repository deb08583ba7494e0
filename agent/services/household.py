"""The household of this device: who is in, by the roster, and what follows for whom this device trusts (T4).

The roster decides, the trust store carries it out: a member gets its place there, a device that was put out loses it.
A device that was paired and that the roster knows nothing of stays trusted by this one alone until the two are in one
household. What is said here is stored before it counts. `services.gossip` carries it to the others.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Mapping

from agent.core.household import HouseholdState, KeyRing, Signed
from agent.core.identity import Identity, device_of, fingerprint
from agent.core.messages import HouseholdNews
from agent.core.names import short_id
from agent.core.records import DeviceId, PairedDevice
from agent.core.roster import Member, Roster
from agent.errors import DeviceNotFound, PairingFailed, StateError
from agent.ports import Clock, HouseholdStore, TrustStore
from agent.services.membership import follow

_log = logging.getLogger(__name__)


class Household:
    """Implements `ports.SealKeys`. `changed` follows each change of trust, `keys_changed` each one of the keys."""

    def __init__(
        self,
        *,
        identity: Identity,
        name: str,
        trust: TrustStore,
        store: HouseholdStore,
        clock: Clock,
        changed: Callable[[], None],
        keys_changed: Callable[[], None],
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Read what is stored; `settle` must follow. `name` is this device's."""
        self._identity, self._name, self._trust, self._store = identity, name, trust, store
        self._clock, self._changed, self._keys_changed, self._entropy = clock, changed, keys_changed, entropy
        self._own = fingerprint(identity.certificate)
        self._roster: Roster | None = None
        self._ring = KeyRing()
        self._blocked: dict[str, str] = {}
        self._read()

    def _read(self) -> None:
        state = self._store.load()
        self._roster = Roster(state.id, state.founder, state.statements) if state else None
        self._ring = KeyRing(state.keys if state else ())
        self._blocked = dict(state.blocked) if state else {}

    # --- what others ask ---------------------------------------------------------------------------------------------

    def current(self) -> tuple[int, bytes] | None:
        """Epoch and key to seal with; None while this device is in no household."""
        newest = self._ring.newest
        return (newest.number, newest.key) if newest is not None and self._is_in() else None

    def known(self) -> Mapping[int, bytes]:
        """Epochs that can be unsealed."""
        return self._ring.keys()

    @property
    def id(self) -> bytes:
        """The household that this device shares with others; empty, if it is alone."""
        return b"" if self._roster is None or self.is_alone() else self._roster.household

    def is_alone(self) -> bool:
        """Whether nobody else is in a household with this device."""
        return self._roster is None or self._roster.members.keys() <= {self._own}

    def is_member(self, device: PairedDevice) -> bool:
        """Whether a trusted device is in this device's household."""
        return self._roster is not None and fingerprint(device.certificate) in self._roster.members

    def admission(self, device: PairedDevice | None) -> Member | None:
        """How a device (None: this one) came in; None, if it is paired with this one alone."""
        mark = fingerprint(device.certificate) if device is not None else self._own
        return self._roster.members.get(mark) if self._roster is not None else None

    def name_of(self, mark: bytes) -> str:
        """What a member (fingerprint), or one that was, called itself."""
        if mark == self._own:
            return self._name
        for device in self._trust.devices():
            if fingerprint(device.certificate) == mark:
                return device.name
        return short_id(device_of(mark))

    def trouble(self) -> str:
        """What is wrong, for `agent status`; empty, if nothing is."""
        if self._roster is None or self._is_in():
            return ""
        tombstone = self._roster.tombstone(self._own)
        by = f" by {self.name_of(tombstone.by)}" if tombstone is not None else ""
        return f"this device was put out of its household{by}: pair it again, or leave with `agent unpair --self`"

    def _is_in(self) -> bool:
        return self._roster is not None and self._own in self._roster.members

    # --- pairing -----------------------------------------------------------------------------------------------------

    def check(self, theirs: bytes) -> None:
        """Raises: PairingFailed, if a device of household `theirs` cannot be paired as a member."""
        if theirs and self.id and theirs != self.id:
            raise PairingFailed(
                "both devices are in a household already, and not in the same",
                hint="`agent unpair --self` on one of them first; paired again, it joins the other's",
            )

    def paired(self, device: PairedDevice, theirs: bytes, *, hosting: bool) -> list[Signed]:
        """A device, of household `theirs`, was just paired and is in the trust store; what is to be told of it.

        It joins this one's household; if both are alone the host founds one. If only the other one has a household,
        this device is let in there, and hears of it over the link. Raises: StateError.
        """
        self._blocked.pop(fingerprint(device.certificate).hex(), None)
        if self.id or (hosting and not theirs):
            return self.admit(device)
        return []

    def admit(self, device: PairedDevice) -> list[Signed]:
        """Let a trusted device in, founding a household if there is none. Raises: StateError."""
        if self._roster is None or not (self._is_in() or self.id):
            self._found()
        roster = self._roster
        assert roster is not None
        if self.is_member(device) or not self._is_in():
            return []
        return self._say(roster.admit(self._identity, device.certificate, device.name, self._clock.time()))

    def _found(self) -> None:
        self._roster, self._ring = Roster(self._entropy(16), self._identity.certificate), KeyRing()
        now = self._clock.time()
        self._roster.add([self._roster.admit(self._identity, self._identity.certificate, self._name, now)])
        self._turn()
        _log.info("household founded")

    # --- putting out -------------------------------------------------------------------------------------------------

    def unpair(self, device: DeviceId) -> list[Signed]:
        """Put a device out; what is to be told to the others. Raises: DeviceNotFound, StateError."""
        known = next((each for each in self._trust.devices() if each.id == device), None)
        if known is None:
            raise DeviceNotFound(f"{device} is not paired with this device", hint="see `agent devices`")
        fresh: list[Signed] = []
        if known.role == "member" and self._roster is not None and self.is_member(known):
            mark, now = fingerprint(known.certificate), self._clock.time()
            tombstone = self._roster.revoke(self._identity, mark, now) if self._is_in() else None
            # Holds here whatever becomes of the tombstone: of two that put out each other the senior stays elsewhere.
            self._blocked[mark.hex()] = tombstone.digest.hex() if tombstone is not None else ""
            fresh = self._say(tombstone)
        if any(each.id == device for each in self._trust.devices()):
            self._trust.remove(device)
            self._changed()
        _log.info("device unpaired", extra={"device": device})
        return fresh

    def farewell(self) -> list[Signed]:
        """What this device tells before it leaves; it counts elsewhere, here only `forget` does."""
        if self._roster is None or not self._is_in():
            return []
        return [self._roster.revoke(self._identity, self._own, self._clock.time())]

    def forget(self) -> None:
        """Be in no household, and trust none of its members any more. Raises: StateError."""
        self._store.save(None)
        self._roster, self._ring, self._blocked = None, KeyRing(), {}
        for device in self._trust.devices():
            if device.role == "member":
                self._trust.remove(device.id)
        self._changed()
        self._keys_changed()

    # --- hearing -----------------------------------------------------------------------------------------------------

    def news(self, fresh: Iterable[Signed] | None = None, *, but: Iterable[bytes] = ()) -> HouseholdNews:
        """What is told to a member: `fresh`, or every statement `but` those (digests) that it has."""
        roster = self._roster
        if roster is None or self.is_alone():
            return HouseholdNews()
        known = frozenset(but)
        told = [each for each in roster.statements if each.digest not in known] if fresh is None else fresh
        keys = self._ring.epochs if self._is_in() else ()
        return HouseholdNews(household=roster.household, founder=roster.founder, statements=tuple(told), keys=keys)

    def digests(self) -> tuple[bytes, ...]:
        """Which statements are known."""
        return tuple(self._roster.digests) if self.id and self._roster is not None else ()

    def hear(self, sender: PairedDevice, news: HouseholdNews) -> list[Signed]:
        """Take what a trusted device tells; what of it was new. Raises: StateError."""
        mark = fingerprint(sender.certificate)
        if self.is_alone() and news.household:
            theirs = Roster(news.household, news.founder, news.statements)
            if not {mark, self._own} <= theirs.members.keys():
                return []
            self._roster, self._ring = theirs, KeyRing(news.keys)
            _log.info("household joined", extra={"by": sender.id})
            self._save()
            return []
        roster = self._roster
        if roster is None or news.household != roster.household:
            return []
        before = roster.removed
        fresh = roster.add(news.statements)
        keys = mark in roster.members and self._ring.add(news.keys)
        if fresh or keys:
            self._save()
        if roster.removed != before:
            _log.info("somebody was put out of the household", extra={"told_by": sender.id})
        return fresh

    def turn_if_stale(self) -> bool:
        """Begin another key epoch if one is due; whether it was. Raises: StateError."""
        roster = self._roster
        if roster is None or not self.id or not self._is_in():
            return False
        if not self._ring.is_stale(roster.removed, self._clock.time()):
            return False
        self._turn()
        self._save()
        return True

    def is_first_of(self, devices: Iterable[PairedDevice]) -> bool:
        """Whether this device is more senior than these: the one to act when one must."""
        if self._roster is None:
            return False
        others = {fingerprint(device.certificate) for device in devices}
        return next((mark for mark in self._roster.members if mark in others or mark == self._own), b"") == self._own

    def is_out(self, device: PairedDevice) -> bool:
        """Whether the roster knows a device and does not have it in."""
        return self._roster is not None and fingerprint(device.certificate) in self._roster.out

    # --- carrying it out ---------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Make the trust store follow the roster. Raises: StateError."""
        if self._roster is not None:
            follow(self._roster, self._trust, self._own, self._blocked)

    def _say(self, signed: Signed | None) -> list[Signed]:
        roster = self._roster
        assert roster is not None
        before = roster.removed
        fresh = roster.add([signed]) if signed is not None else []
        if roster.removed != before:
            self._turn()
        self._save()
        return fresh

    def _turn(self) -> None:
        assert self._roster is not None
        self._ring.turn(self._entropy(32), self._roster.removed, self._clock.time())

    def _save(self) -> None:
        roster = self._roster
        assert roster is not None
        state = HouseholdState(
            id=roster.household,
            founder=roster.founder,
            statements=tuple(roster.statements),
            keys=self._ring.epochs,
            blocked=self._blocked,
        )
        try:
            self._store.save(state)
        except StateError:
            self._read()  # what is not stored has not happened
            raise
        self.settle()
        self._changed()
        self._keys_changed()
