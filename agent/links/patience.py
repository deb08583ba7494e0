"""Requests over links that wait for a device which is out of reach, for every client alike (L8)."""

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
from agent.protocol.model import DeviceId, DeviceRow
from agent.protocol.waiting import PATIENCE, Patient, Waiting, last_there, out_of_reach, to_do

T = TypeVar("T")
RETRY = 0.5
"""Seconds between two looks for a device that is waited for; each has it dialled at once."""
LOOK = 1.0
"""Seconds that one such look takes; a dial that takes longer goes on."""
QUICK = 3.0
"""Seconds in which a device that nobody waits for must be reached."""
UNSEEN = 1.0
"""Seconds of waiting that nobody is told of: a link that is replaced takes less."""
TELL_EVERY = 10.0
"""Seconds after which a client is told again that it waits."""
SETTLING = 10.0
"""Seconds of a new link in which it is not believed that the device has no such session: it may have just started."""


class _Call:
    # One request that may have to wait, and the client that can take it back.
    def __init__(self, channel: Channel, device: DeviceId, method: str, asked: Patient, now: float) -> None:
        self.channel = channel
        self.device = device
        self.method = method
        self.asked = asked
        self.until = now + (PATIENCE if asked.wait is None else asked.wait)
        self.began = now
        self.told_at = now + UNSEEN - TELL_EVERY
        self.told_sent = False  # what was told last
        self.sent = False  # it has gone out at least once
        self.under_way: Link | None = None  # the link over which its answer is awaited at this moment
        self.taken_back = False
        self.task = asyncio.current_task()


class PatientCalls:
    """Asks again until there is an answer, the time is up, or the client takes its request back."""

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
        self, channel: Channel, device: DeviceId, method: str, asked: Patient, ask: Callable[[], Awaitable[T]]
    ) -> T:
        """The result of `ask`, which asks the device once, over the link there is.

        It is awaited anew whenever the link is lost under it. Raises: PeerUnreachable (it never went out), PeerLost
        (it went out, and may have arrived), TakenBack, NotPaired, Refused, or what the device answered.
        """
        call = _Call(channel, device, method, asked, self._clock.monotonic())
        if asked.call_id:
            self._calls[channel, asked.call_id] = call
        try:
            return await self._insist(call, ask)
        except asyncio.CancelledError:
            if not call.taken_back or call.task is None:
                raise
            call.task.uncancel()  # it was `cancel` below, not the end of the connection
            raise self._given_up(call, TakenBack()) from None
        finally:
            if self._calls.get((channel, asked.call_id)) is call:
                del self._calls[channel, asked.call_id]

    def cancel(self, channel: Channel, call_id: str) -> None:
        """Take a request back. What went out already is answered if its link carries, and is never sent again."""
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
            self._tell(call, problem, now)
            await self._clock.sleep(min(pause, call.until - now))

    async def _once(self, call: _Call, ask: Callable[[], Awaitable[T]]) -> T:
        left = call.until - self._clock.monotonic()
        row = self._row_of(call.device)
        if left <= 0 and row is not None and row.state == "offline" and row.since is not None:
            raise PeerUnreachable  # found out already, and nobody wants to wait
        link = await self._peers.link(call.device, min(LOOK, left) if left > 0 else QUICK)
        call.under_way, call.sent = link, True
        link.channel.doubt()  # an answer may take long, but a link that is dead must not
        return await ask()

    def _settles(self, device: DeviceId) -> bool:
        since = self._peers.linked_since(device)
        return since is not None and self._clock.monotonic() - since < SETTLING

    def _tell(self, call: _Call, problem: AgentError, now: float) -> None:
        if not call.asked.call_id:
            return
        if now - call.told_at < TELL_EVERY and (call.told_sent == call.sent or now - call.began < UNSEEN):
            return
        call.told_at, call.told_sent = now, call.sent
        row = self._row_of(call.device)
        there = row is not None and row.linked and not isinstance(problem, PeerLost | PeerUnreachable)
        call.channel.notify(
            "request.waiting",
            Waiting(
                call_id=call.asked.call_id,
                session_id=call.asked.session_id,
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
