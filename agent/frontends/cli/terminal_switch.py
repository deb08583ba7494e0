"""From a session as text to its terminal as it is, and back, without leaving: Ctrl-V within `agent attach`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from agent.client.stream import first_error
from agent.client.terminal_text import clean
from agent.client.view import LogEntry, SessionView
from agent.errors import AgentError
from agent.frontends.cli.keyboard import Keyboard
from agent.frontends.cli.main import App
from agent.frontends.cli.screen import SplitScreen
from agent.protocol.events import RequestOpen, SessionInfo
from agent.protocol.waiting import Waiting

SIGNALLED = 128
"""Exit statuses of what a signal ended begin here."""


class TerminalSwitch:
    """Holds the person's terminal for the text, and lends it to the session's own while that is shown.

    The text goes on meanwhile, and what is on the line is there again afterwards.
    """

    def __init__(
        self,
        app: App,
        screen: SplitScreen,
        keyboard: Keyboard,
        *,
        waiting: Callable[[Waiting], None],
        wait: float,
    ) -> None:
        """`screen` and `keyboard` are the text's. `waiting` is told what waits, up to `wait` seconds."""
        self._app, self._screen, self._keyboard = app, screen, keyboard
        self._waiting, self._wait = waiting, wait
        self.there = False  # whether the session surely has a terminal
        self._held = ExitStack()
        self._showing: asyncio.Task[None] | None = None  # or about to show it

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the person's terminal for the block."""
        with self._held:
            self._held.enter_context(self._keys())
            yield

    def show(self, tasks: asyncio.TaskGroup, view: SessionView, left: Callable[[int], None]) -> None:
        """Show the session's terminal, until the key leads back; `left` is told the status if a signal ends that."""
        if self._showing is None:
            self._showing = tasks.create_task(self._show(view, left), name="cli.raw")

    def cancel(self) -> bool:
        """Show the text again, or not the terminal at all; whether that changes anything."""
        return self._showing is not None and self._showing.cancel()

    def tell(self, entry: LogEntry, session: str) -> None:
        """Say what is better looked at on the terminal, while that is not in sight: a full screen, a wait for keys."""
        if self._showing is not None:
            return
        match entry.payload:
            case SessionInfo(screen=str() as program) if program:
                self.tell_program(program, session)
            case RequestOpen(kind="keys") if self.there and self._screen.lively:
                self._screen.notice("-- Ctrl-V types on its terminal instead")
            case _:
                pass

    def tell_program(self, program: str, session: str) -> None:
        """Say that a full-screen program has the terminal, and how it is seen."""
        shows = "Ctrl-V" if self._screen.lively else f"`agent attach --raw {clean(session)}`"
        self._screen.notice(f"-- {clean(program)} is on the screen: {shows} shows it")

    async def _show(self, view: SessionView, left: Callable[[int], None]) -> None:
        from agent.frontends.cli.raw import Within, shown_within  # 10 ms that most do not need

        within = Within(self._lent, self._waiting, self._screen.notice)
        view.clients = 2  # nobody else has joined
        try:
            status = await shown_within(self._app, view.session, within, wait=self._wait)
        except* AgentError as group:
            self._screen.notice(f"-- {first_error(group)}", "yellow")
        else:
            if status >= SIGNALLED:
                left(status)
        finally:
            self._showing = None
            view.clients = 1

    def _keys(self) -> AbstractContextManager[None]:
        screen = self._screen
        return self._keyboard.reading(
            self._control, resized=screen.resized, stops=screen.hide, goes_on=screen.come_back
        )

    def _control(self, sequence: str) -> None:
        self._screen.printer.out.write(sequence)
        self._screen.printer.out.flush()

    @contextmanager
    def _lent(self) -> Iterator[None]:
        self._screen.hide(below=True)
        self._held.close()
        try:
            yield
        finally:
            self._held.enter_context(self._keys())
            self._screen.come_back()
