"""R12: what was known of a device that is away stays known."""

from __future__ import annotations

from string import ascii_lowercase

import msgspec
import pytest

from agent.errors import Ambiguous
from agent.presence.rules.registry import Registry
from agent.protocol.model import SessionId, Status
from tests.presence.rules.registry_facts import BOX, DEN, NOW, OWN, claim, ids, link_up, paired, record, registry, row

WHOLE = SessionId("abcdefghijklmnop")


def away(view: Registry, now: float = NOW + 10) -> None:
    view.link_lost(DEN, "the link was lost", now)
    view.dial_failed(DEN, "no answer", now + 1)
    view.dial_failed(DEN, "no answer", now + 2)


def told(view: Registry, *rows: object) -> None:
    view.paired([paired()], NOW)
    link_up(view)
    view.link_sessions(DEN, rows, [], NOW, whole=True)  # type: ignore[arg-type] # rows of sessions


@pytest.mark.parametrize("selector", [WHOLE, "abcdef", "build", "Den/build", "den/abcd"])
def test_r12_a_session_of_a_device_that_is_away_is_found_by_every_selector(selector: str) -> None:
    view = registry()
    told(view, row())
    away(view)
    where = view.find_session(selector)
    assert (where.device, where.session, where.local) == (DEN, WHOLE, False)


def test_r12_it_is_not_among_the_live_ones_and_listed_when_asked_for() -> None:
    view = registry()
    told(view, row())
    away(view)
    assert view.sessions() == view.sessions("remote") == []
    (known,) = view.sessions(away=True)
    assert (known.id, known.away, known.stale, known.attachable, known.status) == (WHOLE, True, True, False, "idle")
    assert (view.devices()[1].sessions, view.devices()[1].remembered) == (0, 1)
    link_up(view, now=NOW + 60)
    assert view.devices()[1].remembered == 0
    assert [each.away for each in view.sessions()] == [False]


def test_r12_a_record_alone_is_remembered_too() -> None:
    view = registry()
    view.paired([paired()], NOW)
    view.heard(record(DEN, 1, claim()), "mdns", NOW)
    away(view)
    where = view.find_session("build")
    assert (where.device, where.session, where.prefix) == (DEN, None, "abcdef")


def test_r12_what_has_ended_is_not_remembered() -> None:
    view = registry()
    told(view, row(status=Status.ENDED), row("bbcdefghijklmnop"))
    away(view)
    assert [each.id for each in view.sessions(away=True)] == ["bbcdefghijklmnop"]


def test_r12_what_is_meant_for_one_that_is_away_never_goes_to_a_namesake() -> None:
    view = registry()
    told(view, row())
    away(view)
    view.local_sessions([row("bbcdefghijklmnop")], [], NOW + 20)
    with pytest.raises(Ambiguous):
        view.find_session("build")


def test_r12_nothing_is_remembered_of_a_device_that_was_put_out() -> None:
    view = registry()
    told(view, row())
    away(view)
    assert view.paired([], NOW + 20).sessions_gone == (WHOLE,)
    assert view.sessions(away=True) == []
    assert view.remembered() == {}


def test_r12_what_links_told_is_known_after_a_restart() -> None:
    before = registry()
    told(before, row(), row("bbcdefghijklmnop", status=Status.ENDED))
    view = registry()
    view.paired([paired()], NOW + 100)
    (recalled,) = before.remembered()[DEN]
    view.recall(DEN, [recalled], NOW + 100)
    view.recall(BOX, [recalled], NOW + 100)  # not paired
    assert view.find_session("build").session == WHOLE
    assert (ids(view), [each.away for each in view.sessions(away=True)]) == ([], [True])
    view.heard(record(DEN, 1, claim(title="build")), "mdns", NOW + 101)
    assert [(each.id, each.away) for each in view.sessions()] == [(WHOLE, False)]
    view.recall(DEN, [row("ccdefghijklmnopq")], NOW + 102)  # heard since: too late
    assert len(view.sessions(away=True)) == 1
    assert view.own == OWN


def test_t11_the_rows_of_one_device_have_a_bound_in_bytes_and_what_is_left_out_is_asked_of_it() -> None:
    view = registry()
    view.paired([paired(DEN, "Den", read_only=True)], NOW)
    link_up(view)
    fat = [
        row(f"{'fat':a<14}{one}{two}", lineage=("\U0001f600" * 32,) * 16)
        for one in ascii_lowercase
        for two in ascii_lowercase
    ]
    view.link_sessions(DEN, fat, [], NOW, whole=True)
    listed = view.sessions()
    assert 100 < len(listed) < len(fat)
    assert sum(len(msgspec.json.encode(each)) for each in listed) < 1_048_576
    assert view.find_session("Den/zzzz").session is None
    view.link_sessions(DEN, [], [each.id for each in listed], NOW)
    view.link_sessions(DEN, fat[-100:], [], NOW)
    assert len(view.sessions()) == 100


def test_t11_a_device_that_is_paired_again_has_all_of_its_bound() -> None:
    view = registry()
    view.heard(record(DEN), "mdns", NOW)
    fat = [
        row(f"{'fat':a<14}{one}{two}", lineage=("\U0001f600" * 32,) * 16)
        for one in ascii_lowercase
        for two in ascii_lowercase
    ]
    listed = []
    for _ in range(2):
        view.paired([paired(DEN, "Den")], NOW)
        link_up(view)
        view.link_sessions(DEN, fat, [], NOW)
        listed.append(len(view.sessions()))
        view.link_lost(DEN, "it was unpaired", NOW)
        view.paired([], NOW)
    assert listed[0] == listed[1] > 100
