"""Services that are killed while a shell runs their prompts, each taking over the terminal from the one before.

`python generations.py SHELL FOLDER KILLS SEED` keeps the terminal as a holder would, forks one service after the other,
kills them with SIGKILL at random moments, and lets the last one end what is open and run a few more. FOLDER has what
they noted (`log`) and what the shell ran (`ran`).
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

from agent.adapters.backends.pty.terminal import PseudoTerminal
from agent.adapters.backends.shell import ShellBackend
from agent.adapters.backends.shell.box import Box
from agent.adapters.backends.shell.kept import KeptShell
from agent.adapters.backends.shell.launch import argv_of, find_shell, shell_environment
from agent.adapters.backends.shell.session import ShellSession  # noqa: F401 - loaded before the forks
from agent.adapters.backends.terminal.launch import _ON_TERMINAL, WRAPPER
from agent.ports import BackendEvent, Exited, Finished, Start
from agent.processes import find_process
from agent.protocol.model import SessionId

SESSION = SessionId("generations")
LONGEST_LIFE = 0.3
"""Seconds that a service lives at most."""

LAST = 5
"""Prompts of the last one, which nobody kills."""


def text_of(number: int) -> str:
    """The prompt with that number: it notes that it ran, and ends with a status of its own."""
    noted = f"echo {number} >>ran"
    return (
        f"{noted}; sh -c 'exit {number % 7}'",
        f"{noted}\nsh -c 'exit {number % 7}'",
        f"{noted}; sleep 0.05; sh -c 'exit {number % 7}'",
        f"seq 3000; {noted}; sh -c 'exit {number % 7}'",
    )[number % 4]


class Log:
    """What services have noted: prompts that they accepted, before they asked the shell, and how those ended."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, line: str) -> None:
        with self._path.open("a") as file:
            file.write(line + "\n")

    def open(self) -> tuple[int, int]:
        """The number of the last prompt, and the same if it has not ended, else 0."""
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        begun = [int(line.split()[1]) for line in lines if line.startswith("begin")]
        last = begun[-1] if begun else 0
        return last, 0 if not lines or lines[-1].startswith("over") else last


async def serve(kept: KeptShell, shell: str, log: Log, more: int) -> None:
    """One service: it waits for what is open, then goes on with so many prompts."""
    events: asyncio.Queue[BackendEvent] = asyncio.Queue()
    session = await ShellBackend().resume(Start(session=SESSION, shell=shell, restored=True), events.put, kept)
    number, left = log.open()
    while True:
        if not left:
            if not more:
                return
            more -= 1
            number += 1
            log.note(f"begin {number}")
            await session.prompt(text_of(number))
        while not isinstance(event := await events.get(), Finished | Exited):
            pass
        told = event.exit_status if isinstance(event, Finished) else f"shell {event.reason}"
        log.note(f"over {number} {told}")
        left = 0


def main(shell: str, folder: Path, kills: int, seed: int) -> None:
    os.chdir(folder)
    chance, log, found = random.Random(seed), Log(folder / "log"), find_shell(shell)
    terminal, box = PseudoTerminal(24, 120, plain=False), Box.make(folder)
    environment = asyncio.run(shell_environment(os.environ, SESSION, found, box))
    program = subprocess.Popen(
        ["/bin/sh", "-c", _ON_TERMINAL, WRAPPER, terminal.name, *argv_of(found)],
        env=environment, start_new_session=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    row = find_process(program.pid)
    started = row.started if row is not None else 0

    def service(more: int) -> int:
        _, left = log.open()
        kept = KeptShell(
            pid=program.pid, started=started, ends=terminal.ends, box=box.path,
            number=left, text=text_of(left) if left else "",
        )  # fmt: skip
        child = os.fork()
        if child == 0:
            try:
                asyncio.run(serve(kept, shell, log, more))
            except Exception:  # noqa: BLE001 - the parent must not go on in this copy of it
                traceback.print_exc()
            finally:
                os._exit(0)
        return child

    for _ in range(kills):
        child = service(1_000_000)
        time.sleep(chance.uniform(0.0, LONGEST_LIFE))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    os.waitpid(service(LAST), 0)
    program.kill()
    program.wait()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:5]))
