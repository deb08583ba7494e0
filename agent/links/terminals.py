"""Terminals of sessions on other devices, for the clients here: one upstream attachment a session, fanned out (L2).

Each client gets its own replay from the host and then the frames of the one stream. What the fastest client has taken
is acknowledged upstream, so the remote program runs as fast as that one reads. A client that falls behind is left out;
once it listens again it gets a gap in the bytes, and attaches anew from where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
from msgspec import Raw

from agent.errors import AgentError, BadFrame, BadParams, Busy, PeerLost, PeerUnreachable, SessionNotFound, TimedOut
from agent.links.link import Link
from agent.links.peers import LOST_MAX, Peers
from agent.links.rules.peer_results import read_result
from agent.links.terminal_relay import TerminalRelay, Watcher
from agent.ports import Channel, Clock, Followed
from agent.protocol.codec import msgpack, typed
from agent.protocol.messages import PeerLink
from agent.protocol.methods import (
    PEER_BACK,
    PEER_LOST,
    TERMINAL_ATTACH,
    TERMINAL_CLOSED,
    TERMINAL_DETACH,
    TERMINAL_INPUT,
    TERMINAL_OUTPUT,
    TERMINAL_RESIZE,
    TERMINAL_RESIZED,
    TERMINAL_TAKEN,
)
from agent.protocol.model import STOPPED, DeviceId, SessionId
from agent.protocol.terminal import (
    Size,
    TerminalAttach,
    TerminalAttached,
    TerminalClosed,
    TerminalDetach,
    TerminalInput,
    TerminalOutput,
    TerminalResize,
    TerminalResized,
    TerminalTaken,
)
from agent.protocol.terminal_queries import without_replies
from agent.protocol.waiting import as_sent
from agent.tasks import spawn

RETRY, RETRY_MAX = 1.0, 30.0
"""Seconds before an attachment that a lost link took along is tried again over the link that is there, doubling."""


class RemoteTerminals:
    """All terminals of other devices that clients here watch. `group` is set while tasks may be started."""

    def __init__(
        self, peers: Peers, *, clock: Clock, name_of: Callable[[DeviceId], str], marked: Callable[[DeviceId], None]
    ) -> None:
        """`marked` is called when a client begins or ceases to watch a terminal of a device."""
        self._peers = peers
        self._clock = clock
        self._name_of = name_of
        self._marked = marked
        self._relays: dict[SessionId, TerminalRelay] = {}
        self._lost: dict[DeviceId, asyncio.Task[None] | None] = {}
        self.group: asyncio.TaskGroup | None = None

    def watches(self, device: DeviceId) -> bool:
        """Whether a client here watches a terminal of the device."""
        return any(relay.device == device for relay in self._relays.values())

    # --- for clients -------------------------------------------------------------------------------------------------

    async def attach(
        self, channel: Channel, device: DeviceId, session: SessionId, request: TerminalAttach, *, steers: bool
    ) -> Followed[Raw]:
        """Attach a client to the terminal of a remote session; the request is sent once. Raises: as `Peers.call`."""
        await channel.drained()
        size = Size(request.rows, request.cols) if steers and request.rows and request.cols else None
        client = Watcher(size, steers=steers)
        while True:
            relay = self._expected(channel, device, session, client)
            try:
                raw, attached, link = await self._request_attach(relay, lambda: request)
            except BaseException:
                if relay.clients.get(channel) is client:
                    self.detach(channel, session)
                raise
            if self._relays.get(session) is relay:
                break  # else the relay was ended meanwhile, and this client is in none
        relay.begun(client, attached.epoch, attached.offset + len(attached.data), link)
        self._marked(device)

        async def follow() -> None:
            if relay.clients.get(channel) is client:
                relay.attached(channel, client)

        return Followed(raw, follow)

    def _expected(self, channel: Channel, device: DeviceId, session: SessionId, client: Watcher) -> TerminalRelay:
        # The relay in which the client waits for the host's result.
        relay = self._relays.get(session)
        if relay is not None and relay.device != device:
            # R13: whoever watches one device's session is never moved to another's.
            raise SessionNotFound(f"{session} is watched on {self._name_of(relay.device)}, not {self._name_of(device)}")
        if relay is None:
            relay = self._relays[session] = TerminalRelay(device, session)
        relay.clients[channel] = client
        return relay

    async def _request_attach(
        self, relay: TerminalRelay, request: Callable[[], TerminalAttach]
    ) -> tuple[Raw, TerminalAttached, Link]:
        def upstream() -> TerminalAttach:
            rows, cols = relay.size()
            return msgspec.structs.replace(as_sent(request(), relay.session), rows=rows, cols=cols)

        raw, link = await self._peers.attach(relay.device, TERMINAL_ATTACH, upstream)
        attached = read_result(raw, TERMINAL_ATTACH, self._name_of(relay.device))
        if attached.session_id != relay.session:
            raise BadFrame(f"{self._name_of(relay.device)} answered about another session")
        return raw, attached, link

    async def type(self, channel: Channel, session: SessionId, data: bytes) -> None:
        """Type on a remote terminal, once: input that a lost link takes along is lost, never typed twice.

        Raises: as `Peers.call`, BadParams (not attached).
        """
        relay, client = self._client(channel, session)
        if not relay.answers_queries(client):
            data = without_replies(data)
        request = TerminalInput(session_id=session, data=Raw(msgspec.msgpack.encode(data)))
        if data:
            await self._peers.call(relay.device, TERMINAL_INPUT, request, again=False)

    async def resize(self, channel: Channel, session: SessionId, request: TerminalResize) -> None:
        """Take another size of a client's window. Raises: as `Peers.call`, BadParams (not attached)."""
        relay, client = self._client(channel, session)
        client.size = Size(request.rows, request.cols) if request.rows and request.cols else None
        rows, cols = relay.size()
        params = TerminalResize(session_id=session, rows=rows, cols=cols, repaint=request.repaint)
        await self._peers.call(relay.device, TERMINAL_RESIZE, params, again=False)

    def taken(self, channel: Channel, notification: TerminalTaken) -> None:
        """Take a client's acknowledgement of output up to an offset."""
        relay = self._relays.get(notification.session_id)
        client = relay.clients.get(channel) if relay is not None else None
        if relay is None or client is None or client.sent is None:
            return
        client.taken = max(client.taken, min(notification.offset, client.sent))
        relay.send_gap(channel, client)
        self._acknowledge(relay)

    def detach(self, channel: Channel, session: SessionId) -> None:
        """Detach a client from a terminal, if it is attached."""
        relay = self._relays.get(session)
        if relay is None or relay.clients.pop(channel, None) is None:
            return
        if not relay.clients:
            del self._relays[session]
            self._marked(relay.device)
            self._peers.post(relay.device, TERMINAL_DETACH, lambda: TerminalDetach(session_id=session))
            return
        size = relay.size()
        if size.rows:
            request = TerminalResize(session_id=session, rows=size.rows, cols=size.cols)
            self._peers.post(relay.device, TERMINAL_RESIZE, lambda: request)
        self._acknowledge(relay)

    def drop(self, channel: Channel) -> None:
        """Detach a client that is gone from every terminal."""
        for session in [session for session, relay in self._relays.items() if channel in relay.clients]:
            self.detach(channel, session)

    def _client(self, channel: Channel, session: SessionId) -> tuple[TerminalRelay, Watcher]:
        relay = self._relays.get(session)
        client = relay.clients.get(channel) if relay is not None else None
        if relay is None or client is None:
            raise BadParams("that terminal is not attached over this connection", hint="terminal.attach comes first")
        return relay, client

    # --- from links --------------------------------------------------------------------------------------------------

    def on_notification(self, device: DeviceId, method: str, params: Raw, frame: bytes) -> None:
        """Pass on a notification about a watched terminal, if its own device sent it. Raises: BadParams."""
        if method == TERMINAL_OUTPUT.name:
            output = typed(params, TerminalOutput)
            relay = self._of(device, output.session_id)
            if relay is not None:
                relay.take(output, frame)
                self._acknowledge(relay)
        elif method == TERMINAL_RESIZED.name:
            resized = typed(params, TerminalResized)
            relay = self._of(device, resized.session_id)
            if relay is not None:
                for channel in relay.clients:
                    channel.notify(TERMINAL_RESIZED, resized)
        elif method == TERMINAL_CLOSED.name:
            closed = typed(params, TerminalClosed)
            relay = self._of(device, closed.session_id)
            if relay is not None:
                self._close(relay, closed)

    def link_changed(self, device: DeviceId, up: bool) -> None:
        """Take that the link to a device is open (again), or is lost."""
        relays = [relay for relay in self._relays.values() if relay.device == device]
        was_lost = device in self._lost
        waiting = self._lost.pop(device, None)
        if waiting is not None:
            waiting.cancel()
        if not relays or self.group is None:
            return
        if not self._peers.trusts(device):
            self._end(relays)
            return
        if self._peers.refuses(device):
            self._end(relays if was_lost else [])
            return
        reason = STOPPED if not up and self._peers.stopped(device) else ""
        for relay in relays:
            params = PeerLink(device=device, name=self._name_of(device), sessions=(relay.session,), reason=reason)
            for channel in relay.clients if was_lost or not up else ():
                channel.notify(PEER_BACK if up else PEER_LOST, params)
            relay.interrupted()
            if up and not relay.resuming:
                relay.resuming = spawn(self.group, self._resume(relay), f"proxy.terminal-{relay.session}") is not None
        if up:
            self._marked(device)
        else:
            self._lost[device] = spawn(self.group, self._give_up(device), f"proxy.terminal-lost-{device}")

    async def _resume(self, relay: TerminalRelay) -> None:
        # Until the terminal is attached over the present link: it may be another one than when this began (L9).
        pause = RETRY
        try:
            while self._wants_attachment(relay):
                try:
                    await self._attach_anew(relay)
                except (Busy, PeerLost, PeerUnreachable, TimedOut) as exc:
                    # Busy too: that means to ask again.
                    await self._clock.sleep(max(pause, exc.retry_after))
                    pause = min(RETRY_MAX, 2 * pause)
        except AgentError:
            # The session ended, or is not for us any more. A client that attaches again gets the error.
            self._close(relay, TerminalClosed(session_id=relay.session, offset=relay.received))
        finally:
            relay.resuming = False

    def _wants_attachment(self, relay: TerminalRelay) -> bool:
        # With no link there is nothing to do: the next one begins anew.
        link = self._peers.current(relay.device)
        stands = self._relays.get(relay.session) is relay and bool(relay.clients)
        return stands and link is not None and (relay.link is not link or relay.waits)

    async def _attach_anew(self, relay: TerminalRelay) -> None:
        _, attached, link = await self._request_attach(
            relay, lambda: TerminalAttach(session_id=relay.session, after=relay.place(), epoch=relay.epoch)
        )
        relay.link = link
        if attached.epoch != relay.epoch:
            self._end([relay])  # the program was started anew
            return
        output = TerminalOutput(session_id=relay.session, offset=attached.offset, data=attached.data)
        relay.resumed(output, msgpack.notification(TERMINAL_OUTPUT.name, output))

    async def _give_up(self, device: DeviceId) -> None:
        await self._clock.sleep(LOST_MAX)
        self._end([relay for relay in self._relays.values() if relay.device == device])

    def lost(self, device: DeviceId, session: SessionId) -> None:
        """Let the clients of one session attach anew: its device has detached this one."""
        relay = self._of(device, session)
        if relay is not None:
            self._end([relay])

    def _of(self, device: DeviceId, session: SessionId) -> TerminalRelay | None:
        relay = self._relays.get(session)
        return relay if relay is not None and relay.device == device else None

    def _acknowledge(self, relay: TerminalRelay) -> None:
        offset = relay.to_acknowledge()
        if offset is not None:
            params = TerminalTaken(session_id=relay.session, offset=offset)
            self._peers.notify(relay.device, TERMINAL_TAKEN, params)

    def _close(self, relay: TerminalRelay, closed: TerminalClosed) -> None:
        if self._relays.get(relay.session) is relay:
            del self._relays[relay.session]
        for channel in relay.clients:
            channel.notify(TERMINAL_CLOSED, closed)
        self._marked(relay.device)

    def _end(self, relays: list[TerminalRelay]) -> None:
        # As the proxy does: the clients attach anew, or get the error. Clients whose attachment is awaited attach in
        # another relay.
        for relay in relays:
            if self._relays.get(relay.session) is relay:
                del self._relays[relay.session]
            for channel, client in relay.clients.items():
                relay.make_reattach(channel, client)
            self._marked(relay.device)
