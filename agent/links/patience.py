"""Requests over links that wait for a device which is out of reach, by one rule for all clients (L8)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from agent.errors import (
    AgentError,
    Busy,
    PeerLost,
    PeerUnreachable,
    Refused,
    SessionNotFound,
    TakenBack,
    TimedOut,
)
from agent.links.link import Link
from agent.links.peers import Peers
from agent.ports import Channel, Clock
from agent.protocol.messages import CreateSession
from agent.protocol.methods import REQUEST_WAITING
from agent.protocol.model import DeviceId, DeviceRow
from agent.protocol.waiting import PATIENCE, Patient, Waiting, last_there, out_of_reach, to_do

T = TypeVar("T")
Waits = Patient | CreateSession
"""A request that may wait."""
RETRY = 0.5
"""Seconds between two attempts to reach a device that is waited for; each one has it dialled at once."""
LOOK = 1.0
"""Seconds that one such attempt takes; a dial that takes longer goes on."""
QUICK = 3.0
"""Seconds in which a device that nobody waits for must be reached."""
UNSEEN = 1.0
"""Seconds of waiting without a notification: the replacement of a link takes less."""
NOTIFY_EVERY = 10.0
"""Seconds after which a client is notified again that its request waits."""
SETTLING = 10.0
"""Seconds of a new link in which "no such session" is not believed: the device may have just started."""


class _Call:
    # One request that may have to wait, and the client that can take it back.
    def __init__(self, channel: Channel, device: DeviceId, method: str, request: Waits, now: float) -> None:
        self.channel = channel
        self.device = device
        self.method = method
        self.request = request
        self.until = now + (PATIENCE if request.wait is None else request.wait)
        self.began = now
        self.notified_at = now + UNSEEN - NOTIFY_EVERY
        self.notified_sent = False  # `sent` as the client was notified last
        self.sent = False  # whether the request has gone out at least once
        self.under_way: Link | None = None  # the link over which the result is awaited at this moment
        self.taken_back = False
        self.task = asyncio.current_task()


class PatientCalls:
    """Repeats requests until there is a result, the time is up, or the client takes its request back."""

    def __init__(
        self,
        peers: Peers,
        clock: Clock,
        *,
        name_of: Callable[[DeviceId], str],
        row_of: Callable[[DeviceId], DeviceRow | None],
    ) -> None:
        self._peers = peers
        self._clock = clock
        self._name_of = name_of
        self._row_of = row_of
        self._calls: dict[tuple[Channel, str], _Call] = {}

    async def call(
        self, channel: Channel, device: DeviceId, method: str, request: Waits, ask: Callable[[], Awaitable[T]]
    ) -> T:
        """The result of `ask`, which sends the request once, over the present link.

        `ask` is called anew whenever the link is lost under it. Raises: PeerUnreachable (the request never went out),
        PeerLost (it went out, and may have arrived), TakenBack, NotPaired, Refused, or the device's own error.
        """
        call = _Call(channel, device, method, request, self._clock.monotonic())
        if request.call_id:
            self._calls[channel, request.call_id] = call
        try:
            return await self._insist(call, ask)
        except asyncio.CancelledError:
            if not call.taken_back or call.task is None:
                raise
            call.task.uncancel()  # it was `cancel` below, not the end of the connection
            raise self._given_up(call, TakenBack()) from None
        finally:
            if self._calls.get((channel, request.call_id)) is call:
                del self._calls[channel, request.call_id]

    def cancel(self, channel: Channel, call_id: str) -> None:
        """Take a request back. One that went out already is answered if its link is alive, and never sent again."""
        call = self._calls.get((channel, call_id))
        if call is None or call.taken_back:
            return
        call.taken_back = True
        if call.under_way is not None:
            call.under_way.channel.doubt()  # the client waits for the truth: is anybody there?
        elif call.task is not None:
            call.task.cancel()

    async def _insist(self, call: _Call, ask: Callable[[], Awaitable[T]]) -> T:
        while True:
            pause = RETRY
            try:
                return await self._once(call, ask)
            except (PeerUnreachable, PeerLost, TimedOut) as exc:
                problem: AgentError = exc
            except Busy as exc:
                problem, pause = exc, exc.retry_after
                if not pause:
                    raise
            except Refused as exc:
                problem = exc
                if self._peers.refuses(call.device):
                    raise
            except SessionNotFound as exc:
                problem = exc
                if not self._settles(call.device):
                    raise
            finally:
                call.under_way = None
            now = self._clock.monotonic()
            if call.taken_back or now >= call.until:
                raise self._given_up(call, problem)
            self._notify(call, problem, now)
            await self._clock.sleep(min(pause, call.until - now))

    async def _once(self, call: _Call, ask: Callable[[], Awaitable[T]]) -> T:
        left = call.until - self._clock.monotonic()
        row = self._row_of(call.device)
        if left <= 0 and row is not None and row.state == "offline" and row.since is not None:
            raise PeerUnreachable  # found out already, and nobody wants to wait
        link = await self._peers.link(call.device, min(LOOK, left) if left > 0 else QUICK)
        call.under_way = link
        call.sent = True
        link.channel.doubt()  # a result may take long, but a dead link must be noticed soon
        return await ask()

    def _settles(self, device: DeviceId) -> bool:
        since = self._peers.linked_since(device)
        return since is not None and self._clock.monotonic() - since < SETTLING

    def _notify(self, call: _Call, problem: AgentError, now: float) -> None:
        if not call.request.call_id:
            return
        if now - call.notified_at < NOTIFY_EVERY and (call.notified_sent == call.sent or now - call.began < UNSEEN):
            return
        call.notified_at = now
        call.notified_sent = call.sent
        row = self._row_of(call.device)
        there = row is not None and row.linked and not isinstance(problem, PeerLost | PeerUnreachable)
        call.channel.notify(
            REQUEST_WAITING,
            Waiting(
                call_id=call.request.call_id,
                session_id=call.request.session_id if isinstance(call.request, Patient) else "",
                method=call.method,
                device=call.device,
                name=self._name_of(call.device),
                since="" if there else last_there(row),
                reason=str(problem) if there else row.reason if row is not None else "",
                sent=call.sent,
            ),
        )

    def _given_up(self, call: _Call, problem: AgentError) -> AgentError:
        if not isinstance(problem, PeerUnreachable | PeerLost) and not (call.sent and isinstance(problem, TakenBack)):
            return problem
        row = self._row_of(call.device)
        where, hint = out_of_reach(self._name_of(call.device), row, self._clock.time()), to_do(row)
        if call.sent:
            return PeerLost(f"{where}; it was sent before, and whether it arrived is not known", hint=hint)
        return PeerUnreachable(where, hint=hint)
