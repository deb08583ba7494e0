"""Backend `terminal`: any program on a terminal of its own, shown as it is (docs/design/terminal.md).

`launch` starts the program, `screen` is its terminal as viewers see it, `session` types prompts for it; `turn` is one
of those with its reply, `output` the text of what was written, `prompts` what of that is an echo or the next prompt.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from agent.errors import BackendFailed
from agent.ports import Backend, Described, Emit, Exited, Start

RESTARTED = "the program ended when the service was restarted"


class TerminalBackend:
    """The kind of session that is any program on a terminal, attached to like tmux (`ports.BackendType`)."""

    name: ClassVar[str] = "terminal"
    description: ClassVar[str] = "any program on a terminal: `agent attach --raw`"
    takes_command: ClassVar[bool] = True
    ends_with_service: ClassVar[str] = RESTARTED

    def missing(self) -> str:
        """What must be installed before a program can be started, as a sentence; empty if nothing."""
        return "" if Path("/bin/sh").exists() else "/bin/sh is not there"

    async def start(self, start: Start, emit: Emit) -> Backend:
        """Start the program, or the user's login shell without one. Raises: BackendFailed.

        A program does not outlive the service, and is not run again by itself: who knows what it does. A session that
        is restored has ended.
        """
        if start.restored:
            await emit(Exited(status="ended", reason=RESTARTED))
            raise BackendFailed(RESTARTED, hint="start it anew: `agent new --backend terminal`")
        # Who has no such session need not have all of this in memory.
        from agent.adapters.backends.launching import working_folder  # noqa: PLC0415 - as said
        from agent.adapters.backends.terminal.launch import command_of, launch  # noqa: PLC0415 - as said
        from agent.adapters.backends.terminal.session import TerminalSession  # noqa: PLC0415 - as said

        folder = working_folder(start.cwd)
        command = command_of(start.command, folder)
        session = TerminalSession(await launch(start.session, folder, command), emit)
        try:
            await session.ready()
            shell = None if start.command else Path(command[0]).name  # of another one the service knows the name
            await emit(Described(title=shell, cwd=str(folder)))
        except BaseException:
            await session.close()
            raise
        return session


__all__ = ["TerminalBackend"]
