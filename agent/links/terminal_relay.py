"""One terminal of another device, and the clients here that watch it: how far each is, and which fell behind."""

from __future__ import annotations

from agent.ports import Channel
from agent.protocol.methods import TERMINAL_OUTPUT
from agent.protocol.model import DeviceId, SessionId
from agent.protocol.terminal import BEHIND, TAKEN_EVERY, Size, TerminalOutput


class Watcher:
    """A client that watches a terminal, and its place in the stream."""

    def __init__(self, size: Size | None, *, steers: bool) -> None:
        self.size = size
        self.steers = steers
        self.end: int | None = None  # offset of its replay's end; None: the host's result is awaited
        self.sent: int | None = None  # offset; None: its replay was not sent to it yet
        self.taken = 0
        self.behind = False  # whether it is left out
        self.gap_sent = False  # whether it was sent the gap that makes it attach anew
        self.held: list[tuple[TerminalOutput, bytes]] = []
        self.held_size = 0


class TerminalRelay:
    """One terminal of another device and the clients here that watch it."""

    def __init__(self, device: DeviceId, session: SessionId) -> None:
        self.device = device
        self.session = session
        self.epoch = ""
        self.clients: dict[Channel, Watcher] = {}
        self.received = 0  # offset: the end of the stream so far
        self.acknowledged = 0  # offset: the end of what the host knows was taken
        self.resuming = False  # whether the terminal is being attached anew
        self.link: object = None  # the link over which the terminal is attached at the host; None: none (L9)
        self._early: list[tuple[TerminalOutput, bytes]] | None = None  # frames that overtook a resumption
        self._early_size = 0

    def size(self) -> Size:
        """The smallest size of all clients; 0 and 0 if none counts."""
        sizes = [client.size for client in self.clients.values() if client.size is not None]
        if not sizes:
            return Size(0, 0)
        return Size(min(each.rows for each in sizes), min(each.cols for each in sizes))

    def begun(self, client: Watcher, epoch: str, end: int, link: object) -> None:
        """Take that the host sent a client's replay up to `end`, over `link`; later frames may have come before it.

        Clients of another stream, that of a program that has ended, are made to attach anew.
        """
        if self.epoch not in {"", epoch}:
            others = {channel: each for channel, each in self.clients.items() if each is not client}
            for channel, each in others.items():
                self.make_reattach(channel, each)
                if each.end is not None:
                    del self.clients[channel]
            self.received = 0
        if epoch != self.epoch:
            self.epoch = epoch
            self.acknowledged = end
        self.received = max(self.received, end)
        client.end = end
        if self._early is None and self.place() == end:  # else this replay leaves out output that others lack
            self.link = link

    @property
    def waits(self) -> bool:
        """Whether frames wait until the host has sent the output before them."""
        return self._early is not None

    def place(self) -> int | None:
        """The offset from which the host must send output for all clients that can go on; None: all that it has."""
        places = [
            client.end if client.sent is None else client.sent for client in self.clients.values() if not client.behind
        ]
        return min((place for place in places if place is not None), default=None)

    def interrupted(self) -> None:
        """Hold all frames until `resumed`: the link broke, or was replaced."""
        self._early = []
        self._early_size = 0

    def resumed(self, output: TerminalOutput, frame: bytes) -> None:
        """Take the output that the host sent for a resumption, then the frames that were held."""
        early, self._early = self._early or [], None
        self.take(output, frame)
        for each in early:
            self.take(*each)

    def take(self, output: TerminalOutput, frame: bytes) -> None:
        """Pass a frame of the stream on to all clients."""
        end = output.offset + len(output.data)
        self.received = max(self.received, end)
        if self._early is not None:
            self._early_size += len(frame)
            if self._early_size <= BEHIND:
                self._early.append((output, frame))
            return
        for channel, client in self.clients.items():
            self._offer(channel, client, output, frame)

    def _offer(self, channel: Channel, client: Watcher, output: TerminalOutput, frame: bytes) -> None:
        end = output.offset + len(output.data)
        if client.sent is None:
            client.held_size += len(frame)
            if client.held_size <= BEHIND:
                client.held.append((output, frame))
        elif output.offset > client.sent or (end > client.sent and end - client.taken > BEHIND):
            client.behind = True
            self.send_gap(channel, client)
        elif end > client.sent and not client.behind:
            channel.send(frame if channel.codec.binary else channel.codec.translated(frame))
            client.sent = end

    def attached(self, channel: Channel, client: Watcher) -> None:
        """Take that a client was sent its replay: the stream goes on for it."""
        client.sent = client.taken = client.end or 0
        client.behind = client.gap_sent = False
        held, client.held, client.held_size = client.held, [], 0
        for output, frame in held:
            self._offer(channel, client, output, frame)

    def send_gap(self, channel: Channel, client: Watcher) -> None:
        """Make a client that fell behind attach anew, once it listens again."""
        sent = client.sent
        if client.behind and not client.gap_sent and sent is not None and sent - client.taken < TAKEN_EVERY:
            client.gap_sent = True
            gap = TerminalOutput(session_id=self.session, offset=max(self.received, sent + 1), data=b"")
            channel.notify(TERMINAL_OUTPUT, gap)

    def make_reattach(self, channel: Channel, client: Watcher) -> None:
        """Make a client attach anew; it then gets the error, if it cannot."""
        if client.end is not None:
            gap = max(self.received, client.end, client.sent or 0) + 1
            channel.notify(TERMINAL_OUTPUT, TerminalOutput(session_id=self.session, offset=gap, data=b""))

    def to_acknowledge(self) -> int | None:
        """The offset up to which to acknowledge output to the host; None: nothing new."""
        steering = [client for client in self.clients.values() if client.steers]
        places = [client.taken for client in steering if client.sent is not None]
        # Without a client that may type the remote program is not held back.
        best = min(max(places, default=0), self.received) if steering else self.received
        if best - self.acknowledged < TAKEN_EVERY:
            return None
        self.acknowledged = best
        return best

    def answers_queries(self, client: Watcher) -> bool:
        """Whether that client's terminal answers the program's queries: the first one that may type does."""
        return next((each for each in self.clients.values() if each.steers), None) is client
