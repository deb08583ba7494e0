"""End-to-end tests: real programs, real multicast, in network namespaces."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.e2e.avahi import Avahi
from tests.e2e.avahi import missing as missing_avahi
from tests.e2e.device import Device
from tests.e2e.lab import Lab, missing

MakeLab = Callable[..., Lab]
MakeNetwork = Callable[..., list[Device]]


@contextmanager
def labs() -> Iterator[MakeLab]:
    """Make labs: `lab(3)`, `lab(2, ipv4=False)`. They are removed at the end.

    Where there can be none the test is skipped with the reason; in CI it fails, since there it must run.
    """
    if reason := missing():
        if os.environ.get("CI"):
            pytest.fail(f"end-to-end tests must run in CI: {reason}")
        pytest.skip(reason)
    with ExitStack() as made:
        yield lambda hosts=2, **options: made.enter_context(Lab(hosts, **options))


@contextmanager
def networks() -> Iterator[MakeNetwork]:
    """Make networks of devices that were not started yet: `network("desk", "laptop", ipv4=False)`.

    Their homes are gone at the end; what their services said is printed, which pytest shows of a test that failed.
    """
    devices: list[Device] = []
    with tempfile.TemporaryDirectory(prefix="e2e-", ignore_cleanup_errors=True) as folder, labs() as lab:

        def network(*names: str, **options: bool) -> list[Device]:
            hosts = lab(len(names), **options).hosts
            base = Path(folder, str(len(devices)))
            base.mkdir()
            homes = [base / f"d{number}" for number in range(1, len(names) + 1)]
            made = [Device(*each) for each in zip(hosts, homes, names, strict=True)]
            devices.extend(made)
            return made

        try:
            yield network
        finally:
            for device in devices:
                device.end_commands()
                sys.stdout.write(f"--- {device.name} ({device.home.name}) said:\n{device.said()}")


@pytest.fixture
def lab() -> Iterator[MakeLab]:
    """Labs for one test."""
    with labs() as make:
        yield make


@pytest.fixture
def network() -> Iterator[MakeNetwork]:
    """Networks for one test."""
    with networks() as make:
        yield make


@pytest.fixture
def avahi(tmp_path: Path) -> Callable[..., Avahi]:
    """Start avahi on a host; skipped without it, except in CI."""
    if absent := missing_avahi():
        if os.environ.get("CI"):
            pytest.fail(f"end-to-end tests must run in CI: install {absent}")
        pytest.skip(f"not installed: {absent}")
    return lambda host, setting="": Avahi(host, tmp_path, setting)
