"""adapters.backends.limits: many descriptors for the service, as many as before for the programs it starts."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

SCRIPT = """
import asyncio, resource
from agent.adapters.backends import limits

async def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    limits.raise_own()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == hard, (soft, hard)
    child = await asyncio.create_subprocess_exec("sleep", "30")
    limits.give_back(child.pid)
    print(*resource.prlimit(child.pid, resource.RLIMIT_NOFILE))
    child.kill()
    await child.wait()
    limits.give_back(child.pid)  # one that is gone is no error

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="another process's limit can be set on Linux alone")
def test_the_service_may_open_all_that_the_system_allows_and_its_programs_as_many_as_before() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["256", str(hard)]


TIGHT = """
import resource
from agent.adapters.backends import limits
from agent.errors import ConfigError

resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
try:
    limits.raise_own()
except ConfigError as exc:
    print(exc.in_full)
"""


def test_a_limit_that_leaves_no_room_for_work_is_told_before_anything_fails() -> None:
    done = subprocess.run([sys.executable, "-c", TIGHT], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("only 40 files may be open at once here, and the service needs 128 at least; `ulimit")
