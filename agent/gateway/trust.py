"""Handlers of trust: who is let in (`device.*`), what others may do (`session.share`), what they did (`audit.*`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from msgspec import structs

from agent.errors import BadParams, Forbidden, NotPaired
from agent.gateway.forwarder import Forwarder, There
from agent.gateway.routes import Caller, Route, Routes
from agent.ports import Channel, Followed
from agent.presence.rules.registry import Registry
from agent.protocol.audit import AuditEntry
from agent.protocol.guests import Terms
from agent.protocol.identity import Identity, device_of, fingerprint
from agent.protocol.messages import (
    AuditNoted,
    FindWindows,
    HouseholdNews,
    HouseholdSync,
    Join,
    Left,
    LimitDevice,
    Limited,
    ListAudit,
    Namesake,
    Nothing,
    Pair,
    PairedRow,
    PairNews,
    PairWindow,
    ShareSession,
    Unpair,
    WindowRow,
)
from agent.protocol.methods import (
    AUDIT_LIST,
    AUDIT_NOTED,
    AUDIT_WATCH,
    DEVICE_CLOSE_WINDOW,
    DEVICE_JOIN,
    DEVICE_LEAVE,
    DEVICE_LIMIT,
    DEVICE_LIST,
    DEVICE_PAIR,
    DEVICE_PAIRING,
    DEVICE_UNPAIR,
    DEVICE_WINDOWS,
    HOUSEHOLD_SYNC,
    HOUSEHOLD_TELL,
    SESSION_SHARE,
)
from agent.protocol.model import DeviceId, DeviceRef, PairedDevice, SessionId
from agent.protocol.names import address
from agent.protocol.times import rfc3339, unix_seconds
from agent.sessions.host import Sessions
from agent.trust.audit import Audit
from agent.trust.gossip import Gossip
from agent.trust.household import Household
from agent.trust.pairing import Pairing, Window
from agent.trust.rules.devices import former_name

NAMESAKES_MAX = 8


class TrustHandlers:
    """Handlers of `device.*`: who is in, letting in, putting out."""

    def __init__(
        self,
        *,
        own: Identity,
        registry: Registry,
        pairing: Pairing,
        household: Household,
        gossip: Gossip,
        hosts: Callable[[], tuple[str, ...]],
        now: Callable[[], float],
        draw: Callable[[str], Awaitable[tuple[str, ...]]],
    ) -> None:
        """`hosts` tells this device's addresses, `now` the time in Unix seconds; `draw` makes QR codes."""
        self._own = own
        self._registry = registry
        self._pairing = pairing
        self._household = household
        self._gossip = gossip
        self._hosts = hosts
        self._now = now
        self._draw = draw
        self._shown: dict[Channel, Window] = {}  # pairing windows by the client that opened them

    def routes(self) -> Routes:
        """List the handlers of `device.*`, each with its method."""
        return (
            Route(DEVICE_PAIR, self.pair),
            Route(DEVICE_CLOSE_WINDOW, self.close_window),
            Route(DEVICE_JOIN, self.join),
            Route(DEVICE_WINDOWS, self.list_windows),
            Route(DEVICE_UNPAIR, self.unpair),
            Route(DEVICE_LEAVE, self.leave),
            Route(DEVICE_LIST, self.list_devices),
        )

    async def pair(self, request: Pair, caller: Caller) -> Followed[PairWindow]:
        """Open the pairing window. Raises: Busy, ConfigError; SessionNotFound, Forbidden, for a guest's session."""
        window = await self._pairing.open_window(
            request.ttl,
            lambda news: caller.channel.notify(DEVICE_PAIRING, self._with_namesakes(news)),
            long=request.long,
            guest=self._terms(request) if request.guest else None,
        )

        async def follow() -> None:
            # The window closes with the connection that opened it.
            self._shown[caller.channel] = window
            try:
                await window.over.wait()
            finally:
                window.close()
                self._shown.pop(caller.channel, None)

        hosts = self._hosts()
        link = window.link(self._own.id, hosts)
        try:
            qr = await self._draw(link or window.code) if request.qr else ()
        except BaseException:
            window.close()
            raise
        shown = PairWindow(
            code=window.code,
            ttl=window.ttl,
            port=window.port,
            addresses=hosts,
            tries=window.tries,
            link=link,
            qr=qr,
        )
        return Followed(shown, follow)

    async def close_window(self, request: Nothing, caller: Caller) -> Nothing:
        """Close the pairing window that this client opened, if it is open."""
        window = self._shown.get(caller.channel)
        if window is not None:
            window.close()
        return Nothing()

    def _terms(self, request: Pair) -> Terms:
        session = ""
        if request.session:
            where = self._registry.find_session(request.session)
            if not where.local or where.session is None:
                raise Forbidden("a guest of this device gets no session of another one", hint="run it on that device")
            session = where.session
        return Terms(seconds=request.stay, read_only=request.read_only, session=session)

    async def join(self, request: Join, caller: Caller) -> PairedRow:
        """Pair with the device that shows the code. Raises: BadParams, PairingFailed, Ambiguous, PeerUnreachable."""
        device = await self._pairing.join(request.code, address=request.address, name=request.name)
        if device.role == "member":
            await self._gossip.introduced(device)  # else its household, and who had our name in it, is not known here
        rows, own = self._rows(), self._own.id
        old = {each.id: each for one in (device.id, own) for each in _namesakes(one, self._registry.name_of(one), rows)}
        return structs.replace(self._row(device), namesakes=tuple(old.values()))

    async def list_windows(self, request: FindWindows, caller: Caller) -> tuple[WindowRow, ...]:
        """List who shows a code that begins like this one, for a person to choose. Raises: BadParams."""
        found = await self._pairing.windows(request.code)
        return tuple(WindowRow(name=each.name, address=address(each.endpoints[0])) for each in found)

    async def unpair(self, request: Unpair, caller: Caller) -> PairedRow:
        """Put a device out, here and of the household; its connections end. Says whom it had let in.

        Raises: NotPaired, DeviceNotFound, StateError.
        """
        wanted = self._registry.find_device(request.device)
        if wanted == self._own.id:
            leave = "`agent unpair --self` leaves the household"
            raise BadParams(f"{self._registry.name_of(wanted)} is this device: it cannot put itself out", hint=leave)
        for device in self._pairing.devices():
            if device.id == wanted:
                let_in = tuple(
                    DeviceRef(each.id, self._registry.name_of(each.id)) for each in self._household.let_in_by(device)
                )
                row = structs.replace(self._row(device), let_in=let_in)
                self._gossip.unpair(wanted, with_admitted=request.with_admitted)
                return row
        raise NotPaired(f"{self._registry.name_of(wanted)} is not paired with this device", hint="see `agent devices`")

    async def leave(self, request: Nothing, caller: Caller) -> Left:
        """Leave the household: this device trusts none of its members any more. Raises: StateError."""
        members = sum(self._household.is_member(device) for device in self._pairing.devices())
        return Left(told=await self._gossip.leave(), members=members)

    async def list_devices(self, request: Nothing, caller: Caller) -> tuple[PairedRow, ...]:
        """List every trusted device, this one first."""
        member = self._household.admission(None)
        own = PairedRow(
            id=self._own.id,
            name=self._registry.name_of(self._own.id),
            fingerprint=fingerprint(self._own.certificate).hex(),
            self=True,
            paired_at=rfc3339(member.admitted_at) if member else None,
            seen_at=None,
            state="online",
            admitted_by=self._admitted_by(None),
        )
        rows = [own, *self._rows()]
        return tuple(
            structs.replace(row, namesakes=_namesakes(row.id, row.name, rows)) if row.state == "online" else row
            for row in rows
        )

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
        only = self._registry.session(device.session)
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
            session_title=only.title if only is not None else "",
            expires_at=rfc3339(device.expires_at) if device.expires_at else None,
            was=former_name(device, self._now()),
        )


def _namesakes(device: DeviceId, name: str, rows: Iterable[PairedRow]) -> tuple[Namesake, ...]:
    # A name proves nothing, so nothing is done with them: a person says whether they are one machine.
    alike = [row for row in rows if row.id != device and row.name.casefold() == name.casefold()]
    gone = [Namesake(id=row.id, name=row.name, seen_at=row.seen_at) for row in alike if row.state != "online"]
    return tuple(gone[:NAMESAKES_MAX])


class AccessHandlers:
    """Handlers of what the owner lets other devices do, and of the log of what they did."""

    def __init__(
        self,
        *,
        registry: Registry,
        sessions: Sessions,
        forwarder: Forwarder,
        gossip: Gossip,
        audit: Audit,
        rights_changed: Callable[[], None],
    ) -> None:
        """`rights_changed` is called once other devices may do more or less than before."""
        self._registry = registry
        self._sessions = sessions
        self._forwarder = forwarder
        self._gossip = gossip
        self._audit = audit
        self._rights_changed = rights_changed

    def routes(self) -> Routes:
        """List the handlers of what the owner decides and reads, each with its method."""
        return (
            Route(SESSION_SHARE, self.share),
            Route(DEVICE_LIMIT, self.limit),
            Route(AUDIT_LIST, self.list_audit),
            Route(AUDIT_WATCH, self.watch_audit),
        )

    async def share(self, request: ShareSession, caller: Caller) -> Nothing:
        """Let other devices use a session here, watch it, or not know of it. Raises: Forbidden, for one elsewhere."""
        where = self._forwarder.find(caller.channel, request.session_id)
        if isinstance(where, There):
            raise Forbidden("only the device that has a session decides who shares it", hint="run it on that device")
        await self._sessions.share(where.session, request.share, caller.sender())
        self._rights_changed()
        return Nothing()

    async def limit(self, request: LimitDevice, caller: Caller) -> Limited:
        """Let a device only watch here, or do what its role allows. Raises: NotPaired, DeviceNotFound, StateError."""
        device = self._registry.find_device(request.device)
        if device == self._registry.own:
            raise BadParams("that is this device: it may always do everything here", hint="name another one")
        others = self._gossip.limit(device, read_only=request.read_only)
        self._rights_changed()
        return Limited(others=tuple(DeviceRef(each.id, each.name) for each in others))

    async def list_audit(self, request: ListAudit, caller: Caller) -> tuple[AuditEntry, ...]:
        """Answer with the newest entries of the audit log, oldest first. Raises: BadParams, StateError."""
        return self._titled(await self._audit.read(_since(request.since), request.limit))

    async def watch_audit(self, request: ListAudit, caller: Caller) -> Followed[tuple[AuditEntry, ...]]:
        """Answer with the newest entries, and tell each one made from then on. Raises: BadParams, StateError."""
        entries = self._titled(await self._audit.read(_since(request.since), request.limit))
        fresh = self._audit.subscribe()  # in the same step: none is left out, none comes twice

        async def follow() -> None:
            with fresh:
                while True:
                    caller.channel.notify(AUDIT_NOTED, AuditNoted(entries=self._titled(await fresh.take())))
                    await caller.channel.drained()

        return Followed(entries, follow)

    def _titled(self, entries: Iterable[AuditEntry]) -> tuple[AuditEntry, ...]:
        titles = self._sessions.index.title_of
        return tuple(structs.replace(entry, title=titles(SessionId(entry.session))) for entry in entries)


def _since(stamp: str) -> str:
    # In the form that the log has, whatever the zone.
    try:
        return rfc3339(unix_seconds(stamp)) if stamp else ""
    except (ValueError, OverflowError) as exc:
        raise BadParams(f"{stamp!r} is not a time", hint="like 2026-01-31T12:00:00Z") from exc


def household_routes(gossip: Gossip) -> Routes:
    """List the handlers of `household.*`: what members know of their household."""

    async def sync(request: HouseholdSync, caller: Caller) -> HouseholdNews:
        return await gossip.sync(caller.device, request)

    async def tell(request: HouseholdNews, caller: Caller) -> Nothing:
        return await gossip.tell(caller.device, request)

    return Route(HOUSEHOLD_SYNC, sync), Route(HOUSEHOLD_TELL, tell)
