"""Backend `commands`: a prompt is a command in one long-lived bash, the reply is its output (docs/design/backends.md).

`driver` starts bash with driver.rc and reads what that reports, `session` does everything in order, `turn` is one
command, and `subshells` knows what bash forks.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from agent.adapters.backends.commands.driver import find_bash, launch
from agent.adapters.backends.commands.session import CommandsSession
from agent.adapters.backends.launching import NEW_SHELL, working_folder
from agent.errors import BackendFailed
from agent.ports import Backend, Emit, Start

START_SECONDS = 10.0
"""Time for bash to get ready, the user's ~/.bashrc included."""


class CommandsBackend:
    """The kind of session that is a bash on a terminal, with the user's own rights (`ports.BackendType`)."""

    name: ClassVar[str] = "commands"
    description: ClassVar[str] = "one command at a time in a bash of its own, for scripts"
    takes_command: ClassVar[bool] = False
    starts_anew: ClassVar[str] = NEW_SHELL

    def missing(self) -> str:
        """What must be installed before a shell can be started, as a sentence; empty if nothing."""
        return "" if find_bash() else "bash is not installed"

    async def start(self, start: Start, emit: Emit) -> Backend:
        """Start bash, which reads ~/.bashrc, and tell its directory.

        A restored session whose directory is gone starts in the user's home and says so. A ~/.bashrc that never gives
        the prompt back (it runs another shell, or waits for input) is left out, which the first reply says.

        Raises: BackendFailed.
        """
        told = more = ""
        try:
            folder = working_folder(start.cwd)
        except BackendFailed as exc:
            if not start.restored:
                raise
            folder, told = Path.home(), f"{exc}: the shell starts in your home directory\n"
        for with_rc in (True, False):
            session = CommandsSession(await launch(start.session, folder, with_rc=with_rc), emit)
            try:
                reason = await session.ready(START_SECONDS)
                if not reason:
                    await session.begin(told, more)
                    return session
            except BaseException:
                await session.close()
                raise
            await session.close()
            told += f"~/.bashrc is left out: {reason}\n"
            more = f", without ~/.bashrc: {reason}"
        raise BackendFailed(f"bash did not get ready: {reason}", hint="try `bash -i` in a terminal on that device")


__all__ = ["CommandsBackend"]
