"""trust.rules.rights: what a device may do, as a function of what is stored of it."""

from __future__ import annotations

from typing import Literal

import pytest

from agent.protocol.methods import METHODS, On, Right
from agent.protocol.model import SessionId, Share
from agent.trust.rules.rights import SELF, Access, access_of
from tests.fakes.trust import paired

ONE, OTHER = SessionId("one"), SessionId("other")
NOW = 1_800_000_000.0
LISTS = {"session.list", "session.watch", "session.past"}
READS = {
    "session.attach", "session.detach", "session.history", "session.participants", "prompt.list", "terminal.attach",
    "terminal.detach", "session.search",
}  # fmt: skip
STEERS = {
    "prompt.submit", "prompt.withdraw", "request.answer", "session.interrupt", "terminal.input", "terminal.resize",
}  # fmt: skip
OWNS = {"session.create", "session.restart", "session.close", "session.rename", "session.configure"}
"""Written out beside the table of the wire: who gives a row another right must say so here as well."""
CHANGES = STEERS | OWNS
OVER_LINKS = sorted(LISTS | READS | CHANGES)
MEMBER, GUEST = Access(role="member"), Access(role="guest", expires_at=NOW + 1.0)


def kinds(access: Access, share: Share = "all", now: float = NOW) -> dict[str, str]:
    """Method -> kind of the error, for those that are refused."""
    refused = {method: access.refusal(METHODS[method].right, share, now) for method in OVER_LINKS}
    return {method: error.kind for method, error in refused.items() if error is not None}


def test_what_other_devices_may_call_needs_the_right_that_is_written_here() -> None:
    wanted = {Right.LIST: LISTS, Right.READ: READS, Right.STEER: STEERS, Right.OWN: OWNS}
    rows = [row for row in METHODS.values() if row.on not in {On.LOCAL, On.PAGE}]
    assert {right: {row.name for row in rows if row.right is right} for right in wanted} == wanted
    assert {row.name for row in rows if row.right not in wanted} == {
        "backend.list", "household.sync", "household.tell", "address.sync", "address.tell",
    }  # fmt: skip


def test_who_is_trusted_is_never_said_by_another_device() -> None:
    for access in (MEMBER, GUEST, Access(role="host")):
        error = access.refusal(Right.TRUST, "all", NOW)
        assert error is not None
        assert error.kind == "forbidden"
    assert SELF.refusal(Right.TRUST, "all", NOW) is None


def test_the_owner_and_a_member_may_do_all() -> None:
    for share in ("all", "read-only", "private"):
        assert kinds(SELF, share) == {}
        assert SELF.sees(ONE, share)
    assert kinds(MEMBER) == {}


def test_a_private_session_is_seen_by_nobody_else() -> None:
    assert [access.sees(ONE, "private") for access in (SELF, MEMBER, GUEST)] == [True, False, False]


def test_a_read_only_session_or_device_may_look_and_change_nothing() -> None:
    wanted = dict.fromkeys(CHANGES, "read-only")
    assert kinds(MEMBER, "read-only") == wanted
    assert kinds(Access(role="member", read_only=True)) == wanted
    assert Access(role="member", read_only=True).share_for_device("all") == "read-only"
    assert MEMBER.share_for_device("all") == "all"


def test_a_guest_may_use_what_is_there_and_start_or_end_nothing() -> None:
    assert kinds(GUEST) == dict.fromkeys(CHANGES - STEERS, "forbidden")


def test_a_guest_of_one_session_knows_of_no_other() -> None:
    guest = Access(role="guest", only_session=ONE)
    assert [guest.sees(session, "all") for session in (ONE, OTHER)] == [True, False]


def test_a_guest_whose_time_is_over_is_not_paired() -> None:
    assert kinds(GUEST, now=NOW + 1.0) == dict.fromkeys(OVER_LINKS, "not-paired")
    assert not GUEST.expired(NOW + 0.9)


def test_whoever_let_this_device_in_as_a_guest_gets_nothing_in_return() -> None:
    host = Access(role="host")
    assert kinds(host) == dict.fromkeys(set(OVER_LINKS) - LISTS, "forbidden")
    assert not host.sees(ONE, "all")


@pytest.mark.parametrize("role", ["guest", "host"])
def test_what_members_exchange_is_for_members(role: Literal["guest", "host"]) -> None:
    # `household.*`: a guest is in no household.
    error = Access(role=role).refusal(Right.MEMBER, "all", NOW)
    assert error is not None
    assert error.kind == "forbidden"
    assert MEMBER.refusal(Right.MEMBER, "all", NOW) is None


def test_a_device_of_a_home_without_these_fields_is_a_member() -> None:
    assert access_of(paired(1)) == MEMBER
