"""Pairing: opens a window for one device, or joins the window of another one (T3).

A window shows one code and ends with the first success, the third wrong try, its time, or its owner. A try is counted
when its first message arrives, before anything else is done with it. Nothing is trusted before a run has ended well,
and a run that ends otherwise leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from hmac import compare_digest
from typing import Protocol

from msgspec import structs

from agent.errors import AgentError, Ambiguous, Busy, NotRunning, PairingFailed, PeerUnreachable, StateError, TurnedAway
from agent.ports import Clock, Discovery, PairingExchange, PairingTransport, PairingWindow
from agent.protocol.guests import Terms, limited
from agent.protocol.identity import Identity, device_id
from agent.protocol.messages import PairNews
from agent.protocol.model import NAME_MAX, DeviceId, Endpoint, PairedDevice
from agent.protocol.names import clean
from agent.tasks import child, spawn
from agent.trust.devices import TrustedDevices
from agent.trust.rules.code import Code, given_address, new_code, new_long_code, parse_code
from agent.trust.rules.devices import new_entry
from agent.trust.rules.handshake import Bundle, Host, Joiner, Partner, WrongCode

FIND_SECONDS = 8.0
"""Long enough for a window that opened a moment ago to be announced."""

_log = logging.getLogger(__name__)

TOLD_SECONDS = 300.0
"""So long a window that is over is announced as that, so that who comes late learns why."""
RECENT = 8
"""Codes that are remembered: of windows that are over, and of those that this device has used."""
ENDED = {
    "paired": "was used already: a code serves once",
    "expired": "has expired",
    "exhausted": "was tried wrongly too often, so it is no longer valid",
    "closed": "is shown no more: `agent pair` was ended there",
}
"""How a window has ended -> what its code is told to be."""
ANEW = "run `agent pair` there again for a new code"
TRIES = 3
"""Tries at a short code. A long code cannot be guessed, so its tries are not counted."""
LINK_ADDRESSES = 2
"""Addresses in a link: each one makes the QR code larger."""


class Membership(Protocol):
    """The household's part in pairing (`trust.gossip`)."""

    def check(self, theirs: bytes) -> None:
        """Check that a device of household `theirs` (empty: of none) can be paired. Raises: PairingFailed."""

    def paired(self, device: PairedDevice, theirs: bytes, *, hosting: bool) -> None:
        """Take a device that was paired and is in the trust store; `hosting`: this one showed the code.

        Raises: StateError.
        """


class Pairing:
    """Opens pairing windows and joins those of other devices. `run` until cancelled."""

    def __init__(
        self,
        *,
        identity: Identity,
        trusted: TrustedDevices,
        discovery: Discovery,
        transport: PairingTransport,
        clock: Clock,
        about: Callable[[], Bundle],
        membership: Membership,
        entropy: Callable[[int], bytes] = os.urandom,
        below: Callable[[int], int] = secrets.randbelow,
        announce: bool = True,
    ) -> None:
        """`about` gives what a new partner learns of this device."""
        self._identity = identity
        self._trusted = trusted
        self._discovery = discovery
        self._transport = transport
        self._clock = clock
        self._about = about
        self._entropy = entropy
        self._below = below
        self._membership = membership
        self._announced = announce  # whether windows may be: a hidden device is joined by its address
        self._group: asyncio.TaskGroup | None = None
        self._window: Window | None = None
        self._over: Window | None = None  # announced as that
        self._spent = SpentCodes()

    async def run(self) -> None:
        """Own the tasks of pairing windows until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                await asyncio.Event().wait()
        finally:
            self._group = None

    def devices(self) -> list[PairedDevice]:
        """All devices that are trusted now, by id."""
        return self._trusted.devices()

    async def open_window(
        self, ttl: float, news: Callable[[PairNews], None], *, long: bool = False, guest: Terms | None = None
    ) -> Window:
        """Open a window for one device, for `ttl` seconds. Its last news comes when nothing listens any more.

        `long`: with a code of 128 bits. `guest`: the device is let in here alone, on these terms.

        Raises: Busy, if a window is open already; NotRunning; ConfigError, StateError, if it cannot listen.
        """
        if self._group is None:
            raise NotRunning("the service is stopping")
        while self._window is not None and self._window.over.is_set():
            await self._window.gone.wait()  # Ctrl-C, then `agent pair` again: the first one is being withdrawn
        if self._window is not None:
            where = "end it where it is shown: the other `agent pair`, or a page"
            raise Busy("this device shows a pairing code already", hint=where)
        code = new_long_code(self._entropy) if long else new_code(self._below)
        window = self._window = Window(code, ttl, news, guest)
        spawn(self._group, self._keep(window), "pairing.window")
        try:
            await window.listening
        except asyncio.CancelledError:
            window.close()
            raise
        return window

    async def join(self, code: str, address: str = "", name: str = "") -> PairedDevice:
        """Pair with the device that shows `code`, at `address` (HOST:PORT) if given; `name` picks one of several.

        Exactly one window is tried; a link pins the device. Raises: PairingFailed, Ambiguous, BadParams,
        PeerUnreachable, StateError.
        """
        wanted = parse_code(code)
        self._spent.refuse_shown(str(wanted), self._window)
        try:
            device = await self._join_with(wanted, address, name)
        except (PairingFailed, PeerUnreachable):
            self._spent.refuse_used(str(wanted))
            raise
        self._spent.used.append((str(wanted), device.name))
        return device

    async def _join_with(self, wanted: Code, address: str, name: str) -> PairedDevice:
        if address:
            endpoints: tuple[Endpoint, ...] = (given_address(address),)
        else:
            endpoints = wanted.endpoints or (await self._find(wanted.slot, name)).endpoints
        async with self._transport.connect(endpoints) as exchange:
            if wanted.device and wanted.device != device_id(exchange.certificate):
                raise PairingFailed("another device answers there than the one that showed the code")
            partner = await self._join(exchange, wanted.secret)
            terms = partner.bundle.guest
            if terms is not None:
                entry = new_entry(partner, exchange.host, self._clock.time())
                return self._pin(limited(entry, terms, "host", entry.paired_at))
            return self._remember(partner, exchange.host, hosting=False)

    async def _join(self, exchange: PairingExchange, secret: str) -> Partner:
        joiner = Joiner(self._identity, secret, exchange.certificate, self._about(), self._entropy)
        await exchange.send(joiner.hello())
        proof = joiner.prove(await exchange.receive())
        await exchange.send(proof)
        try:
            grant = await exchange.receive()
        except TurnedAway:
            raise WrongCode("the other device does not take this code") from None
        await exchange.send(joiner.thank(grant))
        assert joiner.partner is not None
        if joiner.partner.bundle.guest is None:
            self._membership.check(joiner.partner.bundle.household)  # the host finds the same
        await accepted(exchange, joiner.partner, self._trusted.get(device_id(joiner.partner.certificate)))
        return joiner.partner

    async def windows(self, code: str) -> list[PairingWindow]:
        """Windows open on this network whose code begins like this one, by name. Raises: BadParams."""
        found = await self._discovery.find_windows(parse_code(code).slot, FIND_SECONDS)
        return sorted(
            (window for window in found if not window.over), key=lambda window: (window.name, window.endpoints)
        )

    async def _find(self, slot: str, name: str) -> PairingWindow:
        windows = await self._discovery.find_windows(slot, FIND_SECONDS)
        if name:
            windows = [window for window in windows if window.name.casefold() == name.casefold()]
        windows = still_open(windows, slot)
        if not windows:
            raise PairingFailed(
                f"no device on this network shows a code that begins with {slot}",
                hint="`agent pair` must still be open there, on the same network; "
                "without multicast: `agent join CODE --address HOST:PORT`",
            )
        if len(windows) > 1:
            names = ", ".join(sorted(window.name for window in windows))
            raise Ambiguous(
                f"several devices show a code that begins with {slot}: {names}",
                hint="name one: `agent join CODE --device NAME`, or its address: `agent join CODE --address HOST:PORT`",
            )
        return windows[0]

    async def _keep(self, window: Window) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                jobs = [
                    child(group, self._serve(window), "pairing.serve"),
                    child(group, self._announce(window), "pairing.announce"),
                    child(group, self._expire(window), "pairing.expire"),
                ]
                await window.over.wait()
                for job in jobs:
                    job.cancel()
            await self._leave_word(window)
        finally:
            window.close()
            if not window.listening.done():
                window.listening.set_exception(NotRunning("the service is stopping"))
            self._spent.shown.append((window.code, window.outcome.what if window.outcome is not None else "closed"))
            try:
                if self._over is not window:
                    await self._withdraw()
            finally:
                self._window = None
                window.gone.set()
                assert window.outcome is not None
                window.report(window.outcome)

    async def _serve(self, window: Window) -> None:
        def opened(port: int) -> None:
            if not window.listening.done():
                window.listening.set_result(port)

        async def answer(exchange: PairingExchange) -> None:
            await self._answer(window, exchange)

        try:
            await self._transport.serve(opened, answer)
        except AgentError as exc:
            if not window.listening.done():
                window.listening.set_exception(exc)
            window.close()

    async def _announce(self, window: Window) -> None:
        if not self._announced:
            return
        try:
            port = await asyncio.shield(window.listening)
            self._over = None  # the new one takes its place
            await self._discovery.open_window(window.slot, self._about().name, port)
        except (AgentError, OSError) as exc:  # still to be reached by `--address`
            _log.warning("the pairing window is not announced", extra={"reason": str(exc)})

    async def _leave_word(self, window: Window) -> None:
        # Nothing listens any more. How it ended says nothing of the code, and whoever watched could know it.
        if not self._announced or self._group is None or window.outcome is None or not window.listening.done():
            return
        with suppress(AgentError, OSError):
            about = self._about().name
            await self._discovery.open_window(window.slot, about, window.port, window.outcome.what)
            self._over = window
            spawn(self._group, self._forget(window), "pairing.forget")

    async def _forget(self, window: Window) -> None:
        try:
            await self._clock.sleep(TOLD_SECONDS)
        finally:
            if self._over is window:
                self._over = None
                await self._withdraw()

    async def _withdraw(self) -> None:
        try:
            await self._discovery.close_window()
        except (AgentError, OSError) as exc:
            _log.warning("the pairing window is not withdrawn", extra={"reason": str(exc)})

    async def _expire(self, window: Window) -> None:
        await self._clock.sleep(window.ttl)
        window.end(PairNews(what="expired"))

    async def _answer(self, window: Window, exchange: PairingExchange) -> None:
        try:
            hello = await exchange.receive()
        except PairingFailed:
            return  # without a first message nothing was tried
        async with window.turn:
            if window.outcome is not None:
                await exchange.end(accepted=False)
                return
            window.failed += 1  # counted first: a joiner that breaks off has used a guess, too
            partner: Partner | None = None
            try:
                partner = await self._prove(window, exchange, hello)
                device = self._take(window, partner, exchange.host)
            except AgentError as exc:
                _log.warning("pairing failed", extra={"host": exchange.host, "reason": str(exc)})
                if partner is None:
                    window.failure(wrong_code=isinstance(exc, WrongCode))
                else:
                    window.declined(clean(partner.bundle.name, NAME_MAX), exc)
                await exchange.end(accepted=False)
                return
            window.end(PairNews(what="paired", device=device.id, name=device.name))
            await exchange.end(accepted=True)

    async def _prove(self, window: Window, exchange: PairingExchange, hello: bytes) -> Partner:
        about = self._about()
        if window.guest is not None:
            about = structs.replace(about, household=b"", guest=window.guest)
        host = Host(self._identity, window.secret, about, self._entropy)
        await exchange.send(host.reply(hello))
        await exchange.send(host.grant(await exchange.receive()))
        host.finish(await exchange.receive())
        assert host.partner is not None
        return host.partner

    def _take(self, window: Window, partner: Partner, heard_from: str) -> PairedDevice:
        if window.outcome is not None:
            raise PairingFailed("the window was closed meanwhile")
        if window.guest is not None:
            return self._let_in(partner, heard_from, window.guest)
        self._membership.check(partner.bundle.household)
        return self._remember(partner, heard_from, hosting=True)

    def _remember(self, partner: Partner, heard_from: str, *, hosting: bool) -> PairedDevice:
        device = new_entry(partner, heard_from, self._clock.time())
        self._trusted.put(device)
        try:
            self._membership.paired(device, partner.bundle.household, hosting=hosting)
        except StateError:
            self._trusted.remove(device.id)
            raise
        _log.info("device paired", extra={"device": device.id})
        return device

    def _let_in(self, partner: Partner, heard_from: str, terms: Terms) -> PairedDevice:
        # Pinned here alone: no roster, no key of the household. A member is not made less by a guest's code.
        device = new_entry(partner, heard_from, self._clock.time())
        if any(known.id == device.id and known.role == "member" for known in self._trusted.devices()):
            raise PairingFailed(f"{device.name} is a member already", hint="`agent unpair` it first")
        return self._pin(limited(device, terms, "guest", device.paired_at))

    def _pin(self, device: PairedDevice) -> PairedDevice:
        self._trusted.put(device)
        _log.info("device paired", extra={"device": device.id, "role": device.role})
        return device


async def accepted(exchange: PairingExchange, partner: Partner, known: PairedDevice | None) -> None:
    """Wait until the host has accepted this device; `known` is the host as known before. Raises: PairingFailed."""
    try:
        await exchange.accepted()
    except TurnedAway:
        if partner.bundle.guest is None or known is None or known.role != "member":
            raise
        raise PairingFailed(
            f"this device is paired with {known.name} as a member already, so it is not made a guest there",
            hint="a member may do all that a guest may; to make it a guest, `agent unpair` it there first",
        ) from None


def still_open(windows: list[PairingWindow], slot: str) -> list[PairingWindow]:
    """The windows of a slot that are open. Raises: PairingFailed, if all of them are over."""
    found = [window for window in windows if not window.over]
    if windows and not found:
        told = ENDED.get(windows[0].over, ENDED["closed"])
        raise PairingFailed(f"the code that begins with {slot}, of {windows[0].name}, {told}", hint=ANEW)
    return found


class SpentCodes:
    """The codes that serve no more, as far as this device knows: those that it has shown, and those that it has used.

    They are looked up only for who types one here, and are worth nothing any more.
    """

    def __init__(self) -> None:
        self.shown: deque[tuple[str, str]] = deque(maxlen=RECENT)  # with how their windows ended
        self.used: deque[tuple[str, str]] = deque(maxlen=RECENT)  # with the name of the device that was paired

    def refuse_shown(self, code: str, present: Window | None) -> None:
        """Raise PairingFailed for a code that this device has shown itself; `present`: the window that it has now."""
        if present is not None and compare_digest(code, present.code):
            hint = "type it on the one that is to be paired"
            raise PairingFailed("that code is shown by this device itself", hint=hint)
        for shown, how in self.shown:
            if compare_digest(code, shown):
                told = ENDED[how].removesuffix(" there")
                again = "run `agent pair` again for a new code"
                raise PairingFailed(f"that code was shown by this device itself, and {told}", hint=again)

    def refuse_used(self, code: str) -> None:
        """Raise PairingFailed for a code by which this device was paired."""
        for used, name in self.used:
            if compare_digest(code, used):
                raise PairingFailed(f"that code was used by this device already, to pair with {name}", hint=ANEW)


class Window:
    """A pairing window: shows one code to a person, for one device to pair (T3). The code goes nowhere else."""

    def __init__(self, code: Code, ttl: float, news: Callable[[PairNews], None], guest: Terms | None = None) -> None:
        self.code = str(code)
        self.ttl = ttl  # seconds
        self.slot, self.secret = code.slot, code.secret
        self._code = code
        self.guest = guest  # the device is let in here alone, on these terms
        self.tries = 0 if code.long else TRIES  # 0: any number
        self.failed = 0  # tries that failed, or are under way
        self.turn = asyncio.Lock()  # one run at a time
        self.listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()  # set once it has ended
        self.gone = asyncio.Event()  # set once nothing of it is left
        self.outcome: PairNews | None = None
        self.report = news

    @property
    def port(self) -> int:
        """The port at which the window listens."""
        return self.listening.result()

    def link(self, device: DeviceId, hosts: Iterable[str]) -> str:
        """The link for a QR code of the window; empty for a short code.

        Addresses with a zone are left out: a zone means nothing on the other device.
        """
        usable = [host for host in hosts if "%" not in host]
        usable.sort(key=lambda host: ":" in host)
        endpoints = tuple(Endpoint(host, self.port) for host in usable[:LINK_ADDRESSES])
        return structs.replace(self._code, device=device, endpoints=endpoints).link() if self._code.long else ""

    def failure(self, *, wrong_code: bool) -> None:
        """Report a failed try; the last one ends the window."""
        left = self._tries_left()
        self.report(PairNews(what="wrong-code" if wrong_code else "failed", tries_left=left, failed=self.failed))
        if self.tries and not left:
            self.end(PairNews(what="exhausted", failed=self.failed))

    def declined(self, name: str, reason: AgentError) -> None:
        """Report that a device which knows the code, called `name`, cannot be paired: no guess, so no try is used."""
        self.failed -= 1
        news = PairNews(
            what="failed",
            name=name,
            reason=str(reason),
            hint=reason.hint,
            tries_left=self._tries_left(),
            failed=self.failed,
        )
        self.report(news)

    def _tries_left(self) -> int:
        return max(0, self.tries - self.failed)

    def close(self) -> None:
        """End the window, if nothing else has ended it."""
        self.end(PairNews(what="closed"))

    def end(self, outcome: PairNews) -> None:
        """End the window with an outcome; the first outcome stands."""
        if self.outcome is None:
            self.outcome = outcome
            self.over.set()
