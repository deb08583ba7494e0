"""protocol.addresses: what a device says of where it can be dialled, and who may pass that on (L10)."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.links.rules.address_book import AddressBook, endpoints_of, sign_record
from agent.protocol.addresses import (
    BODY_MAX,
    HOSTS_MAX,
    RECORDS_MAX,
    TELL_MAX,
    AddressRecord,
    TellAddresses,
    ToldAddresses,
    usable_host,
)
from agent.protocol.codec import FRAME_OUT_MAX, REQUEST_MAX, msgpack
from agent.protocol.household import Signed
from agent.protocol.model import DeviceId, Endpoint
from tests.fakes.trust import identity

NOW = 1_800_000_000.0
MS = int(NOW * 1000)
DEN, BOX = identity(1), identity(2)


def record(revision: int = MS, *hosts: str, seed: int = 1) -> AddressRecord:
    return AddressRecord(device=identity(seed).id, revision=revision, port=7471, hosts=hosts or ("10.0.0.2",))


def book(*seeds: int) -> AddressBook:
    made = AddressBook()
    made.trust({identity(seed).id: identity(seed).key.public_key() for seed in seeds})
    return made


def hear(known: AddressBook, signed: Signed, sender: DeviceId | None = BOX.id) -> bool:
    found = known.worth_checking(signed, sender=sender, now=NOW)
    return found is not None and known.accept(signed, found)


def test_what_a_member_has_signed_is_believed_whoever_passes_it_on() -> None:  # L10
    known = book(1, 2)
    assert hear(known, sign_record(record(), DEN))
    assert known.record(DEN.id) == record()
    assert known.revisions() == {DEN.id: MS}


def test_nobody_says_anything_of_another_one() -> None:  # L10, T5
    known = book(1, 2)
    assert not hear(known, sign_record(record(MS, "6.6.6.6"), BOX))  # signed by another key
    true = sign_record(record(), DEN)
    changed = Signed(body=msgspec.msgpack.encode(record(MS, "6.6.6.6")), signature=true.signature)
    assert not hear(known, changed)
    assert known.record(DEN.id) is None


def test_who_is_no_member_is_not_kept_and_who_leaves_is_forgotten() -> None:  # L10
    known = book(2)
    assert not hear(known, sign_record(record(), DEN))
    known = book(1, 2)
    assert hear(known, sign_record(record(), DEN))
    known.trust({BOX.id: BOX.key.public_key()})
    assert known.all() == {}


def test_an_older_record_never_replaces_a_newer_one() -> None:  # R9
    known = book(1, 2)
    old, new = sign_record(record(MS, "10.0.0.2"), DEN), sign_record(record(MS + 1, "10.0.0.3"), DEN)
    assert hear(known, new)
    assert not hear(known, old)
    assert not hear(known, new)  # no news
    assert known.record(DEN.id) == record(MS + 1, "10.0.0.3")


def test_a_device_itself_may_go_back_and_a_revision_of_the_far_future_locks_nobody_out() -> None:  # R9
    known = book(1, 2)
    ahead = sign_record(record(2**62), DEN)
    assert hear(known, ahead)
    assert hear(known, sign_record(record(MS), DEN))  # a true one beats it, from whomever
    assert not hear(known, ahead)
    assert hear(known, sign_record(record(MS - 5), DEN), sender=DEN.id)  # its clock was set back


@pytest.mark.parametrize(
    ("host", "usable"),
    [
        ("10.0.0.2", True),
        ("100.64.0.7", True),  # a VPN such as Tailscale
        ("203.0.113.7", True),
        ("fd00::7", True),
        ("2001:4860::7", True),
        ("127.0.0.1", False),
        ("::1", False),
        ("0.0.0.0", False),
        ("0.1.2.3", False),
        ("::", False),
        ("224.0.0.251", False),
        ("ff02::fb", False),
        ("255.255.255.255", False),
        ("240.0.0.1", False),
        ("169.254.1.1", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("2001:4860::7%eth0", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.2", False),
        ("2002:7f00:1::1", False),
        ("den.local", False),
        ("", False),
        ("1.2.3", False),
    ],
)
def test_only_the_plain_address_of_one_machine_is_dialled_because_somebody_told_it(host: str, usable: bool) -> None:
    assert usable_host(host, local_only=False) is usable


def test_a_service_that_keeps_to_its_machine_dials_loopback_and_nothing_else() -> None:
    assert usable_host("127.0.0.1", local_only=True)
    assert not usable_host("10.0.0.2", local_only=True)


def test_an_address_of_this_machine_is_not_dialled() -> None:
    news = record(MS, "10.0.0.2", "10.0.0.5", "10.0.0.2")
    found = endpoints_of(news, local_only=False, foreign=lambda host: host != "10.0.0.5")
    assert found == (Endpoint("10.0.0.2", 7471),)


def test_the_most_that_is_told_fits_a_message() -> None:
    signed = Signed(body=bytes(BODY_MAX), signature=bytes(64))
    told = msgpack.request(2**53, "address.tell", TellAddresses(records=(signed,) * TELL_MAX))
    assert len(told) < REQUEST_MAX
    assert len(msgpack.response(2**53, ToldAddresses(records=(signed,) * RECORDS_MAX))) < FRAME_OUT_MAX
    longest = record(2**62, *["ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255"] * HOSTS_MAX)
    assert len(sign_record(longest, DEN).body) < BODY_MAX


def test_a_later_version_adds_fields_and_they_are_passed_on() -> None:
    body = msgspec.msgpack.encode(msgspec.to_builtins(record()) | {"relay": "nats"})
    signed = Signed(body=body, signature=DEN.key.sign(b"lan-agent addresses 1\0" + body))
    known = book(1)
    assert hear(known, signed)
    assert known.newer_than({}) == (signed,)
    assert known.newer_than({DEN.id: MS}) == ()


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_passed_over(body: bytes) -> None:
    assert not hear(book(1), Signed(body=body, signature=bytes(64)))
