"""Sealed and signed announcements: readable by the household alone, written by their device alone (T5, DESIGN §8)."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from agent.presence.rules.seal import (
    CHUNK,
    NONCE_SIZE,
    SIGNATURE_ROOM,
    SIGNED_MAX,
    TAG_SIZE,
    is_signed,
    seal,
    sign,
    unseal,
    verify,
)
from agent.presence.rules.txt import SIZE_MAX, Entries, encode
from agent.protocol.identity import public_key
from agent.protocol.model import DeviceId, SessionClaim, Status
from agent.protocol.names import clean
from tests.fakes.trust import identity
from tests.presence.rules.test_txt import claim, said, size

DEN = DeviceId("abcdefghijklmnop")
KEY = bytes(range(32))
NONCE = bytes(range(100, 100 + NONCE_SIZE))
CLAIMS = (
    SessionClaim(id="k3v9q2".replace("9", "a"), status=Status.NEEDS_INPUT, updated_at=1_800_000_000, title="deploy?"),
    SessionClaim(id="abcdefgh", status=Status.WORKING, updated_at=1_799_999_999, title="Fix the build"),
    SessionClaim(id="zzzzzz", status=Status.IDLE, updated_at=0, title=""),
)
INSTANCE = "den abcd._lan-agent._tcp.local."


def sealed(claims: tuple[SessionClaim, ...] = CLAIMS, revision: int = 7, epoch: int = 3) -> list[bytes]:
    return seal(claims, key=KEY, epoch=epoch, device=DEN, revision=revision, nonce=NONCE)


def opened(
    strings: list[bytes], *, revision: int = 7, device: DeviceId = DEN, **keys: bytes
) -> tuple[SessionClaim, ...] | None:
    known = {int(epoch[1:]): key for epoch, key in keys.items()} or {3: KEY}
    return unseal(strings, keys=known, device=device, revision=revision)


# --- sealing ----------------------------------------------------------------------------------------------------------


def test_the_same_key_and_nonce_give_the_same_bytes() -> None:
    # A vector: another build of this program must read what this one wrote.
    (string,) = sealed()
    assert string[:3] == b"e0="
    assert string[3 : 3 + NONCE_SIZE] == NONCE
    assert hashlib.sha256(string).hexdigest() == "28991496a076da22374faf413f7a9f9b0bda240bd73c2b4a653068108944e464"


def test_the_seal_is_what_the_document_says() -> None:
    # Written out anew from docs/design/discovery.md, without a line of the code under test.
    (string,) = sealed()
    info = b"lan-agent seal key 1\0" + (3).to_bytes(8) + b"abcdefghijklmnop"
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(KEY)
    bound_to = b"lan-agent seal 1\0_lan-agent._tcp.local.\0" + b"abcdefghijklmnop\0" + b"7"
    plain = ChaCha20Poly1305(key).decrypt(NONCE, string[3 + NONCE_SIZE :], bound_to)
    packed = plain[2 : 2 + int.from_bytes(plain[:2])]
    assert msgspec.msgpack.decode(packed) == [
        ["k3vaq2", "n", 1_800_000_000, "deploy?"],
        ["abcdefgh", "w", 1_799_999_999, "Fix the build"],
        ["zzzzzz", "i", 0, ""],
    ]
    assert set(plain[2 + len(packed) :]) <= {0}


def test_a_member_reads_what_was_sealed_with_any_epoch_it_knows() -> None:
    assert opened(sealed()) == CLAIMS
    assert opened(sealed(), e3=KEY, e4=bytes(32)) == CLAIMS
    assert opened(sealed(epoch=4), e3=bytes(32), e4=KEY) == CLAIMS
    assert seal((), key=KEY, epoch=3, device=DEN, revision=7, nonce=NONCE) == []


def test_nobody_else_reads_it_and_it_is_bound_to_device_revision_and_epoch() -> None:
    assert opened(sealed(), e3=bytes(32)) is None
    assert opened(sealed(), e4=KEY) is None  # the same key of another epoch
    assert opened(sealed(), revision=8) is None
    assert opened(sealed(), device=DeviceId("zbcdefghijklmnop")) is None
    assert unseal(sealed(), keys={}, device=DEN, revision=7) is None
    assert opened([]) is None
    whole = b"".join(sealed())
    assert all(each.title.encode() not in whole for each in CLAIMS if each.title)


def test_a_changed_byte_anywhere_is_refused() -> None:
    strings = sealed(tuple(claim(number, title="t" * 40) for number in range(12)))
    assert len(strings) == 3
    assert opened(strings) is not None
    for number, string in enumerate(strings):
        for at in range(3, len(string)):
            changed = [*strings]
            changed[number] = string[:at] + bytes([string[at] ^ 1]) + string[at + 1 :]
            assert opened(changed) is None, (number, at)
    assert opened(strings[:-1]) is None
    assert opened(strings[1:]) is None
    assert opened([b"e1=" + strings[0][3:], b"e0=" + strings[1][3:], strings[2]]) is None
    assert opened([strings[2], strings[0], strings[1]]) == opened(strings)  # a cache may reorder


@pytest.mark.parametrize("sessions", [1, 2, 9, 40])
def test_chunks_fit_a_string_and_the_length_tells_little(sessions: int) -> None:
    strings = sealed(tuple(claim(number) for number in range(sessions)))
    assert all(len(string) <= 3 + CHUNK <= 255 for string in strings)
    assert [string[:3] for string in strings] == [b"e%d=" % number for number in range(len(strings))]
    assert (sum(len(string) - 3 for string in strings) - NONCE_SIZE - TAG_SIZE) % 64 == 0
    short, long = (sealed((claim(1, title="x" * length),)) for length in (1, 30))
    assert len(short[0]) == len(long[0])


def test_a_paired_device_that_seals_nonsense_is_cleaned_and_bounded() -> None:
    # T4, T10
    def written(plain: bytes) -> list[bytes]:
        info = b"lan-agent seal key 1\0" + (3).to_bytes(8) + DEN.encode()
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(KEY)
        bound_to = b"lan-agent seal 1\0_lan-agent._tcp.local.\0" + DEN.encode() + b"\0" + b"7"
        return [b"e0=" + NONCE + ChaCha20Poly1305(key).encrypt(NONCE, plain, bound_to)]

    def entries(*values: object) -> list[bytes]:
        packed = msgspec.msgpack.encode(values)
        return written(len(packed).to_bytes(2) + packed)

    (kept,) = opened(entries(["abcdef", "x", 5, "a\x1b[31mb\u202e", "later"], ["../../", "w", 5, "path"])) or ()
    assert (kept.id, kept.status, kept.title) == ("abcdef", Status.IDLE, "a[31mb")
    for bad in (
        entries(["abcdef", "w", -1, "t"]),
        entries(["abcdef", "w", 2**63, "t"]),
        entries(["abcdef", "w", 5, "t" * 1000]),
        entries(["abcdef", "w", 5]),
        entries(*[["abcdef", "w", 5, "t"]] * 65),
        entries("abcdef"),
        written(b""),
        written(b"\x00"),
        written(b"\xff\xff\x90"),
        written(b"\x00\x05\xdd\xff\xff\xff\xff"),
        written(b"\x00\x40" + b"\x91" * 64),
        written(b"\x00\x06\x91\x94\xa2\xff\xfe"),
    ):
        assert opened(bad) is None


@given(
    st.lists(
        st.builds(
            SessionClaim,
            id=st.from_regex(r"[a-z2-7]{6,16}", fullmatch=True),
            status=st.sampled_from([Status.IDLE, Status.WORKING, Status.NEEDS_INPUT]),
            updated_at=st.integers(0, 2**35),
            title=st.text(max_size=12).map(lambda text: clean(text, 12)).filter(lambda text: len(text.encode()) < 40),
        ),
        min_size=1,
        max_size=20,
        unique_by=lambda each: each.id,
    ),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=12, max_size=12),
    st.integers(0, 2**62),
)
def test_what_is_sealed_comes_back(claims: list[SessionClaim], key: bytes, nonce: bytes, revision: int) -> None:
    strings = seal(claims, key=key, epoch=1, device=DEN, revision=revision, nonce=nonce)
    assert unseal(strings, keys={1: key}, device=DEN, revision=revision) == tuple(claims)


@given(st.lists(st.binary(max_size=300) | st.binary(max_size=260).map(lambda tail: b"e0=" + tail), max_size=8))
def test_any_strings_are_refused_and_nothing_is_raised(strings: list[bytes]) -> None:
    assert unseal(strings, keys={3: KEY}, device=DEN, revision=7) is None
    assert not verify(strings, instance=INSTANCE, port=7777, key=PUBLIC)


# --- signing ----------------------------------------------------------------------------------------------------------

SIGNER = identity(5)
PUBLIC = public_key(SIGNER.certificate)
STRINGS = [b"txtvers=1", b"r=100", b"id=abcdefghijklmnop", b"n=den", b"c=0,0,0"]


def signed(strings: list[bytes] = STRINGS, instance: str = INSTANCE, port: int = 7777) -> list[bytes]:
    return [*strings, sign(strings, instance=instance, port=port, key=SIGNER.key)]


def test_the_signature_is_over_what_the_document_says() -> None:
    # A vector (Ed25519 is deterministic), and the signed bytes written out anew.
    signature = signed()[-1]
    name = INSTANCE.encode()
    message = b"lan-agent announcement 1\0" + (7777).to_bytes(2) + len(name).to_bytes(2) + name
    message += b"".join(len(string).to_bytes(2) + string for string in sorted(STRINGS))
    PUBLIC.verify(signature[4:], message)
    assert len(signature) + 1 == SIGNATURE_ROOM
    assert hashlib.sha256(signature).hexdigest() == "96bca5339b750ac2f6d853f40cfaf1629861b5f0d20dc38da2d9dc39342d1791"


def test_the_order_of_strings_and_the_case_of_the_name_do_not_matter() -> None:
    strings = signed()
    assert verify(strings, instance=INSTANCE, port=7777, key=PUBLIC)
    assert verify(strings[::-1], instance=INSTANCE.upper(), port=7777, key=PUBLIC)


def test_a_replay_as_another_instance_port_or_device_is_refused() -> None:
    # T8
    strings = signed()
    assert not verify(strings, instance="box abcd._lan-agent._tcp.local.", port=7777, key=PUBLIC)
    assert not verify(strings, instance=INSTANCE, port=7778, key=PUBLIC)
    assert not verify(strings, instance=INSTANCE, port=-1, key=PUBLIC)
    assert not verify(strings, instance=INSTANCE, port=70_000, key=PUBLIC)
    assert not verify(strings, instance=INSTANCE, port=7777, key=public_key(identity(6).certificate))


def test_a_changed_added_missing_or_second_string_is_refused() -> None:
    strings = signed()
    for number, string in enumerate(strings):
        for at in range(len(string)):
            changed = [*strings]
            changed[number] = string[:at] + bytes([string[at] ^ 1]) + string[at + 1 :]
            assert not verify(changed, instance=INSTANCE, port=7777, key=PUBLIC)
        assert not verify([*strings[:number], *strings[number + 1 :]], instance=INSTANCE, port=7777, key=PUBLIC)
        assert not verify([*strings, string], instance=INSTANCE, port=7777, key=PUBLIC)
    assert not verify([*strings, b"s0=aaaaaa,w,1,forged"], instance=INSTANCE, port=7777, key=PUBLIC)
    moved = [b"txtvers=1r", b"=100", *strings[2:]]  # the same bytes, cut elsewhere
    assert not verify(moved, instance=INSTANCE, port=7777, key=PUBLIC)


@pytest.mark.parametrize(
    "signature", [b"sig=", b"sig=x", b"sig=" + bytes(64), b"sig=" + b"\xff" * 64, b"SIG=" + bytes(64)]
)
def test_what_only_looks_like_a_signature_is_none(signature: bytes) -> None:
    assert not verify([*STRINGS, signature], instance=INSTANCE, port=7777, key=PUBLIC)
    assert is_signed([*STRINGS, signature]) == signature.startswith(b"sig=")


def test_an_oversized_record_is_refused_even_if_signed() -> None:
    strings = signed([*STRINGS, *(b"x%d=" % number + bytes(250) for number in range(5))])
    assert size(strings) > SIGNED_MAX
    assert not verify(strings, instance=INSTANCE, port=7777, key=PUBLIC)


# --- both in a record -------------------------------------------------------------------------------------------------


def sealed_at(revision: int) -> Entries:
    return lambda claims: seal(claims, key=KEY, epoch=3, device=DEN, revision=revision, nonce=NONCE)


def announcement(sessions: int, title: str, name: str = "living-room-desktop") -> list[bytes]:
    claims = tuple(claim(number, title=title) for number in range(sessions))
    record = said(name=name, revision=1_800_000_000_000, idle=sessions, sessions=claims)

    return signed(encode(record, sealed_at(record.revision), room=SIZE_MAX - SIGNATURE_ROOM))


def test_ten_sessions_of_forty_characters_take_at_most_900_bytes() -> None:
    strings = announcement(10, "Refactor the settings page and its tests", "n" * 48)
    assert size(strings) <= 900
    claims = opened(strings, revision=1_800_000_000_000)
    assert claims is not None
    assert [each.title for each in claims] == ["Refactor the settings page and its tests"] * 10
    assert not [each for each in strings if each.startswith(b"more=")]


@pytest.mark.parametrize("sessions", [0, 1, 17, 18, 40, 64, 500])
@pytest.mark.parametrize("title", ["", "t" * 40, "日本語" * 40])
def test_a_record_never_outgrows_its_1200_bytes_and_counts_what_is_left_out(sessions: int, title: str) -> None:
    strings = announcement(min(sessions, 500), title, "名" * 60)
    assert size(strings) <= SIZE_MAX
    claims = opened(strings, revision=1_800_000_000_000) or ()
    (more,) = [int(each[5:]) for each in strings if each.startswith(b"more=")] or [0]
    assert len(claims) + more == sessions
    assert sessions < 17 or len(claims) >= 15


def test_what_people_need_first_is_what_fits() -> None:
    idle = [claim(number, title="t" * 40) for number in range(100)]
    working = [claim(number, Status.WORKING, title="t" * 40) for number in range(100, 103)]
    asking = [claim(number, Status.NEEDS_INPUT, title="t" * 40) for number in range(103, 105)]
    record = said(sessions=tuple(idle + working + asking))
    strings = encode(record, sealed_at(record.revision), room=SIZE_MAX - SIGNATURE_ROOM)
    claims = opened(strings, revision=record.revision)
    assert claims is not None
    assert [each.id for each in claims] == [each.id for each in [*asking, *working, *idle]][: len(claims)]
    assert len(claims) >= 15
