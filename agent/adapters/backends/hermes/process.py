"""A gateway of our own: `hermes serve` on a free port of 127.0.0.1, with a token of ours, ended with this service."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import signal
import sys

from agent.adapters.backends.hermes import orphans
from agent.adapters.backends.hermes.config import TOKEN, Wanted
from agent.adapters.backends.limits import give_back
from agent.adapters.backends.process_owner import MARK
from agent.adapters.backends.pty.starting import folder_of
from agent.errors import BackendFailed
from agent.processes import Process, descendants, find_process
from agent.tasks import owned

READY = re.compile(rb"HERMES_(?:BACKEND|DASHBOARD)_READY port=(\d+)")
START_MAX = 60.0
"""Seconds for it to get ready: the very first start after an installation compiles a lot."""
TERM_MAX = 2.5
"""Seconds for it to end after SIGTERM: less than a backend may take for all of its end."""
GRACE = 600
"""Seconds that it keeps a session which nobody holds: a connection that broke comes back long before."""
# Linux ends the gateway when this service dies, however (PR_SET_PDEATHSIG); it may have died before that was asked.
_TETHER = (
    "import ctypes,os,sys\n"
    "if sys.platform == 'linux':\n"
    "    ctypes.CDLL(None).prctl(1, 15, 0, 0, 0)\n"
    "if os.getppid() != int(sys.argv[1]): sys.exit(1)\n"
    "os.execvp(sys.argv[2], sys.argv[2:])\n"
)


class OwnGateway:
    """At most one process. `place` starts it again if it has ended."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._token = ""
        self._port = 0

    @property
    def running(self) -> int | None:
        """Its process id; None while it does not run."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    @property
    def port(self) -> int:
        """Where it listens; 0 while it does not run."""
        return self._port if self.running else 0

    def missing(self) -> str:
        """What must be installed, as a sentence; empty if nothing."""
        program = self._wanted.program[0]
        return "" if shutil.which(program) else f"{program} is not on the PATH of the service"

    async def place(self, session: str) -> tuple[str, str]:
        """Address and token, of one that is started if need be, for that session first. Raises: BackendFailed."""
        if not self.port:
            await self.stop()
            await self._launch(session)
        return f"http://127.0.0.1:{self._port}", self._token

    async def _launch(self, session: str) -> None:
        wanted = self._wanted
        self._token = secrets.token_urlsafe(32)
        argv = (*wanted.program, "serve", "--host", "127.0.0.1", "--port", "0")
        environ = {
            **os.environ,
            **wanted.env,
            TOKEN: self._token,
            "HERMES_TUI_WS_ORPHAN_REAP_GRACE_S": str(GRACE),
            "PYTHONUNBUFFERED": "1",
            MARK: session,
            orphans.SERVICE: orphans.this_service(),
        }
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", "-c", _TETHER, str(os.getpid()), *argv),
                cwd=folder_of(wanted.cwd),
                env=environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as exc:
            raise BackendFailed(f"Hermes could not be started: {exc.strerror}", hint="see `agent backends`") from exc
        give_back(process.pid)
        self._process = process
        ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        # The port has no `run`: whoever launches owns this task, and `stop` waits for it.
        self._reader = owned(self._read(process, ready), "backends.hermes.own")
        try:
            async with asyncio.timeout(START_MAX):
                self._port = await ready
        except TimeoutError:
            await self.stop()
            raise BackendFailed(f"Hermes was not ready within {START_MAX:g} s", hint=HINT) from None
        except BaseException:
            await self.stop()
            raise
        if not self._port:
            await self.stop()
            raise BackendFailed("Hermes ended before it was ready", hint=HINT)

    async def stop(self) -> None:
        """End it and all that it started. Idempotent."""
        process, self._process, self._port = self._process, None, 0
        if process is not None:
            started = await asyncio.to_thread(descendants, process.pid)
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TERM_MAX):
                        await process.wait()
            # Its helpers are in its group, whose number stays taken as long as one of them lives.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            await asyncio.to_thread(_end, started)
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
            self._reader = None

    async def _read(self, process: asyncio.subprocess.Process, ready: asyncio.Future[int]) -> None:
        # Stray frames and text come here, too; nothing but the one line counts, and all must be read.
        assert process.stdout is not None
        kept = b""
        while data := await process.stdout.read(65536):
            if not ready.done():
                kept = (kept + data)[-131_072:]
                if (found := READY.search(kept)) and kept.find(b"\n", found.end()) >= 0:
                    ready.set_result(int(found[1]))
                    kept = b""
        if not ready.done():
            ready.set_result(0)


def _end(started: list[Process]) -> None:
    # Commands of its tools run in sessions of their own, which outlive it. A number may be another process's by now.
    for before in started:
        now = find_process(before.pid)
        if now is not None and now.started == before.started:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(now.pid, signal.SIGKILL)


HINT = "run `hermes serve --port 0` on that device to see why"
