"""For all tests."""

from __future__ import annotations

import signal
from collections import Counter

import pytest
from hypothesis import settings

pytest_plugins = ["tests.agents.fixtures"]

# A script that runs the tests in the background has them ignore SIGINT, and every program that they start inherits it
# (POSIX, 2.12): nothing that waits for Ctrl-C could be tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no defect: nothing here is judged by how long it takes.
settings.register_profile("lan-agent", deadline=None)
settings.load_profile("lan-agent")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run unit tests first, to know a mistake early, then the slow files, the slowest first: so none ends alone."""
    ends = [item for item in items if item.get_closest_marker("e2e")]
    tests = Counter(item.path for item in ends)
    longest = {item.path: 0.0 for item in ends}
    for item in ends:
        limit = item.get_closest_marker("timeout")
        longest[item.path] = max(longest[item.path], float(limit.args[0]) if limit else 0.0)
    items.sort(key=lambda item: (tests[item.path] > 0, -longest.get(item.path, 0.0), -tests[item.path]))
