"""Backend `shell`: the user's own shell on a terminal, which tells by marks where commands begin and end.

`launch` finds and starts the shell with a start-up file of ours (integration/), which gives it hooks; `box` is the
folder through which it gets its prompts; `marks` reads what the hooks tell, `states` knows where the shell is by them,
`turn` is one command, `terminal/output` its text, `questions` what it asks; `performer` carries out what follows, and
`session` is the backend. `guessed` has shells that tell nothing, `within` those that commands start, `kept` those that
outlived the service.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from agent.adapters.backends.launching import NEW_SHELL, working_folder
from agent.errors import BackendFailed
from agent.ports import Backend, BackendEvent, Emit, Inspection, Start

if TYPE_CHECKING:
    from agent.adapters.backends.shell.kept import KeptShell

START_SECONDS = 10.0
"""Time for the shell to get ready, the user's start-up files included."""


class HeldEvents:
    """Holds back what a shell tells until it is known whether it is the one that stays."""

    def __init__(self, emit: Emit) -> None:
        self._emit, self._held, self._free = emit, list[BackendEvent](), False

    async def emit(self, event: BackendEvent) -> None:
        """Pass an event on, or keep it."""
        if self._free:
            await self._emit(event)
        else:
            self._held.append(event)

    async def release(self) -> None:
        """Pass on what was held back, and all that follows."""
        while self._held:
            await self._emit(self._held.pop(0))
        self._free = True


class ShellBackend:
    """The kind of session that is the user's own shell (`ports.BackendType`)."""

    name: ClassVar[str] = "shell"
    description: ClassVar[str] = "your own shell: prompts are commands, `agent attach --raw` shows it"
    takes_command: ClassVar[bool] = False
    starts_anew: ClassVar[str] = NEW_SHELL

    def missing(self) -> str:
        """What must be installed before a shell can be started, as a sentence; empty if nothing."""
        return "" if Path("/bin/sh").exists() else "/bin/sh is not there"

    def shells(self) -> Sequence[str]:
        """Names of the shells on this device that have marks, the user's own first (`ports.RunsShell`)."""
        from agent.adapters.backends.terminal.launch import login_shell  # noqa: PLC0415 - who has no such session …

        own = Path(login_shell(os.environ)).name
        return tuple(dict.fromkeys((own, *(name for name in ("bash", "zsh", "fish") if shutil.which(name)))))

    async def inspect(self) -> Inspection:
        """Inspect the shells of this device: which versions there are, the user's own first (`ports.Inspects`)."""
        from agent.adapters.backends.shell.launch import find_shell  # noqa: PLC0415 - who has no such session …

        found = [await asyncio.to_thread(find_shell, name) for name in self.shells()]
        return Inspection(detail=", ".join(shell.program for shell in found), missing=self.missing())

    async def start(self, start: Start, emit: Emit) -> Backend:
        """Start the shell that is wanted, the user's own as a rule, and tell its directory.

        A restored session says that its shell is another one; one whose directory is gone starts in the user's home. A
        shell that its start-up files end is started again without them. The screen and the first turn say all of that.
        Raises: BackendFailed.
        """
        # Who has no such session need not have all of this in memory.
        from agent.adapters.backends.shell.box import Box  # noqa: PLC0415 - as said
        from agent.adapters.backends.shell.launch import find_shell, launch  # noqa: PLC0415 - as said
        from agent.adapters.backends.shell.session import ShellSession  # noqa: PLC0415 - as said

        words = f"{NEW_SHELL}\n" if start.restored else ""
        try:
            folder = working_folder(start.cwd)
        except BackendFailed as exc:
            if not start.restored:
                raise
            folder, words = Path.home(), f"{words}{exc}: the shell starts in your home directory\n"
        shell = await asyncio.to_thread(find_shell, start.shell)
        if shell.missing:
            raise BackendFailed(shell.missing, hint="install it on that device, or choose another shell")
        for bare in (False, True) if shell.kind else (False,):
            held, box = HeldEvents(emit), Box.make()
            running = await launch(start.session, folder, shell, box, bare=bare)
            session = ShellSession(running, shell, box, held.emit, words=words)
            try:
                in_time = await session.ready(START_SECONDS)
                if not session.refused:
                    await held.release()
                    await session.begin(late=not in_time)
                    return session
            except BaseException:
                await session.close()
                raise
            await session.close()
            words += f"{session.refused}: it is started again without them\n"
        raise BackendFailed(session.refused, hint=f"try `{shell.name}` in a terminal on that device")

    async def resume(self, start: Start, emit: Emit, kept: KeptShell) -> Backend:
        """Go on with a shell that outlived the service that started it. Raises: OSError, if its box is gone."""
        from agent.adapters.backends.shell.box import Box  # noqa: PLC0415 - as in `start`
        from agent.adapters.backends.shell.launch import find_shell  # noqa: PLC0415 - as in `start`
        from agent.adapters.backends.shell.session import ShellSession  # noqa: PLC0415 - as in `start`

        shell = await asyncio.to_thread(find_shell, start.shell)
        return ShellSession(kept.running(), shell, Box.find(kept.box), emit, kept=kept)


__all__ = ["ShellBackend"]
