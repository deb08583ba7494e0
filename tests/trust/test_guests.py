"""trust.pairing with a window for a guest: what each side keeps and what it is told."""

from __future__ import annotations

import msgspec
import pytest

from agent.errors import PairingFailed
from agent.protocol.guests import Terms
from agent.protocol.model import SessionId
from tests.fakes.clock import settle
from tests.fakes.trust import paired
from tests.trust.test_pairing import FOREIGN, Device, House, house

SESSION = SessionId("abcdefghijklmnop")
TERMS = Terms(seconds=3600.0, read_only=True, session=SESSION)


async def let_in(home: House, terms: Terms = TERMS, guest: Device | None = None) -> None:
    await home.den.service.open_window(300.0, home.den.news.append, guest=terms)
    await settle()
    await (guest or home.lab).service.join("42-913-577")
    await settle()


async def test_both_sides_keep_what_a_guest_may_do_and_until_when() -> None:
    async with house() as home:
        await let_in(home)
        (guest,), (host,) = home.den.trust.devices(), home.lab.trust.devices()
        assert (guest.name, guest.role, guest.read_only, guest.session) == ("lab", "guest", True, SESSION)
        assert (host.name, host.role, host.read_only, host.session) == ("den", "host", True, SESSION)
        assert guest.expires_at == host.expires_at == home.clock.time() + 3600.0
        assert home.den.told == ["paired"]


async def test_the_household_hears_nothing_of_a_guest_and_a_guest_nothing_of_the_household() -> None:
    async with house() as home:
        home.den.bundle = msgspec.structs.replace(home.den.bundle, household=b"the household...")
        home.lab.bundle = msgspec.structs.replace(home.lab.bundle, household=FOREIGN)  # no hindrance for a guest
        await let_in(home)
        assert (home.den.met, home.lab.met) == ([], [])


async def test_a_guests_window_makes_no_member_a_guest_and_both_sides_say_why() -> None:
    async with house() as home:
        home.den.trust.put(paired(2, "lab"))
        home.lab.trust.put(paired(1, "den"))
        await home.den.service.open_window(300.0, home.den.news.append, guest=TERMS)
        await settle()
        with pytest.raises(PairingFailed, match="paired with den as a member already") as refused:
            await home.lab.service.join("42-913-577")
        await settle()
        assert "new code" not in refused.value.hint  # another one would be refused, too
        assert home.den.news[-1].reason == "lab is a member already"
        for side in (home.den, home.lab):
            assert [device.role for device in side.trust.devices()] == ["member"]


async def test_a_guest_that_pairs_as_a_member_is_one() -> None:
    async with house() as home:
        await let_in(home)
        await home.den.show()
        await home.lab.service.join("42-913-577")
        await settle()
        for side in (home.den, home.lab):
            (entry,) = side.trust.devices()
            assert (entry.role, entry.read_only, entry.session, entry.expires_at) == ("member", False, "", 0.0)


async def test_terms_that_a_joiner_sends_count_for_nothing() -> None:
    # Role escalation: the host's own window decides, whatever the bundle of message 5 claims.
    async with house() as home:
        home.lab.bundle = msgspec.structs.replace(home.lab.bundle, guest=Terms(seconds=1e6))
        await let_in(home)
        (guest,) = home.den.trust.devices()
        assert (guest.read_only, guest.expires_at) == (True, home.clock.time() + 3600.0)
        await home.den.show()
        await home.pad.service.join("42-913-577")
        await settle()
        assert {device.name: device.role for device in home.den.trust.devices()} == {"lab": "guest", "pad": "member"}
