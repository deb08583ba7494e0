"""One terminal of a session elsewhere, and the clients here that watch it: how far each is, and who fell behind."""

from __future__ import annotations

from agent.ports import Channel
from agent.protocol.model import DeviceId, SessionId
from agent.protocol.terminal import BEHIND, TAKEN_EVERY, Size, TerminalOutput


class Watcher:
    """A client that watches a terminal."""

    def __init__(self, size: Size | None, *, steers: bool) -> None:
        self.size, self.steers = size, steers
        self.end: int | None = None  # offset of its replay's end; None: the host's answer is awaited
        self.sent: int | None = None  # offset; None: its replay was not sent to it yet
        self.taken = 0
        self.behind = self.told = False
        self.held: list[tuple[TerminalOutput, bytes]] = []
        self.held_size = 0


class TerminalRelay:
    """One terminal elsewhere and the clients here that watch it."""

    def __init__(self, device: DeviceId, session: SessionId) -> None:
        self.device, self.session = device, session
        self.epoch = ""
        self.clients: dict[Channel, Watcher] = {}
        self.received = self.told = 0  # offsets: the end of the stream so far, and of what the host knows was taken
        self.resuming = False  # whether it is being attached anew
        self.over: object = None  # the link over which it stands attached at the host; None: over none (L9)
        self._early: list[tuple[TerminalOutput, bytes]] | None = None  # frames that overtook what is between
        self._early_size = 0

    def size(self) -> Size:
        """The smallest of the clients; 0 and 0 if none counts."""
        sizes = [client.size for client in self.clients.values() if client.size is not None]
        if not sizes:
            return Size(0, 0)
        return Size(min(each.rows for each in sizes), min(each.cols for each in sizes))

    def begun(self, client: Watcher, epoch: str, end: int, link: object) -> None:
        """The host has told a client's replay up to `end`, over `link`; frames after it may have come before.

        Clients of another stream, that of a program that has ended, are made to attach anew.
        """
        if self.epoch not in {"", epoch}:
            others = {channel: each for channel, each in self.clients.items() if each is not client}
            for channel, each in others.items():
                self.tell_lost(channel, each)
                if each.end is not None:
                    del self.clients[channel]
            self.received = 0
        if epoch != self.epoch:
            self.epoch, self.told = epoch, end
        self.received = max(self.received, end)
        client.end = end
        if self._early is None and self.place() == end:  # else this answer leaves out what others lack
            self.over = link

    @property
    def waits(self) -> bool:
        """Whether frames wait until the host has told what is between."""
        return self._early is not None

    def place(self) -> int | None:
        """From where the host must tell for all who can go on; None: from as far back as it can."""
        places = [
            client.end if client.sent is None else client.sent for client in self.clients.values() if not client.behind
        ]
        return min((place for place in places if place is not None), default=None)

    def interrupted(self) -> None:
        """The link broke, or another one carries: what comes over it waits until the host has told what is between."""
        self._early, self._early_size = [], 0

    def resumed(self, output: TerminalOutput, frame: bytes) -> None:
        """The host has told what is between."""
        early, self._early = self._early or [], None
        self.take(output, frame)
        for each in early:
            self.take(*each)

    def take(self, output: TerminalOutput, frame: bytes) -> None:
        """Pass a frame of the stream on."""
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
            self.tell_behind(channel, client)
        elif end > client.sent and not client.behind:
            channel.send(frame if channel.codec.binary else channel.codec.translated(frame))
            client.sent = end

    def attached(self, channel: Channel, client: Watcher) -> None:
        """A client was sent its replay."""
        client.sent = client.taken = client.end or 0
        client.behind = client.told = False
        held, client.held, client.held_size = client.held, [], 0
        for output, frame in held:
            self._offer(channel, client, output, frame)

    def tell_behind(self, channel: Channel, client: Watcher) -> None:
        """Make a client that was left out attach anew, once it listens again."""
        if client.behind and not client.told and client.sent is not None and client.sent - client.taken < TAKEN_EVERY:
            client.told = True
            gap = TerminalOutput(session_id=self.session, offset=max(self.received, client.sent + 1), data=b"")
            channel.notify("terminal.output", gap)

    def tell_lost(self, channel: Channel, client: Watcher) -> None:
        """Make a client attach anew, which is then told why if it cannot."""
        if client.end is not None:
            gap = max(self.received, client.end, client.sent or 0) + 1
            channel.notify("terminal.output", TerminalOutput(session_id=self.session, offset=gap, data=b""))

    def taken(self) -> int | None:
        """What to tell the host that was taken; None: nothing new."""
        steering = [client for client in self.clients.values() if client.steers]
        places = [client.taken for client in steering if client.sent is not None]
        # Nobody here who may type: the program over there is held back by none of these.
        best = min(max(places, default=0), self.received) if steering else self.received
        if best - self.told < TAKEN_EVERY:
            return None
        self.told = best
        return best

    def answers(self, client: Watcher) -> bool:
        """Whether it is that client's terminal that answers the program's questions."""
        return next((each for each in self.clients.values() if each.steers), None) is client
