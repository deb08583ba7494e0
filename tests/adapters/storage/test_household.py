"""adapters.storage.household: what is saved is there again, and a damaged file is never overwritten."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest

from agent.adapters.storage.household import HouseholdFile
from agent.errors import StateError
from agent.protocol.household import HouseholdState, KeyEpoch
from agent.trust.rules.roster import Roster
from tests.fakes.trust import identity


def state() -> HouseholdState:
    roster = Roster(bytes(16), identity(1).certificate)
    roster.add([roster.admit(identity(1), identity(2).certificate, "lab", 1.8e9)])
    return HouseholdState(
        id=roster.household,
        founder=roster.founder,
        statements=tuple(roster.statements),
        keys=(KeyEpoch(number=1, key=bytes(32), removed=roster.removed, at=7),),
        blocked={"ab": "cd"},
    )


def test_there_is_none_at_first(tmp_path: Path) -> None:
    assert HouseholdFile(tmp_path / "state").load() is None


def test_what_was_saved_is_there_after_a_restart(tmp_path: Path) -> None:
    HouseholdFile(tmp_path / "state").save(state())
    assert HouseholdFile(tmp_path / "state").load() == state()
    mode = (tmp_path / "state" / "household.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_a_household_can_be_forgotten(tmp_path: Path) -> None:
    file = HouseholdFile(tmp_path / "state")
    file.save(state())
    file.save(None)
    assert file.load() is None
    assert HouseholdFile(tmp_path / "state").load() is None


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[", '{"version":1,"household":{}}', '{"version":1,"household":{"id":"AA==","founder":"AA=="}}'],
)
def test_a_damaged_file_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    HouseholdFile(tmp_path / "state").save(None)
    path = tmp_path / "state" / "household.json"
    path.write_text(text)
    with pytest.raises(StateError, match="damaged"):
        HouseholdFile(tmp_path / "state")
    assert path.read_text() == text


def test_a_founder_that_is_no_device_is_refused(tmp_path: Path) -> None:
    file = HouseholdFile(tmp_path / "state")
    with pytest.raises(StateError, match="cannot keep"):
        file.save(HouseholdState(id=bytes(16), founder=b"somebody"))
    assert file.load() is None
    file.save(state())
    path = tmp_path / "state" / "household.json"
    founder = base64.b64encode(state().founder)
    path.write_bytes(path.read_bytes().replace(founder, base64.b64encode(b"somebody")))
    with pytest.raises(StateError, match="damaged"):
        HouseholdFile(tmp_path / "state")


def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    HouseholdFile(tmp_path / "state").save(None)
    (tmp_path / "state" / "household.json").write_text('{"version":2,"household":null}')
    with pytest.raises(StateError, match="later version"):
        HouseholdFile(tmp_path / "state")


def test_keys_that_others_may_read_are_refused(tmp_path: Path) -> None:  # T7
    HouseholdFile(tmp_path / "state").save(state())
    (tmp_path / "state" / "household.json").chmod(0o640)
    with pytest.raises(StateError, match="other users may read"):
        HouseholdFile(tmp_path / "state")
