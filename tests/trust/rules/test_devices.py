"""trust.rules.devices: a device tells another name than the one it was known by (T5)."""

from __future__ import annotations

from agent.trust.rules.devices import NOTICE_APART, SHOWN, former_name, is_notice, known_as, renamed
from tests.fakes.trust import paired

NOW = 1_800_000_000.0
PI = paired(1, "pi")


def test_a_device_that_keeps_its_name_is_as_it_was() -> None:
    assert renamed(PI, "pi", NOW) == PI
    assert not is_notice(PI, "pi", NOW)
    assert known_as(PI, NOW) == "pi"


def test_the_name_before_is_shown_for_a_month() -> None:
    assert is_notice(PI, "den", NOW)
    den = renamed(PI, "den", NOW)
    assert (den.name, known_as(den, NOW + SHOWN - 1)) == ("den", "den (was pi)")
    assert (known_as(den, NOW + SHOWN), former_name(den, NOW + SHOWN)) == ("den", "")


def test_changing_names_again_does_not_hide_the_first_one() -> None:
    other = renamed(renamed(PI, "den", NOW), "bank", NOW + 60)
    assert known_as(other, NOW + 60) == "bank (was pi)"
    assert known_as(renamed(other, "pi", NOW + 120), NOW + 120) == "pi"
    later = NOW + 60 + SHOWN
    assert known_as(renamed(other, "attic", later), later) == "attic (was bank)"


def test_a_device_that_changes_its_name_all_the_time_is_told_of_once_a_day() -> None:
    device, told = PI, 0
    for minute in range(60 * 24):
        now, name = NOW + 60 * minute, ("pi", "den")[minute % 2]
        told += is_notice(device, name, now)
        device = renamed(device, name, now)
    assert told == 1
    assert is_notice(device, "bank", device.renamed_at + NOTICE_APART)


def test_a_device_without_a_name_was_not_called_anything() -> None:
    nobody = paired(1, "")
    assert not is_notice(nobody, "10.0.0.1:7471", NOW)
    assert known_as(renamed(nobody, "10.0.0.1:7471", NOW), NOW) == "10.0.0.1:7471"
