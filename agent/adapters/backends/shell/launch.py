"""Starting bash on a terminal, with the two pipes that its driver speaks over."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

from agent.adapters.backends.limits import give_back
from agent.adapters.backends.process_owner import MARK
from agent.adapters.backends.pty.starting import heed_keyboard
from agent.adapters.backends.pty.terminal import PseudoTerminal
from agent.errors import BackendFailed
from agent.ports import Exited
from agent.protocol.model import SessionId

ROWS, COLUMNS = 24, 120
"""Size that programs are told."""
DRIVER = Path(__file__).with_name("driver.rc")

# Opening the terminal as the leader of a new session makes it the controlling one, on Linux and macOS alike, with no
# Python between fork and exec. Bash rather than sh: descriptors above 9.
_ON_TERMINAL = 'exec "${@:4}" 0<>"$1" 1>&0 2>&0 8>&"$2" 9<&"$3" %d>&- %d<&-'
_PLAIN = {
    "TERM": "dumb",
    "NO_COLOR": "1",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "MANPAGER": "cat",
    "SYSTEMD_PAGER": "cat",
}
_HIGH = 64  # the child's copies start here, out of the way of 8 and 9


@dataclass(slots=True)
class Running:
    """A bash that was started; its driver may not be ready yet."""

    process: asyncio.subprocess.Process
    terminal: PseudoTerminal
    commands: int  # descriptor: the driver's fd 9
    reports: int  # descriptor: the driver's fd 8
    token: str

    def last_word(self) -> Exited:
        """How bash ended; once it has."""
        status = self.process.returncode
        assert status is not None
        if status < 0:
            return Exited(status="failed", reason=f"bash was ended by {signal.Signals(-status).name}")
        return Exited(status="ended", reason=f"exit status {status}", exit_status=status)

    def release(self) -> None:
        """Close the descriptors. Once."""
        self.terminal.close()
        os.close(self.commands)
        os.close(self.reports)


def find_bash() -> str:
    """Path of bash; empty if there is none."""
    return shutil.which("bash") or ""


async def launch(session: SessionId, folder: Path, *, with_rc: bool) -> Running:
    """Start bash there for a session, `with_rc` reading ~/.bashrc. Raises: BackendFailed."""
    bash = find_bash()
    if not bash:
        raise BackendFailed("bash is not installed", hint="install bash on that device")
    token = secrets.token_hex(8)
    driver = {"LAN_AGENT_SHELL_TOKEN": token, "LAN_AGENT_SHELL_RC": "1" if with_rc else ""}
    environment = os.environ | _PLAIN | driver | {MARK: session}
    heed_keyboard()
    try:
        with contextlib.ExitStack() as undo:
            terminal = PseudoTerminal(ROWS, COLUMNS, plain=True)
            undo.callback(terminal.close)
            driver_in, commands = _pipe(undo)
            reports, driver_out = _pipe(undo)
            process = await asyncio.create_subprocess_exec(
                bash, "-c", _ON_TERMINAL % (driver_out, driver_in), "agent-shell",
                terminal.name, str(driver_out), str(driver_in),
                bash, "--noprofile", "--noediting", "--rcfile", str(DRIVER), "-i",
                cwd=folder, env=environment, start_new_session=True, pass_fds=(driver_in, driver_out),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            undo.pop_all()
    except OSError as exc:
        raise BackendFailed(f"bash could not be started: {exc}") from exc
    give_back(process.pid)
    os.close(driver_in)
    os.close(driver_out)
    os.set_blocking(commands, False)
    os.set_blocking(reports, False)
    return Running(process, terminal, commands, reports, token)


def _pipe(undo: contextlib.ExitStack) -> tuple[int, int]:
    """Both ends with high numbers, reading end first; `undo` closes them."""
    low = os.pipe()
    try:
        high = []
        for end in low:
            high.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _HIGH))
            undo.callback(os.close, high[-1])
    finally:
        for end in low:
            os.close(end)
    return high[0], high[1]
