"""The terminals of sessions hosted here: who watches which, how far each viewer is, whose size counts.

Nothing here waits. Output, what a viewer has taken, and attachments each move things on: every viewer is sent what it
lacks as long as no more than a window of it is on the way. The program is read as fast as the fastest viewer takes it
that may type; who may only watch holds nothing back. One that is so slow that its place is no longer kept is told, once
it listens, and starts anew with a replay.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from agent.errors import AgentError, BadParams, Busy, SessionEnded
from agent.ports import Channel
from agent.ports.terminal import ShowsTerminal, Terminal
from agent.protocol.messages import SessionLost
from agent.protocol.model import DeviceId, SessionId
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
from agent.protocol.terminal_queries import without_replies
from agent.sessions.host import Sessions
from agent.sessions.session import Hosted

SEARCH = 4096
"""Bytes in which a replay that begins in the middle looks for a place to begin at."""


class _Viewer:
    def __init__(self, channel: Channel, at: int, may_type: Callable[[], bool]) -> None:
        self.channel = channel
        self.may_type = may_type
        self.steers = False
        self.sent = self.taken = at
        self.size: Size | None = None  # None: it does not count
        self.behind = self.told = False  # its place is no longer kept; and it knows
        self.typed = False


class _Shown:
    """One terminal that somebody watches."""

    def __init__(self, session: SessionId, terminal: Terminal, window: Callable[[Channel], int]) -> None:
        self.session, self.terminal = session, terminal
        self.viewers: dict[Channel, _Viewer] = {}
        self._window = window
        self._frames: dict[tuple[int, int, str], bytes] = {}

    # --- output ------------------------------------------------------------------------------------------------------

    def send_all(self) -> list[Channel]:
        """Send everybody what they lack; those that have everything there ever will be."""
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
        """Send one viewer what it lacks, as far as it takes it."""
        window, terminal = self._window(viewer.channel), self.terminal
        while not viewer.behind and viewer.sent < terminal.end and viewer.sent - viewer.taken < window:
            if viewer.sent < terminal.begin:
                viewer.behind = True
                break
            size = min(CHUNK, terminal.end - viewer.sent)
            viewer.channel.send(self._frame(viewer.sent, size, viewer.channel))
            viewer.sent += size
        if viewer.behind and not viewer.told and viewer.sent - viewer.taken < TAKEN_EVERY:
            # It listens again: bytes that are not the next ones make it attach anew.
            gap = TerminalOutput(session_id=self.session, offset=terminal.end, data=b"")
            viewer.channel.notify("terminal.output", gap)
            viewer.told = True

    def _frame(self, offset: int, size: int, channel: Channel) -> bytes:
        key = (offset, size, channel.codec.subprotocol)
        frame = self._frames.get(key)
        if frame is None:
            output = TerminalOutput(session_id=self.session, offset=offset, data=self.terminal.read(offset, size))
            frame = self._frames[key] = channel.codec.notification("terminal.output", output)
        return frame

    # --- who watches -------------------------------------------------------------------------------------------------

    def replay(self, asked: TerminalAttach) -> TerminalAttached:
        """What a viewer gets first: from where it was, if that is still there; else all that is kept."""
        terminal = self.terminal
        after = asked.after if asked.epoch == terminal.epoch else None
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
        """Somebody came, went or has another size; whether the program's size has changed."""
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
            told = TerminalResized(session_id=self.session, rows=size.rows, cols=size.cols)
            viewer.channel.notify("terminal.resized", told)
        return True

    def answers(self, viewer: _Viewer) -> bool:
        """Whether it is that viewer's terminal that answers the program's questions: the first one that may type."""
        return next((each for each in self.viewers.values() if each.steers), None) is viewer


class Terminals:
    """Every terminal here that somebody watches."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._shown: dict[SessionId, _Shown] = {}

    # --- requests ----------------------------------------------------------------------------------------------------

    async def attach(
        self, channel: Channel, device: DeviceId, asked: TerminalAttach, *, steers: Callable[[], bool]
    ) -> object:
        """Show a channel a terminal; what follows the answer comes by itself.

        `steers`: whether it may type here; raises if it may not even look. It is asked once nothing is waited for any
        more: how long that takes is up to the viewer.

        Raises: SessionNotFound, SessionEnded, BadParams (it has none), Busy.
        """
        await channel.drained()  # a replay is large
        session = self._sessions.directory.find(asked.session_id).id
        shown = self._shown.get(session) or await self._show(await self._sessions.ready(session))
        if channel not in shown.viewers and self._count(channel) >= ATTACHED_MAX:
            raise Busy(f"{ATTACHED_MAX} terminals are shown over this connection", hint="leave some")
        may_type = steers()
        self._sessions.attachments.join(channel, device, session, terminal=True)
        answer = shown.replay(asked)
        viewer = shown.viewers.get(channel)
        if viewer is None:
            viewer = shown.viewers[channel] = _Viewer(channel, shown.terminal.end, steers)
        elif viewer.behind:
            viewer.behind = viewer.told = False
            viewer.sent = viewer.taken = shown.terminal.end
        viewer.may_type, viewer.steers = steers, may_type
        viewer.size = _size(asked.rows, asked.cols) if may_type else None
        shown.terminal.watch(lambda: self._changed(shown))
        resized = shown.settle()
        if not resized and not answer.resumed:
            shown.terminal.repaint()
        self._changed(shown)
        size = shown.terminal.size
        return msgspec.structs.replace(answer, rows=size.rows, cols=size.cols)

    async def _show(self, hosted: Hosted) -> _Shown:
        if not hosted.journal.session.status.live:
            raise SessionEnded
        program = hosted.program.shown or await hosted.program.start()
        if not isinstance(program, ShowsTerminal):
            backend = hosted.journal.meta.backend
            raise BadParams(f"that session ({backend}) has no terminal to show", hint="`agent attach` without --raw")
        session = hosted.journal.meta.id
        return self._shown.setdefault(session, _Shown(session, program.terminal, self._window))

    async def type(self, channel: Channel, session: str, data: bytes) -> None:
        """Type on a terminal that the channel watches. Raises: BadParams (it does not), Busy."""
        shown, viewer = self._viewer(channel, session)
        if not viewer.typed:
            viewer.typed = True
            self._sessions.attachments.typed(channel, shown.session)
        if not shown.answers(viewer):
            data = without_replies(data)
        await shown.terminal.write(data)

    def resize(self, channel: Channel, asked: TerminalResize) -> None:
        """A viewer's window has another size. Raises: BadParams."""
        shown, viewer = self._viewer(channel, asked.session_id)
        viewer.steers, viewer.size = True, _size(asked.rows, asked.cols)
        if not shown.settle() and asked.repaint:
            shown.terminal.repaint()

    def detach(self, channel: Channel, session: str) -> None:
        """Let a channel go; it may have gone already."""
        if (shown := self._shown.get(SessionId(session))) is not None:
            self._leave(shown, channel)

    def taken(self, channel: Channel, told: TerminalTaken) -> None:
        """A viewer has what it was sent up to there. What it says of itself cannot harm others."""
        shown = self._shown.get(told.session_id)
        viewer = shown.viewers.get(channel) if shown is not None else None
        if shown is not None and viewer is not None and told.offset > viewer.taken:
            viewer.taken = min(told.offset, viewer.sent)
            self._changed(shown)

    def drop(self, channel: Channel) -> None:
        """A channel is gone."""
        for shown in [shown for shown in self._shown.values() if channel in shown.viewers]:
            self._leave(shown, channel)

    def rights_changed(self) -> None:
        """Somebody may do more or less than before: who may not type any more has no say in size and pace."""
        for shown in list(self._shown.values()):
            for channel, viewer in list(shown.viewers.items()):
                try:
                    viewer.steers = viewer.may_type()
                except AgentError as exc:  # it may not even look
                    self._leave(shown, channel)
                    channel.notify("session.lost", SessionLost(session_id=shown.session, reason=str(exc)))
                    continue
                viewer.size = viewer.size if viewer.steers else None
            if shown.viewers:
                shown.settle()
                self._changed(shown)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _changed(self, shown: _Shown) -> None:
        for channel in shown.send_all():
            if channel not in shown.viewers:
                continue  # it left while others were told
            closed = TerminalClosed(
                session_id=shown.session, offset=shown.terminal.end, exit_status=shown.terminal.exit_status
            )
            channel.notify("terminal.closed", closed)
            self._leave(shown, channel)

    def _leave(self, shown: _Shown, channel: Channel) -> None:
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

    def _viewer(self, channel: Channel, session: str) -> tuple[_Shown, _Viewer]:
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
