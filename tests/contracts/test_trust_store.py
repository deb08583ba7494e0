"""What every `ports.TrustStore` promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from agent.adapters.storage.state import TrustFile
from agent.ports import TrustStore
from agent.protocol.identity import fingerprint
from agent.protocol.model import DeviceId, Endpoint
from tests.fakes.trust import MemoryTrust, paired

Reopen = Callable[[], TrustStore]


@pytest.fixture(params=["memory", "file"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Reopen:
    """The store as a restarted service finds it; memory outlives no restart and gives the same one."""
    memory = MemoryTrust()
    return (lambda: memory) if request.param == "memory" else (lambda: TrustFile(tmp_path / "state"))


def test_nobody_is_trusted_at_first(reopen: Reopen) -> None:
    assert reopen().devices() == []


def test_devices_are_listed_by_id_and_whole(reopen: Reopen) -> None:
    devices = [paired(seed, f"d{seed}", Endpoint("fe80::1%eth0", 7000)) for seed in range(1, 6)]
    for device in devices:
        reopen().put(device)
    assert reopen().devices() == sorted(devices, key=lambda device: device.id)


def test_putting_a_known_device_replaces_it(reopen: Reopen) -> None:
    store = reopen()
    store.put(paired(1, "den"))
    store.put(msgspec.structs.replace(paired(1), name="lab"))
    assert [device.name for device in store.devices()] == ["lab"]
    assert reopen().devices() == store.devices()


def test_a_removed_device_stays_removed(reopen: Reopen) -> None:
    store = reopen()
    store.put(paired(1))
    store.put(paired(2))
    store.remove(paired(1).id)
    assert [device.id for device in store.devices()] == [paired(2).id]
    assert reopen().devices() == store.devices()


def test_removing_an_unknown_device_does_nothing(reopen: Reopen) -> None:
    store = reopen()
    store.put(paired(1))
    store.remove(DeviceId("a" * 16))
    assert store.devices() == [paired(1)]


def test_a_list_once_given_does_not_change(reopen: Reopen) -> None:
    store = reopen()
    before = store.devices()
    store.put(paired(1))
    assert before == []


def test_a_limit_outlives_the_entry_of_its_device(reopen: Reopen) -> None:  # T12
    store = reopen()
    store.put(paired(1))
    limits = {fingerprint(paired(1).certificate): frozenset({bytes(32), bytes([1]) * 32})}
    store.change(limits=limits)
    assert [device.read_only for device in store.devices()] == [True]
    store.remove(paired(1).id)
    assert reopen().limits() == limits
    store = reopen()
    store.put(paired(1))
    assert [device.read_only for device in reopen().devices()] == [True]
    store.change(put=[paired(1)], limits={})
    assert [device.read_only for device in reopen().devices()] == [False]


def test_several_changes_are_one(reopen: Reopen) -> None:
    store = reopen()
    store.change(put=[paired(1), paired(2)])
    store.change(put=[paired(3)], remove=[paired(1).id, DeviceId("a" * 16)])
    assert {device.id for device in reopen().devices()} == {paired(2).id, paired(3).id}
