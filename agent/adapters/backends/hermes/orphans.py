"""What a gateway of our own has left behind when the service was killed (Linux): commands of tools run on without it.

They run in sessions of their own, and the session they were for may be closed by now. So all that a gateway starts
carries the service that started it: what belongs to one that is no more is ended, that of other services is not.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

from agent.processes import environment, find_process, of_this_user

SERVICE = "LAN_AGENT_HERMES_SERVICE"
"""Environment variable: process id of the service and when that was started, in clock ticks since boot."""


def this_service() -> str:
    """The value for what this service starts; empty where there is no /proc."""
    return _service(os.getpid())


def end() -> None:
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
