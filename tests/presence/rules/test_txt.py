"""DESIGN §8: a record survives the network, garbage does no harm, and nothing outgrows a frame."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.presence.rules.registry import Registry
from agent.presence.rules.txt import SIZE_MAX, announced_status, base36, decode, encode, make_record
from agent.protocol.model import (
    REVISION_MAX,
    DeviceId,
    DeviceRef,
    PresenceRecord,
    SessionClaim,
    SessionId,
    SessionRow,
    Status,
)
from agent.protocol.names import clean, clean_title, truncate_bytes
from agent.protocol.times import rfc3339
from tests.presence.rules.registry_facts import NOW, paired

DEN = DeviceId("abcdefghijklmnop")


def size(strings: list[bytes]) -> int:
    return sum(len(each) + 1 for each in strings)


def said(**more: object) -> PresenceRecord:
    fields: dict[str, object] = {"device": DEN, "revision": 36**2, "name": "den", "port": 7777}
    return PresenceRecord(**(fields | more))  # type: ignore[arg-type]  # overrides are checked by the tests


def claim(number: int, status: Status = Status.IDLE, title: str = "build") -> SessionClaim:
    return SessionClaim(
        id=f"abc{chr(97 + number // 26)}{chr(97 + number % 26)}a",
        status=status,
        updated_at=1_800_000_000 - number,
        title=title,
    )


def test_the_strings_read_as_the_table_in_the_design_says() -> None:
    record = said(
        working=1,
        needs_input=1,
        idle=1,
        sessions=(
            SessionClaim(id="aaaaaa", status=Status.IDLE, updated_at=36, title="tidy, then rest"),
            SessionClaim(id="bbbbbb", status=Status.WORKING, updated_at=35, title="build"),
            SessionClaim(id="cccccc", status=Status.NEEDS_INPUT, updated_at=1, title="deploy"),
        ),
    )
    assert encode(record) == [
        b"txtvers=1",
        b"r=100",
        b"id=abcdefghijklmnop",
        b"n=den",
        b"pv=1",
        b"c=1,1,1",
        b"s0=cccccc,n,1,deploy",
        b"s1=bbbbbb,w,z,build",
        b"s2=aaaaaa,i,10,tidy, then rest",
    ]


def test_what_does_not_fit_is_counted_and_what_matters_most_is_kept() -> None:
    claims = [claim(n, title="a title of thirty-two bytes, all") for n in range(60)]
    claims.append(claim(60, Status.NEEDS_INPUT))
    claims.append(claim(61, Status.WORKING))
    strings = encode(said(idle=60, working=1, needs_input=1, sessions=tuple(claims)))
    assert SIZE_MAX - 60 < size(strings) <= SIZE_MAX
    heard = decode(strings, port=1)
    assert heard is not None
    assert [each.status.value for each in heard.sessions[:3]] == ["needs-input", "working", "idle"]
    assert heard.more + len(heard.sessions) == 62
    assert len(heard.sessions) >= 20
    assert (heard.working, heard.needs_input, heard.idle) == (1, 1, 60)
    assert [each.id for each in heard.sessions[2:]] == [each.id for each in claims[: len(heard.sessions) - 2]]


titles = st.text(st.characters(codec="utf-8"), max_size=60)
claims = st.lists(
    st.builds(
        SessionClaim,
        id=st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=6, max_size=16),
        status=st.sampled_from([Status.IDLE, Status.WORKING, Status.NEEDS_INPUT]),
        updated_at=st.integers(0, 36**7 - 1),
        title=titles,
    ),
    max_size=60,
    unique_by=lambda each: each.id,
)
counts = st.integers(0, 9999)
records = st.builds(
    PresenceRecord,
    device=st.just(DEN),
    revision=st.integers(0, REVISION_MAX),
    name=titles,
    port=st.integers(1, 65535),
    hosts=st.just(("10.0.0.2", "fe80::1%eth0")),
    versions=st.lists(st.integers(0, 999), min_size=1, max_size=8).map(tuple),
    working=counts,
    needs_input=counts,
    idle=counts,
    more=st.integers(0, 9000),
    sessions=claims.map(tuple),
)


@given(records)
def test_a_record_survives_the_network(record: PresenceRecord) -> None:
    strings = encode(record)
    assert size(strings) <= SIZE_MAX
    assert all(len(each) <= 255 for each in strings)
    heard = decode(strings, port=record.port, hosts=record.hosts)
    assert heard is not None
    listed = {each.id: each for each in record.sessions}
    for each in heard.sessions:
        shown = truncate_bytes(clean_title(listed[each.id].title), 32, "…")
        assert each == msgspec.structs.replace(listed[each.id], title=clean_title(shown))
    assert heard == msgspec.structs.replace(
        record,
        name=clean(truncate_bytes(clean(record.name, 63), 48), 63),
        sessions=heard.sessions,
        more=record.more + len(record.sessions) - len(heard.sessions),
    )
    assert decode(encode(heard), port=record.port, hosts=record.hosts) == heard


FRAGMENTS = [
    *(
        b"txtvers=1",
        b"txtvers=9",
        b"id=abcdefghijklmnop",
        b"r=100",
        b"r=\xff",
        b"R=zz",
        b"c=1,2,3",
        b"c=9,9",
        b"more=-1",
    ),
    *(b"s0=abcdef,w,1,x", b"s0=", b"s1=abcdef,i,1,", b"s99999999999999=abcdef,w,1,x", b"s2=abcdeg,w,zzzzzzz,\x1b[2J"),
    *(b"more=\xd9\xa1", b"=", b"", b"nokey", b"e0=\x00\x01", b"sig=\xff", b"pv=1,x", b"pv=", b"n=\xf0\x28"),
]
fragments = st.sampled_from(FRAGMENTS)


@given(st.lists(st.one_of(fragments, st.binary(max_size=300)), max_size=40), st.integers(-5, 70_000))
def test_garbage_is_read_without_harm(strings: list[bytes], port: int) -> None:
    heard = decode(strings, port=port, hosts=["x" * 1000, "10.0.0.1"])
    if heard is not None:
        assert heard.port in {0, port}
        assert heard.hosts == ("10.0.0.1",)
        assert clean(heard.name, 63) == heard.name
        assert encode(heard)


@pytest.mark.parametrize(
    "strings",
    [
        [],
        [b""],
        [b"path=/"],
        [b"\xff" * 9000],
        [b"r=1"],
        [b"id=short", b"r=1"],
        [b"id=abcdefghijklmno1", b"r=1"],
        [b"id=abcdefghijklmnop"],
        [b"id=abcdefghijklmnop", b"r="],
        [b"id=abcdefghijklmnop", b"r=-1"],
        [b"id=abcdefghijklmnop", b"r=zzzzzzzzzzzzzz"],
    ],
)
def test_what_is_not_ours_is_no_record(strings: list[bytes]) -> None:
    assert decode(strings, port=7777) is None


def test_keys_are_read_in_any_case_and_the_first_counts() -> None:
    heard = decode([b"TXTVERS=1", b"ID=ABCDEFGHIJKLMNOP", b"R=2S", b"r=zz", b"N=den", b"n=other", b"flag"], port=7777)
    assert heard is not None
    assert (heard.device, heard.revision, heard.name) == (DEN, 100, "den")


def test_a_bad_session_is_skipped_and_the_record_stands() -> None:
    entries = [
        b"s0=ab,w,1,short id",
        b"s1=abcdef",
        b"s2=bcdefg,x,1,odd status",
        b"s3=cdefgh,w,!,time",
        b"s4=defghi,w,2,ok",
    ]
    heard = decode([b"id=abcdefghijklmnop", b"r=1", *entries, b"s5=defghi,i,3,again"], port=7777)
    assert heard is not None
    assert [(each.id, each.status.value) for each in heard.sessions] == [("bcdefg", "idle"), ("defghi", "working")]
    assert (heard.working, heard.idle) == (1, 1)  # counted, as nobody said


def test_another_version_shows_the_device_without_sessions() -> None:
    heard = decode([b"txtvers=2", b"r=1", b"id=abcdefghijklmnop", b"n=den", b"s0=abcdef,w,1,x", b"c=1,0,0"], port=7777)
    assert heard == said(revision=1, txtvers=2)


def test_a_record_of_any_size_is_read() -> None:
    many = [f"s{n}=abc{chr(97 + n // 26 % 26)}{chr(97 + n % 26)}x,w,1,{'x' * 200}".encode() for n in range(400)]
    heard = decode([b"id=abcdefghijklmnop", b"r=1", *many], port=7777)
    assert heard is not None
    assert len(heard.sessions) == 64


def _row(session: str, status: Status = Status.IDLE) -> SessionRow:
    return SessionRow(
        id=SessionId(session),
        title=session,
        status=status,
        device=DeviceRef(DEN, "den"),
        local=True,
        attachable=True,
        backend="",
        model="",
        created_at=None,
        updated_at=rfc3339(1_800_000_000.9),
    )


def test_an_id_is_as_long_as_tells_it_from_the_others() -> None:
    rows = [_row("aaaaaaaaaaaaaaaa"), _row("aaaaaaaabaaaaaaa"), _row("aaaaaaaabbaaaaaa"), _row("zaaaaaaaaaaaaaaa")]
    ended = [_row("endedendedendede", Status.ENDED), _row("startingstarting", Status.STARTING)]
    made = make_record(DEN, 7, "den", port=7777, sessions=[*rows, *ended])
    assert {each.updated_at for each in made.sessions} == {1_800_000_000}
    assert [each.id for each in made.sessions] == ["aaaaaaaaa", "aaaaaaaaba", "aaaaaaaabb", "starti", "zaaaaa"]
    assert (made.working, made.needs_input, made.idle) == (0, 0, 5)


@given(st.integers(0, 2**70))
def test_base36_is_what_int_reads(number: int) -> None:
    assert int(base36(number), 36) == number


numbers = st.sampled_from([0, 1, 2**31, 2**53, 2**62, 2**63, 2**64, 2**64 + 1, 36**13 - 1, 36**20]).map(base36)
values = {
    b"r": numbers.map(str.encode) | st.binary(max_size=14),
    b"c": st.sampled_from([b"1,2,3", b"9999,9999,9999", "١,٢,٣".encode()]) | st.binary(max_size=20),  # noqa: RUF001 - digits, too
    b"more": st.sampled_from([b"1", b"9999", "²".encode()]) | st.binary(max_size=6),
    b"pv": st.sampled_from([b"1", b"1,2", b"999,999"]) | st.binary(max_size=20),
    b"txtvers": st.sampled_from([b"1", b"2", b"9999"]) | st.binary(max_size=6),
    b"n": st.binary(max_size=250),
    b"s0": st.builds(b"abcdef,%b,%b,%b".__mod__, st.tuples(st.just(b"w"), numbers.map(str.encode), st.binary())),
    b"sig": st.binary(max_size=64),
}
shapes = st.fixed_dictionaries({}, optional=values).map(
    lambda given: [b"id=" + DEN.encode(), *(key + b"=" + value for key, value in given.items())]
)


@given(st.lists(shapes | st.lists(st.binary(max_size=255), max_size=8), min_size=2, max_size=2), st.booleans())
def test_t11_any_strings_are_heard_twice_listed_and_written_again(heard: list[list[bytes]], trusted: bool) -> None:
    """Two contents under one revision are compared: that is where a number of 65 bits ended the service."""
    registry = Registry(DeviceId("ownownownownowno"), name="own", version="1")
    if trusted:
        registry.paired([paired(DEN)], NOW)
    for strings in [*heard, *heard]:
        record = decode(strings, port=4000, hosts=("10.0.0.7",))
        if record is None:
            continue
        assert record.revision < 2**63
        registry.heard(record, "mdns", NOW)
        registry.hinted(record, NOW)
        registry.devices(), registry.sessions(), registry.endpoints(DEN)
        registry.expire(NOW + 1e6)
        again = decode(encode(record), port=4000)
        assert again is not None
        assert again.revision == record.revision


def test_t11_a_revision_that_nobody_reaches_is_none() -> None:
    for revision in (2**62 + 1, 2**63, 2**64, 36**13 - 1):
        assert decode([b"id=abcdefghijklmnop", b"r=" + base36(revision).encode()], port=1) is None
    assert decode([b"id=abcdefghijklmnop", b"r=" + base36(2**62).encode()], port=1) is not None


def test_a_session_that_starts_is_announced_as_idle_so_that_a_restart_does_not_flap() -> None:
    assert {status: announced_status(status) for status in Status if announced_status(status) is not status} == {
        Status.STARTING: Status.IDLE
    }
