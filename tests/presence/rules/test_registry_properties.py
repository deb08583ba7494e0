"""R3, R9, R11: any order of the same records gives the same view, and the changes add up to it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from agent.presence.rules.registry import Changes, Registry
from agent.protocol.model import DeviceId, DeviceRow, SessionId, Status
from tests.presence.rules.registry_facts import (
    BOX,
    DEN,
    NOW,
    claim,
    link_up,
    paired,
    record,
    registry,
    row,
)

WHOLE = SessionId("abcdefghijklmnop")

devices = st.sampled_from([DEN, BOX, DeviceId("atticatticattic1")])
claims = st.lists(
    st.builds(
        claim,
        st.sampled_from(["aaaaaa", "bbbbbb", "cccccc", WHOLE[:6]]),
        st.sampled_from([Status.IDLE, Status.WORKING, Status.NEEDS_INPUT]),
        st.integers(int(NOW) - 5, int(NOW)),
        st.sampled_from(["", "one", "two"]),
    ),
    max_size=4,
    unique_by=lambda each: each.id,
)
records = st.builds(
    lambda device, revision, sessions, name: record(device, revision, *sessions, name=name),
    devices,
    st.integers(1, 4) | st.just(36**12),
    claims,
    st.sampled_from(["den", "box"]),
)


@given(st.lists(records, max_size=8).flatmap(lambda each: st.tuples(st.just(each), st.permutations(each))))
def test_r3_r9_any_order_of_the_same_records_gives_the_same_view(orders: tuple[list[object], list[object]]) -> None:
    views = []
    for order, local_first in zip(orders, (True, False), strict=True):
        view = registry()
        view.paired([paired()], NOW)
        if local_first:
            view.local_sessions([row(WHOLE)], [], NOW)
        for each in order:
            view.heard(each, "mdns", NOW)  # type: ignore[arg-type]  # records
        if not local_first:
            view.local_sessions([row(WHOLE)], [], NOW)
        views.append((view.devices(), view.sessions()))
    assert views[0] == views[1]


steps = st.lists(
    st.one_of(
        records.map(lambda each: ("heard", each)),
        devices.map(lambda each: ("goodbye", each)),
        devices.map(lambda each: ("up", each)),
        devices.map(lambda each: ("lost", each)),
        devices.map(lambda each: ("failed", each)),
        devices.map(lambda each: ("answered", each)),
        st.lists(devices, unique=True).map(lambda each: ("paired", each)),
        st.tuples(devices, st.sampled_from(["aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb", WHOLE])).map(lambda e: ("tell", e)),
        st.booleans().map(lambda each: ("local", each)),
        st.sampled_from([1.0, 11.0, 160.0, 90_000.0]).map(lambda each: ("wait", each)),
    ),
    max_size=25,
)


@given(steps)
def test_r11_applying_every_change_once_gives_the_view(script: list[tuple[str, object]]) -> None:
    """Also: the same fact twice is published once, and no step leaves `next_deadline` in the past."""
    view, now = registry(), NOW
    seen_devices = {each.id: each for each in view.devices()}
    seen_sessions = {each.id: each for each in view.sessions(away=True)}

    def follow(changes: Changes) -> None:
        for device in changes.devices:
            seen_devices[device.id] = device
        for gone in changes.devices_gone:
            del seen_devices[gone]
        for session in changes.sessions:
            assert seen_sessions.get(session.id) != session
            seen_sessions[session.id] = session
        for left in changes.sessions_gone:
            del seen_sessions[left]
        assert seen_sessions == {each.id: each for each in view.sessions(away=True)}
        assert {each.id: _undated(each) for each in view.devices()} == {k: _undated(v) for k, v in seen_devices.items()}

    for (kind, what), again in itertools.product(script, (False, True)):
        if kind == "wait":
            now += 0.0 if again else float(what)  # type: ignore[arg-type]  # as generated
        changes = ACTIONS[kind](view, what, now)
        if again and kind != "failed":  # a second failure in a row is news
            assert not changes
        follow(changes)
        follow(view.expire(now))
        deadline = view.next_deadline()
        assert deadline is None or deadline > now


def _undated(device: DeviceRow) -> DeviceRow:
    return msgspec.structs.replace(device, heard_at=None)


ACTIONS: dict[str, Callable[[Registry, Any, float], Changes]] = {
    "heard": lambda view, what, now: view.heard(what, "mdns", now),
    "goodbye": lambda view, what, now: view.goodbye(what, now),
    "up": lambda view, what, now: link_up(view, what, "Name", now),
    "lost": lambda view, what, now: view.link_lost(what, "lost", now),
    "failed": lambda view, what, now: view.dial_failed(what, "no answer", now),
    "answered": lambda view, what, now: view.answered(what, now),
    "paired": lambda view, what, now: view.paired([paired(each) for each in what], now),
    "tell": lambda view, what, now: view.link_sessions(what[0], [row(what[1])], [], now),
    "local": lambda view, what, now: view.local_sessions([row(WHOLE)] if what else [], [] if what else [WHOLE], now),
    "wait": lambda view, _, now: view.expire(now),
}
