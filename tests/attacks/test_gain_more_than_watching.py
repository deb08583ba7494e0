"""A device that may only watch on the desk, with its program in the attacker's hands, wants more there (threat T12).

Expected: whom it lets in is not in on the desk, whom it puts out stays, also when a third device passes it on; leaving
and coming back changes nothing. Elsewhere, where nobody has limited it, its word counts as any member's.
Every method, one by one: tests/trust/test_limited.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attacks.conftest import Scene
from tests.e2e.conftest import networks
from tests.e2e.device import Device, pair, until

pytestmark = pytest.mark.device

RETURN = 60.0
"""Seconds for links to come up again."""


class Street:
    """`desk` founded the household of `pad` and `tv`; `tv` may only watch on it. `phone` is the attacker's, too."""

    def __init__(self, desk: Device, pad: Device, tv: Device, phone: Device) -> None:
        self.desk, self.pad, self.tv, self.phone = desk, pad, tv, phone


@pytest.fixture
def street() -> Iterator[Street]:
    with networks() as network:
        desk, pad, tv, phone = network("desk", "pad", "tv", "phone")
        for device in (desk, pad, tv, phone):
            device.start()
        for device in (desk, pad, tv, phone):
            device.wait_until_up()
        pair(desk, pad)
        pair(desk, tv)
        pad.wait_to_see(tv, paired=True, linked=True)
        desk.run("devices", "--read-only", "tv")
        yield Street(desk, pad, tv, phone)
        for device in (desk, pad):
            device.assert_healthy()


def may(device: Device) -> dict[str, bool]:
    """Who is trusted there, and whether to do more than watch."""
    return {row["name"]: not row["read_only"] for row in device.json("devices") if not row["self"]}


def test_a_second_key_is_worth_nothing_where_the_first_may_only_watch(street: Street) -> None:
    """Attack: let a key of one's own in, have another member pass that on, start a shell with it. Expected: refused."""
    desk, pad, tv, phone = street.desk, street.pad, street.tv, street.phone
    pair(tv, phone)
    until(lambda: may(pad).get("phone"), "pad to take it in: nobody has limited tv there")
    pad.wait_to_see(phone, linked=True)
    assert may(desk) == {"pad": True, "tv": False}
    refused = phone.run("new", "--on", "desk", status=5)
    assert "does not accept this device" in refused.stderr
    scene = Scene(desk, phone, phone)
    told = scene.attack("say", scene.stolen, "0", sent=[b"GET /v1/ws HTTP/1.1\r\nHost: x\r\n\r\n"])
    assert (told["tls"], told["got"], told["closed"]) == (True, "", True)
    desk.leave()
    desk.up()
    desk.wait_to_see(pad, linked=True)
    assert may(desk) == {"pad": True, "tv": False}
    let_in = desk.run("devices", "--full", "tv")  # the owner changes his mind
    assert "phone" in let_in.stderr
    assert may(desk) == {"pad": True, "tv": True, "phone": True}


def test_a_watcher_puts_nobody_out_and_is_no_more_when_it_comes_back(street: Street) -> None:
    """Attack: put the other member out; then leave, and have that one let it in again. Expected: nothing changes."""
    desk, pad, tv = street.desk, street.pad, street.tv
    tv.run("unpair", "--self")
    until(lambda: may(desk) == {"pad": True}, "the desk to hear that it left")
    pair(pad, tv)
    until(lambda: may(desk) == {"pad": True, "tv": False}, "the desk to have it back", seconds=RETURN)
    desk.wait_to_see(tv, linked=True, seconds=RETURN)
    assert tv.run("new", "--on", "desk", status=5).stderr
    tv.run("unpair", "pad")
    until(lambda: not pad.peers()[tv.id]["linked"], "tv to have cut it")
    session = pad.line("new", "--on", "desk", "--title", "Still here")
    desk.wait_for_session(session)
    assert may(desk) == {"pad": True, "tv": False}


def test_a_second_key_from_before_is_named_and_limited_too(street: Street) -> None:
    """Attack: let a key in while one is a full member, in good time. Expected: it is limited with the one that did."""
    desk, tv, phone = street.desk, street.tv, street.phone
    desk.run("devices", "--full", "tv")
    pair(tv, phone)
    until(lambda: may(desk).get("phone"), "the desk to hear of it")
    told = desk.run("devices", "--read-only", "tv")
    assert "phone" in told.stderr
    assert may(desk) == {"pad": True, "tv": False, "phone": False}
    desk.wait_to_see(phone, linked=True, seconds=RETURN)
    assert phone.run("new", "--on", "desk", status=5).stderr
    gone = desk.run("unpair", "tv", "--with-admitted")
    assert "phone" in gone.stderr
    assert may(desk) == {"pad": True}
