"""What a killed service has left of its gateway is ended; what belongs to one that runs is not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from agent.adapters.backends.hermes.process import SERVICE, end_leftovers, this_service

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def sleeper(stack: ExitStack, service: str | None) -> subprocess.Popen[bytes]:
    """A program that carries that service, in a session of its own."""
    environ = {**os.environ, **({} if service is None else {SERVICE: service})}
    process = subprocess.Popen(["sleep", "60"], env=environ, start_new_session=True)
    stack.callback(process.wait, 10)
    stack.callback(process.kill)
    return process


def test_what_a_service_that_is_no_more_has_left_is_ended(stack: ExitStack) -> None:
    here = this_service()
    pid = here.partition("-")[0]
    assert pid == str(os.getpid())
    gone, older = sleeper(stack, "4194999-1"), sleeper(stack, f"{pid}-1")  # the number may be another process's by now
    ours, stranger, odd = sleeper(stack, here), sleeper(stack, None), sleeper(stack, "what-ever")
    end_leftovers()
    assert gone.wait(10) == older.wait(10) == -9
    assert [each.poll() for each in (ours, stranger, odd)] == [None, None, None]
