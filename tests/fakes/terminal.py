"""A backend with a terminal that tests write on and look at. No program, no time."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from agent.adapters.backends.terminal.screen import Ring
from agent.errors import BackendFailed, Busy
from agent.ports import Emit, Exited, Start
from agent.protocol.events import Answer
from agent.protocol.terminal import COLS, ROWS, Size
from agent.protocol.terminal_modes import Modes


class FakeTerminal:
    """`ports.Terminal`. `print` is what the program does; `typed`, `sizes`, `repaints` are what it was told."""

    def __init__(self, epoch: str, room: int) -> None:
        self.epoch, self.size = epoch, Size(ROWS, COLS)
        self.over, self.full = False, False
        self.exit_status: int | None = None
        self.typed = b""
        self.sizes: list[Size] = []
        self.repaints = 0
        self.by_viewers = False
        self.watched = self._going = False
        self._ring, self._before, self._waiting = Ring(room), Modes(), bytearray()
        self._changed: Callable[[], None] | None = None
        self._let: int | None = 0

    @property
    def begin(self) -> int:
        return self._ring.begin

    @property
    def end(self) -> int:
        return self._ring.end

    @property
    def waiting(self) -> int:
        """Bytes that the program could not write yet."""
        return len(self._waiting)

    def modes(self) -> bytes:
        return self._before.restore()

    def read(self, offset: int, size: int) -> bytes:
        return self._ring.read(offset, size)

    def watch(self, changed: Callable[[], None] | None) -> None:
        self._changed, self.watched = changed, changed is not None
        self._go_on()

    def let(self, offset: int | None) -> None:
        self._let = offset
        self._go_on()

    def answered(self, *, by_viewers: bool) -> None:
        self.by_viewers = by_viewers

    async def write(self, data: bytes) -> None:
        if self.full:
            raise Busy
        self.typed += data

    def resize(self, size: Size) -> None:
        self.size = size
        self.sizes.append(size)

    def repaint(self) -> None:
        self.repaints += 1

    # --- for tests ---------------------------------------------------------------------------------------------------

    def print(self, data: bytes) -> None:
        """The program writes."""
        self._waiting += data
        self._go_on()

    def end_with(self, status: int | None) -> None:
        """The program ends."""
        self.over, self.exit_status = True, status
        if self._changed is not None:
            self._changed()

    def _go_on(self) -> None:
        if self._going:
            return  # as a real one: what is let while viewers are told is read afterwards
        self._going = True
        while self._waiting and (self._changed is None or self._let is None or self.end < self._let):
            piece = bytes(self._waiting[:4096])
            del self._waiting[:4096]
            self._before.feed(self._ring.append(piece))
            if self._changed is not None:
                self._changed()
        self._going = False


class FakeTerminalSession:
    """`ports.Backend`, `ports.ShowsTerminal`."""

    def __init__(self, epoch: str, room: int, emit: Emit) -> None:
        self.terminal = FakeTerminal(epoch, room)
        self.emit = emit

    async def prompt(self, text: str) -> None:
        raise BackendFailed("not here")

    async def answer(self, request_id: str, answer: Answer) -> None:
        pass

    async def interrupt(self) -> None:
        pass

    async def close(self) -> None:
        self.terminal.end_with(None)

    async def exit(self, status: int) -> None:
        """The program ends."""
        self.terminal.end_with(status)
        await self.emit(Exited(status="ended", exit_status=status))


class FakeTerminalBackend:
    """`ports.BackendType`. `sessions` are those it started, oldest first; `room` bytes of output are kept of each."""

    name: ClassVar[str] = "terminal"
    description: ClassVar[str] = "a terminal without a program"
    takes_command: ClassVar[bool] = True

    def __init__(self) -> None:
        self.sessions: list[FakeTerminalSession] = []
        self.room = 720_896

    def missing(self) -> str:
        return ""

    async def start(self, start: Start, emit: Emit) -> FakeTerminalSession:
        if start.restored:
            await emit(Exited(status="ended", reason="restarted"))
            raise BackendFailed("restarted")
        self.sessions.append(FakeTerminalSession(f"{start.session}-epoch", self.room, emit))
        return self.sessions[-1]
