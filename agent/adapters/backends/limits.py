"""How many files may be open at once: all that the system allows for the service, as many as before for its programs.

A service with hundreds of sessions, links and viewers needs more than the usual soft limit of 1,024, or 256 on macOS.
What it starts must not inherit the higher one: a program that uses `select` breaks on descriptors from 1,024 on, and
some close every number up to the limit when they start. Source: getrlimit(2).
"""

from __future__ import annotations

import resource
import sys
from contextlib import suppress

from agent.errors import ConfigError

FILES_MIN = 128
"""Files for a service and some sessions and links: 30 without any (measured), and a shell needs numbers above 64."""
_MAC_MAX = 10_240
"""OPEN_MAX of macOS, which takes no higher soft limit although the hard one says "unlimited"."""


class _Limits:
    soft: int | None = None  # before it was raised


def raise_own() -> None:
    """Raise this process's soft limit of open files to its hard one; where that is refused it stays.

    Raises: ConfigError, if it is too low for any work.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = min(hard, _MAC_MAX) if sys.platform == "darwin" and hard > 0 else hard
    if soft != highest:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
            _Limits.soft = soft
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if 0 <= allowed < FILES_MIN:
        raise ConfigError(
            f"only {allowed} files may be open at once here, and the service needs {FILES_MIN} at least",
            hint="`ulimit -n 1024` before it is started; in a systemd unit LimitNOFILE=1024",
        )


def give_back(pid: int) -> None:
    """Give a program that was just started the soft limit of open files that there was before; only Linux can."""
    if _Limits.soft is not None and sys.platform == "linux":
        with suppress(OSError, ValueError):  # it is gone, or has become somebody else
            _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(_Limits.soft, hard), hard))
