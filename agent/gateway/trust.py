"""The `device.*` methods: who is in, letting in, putting out. Control socket only (DESIGN §3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import structs

from agent.errors import BadParams, Forbidden, NotPaired
from agent.ports import Channel, Followed
from agent.presence.rules.registry import Registry
from agent.protocol.guests import Terms
from agent.protocol.identity import Identity, device_of, fingerprint
from agent.protocol.messages import (
    FindWindows,
    Join,
    Left,
    Namesake,
    Nothing,
    Pair,
    PairedRow,
    PairNews,
    PairWindow,
    Unpair,
    WindowRow,
)
from agent.protocol.model import DeviceId, DeviceRef, PairedDevice
from agent.protocol.names import address
from agent.protocol.times import rfc3339
from agent.trust.gossip import Gossip
from agent.trust.household import Household
from agent.trust.pairing import Pairing
from agent.trust.rules.devices import former_name

NAMESAKES_MAX = 8


class TrustMethods:
    """Answers `device.*`. `hosts` are this device's addresses."""

    def __init__(
        self,
        *,
        own: Identity,
        registry: Registry,
        pairing: Pairing,
        household: Household,
        gossip: Gossip,
        name_of: Callable[[DeviceId], str],
        hosts: Callable[[], tuple[str, ...]],
        now: Callable[[], float],
    ) -> None:
        """`now` tells the time, in Unix seconds."""
        self._own = own
        self._registry = registry
        self._pairing = pairing
        self._household, self._gossip = household, gossip
        self._name_of = name_of
        self._hosts = hosts
        self._now = now

    async def pair(self, channel: Channel, asked: Pair) -> object:
        """Open the pairing window. Raises: Busy, ConfigError; SessionNotFound, Forbidden, for a guest's session."""
        window = await self._pairing.open_window(
            asked.ttl,
            lambda news: channel.notify("device.pairing", self._with_namesakes(news)),
            long=asked.long,
            guest=self._terms(asked) if asked.guest else None,
        )

        async def follow() -> None:
            # The window closes with the connection that opened it.
            try:
                await window.over.wait()
            finally:
                window.close()

        hosts = self._hosts()
        told = PairWindow(
            code=window.code,
            ttl=window.ttl,
            port=window.port,
            addresses=hosts,
            tries=window.tries,
            link=window.link(self._own.id, hosts),
        )
        return Followed(told, follow)

    def _terms(self, asked: Pair) -> Terms:
        session = ""
        if asked.session:
            where = self._registry.find_session(asked.session)
            if not where.local or where.session is None:
                raise Forbidden("a guest of this device gets no session of another one", hint="run it on that device")
            session = where.session
        return Terms(seconds=asked.stay, read_only=asked.read_only, session=session)

    async def join(self, channel: Channel, asked: Join) -> object:
        """Pair with the device that shows the code. Raises: PairingFailed, Ambiguous, PeerUnreachable."""
        device = await self._pairing.join(asked.code, address=asked.address, name=asked.name)
        if device.role == "member":
            await self._gossip.introduced(device)  # else its household, and who had our name in it, is not known here
        rows, own = self._rows(), self._own.id
        old = {each.id: each for one in (device.id, own) for each in _namesakes(one, self._name_of(one), rows)}
        return structs.replace(self._row(device), namesakes=tuple(old.values()))

    async def windows(self, channel: Channel, asked: FindWindows) -> object:
        """Who shows a code that begins like this one, for a person to choose. Raises: PairingFailed."""
        found = await self._pairing.windows(asked.code)
        return [WindowRow(name=each.name, address=address(each.endpoints[0])) for each in found]

    async def unpair(self, channel: Channel, asked: Unpair) -> object:
        """Put a device out, here and of the household; its connections end. Says whom it had let in.

        Raises: NotPaired, DeviceNotFound, StateError.
        """
        wanted = self._registry.find_device(asked.device)
        if wanted == self._own.id:
            leave = "`agent unpair --self` leaves the household"
            raise BadParams(f"{self._name_of(wanted)} is this device: it cannot put itself out", hint=leave)
        for device in self._pairing.devices():
            if device.id == wanted:
                let_in = tuple(DeviceRef(each.id, self._name_of(each.id)) for each in self._household.let_in_by(device))
                row = structs.replace(self._row(device), let_in=let_in)
                self._gossip.unpair(wanted, with_admitted=asked.with_admitted)
                return row
        raise NotPaired(f"{self._name_of(wanted)} is not paired with this device", hint="see `agent devices`")

    async def leave(self, channel: Channel, asked: Nothing) -> object:
        """Leave the household: this device trusts none of its members any more. Raises: StateError."""
        members = sum(self._household.is_member(device) for device in self._pairing.devices())
        return Left(told=await self._gossip.leave(), members=members)

    async def devices(self, channel: Channel, asked: Nothing) -> object:
        """Everyone who is in, this device first."""
        member = self._household.admission(None)
        own = PairedRow(
            id=self._own.id,
            name=self._name_of(self._own.id),
            fingerprint=fingerprint(self._own.certificate).hex(),
            self=True,
            paired_at=rfc3339(member.admitted_at) if member else None,
            seen_at=None,
            state="online",
            admitted_by=self._admitted_by(None),
        )
        rows = [own, *self._rows()]
        return [
            structs.replace(row, namesakes=_namesakes(row.id, row.name, rows)) if row.state == "online" else row
            for row in rows
        ]

    def _with_namesakes(self, news: PairNews) -> PairNews:
        found = _namesakes(news.device, news.name, self._rows()) if news.what == "paired" else ()
        return structs.replace(news, namesakes=found)

    def _rows(self) -> list[PairedRow]:
        return [self._row(device) for device in self._pairing.devices()]

    def _admitted_by(self, device: PairedDevice | None) -> DeviceRef | None:
        member = self._household.admission(device)
        if member is None:
            return None
        return DeviceRef(device_of(member.admitted_by), self._household.name_of(member.admitted_by))

    def _row(self, device: PairedDevice) -> PairedRow:
        row = self._registry.device(device.id)
        return PairedRow(
            id=device.id,
            name=row.name if row else device.name,
            fingerprint=fingerprint(device.certificate).hex(),
            self=False,
            paired_at=rfc3339(device.paired_at),
            seen_at=(row.heard_at if row else None) or (rfc3339(device.seen_at) if device.seen_at else None),
            state=row.state if row else "offline",
            reason=row.reason if row else "",
            admitted_by=self._admitted_by(device),
            role=device.role,
            read_only=device.read_only,
            session=device.session,
            expires_at=rfc3339(device.expires_at) if device.expires_at else None,
            was=former_name(device, self._now()),
        )


def _namesakes(device: DeviceId, name: str, rows: Iterable[PairedRow]) -> tuple[Namesake, ...]:
    # A name proves nothing, so nothing is done with them: a person says whether they are one machine.
    alike = [row for row in rows if row.id != device and row.name.casefold() == name.casefold()]
    gone = [Namesake(id=row.id, name=row.name, seen_at=row.seen_at) for row in alike if row.state != "online"]
    return tuple(gone[:NAMESAKES_MAX])
