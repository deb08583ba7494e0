"""What a state file takes, the next start reads; what it cannot take is refused when it is given (S15, T11)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from agent.adapters.storage.audit import AuditFile
from agent.adapters.storage.files import SIZE_MAX, read_private, write_private
from agent.adapters.storage.household import HouseholdFile
from agent.adapters.storage.state import DEVICES_MAX, LIMITS_MAX, StateFile, TrustFile
from agent.errors import StateError
from agent.protocol.audit import WHO_MAX, Action, AuditEntry
from agent.protocol.household import HouseholdState, KeyEpoch, Signed
from agent.protocol.identity import fingerprint
from agent.protocol.model import NAME_MAX, Endpoint, PairedDevice, SessionId
from agent.trust.rules.keyring import EPOCHS_KEPT
from agent.trust.rules.roster import ROSTER_MAX, Roster
from tests.fakes.trust import identity, paired

NAMES = st.text(max_size=NAME_MAX)
FLOATS = st.floats() | st.just(float("nan")) | st.just(float("inf"))
DEVICES = st.builds(
    lambda seed, **fields: structs.replace(paired(seed), **fields),
    seed=st.integers(1, 20),
    name=NAMES,
    former_name=NAMES,
    seen_at=FLOATS,
    paired_at=FLOATS,
    expires_at=FLOATS,
    prompted_at=FLOATS,
    role=st.sampled_from(["member", "guest", "host"]),
    session=st.text(max_size=64).map(SessionId),
    endpoints=st.lists(st.builds(Endpoint, st.text(max_size=60), st.integers(-10, 70_000)), max_size=16).map(tuple),
)


def accepted(work: Callable[[], object]) -> bool:
    """Whether it was taken; if not, one line says why."""
    refused = ""
    try:
        work()
    except StateError as exc:
        refused = f"{exc}; {exc.hint}"
    assert "\n" not in refused
    return not refused


@given(st.lists(DEVICES, max_size=8))
def test_every_device_that_was_taken_is_there_after_a_restart(devices: list[PairedDevice]) -> None:
    with TemporaryDirectory() as folder:
        store = TrustFile(Path(folder, "state"))
        for device in devices:
            before = store.devices()
            if not accepted(lambda device=device: store.put(device)):  # type: ignore[misc] # bound at once
                assert store.devices() == before
        assert TrustFile(Path(folder, "state")).devices() == store.devices()


@given(st.dictionaries(st.text(max_size=20), st.integers(-(2**70), 2**70), max_size=6))
def test_every_number_that_was_taken_is_there_after_a_restart(numbers: dict[str, int]) -> None:
    with TemporaryDirectory() as folder:
        state = StateFile(Path(folder, "state"))
        for key, value in numbers.items():
            state.put(key, value)
        again = StateFile(Path(folder, "state"))
        for key, value in numbers.items():
            assert state.get(key) == value  # to the end of this process, whatever it is
            assert again.get(key) == (value if abs(value) < 2**63 else 0)


@given(st.lists(st.builds(
    AuditEntry,
    at=st.text(max_size=40), device=st.text(max_size=40), session=st.text(max_size=80),
    name=st.text(max_size=40).map(lambda text: text * 10),
    action=st.sampled_from(get_args(Action)), length=st.integers(0, 2**53), detail=st.text(max_size=300),
), max_size=5))  # fmt: skip
def test_every_audit_entry_is_read_again(entries: list[AuditEntry]) -> None:
    async def through() -> list[AuditEntry]:
        with TemporaryDirectory() as folder:
            await AuditFile(Path(folder, "state")).append(entries)
            return await AuditFile(Path(folder, "state")).read("", 100)

    assert asyncio.run(through()) == [structs.replace(entry, name=entry.name[:WHO_MAX]) for entry in entries]


def test_a_household_at_its_largest_with_the_longest_names_is_read_again(tmp_path: Path) -> None:
    # It made a trust.json of more than a start would take.
    roster = Roster(bytes(16), identity(1).certificate)
    wide = "\N{GRINNING FACE}" * NAME_MAX
    endpoints = tuple(Endpoint(f"2001:db8:ffff:ffff:ffff:ffff:ffff:{n:04x}", 65535) for n in range(16))
    store = TrustFile(tmp_path)
    devices = [
        structs.replace(paired(seed), name=wide, former_name=wide, endpoints=endpoints)
        for seed in range(1, DEVICES_MAX + 1)
    ]
    said = frozenset(fingerprint(bytes([n])) for n in range(12))  # some 2,000 statements fit into a household
    limits = {n.to_bytes(32): said for n in range(1, LIMITS_MAX + 1)}
    store.change(put=devices, limits=limits)
    assert len(TrustFile(tmp_path).devices()) == DEVICES_MAX
    assert TrustFile(tmp_path).limits() == limits
    with pytest.raises(StateError, match="1,024 devices are paired already"):
        store.put(paired(5000))
    with pytest.raises(StateError, match="4,096 devices may only watch already"):
        store.change(limits={**limits, bytes(32): said})
    assert TrustFile(tmp_path).devices() == store.devices()
    store.put(devices[0])  # what is there can still change
    store.remove(devices[1].id)
    small = ROSTER_MAX // 200
    state = HouseholdState(
        id=bytes(16),
        founder=roster.founder,
        statements=tuple(Signed(body=n.to_bytes(136), signature=bytes(64)) for n in range(small)),
        keys=tuple(KeyEpoch(number=n + 1, key=bytes(32), removed=bytes(32), at=2**40) for n in range(EPOCHS_KEPT)),
        blocked={f"{n:064x}": f"{n:064x}" for n in range(small)},
    )
    HouseholdFile(tmp_path).save(state)
    assert HouseholdFile(tmp_path).load() == state


def test_a_file_that_no_start_would_read_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    write_private(path, b"x" * SIZE_MAX)
    with pytest.raises(StateError, match=r"some\.json would be larger than 8 MiB"):
        write_private(path, b"y" * (SIZE_MAX + 1))
    assert read_private(path) == b"x" * SIZE_MAX
