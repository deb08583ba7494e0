"""End-to-end tests: real programs, real multicast, in network namespaces."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.lab import Lab, missing

MakeLab = Callable[..., Lab]


@pytest.fixture
def lab() -> Iterator[MakeLab]:
    """Make labs: `lab(3)`, `lab(2, ipv4=False)`. They are removed after the test.

    Where there can be none the test is skipped with the reason; in CI it fails, since there it must run.
    """
    if reason := missing():
        if os.environ.get("CI"):
            pytest.fail(f"end-to-end tests must run in CI: {reason}")
        pytest.skip(reason)
    with ExitStack() as labs:
        yield lambda hosts=2, **options: labs.enter_context(Lab(hosts, **options))
