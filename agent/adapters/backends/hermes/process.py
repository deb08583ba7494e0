"""A gateway of our own: `hermes serve` on a free port of 127.0.0.1, with a token of ours, ended with this service.

Commands of its tools run in sessions of their own, which outlive it when the service is killed (Linux), and the session
they were for may be closed by then. So all that a gateway starts carries the service that started it: what belongs to
one that is no more is ended (`end_leftovers`), that of other services is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import signal
import sys
from collections.abc import Iterator

from agent.adapters.backends.hermes.config import TOKEN, GatewayConfig
from agent.adapters.backends.launching import not_started, working_folder
from agent.adapters.backends.limits import give_back
from agent.adapters.backends.process_owner import SESSION_MARK
from agent.errors import BackendFailed
from agent.processes import Process, descendants, environment, find_process, of_this_user
from agent.tasks import owned

READY = re.compile(rb"HERMES_(?:BACKEND|DASHBOARD)_READY port=(\d+)")
START_MAX = 60.0
"""Seconds for it to get ready: the very first start after an installation compiles a lot."""
TERM_MAX = 2.5
"""Seconds for it to end after SIGTERM: less than a backend may take for all of its end."""
GRACE = 600
"""Seconds that it keeps a session which nobody holds: a connection that broke comes back long before."""
SERVICE = "LAN_AGENT_HERMES_SERVICE"
"""Environment variable: process id of the service and when that was started, in clock ticks since boot."""
HINT = "run `hermes serve --port 0` on that device to see why"
# Linux ends the gateway when this service dies, however (PR_SET_PDEATHSIG); it may have died before that was asked.
_TETHER = (
    "import ctypes,os,sys\n"
    "if sys.platform == 'linux':\n"
    "    ctypes.CDLL(None).prctl(1, 15, 0, 0, 0)\n"
    "if os.getppid() != int(sys.argv[1]): sys.exit(1)\n"
    "os.execvp(sys.argv[2], sys.argv[2:])\n"
)


class GatewayProcess:
    """The process of a gateway of our own, at most one; `place` starts it again if it has ended."""

    def __init__(self, config: GatewayConfig) -> None:
        self._config = config
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._token = ""
        self._port = 0

    @property
    def running(self) -> int | None:
        """The gateway's process id; None while it does not run."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    @property
    def port(self) -> int:
        """The port where the gateway listens; 0 while it does not run."""
        return self._port if self.running else 0

    def missing(self) -> str:
        """What must be installed before a gateway can be started, as a sentence; empty if nothing."""
        program = self._config.program[0]
        return "" if shutil.which(program) else f"{program} is not on the PATH of the service"

    async def place(self, session: str) -> tuple[str, str]:
        """Address and token of the gateway, which is started for that session if need be. Raises: BackendFailed."""
        if not self.port:
            await self.stop()
            await self._launch(session)
        return f"http://127.0.0.1:{self._port}", self._token

    async def _launch(self, session: str) -> None:
        config = self._config
        self._token = secrets.token_urlsafe(32)
        argv = (*config.program, "serve", "--host", "127.0.0.1", "--port", "0")
        environ = {
            **os.environ,
            **config.env,
            TOKEN: self._token,
            "HERMES_TUI_WS_ORPHAN_REAP_GRACE_S": str(GRACE),
            "PYTHONUNBUFFERED": "1",
            SESSION_MARK: session,
            SERVICE: this_service(),
        }
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", "-c", _TETHER, str(os.getpid()), *argv),
                cwd=working_folder(config.cwd),
                env=environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as exc:
            raise not_started("Hermes", exc) from exc
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
        """End the gateway and all that it started. Idempotent."""
        process = self._process
        self._process = None
        self._port = 0
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


def this_service() -> str:
    """The value of `SERVICE` for what this service starts; empty where there is no process table."""
    return _service(os.getpid())


def end_leftovers() -> None:
    """End what services that are no more have left of their gateways. Raises nothing."""
    for pid, service in _marked():
        if _service(int(service.partition("-")[0])) != service:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _service(pid: int) -> str:
    row = find_process(pid)
    return "" if row is None else f"{pid}-{row.started}"


def _marked() -> Iterator[tuple[int, str]]:
    for pid in of_this_user():
        service = next(iter(environment(pid, SERVICE)), "")
        if service.partition("-")[0].isdecimal():
            yield pid, service
