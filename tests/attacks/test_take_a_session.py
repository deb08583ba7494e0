"""A paired device gone bad claims sessions that are not its own (threat T4), by id and by title, with a newer time.

Expected: an id stays with whoever had it first, a title that two have is ambiguous, and the owner is told.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.attacks.conftest import Scene
from tests.e2e.device import until

pytestmark = pytest.mark.device
pack = msgspec.msgpack.encode


def row(session: str, title: str, **more: Any) -> dict[str, Any]:
    return {
        "id": session,
        "title": title,
        "status": "idle",
        "device": {"id": "x", "name": "desk"},
        "local": True,
        "attachable": True,
        "backend": "shell",
        "model": "",
        "created_at": None,
        "updated_at": "2099-01-01T00:00:00.000Z",
        **more,
    }


def told(scene: Scene, *rows: dict[str, Any]) -> list[bytes]:
    """What a device says of itself, and its answer to `session.watch`, whichever number that has."""
    ready = {"device": scene.laptop.id, "name": "laptop", "port": 7471}
    answers = [{"jsonrpc": "2.0", "id": number, "result": rows} for number in range(1, 8)]
    changed = {"jsonrpc": "2.0", "method": "session.changed", "params": {"changed": rows, "removed": []}}
    return [pack({"jsonrpc": "2.0", "method": "gateway.ready", "params": ready}), *map(pack, answers), pack(changed)]


def test_a_session_is_not_taken_by_who_claims_it_later_and_newer(scene: Scene) -> None:
    """Attack: the owner's prompts, by id and by title, went to the device that claimed the session, with exit 0."""
    session = scene.desk.create("build")
    namesake = row("roguerogueroguea", "build")
    before = scene.desk.json("sessions")
    assert [each["id"] for each in before if each["title"] == "build"] == [session]
    scene.laptop.kill()  # or the rogue, with the same key, would be turned away as its copy
    claims = told(scene, row(session, "build"), row(session[:8], "build"), namesake)
    scene.attack("link", scene.stolen, "lan-agent.v1.msgpack", "0.2", sent=claims)
    until(
        lambda: any("claims a session of" in notice for notice in scene.desk.json("status")["notices"]),
        "the owner to be told",
    )
    mine = scene.desk.sessions()[session]
    assert (mine["local"], mine["device"]["id"]) == (True, scene.desk.id)
    scene.desk.run("prompt", session, "echo stayed", "--timeout", "20")
    assert "stayed" in str(scene.desk.events(session))
    scene.laptop.up()


def test_a_row_beyond_all_bounds_freezes_nothing(scene: Scene) -> None:
    """Attack: a title of 200 KB of combining marks stood the service still for 11 s."""
    marks = "e" + "\u0301" * 100_000
    rows = [row(f"row{'a' * 12}{'ab'[number]}", marks, cwd=marks, lineage=[marks]) for number in range(2)]
    told_to = scene.attack("link", scene.stolen, "lan-agent.v1.msgpack", "0.2", sent=told(scene, *rows)[:4])
    assert not told_to["results"]
    scene.desk.assert_healthy()
    assert not [each for each in scene.desk.sessions() if each.startswith("rowaaaa")]
