"""Waiting for what a test cannot move by hand: another program, a thread, the kernel."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

FACTOR = float(os.environ.get("PATIENCE") or 1)
"""By what waiting is multiplied, from the environment: more on a slow machine. What the service promises is not."""
SECONDS = 30.0 * FACTOR
"""Until a test gives up. No test is judged by how long something takes."""
LOOK = 0.002
"""Seconds between two looks: the one real sleep of unit tests (tests/test_kinds.py)."""


async def until(true: Callable[[], object], what: str = "it") -> None:
    """Return as soon as that holds. Raises: AssertionError, after a time in which it must have come."""
    loop = asyncio.get_running_loop()
    end = loop.time() + SECONDS
    while not true():
        assert loop.time() < end, f"waited {SECONDS:g} s for {what}"
        await asyncio.sleep(LOOK)
