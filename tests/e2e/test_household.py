"""A household of real programs: two pairings for three devices, and what becomes of one that is put out (T4)."""

from __future__ import annotations

import re
import shutil

import pytest

from tests.e2e.conftest import MakeNetwork
from tests.e2e.device import Device, Row, Wire, now, pair, until

pytestmark = pytest.mark.device


def up(*devices: Device) -> None:
    for device in devices:
        device.start()
    for device in devices:
        device.wait_until_up()


def rows(device: Device) -> dict[str, Row]:
    """`agent devices`, by name."""
    return {row["name"]: row for row in device.json("devices")}


def all_linked(*devices: Device) -> None:
    for device in devices:
        for other in devices:
            if other is not device:
                device.wait_to_see(other, paired=True, linked=True)


def unlinked(device: Device, other: Device) -> bool:
    row = device.peers().get(other.id)
    return row is None or not (row["linked"] or row["paired"])


def test_two_pairings_make_three_devices_know_each_other(network: MakeNetwork) -> None:
    # T4: N - 1 pairings; links form by themselves, and after a restart without the one who let the third one in.
    desk, laptop, pi = network("desk", "laptop", "pi")
    up(desk, laptop, pi)
    pair(desk, laptop)
    pair(pi, laptop)  # the one that is alone shows the code: it joins all the same
    all_linked(desk, laptop, pi)
    listed = rows(desk)
    assert listed["desk"]["admitted_by"]["id"] == desk.id
    assert listed["laptop"]["admitted_by"]["name"] == "desk"
    assert listed["pi"]["admitted_by"]["name"] == "laptop"
    assert {row["role"] for row in listed.values()} == {"member"}
    assert "(founder)" in desk.run("devices").stdout
    session = desk.create("theirs too")
    pi.wait_for_session(session, status="idle")
    assert pi.line("prompt", session, "echo from pi") == "from pi"
    laptop.leave()
    for device in (desk, pi):
        device.leave()
    up(desk, pi)
    desk.wait_to_see(pi, paired=True, linked=True)
    assert rows(desk)["pi"]["admitted_by"]["name"] == "laptop"
    for device in (desk, pi):
        device.assert_healthy()


def test_who_is_put_out_is_out_everywhere_within_a_second_until_paired_again(network: MakeNetwork) -> None:
    # T4, T7: connections end here and elsewhere, waiting prompts say so, a restart does not help, pairing anew does.
    desk, laptop, pi = network("desk", "laptop", "pi")
    up(desk, laptop, pi)
    pair(desk, laptop)
    pair(desk, pi)
    all_linked(desk, laptop, pi)
    session = pi.create("on the pi")
    laptop.wait_for_session(session, status="idle")
    with Wire(laptop) as there, Wire(pi) as here:
        there.call("session.attach", session_id=session)
        here.call("session.attach", session_id=session)
        here.call("prompt.submit", session_id=session, prompt_id="one", text="sleep 2")
        there.call("prompt.submit", session_id=session, prompt_id="two", text="echo never > ran")
        began = now()
        desk.ask("device.unpair", device="laptop")
        until(lambda: unlinked(desk, laptop) and unlinked(pi, laptop), "both to cut it")
        until(lambda: len(pi.ask("session.participants", session_id=session)) == 1, "the attachment to end")
        assert now() - began < 1.0
        assert not laptop.peers()[pi.id]["linked"]
        over = here.wait_for(
            lambda m: m.get("method") == "event" and m["params"]["type"] == "turn.complete", "the prompt to be dropped"
        )
        assert over["params"]["payload"]["turn"] == 2
        assert "unpaired" in over["params"]["payload"]["error"]
    assert "laptop" not in rows(pi)
    refused = laptop.run("prompt", session, "id", status=5)
    assert "does not accept this device" in refused.stderr
    laptop.leave()
    laptop.up()
    assert laptop.run("prompt", session, "id", status=None).returncode != 0
    for device in (desk, pi):
        device.wait_to_see(laptop, paired=False, linked=False)
    pair(pi, laptop)  # with another member than the one who put it out
    all_linked(desk, laptop, pi)
    assert "ran" not in laptop.line("prompt", session, "ls").split()
    assert rows(desk)["laptop"]["admitted_by"]["name"] == "pi"
    for device in (desk, laptop, pi):
        device.assert_healthy()


def test_a_device_that_leaves_is_forgotten_and_keeps_its_sessions(network: MakeNetwork) -> None:
    desk, laptop = network("desk", "laptop")
    up(desk, laptop)
    pair(desk, laptop)
    session = laptop.create("mine")
    left = laptop.run("unpair", "--self")
    assert "no household" in left.stderr
    assert "heard of it" not in left.stderr
    until(lambda: list(rows(desk)) == ["desk"], "desk to forget it", seconds=2.0)
    assert list(rows(laptop)) == ["laptop"]
    assert session in laptop.sessions()
    laptop.leave()
    laptop.up()
    assert list(rows(laptop)) == ["laptop"]
    pair(desk, laptop)
    desk.wait_for_session(session, status="idle")


def test_a_device_that_renamed_itself_is_shown_with_its_old_name(network: MakeNetwork) -> None:
    # T5: its own link tells the name, an announcement does not.
    desk, pi = network("desk", "pi")
    up(desk, pi)
    pair(desk, pi)
    pi.leave()
    pi.name = "den"
    pi.up()
    desk.wait_to_see(pi, name="den", linked=True)
    (row,) = [row for row in desk.json("devices") if not row["self"]]
    assert (row["id"], row["name"], row["was"]) == (pi.id, "den", "pi")
    assert re.search(rf"^den\t{pi.id}\t.*\tpi\t$", desk.run("devices").stdout, re.MULTILINE)
    (notice,) = desk.json("status")["notices"]
    assert notice == f"pi ({pi.id[:4]}-{pi.id[4:8]}) calls itself den now"
    desk.leave()
    desk.up()  # it is kept
    desk.wait_to_see(pi, name="den", linked=True)
    assert desk.json("status")["notices"] == []
    pi.run("prompt", desk.create("theirs"), "true")
    until(lambda: "den (was pi) (" in str(desk.json("status")["notices"]), "the notice of its first prompt")
    assert [entry["detail"] for entry in desk.json("audit") if entry["action"] == "renamed"] == ["was pi"]


def test_a_device_that_was_installed_anew_is_a_new_one_and_the_old_one_is_offered(network: MakeNetwork) -> None:
    # FACTS "Reinstall": both screens name the command that puts the old one out; nothing does it by itself.
    desk, laptop, pi = network("desk", "laptop", "pi")
    up(desk, laptop, pi)
    pair(desk, laptop)
    pair(desk, pi)
    old = pi.id
    pi.leave()
    shutil.rmtree(pi.home / "state")
    pi.forget_id()
    pi.up()
    assert pi.id != old
    desk.wait_to_see(pi, paired=False)
    until(lambda: desk.peers()[old]["state"] == "offline", "the old one to be gone")
    advice = f"`agent unpair {old[:4]}-{old[4:8]}`"
    window = desk.begin("pair")
    joined = pi.run("join", until(lambda: window.out, "a code")[0])
    assert window.end(seconds=10) == 0
    for told in (joined.stderr, "\n".join(window.err), desk.run("devices").stderr):
        assert "another device is called pi and was" in told
        assert advice in told
    all_linked(desk, laptop, pi)
    assert sorted(row["name"] for row in desk.json("devices")) == ["desk", "laptop", "pi", "pi"]
    desk.run("unpair", f"{old[:4]}-{old[4:8]}")
    for device in (desk, laptop, pi):
        until(lambda: old not in {row["id"] for row in device.json("devices")}, "the old one to be out")  # noqa: B023 - at once
        assert "installed anew" not in device.run("devices").stderr
    all_linked(desk, laptop, pi)


def test_two_households_are_not_mixed_by_pairing(network: MakeNetwork) -> None:
    desk, laptop, pi, nas = network("desk", "laptop", "pi", "nas")
    up(desk, laptop, pi, nas)
    pair(desk, laptop)
    pair(pi, nas)
    window = desk.begin("pair")
    code = until(lambda: window.out, "a code")[0]
    refused = pi.run("join", code, status=5)
    assert "not in the same" in refused.stderr
    assert "unpair --self" in refused.stderr
    # The one who shows the code reads the same: the code was right.
    window.wait_for("pi used the code and was not paired: both devices are in a household already")
    assert "agent unpair --self" in window.wait_for("  hint: ")
    window.close()
    assert set(rows(desk)) == {"desk", "laptop"}
    assert set(rows(pi)) == {"pi", "nas"}
    pi.run("unpair", "--self")
    pair(desk, pi)
    all_linked(desk, laptop, pi)
    assert set(rows(nas)) == {"nas"}
