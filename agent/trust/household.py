"""The household of this device: who is in, by the roster, and what follows for whom this device trusts (T4).

The roster decides, the trust store carries it out: a member gets its place there, a device that was put out loses it.
A device that was paired and that the roster knows nothing of stays trusted by this one alone until the two are in one
household. What is said here is stored before it counts. `trust.gossip` carries it to the others.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import structs

from agent.errors import DeviceNotFound, NotPaired, PairingFailed, StateError
from agent.observers import Observers
from agent.ports import Clock, HouseholdStore, TrustStore
from agent.protocol.household import HouseholdState, KeyEpoch, Signed
from agent.protocol.identity import BadCertificate, Identity, device_of, fingerprint
from agent.protocol.messages import HouseholdNews
from agent.protocol.model import DeviceId, PairedDevice
from agent.protocol.names import short_id
from agent.trust.intake import Heard, read_all
from agent.trust.membership import follow
from agent.trust.rules.keyring import KeyRing
from agent.trust.rules.roster import Roster
from agent.trust.rules.standing import Member

_log = logging.getLogger(__name__)


class Household:
    """Implements `ports.SealKeys`. `changed` follows each change of trust."""

    def __init__(
        self,
        *,
        identity: Identity,
        name: str,
        trust: TrustStore,
        store: HouseholdStore,
        clock: Clock,
        changed: Callable[[], None],
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Read what is stored; `settle` must follow. `name` is this device's."""
        self._identity = identity
        self._name = name
        self._trust = trust
        self._store = store
        self._clock = clock
        self._changed = changed
        self._entropy = entropy
        self.keys_changed: Observers[[]] = Observers()
        """Told whenever there is another key."""
        self._own = fingerprint(identity.certificate)
        self._roster: Roster | None = None
        self._ring = KeyRing()
        self._blocked: dict[str, str] = {}
        self._read()

    def _read(self) -> None:
        state = self._store.load()
        limits = self._trust.limits()
        self._roster = Roster(state.id, state.founder, state.statements, limits) if state else None
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

    def is_limited(self, device: PairedDevice) -> bool:
        """Whether a trusted device may only watch here, so that its word on others counts for nothing (T12)."""
        return device.read_only or fingerprint(device.certificate) in self._trust.limits()

    def let_in_by(self, device: PairedDevice) -> list[PairedDevice]:
        """Trusted devices that are in only because `device` let them in, or somebody whom it let in."""
        mark = fingerprint(device.certificate)
        if self._roster is None or mark not in self._roster.members:
            return []
        stored = {fingerprint(each.certificate): each for each in self._trust.devices()}
        return [stored[each] for each in self._roster.let_in_by(mark, self._own) if each in stored]

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
        said = roster.add([roster.admit(self._identity, device.certificate, device.name, self._clock.time())])
        self._save()
        return said

    def _found(self) -> None:
        self._roster, self._ring = Roster(self._entropy(16), self._identity.certificate), KeyRing()
        now = self._clock.time()
        self._roster.add([self._roster.admit(self._identity, self._identity.certificate, self._name, now)])
        self._turn()
        _log.info("household founded")

    # --- putting out -------------------------------------------------------------------------------------------------

    def unpair(self, device: DeviceId, *, with_admitted: bool = False) -> list[Signed]:
        """Put a device out; what is to be told to the others. `with_admitted`: also whom it let in.

        Raises: DeviceNotFound, StateError.
        """
        known = self._find(device)
        going = [known, *(self.let_in_by(known) if with_admitted else ())]
        fresh = self._put_out([each for each in going if each.role == "member" and self.is_member(each)])
        left = {each.id for each in self._trust.devices()} & {each.id for each in going}
        if left:
            self._trust.change(remove=left)
            self._changed()
        for each in going:
            _log.info("device unpaired", extra={"device": each.id})
        return fresh

    def _put_out(self, members: Sequence[PairedDevice]) -> list[Signed]:
        # Each tombstone counts before the next one is signed.
        roster, said, now = self._roster, list[Signed](), self._clock.time()
        if roster is None or not members:
            return []
        before = roster.removed
        for member in members:
            mark = fingerprint(member.certificate)
            tombstone = roster.revoke(self._identity, mark, now) if self._is_in() else None
            # Holds here whatever becomes of the tombstone: of two that put out each other the senior stays elsewhere.
            self._blocked[mark.hex()] = tombstone.digest.hex() if tombstone is not None else ""
            said += roster.add([tombstone]) if tombstone is not None else []
        if roster.removed != before:
            self._turn()
        self._save()
        return said

    # --- what a device may do here -----------------------------------------------------------------------------------

    def limit(self, device: DeviceId, *, read_only: bool) -> list[PairedDevice]:
        """Let a device only watch here from now on, or do what its role allows; the others that this changes.

        What it says of others from then on counts for nothing here, whoever passes it on, and whom it ever let in may
        only watch as well, also if it is out now: a second key gains nothing (T12). It stays so if the device goes and
        comes back. When the limit ends, whom it let in meanwhile is in. Raises: NotPaired, StateError.
        """
        try:
            known = self._find(device)
        except DeviceNotFound as exc:
            raise NotPaired(f"{short_id(device)} is not paired with this device", hint="see `agent devices`") from exc
        before = {each.id: each for each in self._trust.devices()}
        mark, limits = fingerprint(known.certificate), dict(self._trust.limits())
        if not read_only:
            limits.pop(mark, None)
        elif mark not in limits:
            brought = self._roster.brought_by(mark, self._own) if self._roster is not None else set[bytes]()
            for each in (mark, *brought):
                limits.setdefault(each, self._said_by(each))
        self._trust.change(put=[structs.replace(known, read_only=read_only)], limits=limits)
        if self._roster is not None:
            self._roster.limit(limits)
            self.settle()
        self._changed()
        others = [each for each in self._trust.devices() if each.id != device]
        return [each for each in others if each.id not in before or each.read_only != before[each.id].read_only]

    def _said_by(self, mark: bytes) -> frozenset[bytes]:
        return self._roster.said_by(mark) if self._roster is not None else frozenset()

    def _find(self, device: DeviceId) -> PairedDevice:
        for known in self._trust.devices():
            if known.id == device:
                return known
        raise DeviceNotFound(f"{device} is not paired with this device", hint="see `agent devices`")

    # --- leaving -----------------------------------------------------------------------------------------------------

    def farewell(self) -> list[Signed]:
        """What this device tells before it leaves; it counts elsewhere, here only `forget` does."""
        if self._roster is None or not self._is_in():
            return []
        return [self._roster.revoke(self._identity, self._own, self._clock.time())]

    def forget(self) -> None:
        """Be in no household, and trust none of its members any more. Raises: StateError."""
        self._store.save(None)
        self._roster = None
        self._ring = KeyRing()
        self._blocked = {}
        self._trust.change(remove=[device.id for device in self._trust.devices() if device.role == "member"])
        self._changed()
        self.keys_changed.tell()

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

    async def hear(
        self,
        sender: PairedDevice,
        news: HouseholdNews,
        may: Callable[[int], bool] = lambda checks: True,  # noqa: ARG005 - whatever it costs
    ) -> Heard:
        """Take what a trusted device tells. Reads for a moment at a time, so that others are served meanwhile.

        `may` is asked whether so many more signatures may be verified for it; if not, the rest is left unread.
        Raises: StateError.
        """
        if self.is_alone() and news.household:
            return await self._join(sender, news, may)
        roster = self._roster
        if roster is None or news.household != roster.household:
            return Heard()
        reading = roster.read(news.statements)
        whole = await read_all(reading, may, self._clock)
        if self._roster is not roster:
            return Heard()  # left meanwhile
        before = roster.removed
        fresh = roster.settle(reading)
        if self._take_keys(sender, news.keys) or fresh:
            self._save()
        if roster.removed != before:
            _log.info("somebody was put out of the household", extra={"told_by": sender.id})
        return Heard(fresh, whole, reading.forged)

    async def _join(self, sender: PairedDevice, news: HouseholdNews, may: Callable[[int], bool]) -> Heard:
        # Whoever may only watch here brings nobody along who may do more.
        if self.is_limited(sender):
            return Heard()
        try:
            theirs = Roster(news.household, news.founder, limits=self._trust.limits())
        except BadCertificate:
            return Heard(forged=True)
        reading = theirs.read(news.statements)
        whole = await read_all(reading, may, self._clock)
        theirs.settle(reading)
        if not self.is_alone() or not {fingerprint(sender.certificate), self._own} <= theirs.members.keys():
            return Heard((), whole, reading.forged)
        self._roster, self._ring = theirs, KeyRing(news.keys)
        _log.info("household joined", extra={"by": sender.id})
        self._save()
        return Heard((), whole, reading.forged)

    def _take_keys(self, sender: PairedDevice, keys: Iterable[KeyEpoch]) -> bool:
        roster = self._roster
        if roster is None or fingerprint(sender.certificate) not in roster.members:
            return False
        if self.is_limited(sender):
            return self._ring.add_due(keys, roster.removed, self._clock.time())
        return self._ring.add(keys)

    def is_key_due(self) -> bool:
        """Whether another key epoch should begin."""
        roster = self._roster
        if roster is None or not self.id or not self._is_in():
            return False
        return self._ring.is_stale(roster.removed, self._clock.time())

    def turn_if_stale(self, *, over: bool = False) -> bool:
        """Begin another key epoch if one is due; whether it was. `over`: see `KeyRing.turn`. Raises: StateError."""
        if not self.is_key_due():
            return False
        self._turn(over=over)
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

    def _turn(self, *, over: bool = False) -> None:
        assert self._roster is not None
        self._ring.turn(self._entropy(32), self._roster.removed, self._clock.time(), over=over)

    def _save(self) -> None:
        roster = self._roster
        assert roster is not None
        try:
            self._store.save(_state(roster, self._ring, self._blocked))
        except StateError:
            self._read()  # what is not stored has not happened
            raise
        self.settle()
        self._changed()
        self.keys_changed.tell()


def _state(roster: Roster, ring: KeyRing, blocked: dict[str, str]) -> HouseholdState:
    return HouseholdState(
        id=roster.household,
        founder=roster.founder,
        statements=tuple(roster.statements),
        keys=ring.epochs,
        blocked=blocked,
    )
