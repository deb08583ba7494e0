"""The household of this device: who is in, by the roster, and what follows for the trust store (T4).

The roster decides, the trust store follows: a member gets an entry there, a device that was put out loses it. A paired
device that the roster does not know stays trusted by this one alone until the two are in one household. Statements made
here are stored before they count. `trust.gossip` carries them to the other members.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import structs

from agent.errors import DeviceNotFound, NotPaired, PairingFailed, StateError
from agent.observers import Observers
from agent.ports import Clock, HouseholdStore, TrustStore
from agent.protocol.household import HouseholdState, KeyEpoch, Signed
from agent.protocol.identity import BadCertificate, Identity, device_of, fingerprint
from agent.protocol.messages import HouseholdNews
from agent.protocol.model import DeviceId, PairedDevice, SessionId
from agent.protocol.names import short_id
from agent.trust.rules.keyring import KeyRing
from agent.trust.rules.roster import Roster
from agent.trust.rules.standing import Member
from agent.trust.rules.statement_checks import Reading

_log = logging.getLogger(__name__)


class Household:
    """The household as this device knows it. Implements `ports.SealKeys`; `changed` is called after each change."""

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
        """Read the stored state; `settle` must follow. `name` is this device's."""
        self._identity = identity
        self._name = name
        self._trust = trust
        self._store = store
        self._clock = clock
        self._changed = changed
        self._entropy = entropy
        self.keys_changed: Observers[[]] = Observers()
        """Observers of a new key of the household."""
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
        """Epoch and 32-byte key to seal with; None while this device is in no household."""
        newest = self._ring.newest
        return (newest.number, newest.key) if newest is not None and self._is_in() else None

    def known(self) -> Mapping[int, bytes]:
        """The keys by epoch with which announcements can be unsealed."""
        return self._ring.keys()

    @property
    def id(self) -> bytes:
        """Id of the household that this device shares with others; empty, if it is alone."""
        return b"" if self._roster is None or self.is_alone() else self._roster.household

    def is_alone(self) -> bool:
        """Whether nobody else is in a household with this device."""
        return self._roster is None or self._roster.members.keys() <= {self._own}

    def is_member(self, device: PairedDevice) -> bool:
        """Whether a trusted device is in this device's household."""
        return self._roster is not None and fingerprint(device.certificate) in self._roster.members

    def is_limited(self, device: PairedDevice) -> bool:
        """Whether a trusted device may only watch here, so that its statements on others do not count (T12)."""
        return device.read_only or fingerprint(device.certificate) in self._trust.limits()

    def let_in_by(self, device: PairedDevice) -> list[PairedDevice]:
        """Trusted devices that are in only because `device` let them in, or a device that it let in."""
        mark = fingerprint(device.certificate)
        if self._roster is None or mark not in self._roster.members:
            return []
        stored = {fingerprint(each.certificate): each for each in self._trust.devices()}
        return [stored[each] for each in self._roster.let_in_by(mark, self._own) if each in stored]

    def admission(self, device: PairedDevice | None) -> Member | None:
        """The member that a device (None: this one) is; None, if it is paired with this one alone."""
        mark = fingerprint(device.certificate) if device is not None else self._own
        return self._roster.members.get(mark) if self._roster is not None else None

    def name_of(self, mark: bytes) -> str:
        """The name of a present or former member, by fingerprint."""
        if mark == self._own:
            return self._name
        names = {fingerprint(device.certificate): device.name for device in self._trust.devices()}
        return names.get(mark, short_id(device_of(mark)))

    def trouble(self) -> str:
        """What is wrong with this device's membership, for `agent status`; empty, if nothing is."""
        if self._roster is None or self._is_in():
            return ""
        tombstone = self._roster.tombstone(self._own)
        by = f" by {self.name_of(tombstone.by)}" if tombstone is not None else ""
        return f"this device was put out of its household{by}: pair it again, or leave with `agent unpair --self`"

    def _is_in(self) -> bool:
        return self._roster is not None and self._own in self._roster.members

    # --- pairing -----------------------------------------------------------------------------------------------------

    def check(self, theirs: bytes) -> None:
        """Check that a device of household `theirs` can be paired as a member. Raises: PairingFailed."""
        if theirs and self.id and theirs != self.id:
            raise PairingFailed(
                "both devices are in a household already, and not in the same",
                hint="`agent unpair --self` on one of them first; paired again, it joins the other's",
            )

    def paired(self, device: PairedDevice, theirs: bytes, *, hosting: bool) -> list[Signed]:
        """Take a device of household `theirs`, just paired and in the trust store; returns statements to pass on.

        The device joins this one's household; if both are alone the host founds one. If only the other device has a
        household, this one is let in there, and learns of it over the link. Raises: StateError.
        """
        self._blocked.pop(fingerprint(device.certificate).hex(), None)
        if self.id or (hosting and not theirs):
            return self.admit(device)
        return []

    def admit(self, device: PairedDevice) -> list[Signed]:
        """Let a trusted device in, founding a household if there is none; returns statements to pass on.

        Raises: StateError.
        """
        if self._roster is None or not (self._is_in() or self.id):
            self._found()
        roster = self._roster
        assert roster is not None
        if self.is_member(device) or not self._is_in():
            return []
        fresh = roster.add([roster.admit(self._identity, device.certificate, device.name, self._clock.time())])
        self._save()
        return fresh

    def _found(self) -> None:
        self._roster, self._ring = Roster(self._entropy(16), self._identity.certificate), KeyRing()
        now = self._clock.time()
        self._roster.add([self._roster.admit(self._identity, self._identity.certificate, self._name, now)])
        self._turn()
        _log.info("household founded")

    # --- putting out -------------------------------------------------------------------------------------------------

    def unpair(self, device: DeviceId, *, with_admitted: bool = False) -> list[Signed]:
        """Put a device out, `with_admitted` also those that it let in; returns statements to pass on.

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
        # Each tombstone takes effect before the next one is signed.
        roster = self._roster
        fresh: list[Signed] = []
        if roster is None or not members:
            return []
        before = roster.removed
        for member in members:
            mark = fingerprint(member.certificate)
            tombstone = roster.revoke(self._identity, mark, self._clock.time()) if self._is_in() else None
            # Holds here whatever becomes of the tombstone: of two that put each other out the senior stays elsewhere.
            self._blocked[mark.hex()] = tombstone.digest.hex() if tombstone is not None else ""
            fresh += roster.add([tombstone]) if tombstone is not None else []
        if roster.removed != before:
            self._turn()
        self._save()
        return fresh

    # --- what a device may do here -----------------------------------------------------------------------------------

    def limit(self, device: DeviceId, *, read_only: bool) -> list[PairedDevice]:
        """Let a device only watch here from now on, or do what its role allows; returns others that this changes.

        Its later statements on others do not count here, whoever passes them on, and devices that it ever let in may
        only watch as well, even one that is out now: a second key gains nothing (T12). The limit stays if the device
        goes and comes back. When it ends, devices let in meanwhile are in. Raises: NotPaired, StateError.
        """
        before = {each.id: each for each in self._trust.devices()}
        if device not in before:
            raise NotPaired(f"{short_id(device)} is not paired with this device", hint="see `agent devices`")
        known = before[device]
        mark, limits = fingerprint(known.certificate), dict(self._trust.limits())
        if not read_only:
            limits.pop(mark, None)
        elif mark not in limits:
            roster = self._roster
            brought = roster.brought_by(mark, self._own) if roster is not None else set[bytes]()
            for each in (mark, *brought):
                limits.setdefault(each, roster.statements_by(each) if roster is not None else frozenset())
        self._trust.change(put=[structs.replace(known, read_only=read_only)], limits=limits)
        if self._roster is not None:
            self._roster.limit(limits)
            self.settle()
        self._changed()
        others = [each for each in self._trust.devices() if each.id != device]
        return [each for each in others if each.id not in before or each.read_only != before[each.id].read_only]

    def _find(self, device: DeviceId) -> PairedDevice:
        for known in self._trust.devices():
            if known.id == device:
                return known
        raise DeviceNotFound(f"{device} is not paired with this device", hint="see `agent devices`")

    # --- leaving -----------------------------------------------------------------------------------------------------

    def farewell(self) -> list[Signed]:
        """Statements to pass on before this device leaves; they count elsewhere, here only `forget` does."""
        if self._roster is None or not self._is_in():
            return []
        return [self._roster.revoke(self._identity, self._own, self._clock.time())]

    def forget(self) -> None:
        """Leave the household, and trust none of its members any more. Raises: StateError."""
        self._store.save(None)
        self._roster, self._ring = None, KeyRing()
        self._blocked = {}
        self._trust.change(remove=[device.id for device in self._trust.devices() if device.role == "member"])
        self._changed()
        self.keys_changed.notify()

    # --- hearing -----------------------------------------------------------------------------------------------------

    def news(self, fresh: Iterable[Signed] | None = None, *, but: Iterable[bytes] = ()) -> HouseholdNews:
        """The news for a member: `fresh` statements, or all `but` those (digests) that it has."""
        roster = self._roster
        if roster is None or self.is_alone():
            return HouseholdNews()
        known = frozenset(but)
        statements = [each for each in roster.statements if each.digest not in known] if fresh is None else fresh
        keys = self._ring.epochs if self._is_in() else ()
        return HouseholdNews(
            household=roster.household, founder=roster.founder, statements=tuple(statements), keys=keys
        )

    def digests(self) -> tuple[bytes, ...]:
        """Digests of all known statements."""
        return tuple(self._roster.digests) if self.id and self._roster is not None else ()

    async def hear(
        self,
        sender: PairedDevice,
        news: HouseholdNews,
        may: Callable[[int], bool] = lambda checks: True,  # noqa: ARG005 - whatever it costs
    ) -> NewsOutcome:
        """Take the news that a trusted device sent, in short steps, so that others are served meanwhile.

        `may` says whether so many more signatures may be verified for the sender; if not, the rest is left unread.
        Raises: StateError.
        """
        if self.is_alone() and news.household:
            return await self._join(sender, news, may)
        roster = self._roster
        if roster is None or news.household != roster.household:
            return NewsOutcome()
        reading = roster.read(news.statements)
        whole = await read_all(reading, may, self._clock)
        if self._roster is not roster:
            return NewsOutcome()  # left meanwhile
        before = roster.removed
        fresh = roster.settle(reading)
        if self._take_keys(sender, news.keys) or fresh:
            self._save()
        if roster.removed != before:
            _log.info("somebody was put out of the household", extra={"told_by": sender.id})
        return NewsOutcome(fresh, whole, reading.forged)

    async def _join(self, sender: PairedDevice, news: HouseholdNews, may: Callable[[int], bool]) -> NewsOutcome:
        # A device that may only watch here brings no other along that may do more.
        if self.is_limited(sender):
            return NewsOutcome()
        try:
            theirs = Roster(news.household, news.founder, limits=self._trust.limits())
        except BadCertificate:
            return NewsOutcome(forged=True)
        reading = theirs.read(news.statements)
        whole = await read_all(reading, may, self._clock)
        theirs.settle(reading)
        if not self.is_alone():
            return await self.hear(sender, news, may)  # other news brought this device in meanwhile, and perhaps less
        if not {fingerprint(sender.certificate), self._own} <= theirs.members.keys():
            return NewsOutcome((), whole, reading.forged)
        self._roster, self._ring = theirs, KeyRing(news.keys)
        _log.info("household joined", extra={"by": sender.id})
        self._save()
        return NewsOutcome((), whole, reading.forged)

    def _take_keys(self, sender: PairedDevice, keys: Iterable[KeyEpoch]) -> bool:
        roster = self._roster
        if roster is None or fingerprint(sender.certificate) not in roster.members:
            return False
        if self.is_limited(sender):
            return self._ring.add_due(keys, roster.removed, self._clock.time())
        return self._ring.add(keys)

    def is_key_due(self) -> bool:
        """Whether another epoch of the key should begin."""
        roster = self._roster
        if roster is None or not self.id or not self._is_in():
            return False
        return self._ring.is_stale(roster.removed, self._clock.time())

    def turn_if_stale(self, *, over: bool = False) -> bool:
        """Begin another epoch of the key, if one is due; returns whether it was. `over`: see `KeyRing.turn`.

        Raises: StateError.
        """
        if not self.is_key_due():
            return False
        self._turn(over=over)
        self._save()
        return True

    def is_first_of(self, devices: Iterable[PairedDevice]) -> bool:
        """Whether this device is senior to all of these, and so the one to act when one must."""
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
            apply_roster(self._roster, self._trust, self._own, self._blocked)

    def _turn(self, *, over: bool = False) -> None:
        assert self._roster is not None
        self._ring.turn(self._entropy(32), self._roster.removed, self._clock.time(), over=over)

    def _save(self) -> None:
        roster = self._roster
        assert roster is not None
        try:
            self._store.save(_state(roster, self._ring, self._blocked))
        except StateError:
            self._read()  # a change that is not stored has not happened
            raise
        self.settle()
        self._changed()
        self.keys_changed.notify()


def _state(roster: Roster, ring: KeyRing, blocked: dict[str, str]) -> HouseholdState:
    return HouseholdState(
        id=roster.household,
        founder=roster.founder,
        statements=tuple(roster.statements),
        keys=ring.epochs,
        blocked=blocked,
    )


class NewsOutcome(NamedTuple):
    """The outcome of reading the news that a device sent."""

    fresh: Sequence[Signed] = ()  # new statements
    whole: bool = True  # whether all of the news was read
    forged: bool = False  # whether a statement was not signed by the device that it names


async def read_all(reading: Reading, may: Callable[[int], bool], clock: Clock) -> bool:
    """Read a batch of statements, letting others have their turn in between; returns whether all of it was read.

    `may` takes after each step how many signatures were verified, and says whether there may be another step.
    """
    more = True
    while more:
        before = reading.checked
        more = reading.step()
        if not may(reading.checked - before) and more:
            return False
        await clock.sleep(0)
    return True


def apply_roster(roster: Roster, trust: TrustStore, own: bytes, blocked: Mapping[str, str]) -> None:
    """Make the trust store follow the roster, in one write: members get an entry, devices that are out lose theirs.

    `own` is this device's fingerprint. `blocked` gives, in hexadecimal, fingerprints of devices that were put out on
    this one, each with its tombstone: they stay out here until a member that knows the tombstone has let them in again.
    Devices that the roster does not know, and guests, are left alone. Raises: StateError.
    """
    stored = {fingerprint(device.certificate): device for device in trust.devices()}
    put: list[PairedDevice] = []
    remove: list[DeviceId] = []
    for mark, member in roster.members.items():
        known = stored.get(mark)
        if mark == own:
            continue
        if _is_blocked(mark, member, blocked):
            if known is not None and known.role == "member":
                remove.append(known.id)
        elif known is None or known.role != "member":
            put.append(_entry(member, known))
    out = roster.out
    remove += [device.id for mark, device in stored.items() if device.role == "member" and mark in out]
    if put or remove:
        trust.change(put, remove)


def _is_blocked(mark: bytes, member: Member, blocked: Mapping[str, str]) -> bool:
    tombstone = blocked.get(mark.hex())
    return tombstone is not None and bytes.fromhex(tombstone) not in member.knows


def _entry(member: Member, known: PairedDevice | None) -> PairedDevice:
    admitted_at = float(member.admitted_at)
    if known is not None:  # a guest that has become a member elsewhere may do more here, but not if it only watched
        return structs.replace(known, role="member", paired_at=admitted_at, session=SessionId(""), expires_at=0.0)
    device = device_of(fingerprint(member.certificate))
    name = member.name or short_id(device)
    return PairedDevice(id=device, name=name, certificate=member.certificate, paired_at=admitted_at)
