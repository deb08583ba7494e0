"""`store.js`: rows of sessions and devices, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.device

Run = Callable[..., Any]
GROUPS = """({Store}, rows) => {
  const store = new Store();
  store.reset({sessions: rows});
  const {local, remote, away} = store.sessions();
  const ids = (list) => list.map((row) => row.id);
  return {local: ids(local), remote: ids(remote), away: away.map((each) => [each.device.name, ids(each.rows)])};
}"""


def row(name: str, at: int = 0, *, device: str = "desk", local: bool = False, **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "title": name,
        "status": "idle",
        "device": {"id": device, "name": device},
        "local": local,
        "attachable": True,
        "backend": "shell",
        "updated_at": f"2026-01-01T00:00:{at:02}.000Z",
        **more,
    }


def peer(name: str, **more: Any) -> dict[str, Any]:
    told = {"self": False, "state": "online", "paired": True, "addresses": [], "port": 0, "reason": ""}
    role = "member" if more.get("paired", not more.get("self")) else ""
    return {"id": name, "name": name, "role": role, **told, **more}


def test_sessions_are_newest_first_and_ties_by_id(module: Run) -> None:  # R4
    rows = [row("b", 1), row("a", 1), row("c", 2), row("l", 0, local=True), row("m", 3, local=True)]
    assert module("store.js", GROUPS, rows) == {"local": ["m", "l"], "remote": ["c", "a", "b"], "away": []}


def test_a_twin_of_a_local_session_is_never_shown(module: Run) -> None:  # R2
    rows = [
        row("l", local=True, lineage=["k"]),
        row("l2", local=True),
        row("k", 1),
        row("x", 2, lineage=["l2"]),
        row("y", 3, lineage=["k"], away=True),
        row("z", 4),
    ]
    assert module("store.js", GROUPS, rows) == {"local": ["l", "l2"], "remote": ["z"], "away": []}


def test_sessions_that_are_away_are_grouped_by_device(module: Run) -> None:  # R12
    rows = [row("a", 1, away=True), row("b", 2, away=True), row("c", 3, device="den", away=True), row("d", 4)]
    groups = {"local": [], "remote": ["d"], "away": [["den", ["c"]], ["desk", ["b", "a"]]]}
    assert module("store.js", GROUPS, rows) == groups


def test_a_change_names_what_is_different_and_nothing_else(module: Run) -> None:
    script = """({Store}, rows) => {
      const store = new Store();
      const keys = (set) => [...set].sort();
      return [
        keys(store.reset({sessions: rows})),
        keys(store.apply("session.changed", {changed: [rows[0]], removed: ["b", "unknown"]})),
        keys(store.apply("session.changed", {})),
        keys(store.apply("peer.changed", {changed: [{id: "p"}]})),
        keys(store.apply("event", {session_id: "a"})),
        keys(store.reset({sessions: []})),
        store.sessions().remote.length,
      ];
    }"""
    told = [["loaded", "s:a", "s:b"], ["s:a", "s:b"], [], ["p:p"], [], ["s:a"], 0]
    assert module("store.js", script, [row("a"), row("b")]) == told


def test_the_first_ready_alone_names_the_own_device(module: Run) -> None:
    script = """({Store}) => {
      const store = new Store();
      store.apply("gateway.ready", {device: "own", name: "laptop"});
      store.apply("gateway.ready", {device: "other", name: "desk"});
      return [store.own.id, store.own.name];
    }"""
    assert module("store.js", script) == ["own", "laptop"]


def test_a_session_can_be_started_on_paired_devices_that_are_there(module: Run) -> None:  # R8, R14
    script = """({Store}, peers) => {
      const store = new Store();
      store.reset({peers});
      const names = (list) => list.map((row) => row.id);
      return [names(store.reachable()), names(store.absent())];
    }"""
    refusing = peer("den", reason="does not accept this device (unpaired or revoked)")
    peers = [
        peer("own", self=True),
        peer("pi"),
        peer("desk", state="stale", reason="not heard for 150 s"),
        peer("tablet", role="guest"),
        peer("office", role="host"),
        peer("off", state="offline", reason="said goodbye"),
        peer("new", paired=False),
        refusing,
    ]
    assert module("store.js", script, peers) == [["desk", "pi"], ["den", "off"]]


@pytest.mark.parametrize(
    ("device", "shown"),
    [
        ({"id": "abcdefghij", "name": "desk"}, "desk"),
        ({"id": "abcdefghij", "name": " ", "addresses": ["10.0.0.2"], "port": 7}, "10.0.0.2:7"),
        ({"id": "abcdefghij", "name": "", "addresses": ["fe80::1%eth0"], "port": 7}, "[fe80::1%eth0]:7"),
        ({"id": "abcdefghij", "name": "", "addresses": []}, "abcd-efgh"),
    ],
)
def test_a_device_without_a_name_is_shown_by_its_address(module: Run, device: Any, shown: str) -> None:  # R7
    assert module("store.js", "({nameOf}, device) => nameOf(device)", device) == shown


def test_an_unknown_status_reads_idle(module: Run) -> None:  # R7
    script = "({status}) => ['dreaming', 'needs-input'].map((name) => status({status: name}))"
    assert module("store.js", script) == ["idle", "needs-input"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("build", True), ("WIRE desk", True), ("\uff42uild", True), ("修复", True), ("wire office", False), ("(", False)],
)
def test_a_filter_finds_all_of_its_words_anywhere_in_a_row(module: Run, wanted: str, found: bool) -> None:
    each = row("a", title="Build the wire 修复")
    assert module("store.js", "({matches}, [row, text]) => matches(row, text)", [each, wanted]) is found
