"""adapters.storage.identity: one key for each machine, and nothing that was set aside is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.adapters.net.tls import server_context
from agent.adapters.storage.household import HouseholdFile
from agent.adapters.storage.identity import ASIDE, HARDWARE_MAX, load_or_create_identity
from agent.adapters.storage.machine import Machine, machine_id, this_machine
from agent.adapters.storage.state import TrustFile
from agent.errors import StateError
from agent.protocol.identity import check_profile, make_certificate
from tests.adapters.storage.test_state import other_seed, seeded
from tests.fakes.trust import paired


def test_the_identity_is_made_once(tmp_path: Path) -> None:  # T1
    first = load_or_create_identity(tmp_path, seeded)
    again = load_or_create_identity(tmp_path, other_seed)
    assert again.id == first.id
    assert again.certificate == first.certificate == make_certificate(again.key)
    check_profile(again.certificate)


def test_two_devices_have_two_identities(tmp_path: Path) -> None:
    assert load_or_create_identity(tmp_path / "a").id != load_or_create_identity(tmp_path / "b").id


HERE, ELSEWHERE = "ab" * 16, "cd" * 16


def test_a_copy_on_another_machine_gets_an_identity_of_its_own(tmp_path: Path) -> None:
    told: list[str] = []
    first = load_or_create_identity(tmp_path, seeded, machine=Machine(id=HERE), notice=told.append)
    TrustFile(tmp_path).put(paired(2))
    HouseholdFile(tmp_path).save(None)
    assert load_or_create_identity(tmp_path, other_seed, machine=Machine(id=HERE), notice=told.append).id == first.id
    assert told == []
    copy = load_or_create_identity(tmp_path, other_seed, machine=Machine(id=ELSEWHERE), notice=told.append)
    assert copy.id != first.id
    assert len(told) == 1
    assert "copied from another machine" in told[0]
    assert TrustFile(tmp_path).devices() == []
    aside = {path.name for path in tmp_path.iterdir() if path.name.endswith(ASIDE)}
    assert aside == {f"identity.pem{ASIDE}", f"trust.json{ASIDE}", f"household.json{ASIDE}"}
    assert load_or_create_identity(tmp_path, seeded, machine=Machine(id=ELSEWHERE), notice=told.append).id == copy.id
    # Moved for good: the owner puts the files back, without the line that notes the machine.
    (tmp_path / "identity.pem").write_bytes((tmp_path / f"identity.pem{ASIDE}").read_bytes().partition(b"\n")[2])
    assert load_or_create_identity(tmp_path, machine=Machine(id=ELSEWHERE), notice=told.append).id == first.id
    assert len(told) == 1


@pytest.mark.parametrize("machines", [("", HERE, HERE), (HERE, "", HERE), ("", "", "")])
def test_a_machine_that_is_not_known_is_no_other_one(tmp_path: Path, machines: tuple[str, ...]) -> None:
    assert len({load_or_create_identity(tmp_path, machine=Machine(id=machine)).id for machine in machines}) == 1


def test_a_machine_that_was_not_noted_is_noted(tmp_path: Path) -> None:
    first = load_or_create_identity(tmp_path)
    load_or_create_identity(tmp_path, machine=Machine(id=HERE))
    assert load_or_create_identity(tmp_path, machine=Machine(id=ELSEWHERE)).id != first.id


def test_the_key_file_does_not_tell_the_machine_and_tls_reads_it(tmp_path: Path) -> None:
    made = load_or_create_identity(tmp_path, machine=Machine(id=HERE))
    text = Path(made.pem_path).read_text()
    assert text.startswith("machine: ")
    assert HERE not in text
    server_context(made, ())


def test_this_machine_is_told_from_others_or_not_at_all() -> None:
    assert machine_id() == machine_id()
    assert len(machine_id()) in {0, 32}


def test_an_identity_is_never_shown_with_its_key(tmp_path: Path) -> None:
    assert "PrivateKey" not in repr(load_or_create_identity(tmp_path, seeded))


def test_half_an_identity_is_damaged(tmp_path: Path) -> None:
    load_or_create_identity(tmp_path, seeded)
    pem = tmp_path / "identity.pem"
    key_alone = pem.read_bytes().split(b"-----BEGIN CERTIFICATE")[0]
    pem.write_bytes(key_alone)
    with pytest.raises(StateError, match=r"identity\.pem is damaged"):
        load_or_create_identity(tmp_path, seeded)


def test_a_key_with_the_certificate_of_another_is_damaged(tmp_path: Path) -> None:
    load_or_create_identity(tmp_path / "a", seeded)
    load_or_create_identity(tmp_path / "b", other_seed)
    mine = (tmp_path / "a/identity.pem").read_bytes().split(b"-----BEGIN CERTIFICATE")[0]
    theirs = (tmp_path / "b/identity.pem").read_bytes().split(b"-----BEGIN CERTIFICATE")[1]
    (tmp_path / "a/identity.pem").write_bytes(mine + b"-----BEGIN CERTIFICATE" + theirs)
    with pytest.raises(StateError, match="not the key's"):
        load_or_create_identity(tmp_path / "a", seeded)


# --- which machine ---------------------------------------------------------------------------------------------------

LAPTOP = Machine(id="ab" * 16, hardware=frozenset({"card 3c0000000001", "product_uuid 1"}), place="1 2")
DESK = Machine(id="cd" * 16, hardware=frozenset({"card 3c0000000002"}), place="3 4")


class Home:
    """A state folder that is started on one machine after another."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.told = folder, list[str]()

    def start(self, machine: Machine) -> str:
        return str(load_or_create_identity(self.folder, machine=machine, notice=self.told.append).id)

    def pair(self, number: int) -> None:
        TrustFile(self.folder).put(paired(number))

    def paired(self) -> list[str]:
        return [device.name for device in TrustFile(self.folder).devices()]

    def aside(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir() if ASIDE in path.name}


def test_a_key_that_was_set_aside_outlives_a_second_change_and_comes_back(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first = home.start(LAPTOP)
    home.pair(2)
    second = home.start(DESK)
    home.pair(3)
    before = home.aside()
    third = home.start(Machine(id="ef" * 16, hardware=frozenset({"card 3c0000000003"}), place="5 6"))
    assert len({first, second, third}) == 3
    assert {name: data for name, data in home.aside().items() if name in before} == before
    assert home.start(LAPTOP) == first
    assert [device.id for device in TrustFile(tmp_path).devices()] == [paired(2).id]
    assert "former identity and pairings again" in home.told[-1]
    assert home.start(DESK) == second
    assert [device.id for device in TrustFile(tmp_path).devices()] == [paired(3).id]
    assert home.start(LAPTOP) == first  # as often as one likes
    assert home.start(LAPTOP) == first
    assert len(home.told) == 5


@settings(max_examples=40)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=8))
def test_every_machine_has_one_key_however_often_the_files_go_round(places: list[int]) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        home = Home(Path(folder, "state"))
        keys: dict[int, str] = {}
        for place in places:
            found = home.start(Machine(id=f"{place:032x}", place=f"{place}"))
            assert keys.setdefault(place, found) == found
        assert len(set(keys.values())) == len(keys)


def test_an_id_that_is_new_at_each_boot_takes_no_pairing_away(tmp_path: Path) -> None:
    # Stateless and read-only systems: the hardware says that it is the same machine.
    home = Home(tmp_path)
    first = home.start(LAPTOP)
    home.pair(2)
    for boot in range(5):
        told = len(home.told)
        changed = Machine(id=f"{boot:032x}", hardware=LAPTOP.hardware | {f"card 3c00000001{boot:02x}"}, place="1 2")
        assert home.start(changed) == first
        assert home.paired() == ["den"]
        assert "keeps its identity and pairings" in home.told[told]
    assert home.aside() == {}


def test_without_known_hardware_the_same_disk_is_the_same_machine_and_a_copy_is_not(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first = home.start(Machine(id="1" * 32, place="1 2"))
    assert home.start(Machine(id="2" * 32, place="1 2")) == first
    assert "its disk is the same" in home.told[-1]
    assert home.start(Machine(id="3" * 32, place="7 8")) != first


def test_a_disk_in_other_hardware_with_another_id_is_another_machine(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first = home.start(LAPTOP)
    assert home.start(Machine(id=DESK.id, hardware=DESK.hardware, place=LAPTOP.place)) != first


def test_a_part_that_is_not_there_at_one_start_is_still_known_at_the_next(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first = home.start(LAPTOP)
    bare = Machine(id=LAPTOP.id, hardware=frozenset({"card 3c0000000009"}), place=LAPTOP.place)
    assert home.start(bare) == first
    assert home.start(Machine(id="9" * 32, hardware=LAPTOP.hardware)) == first
    many = frozenset(f"card {n}" for n in range(3 * HARDWARE_MAX))
    assert home.start(Machine(id="9" * 32, hardware=many)) == first
    assert (tmp_path / "identity.pem").read_text().count("hardware: ") == HARDWARE_MAX


def test_what_is_in_the_way_is_left_there(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first = home.start(LAPTOP)
    home.pair(2)
    (tmp_path / f"identity.pem{ASIDE}" / "full").mkdir(parents=True)
    (tmp_path / f"trust.json{ASIDE}-2").write_text("somebody's")
    assert home.start(DESK) != first
    assert (tmp_path / f"identity.pem{ASIDE}" / "full").is_dir()
    assert (tmp_path / f"trust.json{ASIDE}-2").read_text() == "somebody's"
    assert (tmp_path / f"identity.pem{ASIDE}-3").is_file()


@pytest.mark.parametrize("moved", [1, 2, 3])
def test_setting_aside_that_was_broken_off_is_finished(tmp_path: Path, moved: int) -> None:
    home = Home(tmp_path)
    first = home.start(LAPTOP)
    home.pair(2)
    HouseholdFile(tmp_path).save(None)
    for name in ("household.json", "trust.json", "identity.pem")[:moved]:
        (tmp_path / name).rename(tmp_path / f"{name}{ASIDE}")
    second = home.start(DESK)
    assert second != first
    assert {name.partition(ASIDE)[2] for name in home.aside()} == {""}
    assert home.start(LAPTOP) == first
    assert home.paired() == ["den"]


@pytest.mark.parametrize("moved", [1, 2])
def test_taking_back_that_was_broken_off_is_finished(tmp_path: Path, moved: int) -> None:
    home = Home(tmp_path)
    first = home.start(LAPTOP)
    home.pair(2)
    HouseholdFile(tmp_path).save(None)
    home.start(DESK)
    (tmp_path / "identity.pem").rename(tmp_path / f"identity.pem{ASIDE}-2")
    for name in ("household.json", "trust.json")[:moved]:
        (tmp_path / f"{name}{ASIDE}").rename(tmp_path / name)
    assert home.start(LAPTOP) == first
    assert home.paired() == ["den"]


def test_what_tells_this_machine_is_the_same_twice() -> None:
    first = this_machine(Path("/"))
    assert first == this_machine(Path("/"))
    assert first.id == machine_id()
