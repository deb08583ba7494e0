"""The terminals of sessions hosted here: who watches which, how far each viewer is, whose size counts.

Output, acknowledgements and attachments each move things on: every viewer is sent the output that it lacks, as long as
no more than a window of it is on the way. The program is read as fast as the fastest viewer takes it that may type;
viewers that may only watch hold nothing back. A viewer so slow that its place is no longer kept gets a gap once it
listens, and starts anew with a replay.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from agent.errors import AgentError, BadParams, Busy, SessionEnded
from agent.ports import Channel
from agent.ports.terminal import ShowsTerminal, Terminal
from agent.protocol.messages import SessionLost
from agent.protocol.methods import SESSION_LOST, TERMINAL_CLOSED, TERMINAL_OUTPUT, TERMINAL_RESIZED
from agent.protocol.model import DeviceId, Sender, SessionId
from agent.protocol.terminal import (
    ATTACHED_MAX,
    CHUNK,
    CONNECTION_MAX,
    RING,
    TAKEN_EVERY,
    WINDOW,
    Size,
    TerminalAttach,
    TerminalAttached,
    TerminalClosed,
    TerminalOutput,
    TerminalResize,
    TerminalResized,
    TerminalTaken,
)
from agent.protocol.terminal_queries import has_enter, without_replies
from agent.sessions.host import Sessions
from agent.sessions.session import HostedSession

SEARCH = 4096
"""Bytes in which a replay that begins in the middle looks for a line or escape sequence to begin with."""


class _Viewer:
    def __init__(self, channel: Channel, at: int, may_type: Callable[[], bool]) -> None:
        self.channel = channel
        self.may_type = may_type
        self.steers = False
        self.sent = self.taken = at
        self.size: Size | None = None  # of its window; None: it does not count
        self.behind = False  # whether its place is no longer kept
        self.gap_sent = False  # whether it was sent the gap that makes it attach anew
        self.typed = False


class _WatchedTerminal:
    """One terminal that somebody watches, and its viewers."""

    def __init__(self, hosted: HostedSession, terminal: Terminal, window: Callable[[Channel], int]) -> None:
        self.hosted, self.terminal = hosted, terminal
        self.session: SessionId = hosted.log.meta.id
        self.viewers: dict[Channel, _Viewer] = {}
        self._window = window
        self._frames: dict[tuple[int, int, str], bytes] = {}

    # --- output ------------------------------------------------------------------------------------------------------

    def send_all(self) -> list[Channel]:
        """Send every viewer what it lacks. Returns the channels that have all output of a program that ended."""
        for viewer in self.viewers.values():
            self.send(viewer)
        self._frames.clear()  # encoded once for all of them, and not kept
        steering = [viewer for viewer in self.viewers.values() if viewer.steers]
        ahead = [viewer.sent for viewer in steering if not viewer.behind]
        if ahead:
            self.terminal.let(max(ahead) + CHUNK)
        elif not steering:
            self.terminal.let(None)
        if not self.terminal.over:
            return []
        end = self.terminal.end
        return [channel for channel, viewer in self.viewers.items() if viewer.sent == end and not viewer.behind]

    def send(self, viewer: _Viewer) -> None:
        """Send one viewer the output that it lacks, as far as its window allows."""
        window, terminal = self._window(viewer.channel), self.terminal
        while not viewer.behind and viewer.sent < terminal.end and viewer.sent - viewer.taken < window:
            if viewer.sent < terminal.begin:
                viewer.behind = True
                break
            size = min(CHUNK, terminal.end - viewer.sent)
            viewer.channel.send(self._frame(viewer.sent, size, viewer.channel))
            viewer.sent += size
        if viewer.behind and not viewer.gap_sent and viewer.sent - viewer.taken < TAKEN_EVERY:
            # The viewer listens again: an offset that is not the next one makes it attach anew.
            gap = TerminalOutput(session_id=self.session, offset=terminal.end, data=b"")
            viewer.channel.notify(TERMINAL_OUTPUT, gap)
            viewer.gap_sent = True

    def _frame(self, offset: int, size: int, channel: Channel) -> bytes:
        key = (offset, size, channel.codec.subprotocol)
        frame = self._frames.get(key)
        if frame is None:
            output = TerminalOutput(session_id=self.session, offset=offset, data=self.terminal.read(offset, size))
            frame = self._frames[key] = channel.codec.notification(TERMINAL_OUTPUT.name, output)
        return frame

    # --- who watches -------------------------------------------------------------------------------------------------

    def replay(self, request: TerminalAttach) -> TerminalAttached:
        """The result of an attachment: output from where the viewer was, if that is still kept; else all that is."""
        terminal = self.terminal
        after = request.after if request.epoch == terminal.epoch else None
        resumed = after is not None and terminal.begin <= after <= terminal.end
        offset = after if resumed and after is not None else terminal.begin
        data = terminal.read(offset, RING)
        if not resumed and offset:
            cut = min((at for at in (data.find(b"\x1b", 0, SEARCH), data.find(b"\n", 0, SEARCH)) if at >= 0), default=0)
            offset, data = offset + cut, data[cut:]
        return TerminalAttached(
            session_id=self.session,
            epoch=terminal.epoch,
            offset=offset,
            data=data,
            rows=terminal.size.rows,
            cols=terminal.size.cols,
            resumed=resumed,
            modes=b"" if resumed else terminal.modes(),
        )

    def settle(self) -> bool:
        """Recompute the size after a viewer came, went or was resized. Returns whether the program's size changed."""
        viewers = self.viewers.values()
        self.terminal.answered(by_viewers=any(viewer.steers for viewer in viewers))
        sizes = [viewer.size for viewer in viewers if viewer.size is not None]
        if not sizes:
            return False
        size = Size(min(each.rows for each in sizes), min(each.cols for each in sizes))
        if size == self.terminal.size:
            return False
        self.terminal.resize(size)
        for viewer in viewers:
            resized = TerminalResized(session_id=self.session, rows=size.rows, cols=size.cols)
            viewer.channel.notify(TERMINAL_RESIZED, resized)
        return True

    def answers_queries(self, viewer: _Viewer) -> bool:
        """Whether that viewer's terminal answers the program's queries: the first one that may type does."""
        return next((each for each in self.viewers.values() if each.steers), None) is viewer


class HostedTerminals:
    """All terminals of sessions hosted here that somebody watches."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._shown: dict[SessionId, _WatchedTerminal] = {}

    # --- requests ----------------------------------------------------------------------------------------------------

    async def attach(
        self, channel: Channel, device: DeviceId, request: TerminalAttach, *, steers: Callable[[], bool]
    ) -> TerminalAttached:
        """Attach a channel to a terminal; output after the result comes by itself.

        `steers`: whether the channel may type here; it raises if the channel may not even watch. It is called after the
        last wait, whose length is up to the viewer.

        Raises: SessionNotFound, SessionEnded, BadParams (the session has no terminal), Busy.
        """
        await channel.drained()  # a replay is large
        session = self._sessions.index.find(request.session_id).id
        shown = self._shown.get(session) or await self._show(await self._sessions.ready(session))
        if channel not in shown.viewers and self._count(channel) >= ATTACHED_MAX:
            raise Busy(f"{ATTACHED_MAX} terminals are shown over this connection", hint="leave some")
        may_type = steers()
        self._sessions.attachments.join(channel, device, session, terminal=True)
        answer = shown.replay(request)
        viewer = shown.viewers.get(channel)
        if viewer is None:
            viewer = shown.viewers[channel] = _Viewer(channel, shown.terminal.end, steers)
        elif viewer.behind:
            viewer.behind = viewer.gap_sent = False
            viewer.sent = viewer.taken = shown.terminal.end
        viewer.may_type, viewer.steers = steers, may_type
        viewer.size = _size(request.rows, request.cols) if may_type else None
        shown.terminal.watch(lambda: self._changed(shown))
        resized = shown.settle()
        if not resized and not answer.resumed:
            shown.terminal.repaint()
        self._changed(shown)
        size = shown.terminal.size
        return msgspec.structs.replace(answer, rows=size.rows, cols=size.cols)

    async def _show(self, hosted: HostedSession) -> _WatchedTerminal:
        if not hosted.log.state.status.live:
            raise SessionEnded
        program = hosted.runner.shown or await hosted.runner.start()
        if not isinstance(program, ShowsTerminal):
            backend = hosted.log.meta.backend
            raise BadParams(f"that session ({backend}) has no terminal to show", hint="`agent attach` shows its text")
        shown = _WatchedTerminal(hosted, program.terminal, self._window)
        return self._shown.setdefault(shown.session, shown)

    async def type(self, channel: Channel, by: Sender, session: str, data: bytes) -> None:
        """Type on a terminal that the channel watches; a line that ends with it is logged as of `by` (S7).

        Raises: BadParams (not attached), Busy.
        """
        shown, viewer = self._viewer(channel, session)
        if not viewer.typed:
            viewer.typed = True
            self._sessions.attachments.typed(channel, shown.session)
        if not shown.answers_queries(viewer):
            data = without_replies(data)
        shown.hosted.keyboard.typed(by, enter=has_enter(data))
        await shown.terminal.write(data)

    def resize(self, channel: Channel, request: TerminalResize) -> None:
        """Take another size of a viewer's window. Raises: BadParams (not attached)."""
        shown, viewer = self._viewer(channel, request.session_id)
        viewer.steers, viewer.size = True, _size(request.rows, request.cols)
        if not shown.settle() and request.repaint:
            shown.terminal.repaint()

    def detach(self, channel: Channel, session: str) -> None:
        """Detach a channel from a terminal, if it is attached."""
        shown = self._shown.get(SessionId(session))
        if shown is not None:
            self._leave(shown, channel)

    def taken(self, channel: Channel, notification: TerminalTaken) -> None:
        """Take a viewer's acknowledgement of output up to an offset. A false one harms nobody else."""
        shown = self._shown.get(notification.session_id)
        viewer = shown.viewers.get(channel) if shown is not None else None
        if shown is not None and viewer is not None and notification.offset > viewer.taken:
            viewer.taken = min(notification.offset, viewer.sent)
            self._changed(shown)

    def drop(self, channel: Channel) -> None:
        """Detach a channel that is gone from every terminal."""
        for shown in [shown for shown in self._shown.values() if channel in shown.viewers]:
            self._leave(shown, channel)

    def rights_changed(self) -> None:
        """Ask for every viewer's rights anew: one that may not type any more has no say in size and pace."""
        for shown in list(self._shown.values()):
            for channel, viewer in list(shown.viewers.items()):
                try:
                    viewer.steers = viewer.may_type()
                except AgentError as exc:  # it may not even watch
                    self._leave(shown, channel)
                    channel.notify(SESSION_LOST, SessionLost(session_id=shown.session, reason=str(exc)))
                    continue
                viewer.size = viewer.size if viewer.steers else None
            if shown.viewers:
                shown.settle()
                self._changed(shown)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _changed(self, shown: _WatchedTerminal) -> None:
        for channel in shown.send_all():
            if channel not in shown.viewers:
                continue  # it left while others were notified
            closed = TerminalClosed(
                session_id=shown.session, offset=shown.terminal.end, exit_status=shown.terminal.exit_status
            )
            channel.notify(TERMINAL_CLOSED, closed)
            self._leave(shown, channel)

    def _leave(self, shown: _WatchedTerminal, channel: Channel) -> None:
        if shown.viewers.pop(channel, None) is None:
            return
        self._sessions.attachments.leave(channel, shown.session, terminal=True)
        if shown.viewers:
            shown.settle()
            self._changed(shown)
        else:
            self._shown.pop(shown.session, None)
            shown.terminal.answered(by_viewers=False)
            shown.terminal.watch(None)

    def _viewer(self, channel: Channel, session: str) -> tuple[_WatchedTerminal, _Viewer]:
        shown = self._shown.get(SessionId(session))
        viewer = shown.viewers.get(channel) if shown is not None else None
        if shown is None or viewer is None:
            raise BadParams("that terminal is not attached over this connection", hint="terminal.attach comes first")
        return shown, viewer

    def _count(self, channel: Channel) -> int:
        return sum(channel in shown.viewers for shown in self._shown.values())

    def _window(self, channel: Channel) -> int:
        return min(WINDOW, CONNECTION_MAX // max(1, self._count(channel)))


def _size(rows: int, cols: int) -> Size | None:
    return Size(rows, cols) if rows and cols else None
