"""Hermes's own program, started on this terminal and waited for."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import termios
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

from agent.errors import AgentError
from agent.processes import descendants

URL = "HERMES_TUI_GATEWAY_URL"
"""Where its terminal UI finds its gateway; with it, it starts none of its own."""
NODE_MIN = 20
LEAVE_SECONDS = 5.0
"""That it has to leave after SIGTERM."""
PUT_AWAY = {128 + signal.SIGHUP, 128 + signal.SIGINT, 128 + signal.SIGTERM}
"""Statuses after a signal with which the UI has put its screen away itself."""
SCREEN_BACK = "\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?1004l\x1b[<u\x1b[?1049l\x1b[?25h\x1b[0m\r\n"
"""What the UI undoes when it leaves by itself: mouse, pasted text, focus, keys, its screen, the hidden cursor."""


class HermesMissing(AgentError):
    """The terminal UI of Hermes is not on this device, or too old to be used."""

    kind = "hermes-missing"


def argv_of(program: str, environ: Mapping[str, str] = os.environ) -> list[str]:
    """The command line that starts the terminal UI. Raises: HermesMissing."""
    path = environ.get("PATH")
    found = shutil.which(program, path=path)
    if found is None:
        raise HermesMissing(
            f"there is no program {program!r}",
            hint="install Hermes (`pipx install hermes-agent`), or give its path with --hermes",
        )
    node = shutil.which(environ.get("HERMES_NODE") or "node", path=path)  # as Hermes does
    if node is None or _version(node) < NODE_MIN:
        had = "it is not on PATH" if node is None else f"{node} is older"
        raise HermesMissing(
            f"Hermes's terminal UI needs Node {NODE_MIN} or later, and {had}", hint="see https://nodejs.org/download"
        )
    return [found, "--tui"]


async def run(argv: list[str], url: str) -> int:
    """Run the UI to its end: its exit status, negative for a signal. SIGTERM and SIGHUP are passed on."""
    loop = asyncio.get_running_loop()
    # Hermes offers its set-up where it knows of no model; its terminal UI alone needs none, and asks none.
    environ = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", **os.environ, URL: url}
    child = await asyncio.create_subprocess_exec(*argv, env=environ)
    passed = (signal.SIGTERM, signal.SIGHUP)

    def stop(number: int) -> None:
        # Hermes's program only starts the UI and waits for it: alone, it would leave the UI on the terminal.
        for pid in [each.pid for each in descendants(child.pid)] or [child.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    for number in passed:
        loop.add_signal_handler(number, stop, number)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # a key of the UI's, whatever the terminal makes of it
    try:
        return await child.wait()
    finally:
        for number in (*passed, signal.SIGINT):
            loop.remove_signal_handler(number)
        if child.returncode is None:  # we are the ones who fail
            stop(signal.SIGTERM)
            try:
                async with asyncio.timeout(LEAVE_SECONDS):
                    await child.wait()
            except TimeoutError:
                stop(signal.SIGKILL)
                with suppress(ProcessLookupError):
                    child.kill()
                await child.wait()


def left_its_screen(status: int) -> bool:
    """Whether the UI ended in a way that did not let it put its screen away."""
    return (status < 0 or status > 128) and status not in PUT_AWAY


class SavedTerminal:
    """The person's terminal, left in the state in which it was found."""

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore(broken=kind is not None)

    def restore(self, *, broken: bool) -> None:
        """Put the terminal back as it was; `broken`: the program was ended, and its screen is still there."""
        with suppress(termios.error, OSError):  # the terminal may have gone
            if broken:
                os.write(1, SCREEN_BACK.encode())
            termios.tcsetattr(0, termios.TCSADRAIN, self._before)


def _version(node: str) -> int:
    try:
        said = subprocess.run(  # noqa: S603 - the person's own node
            [node, "--version"], capture_output=True, text=True, check=False, timeout=10
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.match(r"v(\d+)", said)
    return int(found[1]) if found else 0
