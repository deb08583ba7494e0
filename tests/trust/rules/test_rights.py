"""trust.rules.rights: what a device may do, as a function of what is stored of it."""

from __future__ import annotations

import pytest

from agent.protocol.methods import LOCAL_ONLY, METHODS
from agent.protocol.model import SessionId, Share
from agent.trust.rules.rights import CHANGES, LISTS, READS, SELF, STEERS, Access, access_of
from tests.fakes.trust import paired

ONE, OTHER = SessionId("one"), SessionId("other")
NOW = 1_800_000_000.0
OVER_LINKS = sorted(LISTS | READS | CHANGES)
MEMBER, GUEST = Access(role="member"), Access(role="guest", expires_at=NOW + 1.0)


def kinds(access: Access, share: Share = "all", now: float = NOW) -> dict[str, str]:
    """Method -> kind of the error, for those that are refused."""
    refused = {method: access.refusal(method, share, now) for method in OVER_LINKS}
    return {method: error.kind for method, error in refused.items() if error is not None}


def test_every_session_method_of_the_wire_is_one_that_looks_or_one_that_changes() -> None:
    # A method that is added without a thought about access fails here.
    families = {"session", "prompt", "request", "terminal"}
    over_links = {method for method in METHODS if method.partition(".")[0] in families}
    assert over_links - LOCAL_ONLY == LISTS | READS | CHANGES
    assert LISTS & CHANGES == READS & CHANGES == set()


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
def test_methods_that_this_table_does_not_know_are_for_members(role: str) -> None:
    # `household.*` and whatever comes: a guest is in no household.
    error = Access(role=role).refusal("household.sync", "all", NOW)  # type: ignore[arg-type] # parametrized
    assert error is not None
    assert error.kind == "forbidden"
    assert MEMBER.refusal("household.sync", "all", NOW) is None


def test_a_device_of_a_home_without_these_fields_is_a_member() -> None:
    assert access_of(paired(1)) == MEMBER
