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


KINDS = ("unit", "device", "agents")
OF_NETWORKS = {"lab", "network", "avahi", "real_agent", "house"}
"""Fixtures that no unit test has."""


def kind(item: pytest.Item) -> str:
    """Which of the kinds a test is of (Makefile); `unit`, if it does not say."""
    marks = [name for name in KINDS if item.get_closest_marker(name)]
    if len(marks) > 1:
        raise pytest.UsageError(f"{item.nodeid} is of two kinds: {' and '.join(marks)}")
    if not marks and OF_NETWORKS.intersection(getattr(item, "fixturenames", ())):
        raise pytest.UsageError(f"{item.nodeid} starts services: mark it `device` or `agents`")
    return marks[0] if marks else "unit"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run unit tests first, to know a mistake early, then the slow files, the slowest first: so none ends alone."""
    kinds = {item: kind(item) for item in items}
    for item in items:
        item.add_marker("unit" if kinds[item] == "unit" else "e2e")
    slow = [item for item in items if kinds[item] != "unit"]
    tests = Counter(item.path for item in slow)
    longest = {item.path: 0.0 for item in slow}
    for item in slow:
        limit = item.get_closest_marker("timeout")
        longest[item.path] = max(longest[item.path], float(limit.args[0]) if limit else 0.0)
    items.sort(key=lambda item: (tests[item.path] > 0, -longest.get(item.path, 0.0), -tests[item.path]))
