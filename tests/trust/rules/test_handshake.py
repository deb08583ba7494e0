from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import BadParams, PairingFailed
from agent.ports.pairing import FRAME_MAX
from agent.protocol.identity import Identity
from agent.protocol.model import Endpoint
from agent.protocol.names import address
from agent.trust.rules.code import Code, given_address, new_code, new_long_code, parse_code
from agent.trust.rules.handshake import Bundle, Grant, Hello, HelloReply, Host, Joiner, Proof, Thanks, WrongCode, decode
from tests.fakes.trust import identity

DEN, LAB, MALLORY = identity(1), identity(2), identity(3)
DEN_BUNDLE = Bundle(name="den", port=7001, hosts=("192.168.1.7", "fe80::7"))
LAB_BUNDLE = Bundle(name="lab", port=7002)


def entropy(seed: str) -> Callable[[int], bytes]:
    """Bytes that look random and are the same in every run."""

    def stream() -> Iterator[bytes]:
        block = hashlib.sha256(seed.encode()).digest()
        while True:
            block = hashlib.sha256(block).digest()
            yield block

    blocks = stream()
    return lambda size: b"".join(next(blocks) for _ in range(-(-size // 32)))[:size]


def host(secret: str = "913577", who: Identity = DEN, seed: str = "host") -> Host:
    return Host(who, secret, DEN_BUNDLE, entropy(seed))


def joiner(secret: str = "913577", who: Identity = LAB, seen: bytes = DEN.certificate, seed: str = "joiner") -> Joiner:
    return Joiner(who, secret, seen, LAB_BUNDLE, entropy(seed))


def recorder(frames: list[bytes]) -> Callable[[int, bytes], bytes]:
    def record(_: int, frame: bytes) -> bytes:
        frames.append(frame)
        return frame

    return record


def run(there: Host, here: Joiner, on_the_way: Callable[[int, bytes], bytes] = lambda _, frame: frame) -> None:
    """A whole run; `on_the_way` is told the number of each message and may change it."""
    reply = there.reply(on_the_way(1, here.hello()))
    grant = there.grant(on_the_way(3, here.prove(on_the_way(2, reply))))
    there.finish(on_the_way(5, here.thank(on_the_way(4, grant))))


# --- the run -----------------------------------------------------------------------------------------


def test_two_devices_with_one_code_learn_each_other() -> None:  # T3
    there, here = host(), joiner()
    run(there, here)
    assert there.partner is not None
    assert here.partner is not None
    assert (there.partner.certificate, there.partner.bundle) == (LAB.certificate, LAB_BUNDLE)
    assert (here.partner.certificate, here.partner.bundle) == (DEN.certificate, DEN_BUNDLE)


def test_nothing_readable_tells_the_names() -> None:
    frames: list[bytes] = []
    run(host(), joiner(), recorder(frames))
    assert len(frames) == 5
    assert not any(word in b"".join(frames) for word in (b"den", b"lab", b"192.168", b"913577"))
    assert max(map(len, frames)) <= FRAME_MAX


def test_the_largest_bundle_fits_a_message() -> None:
    largest = Bundle(name="\U0001f9d9" * 256, port=65535, hosts=("x" * 64,) * 16)
    there, here = Host(DEN, "1", largest, entropy("h")), Joiner(LAB, "1", DEN.certificate, largest, entropy("j"))
    frames: list[bytes] = []
    run(there, here, recorder(frames))
    assert max(map(len, frames)) <= FRAME_MAX


def test_a_wrong_code_is_known_for_what_it_is() -> None:
    there, here = host("913577"), joiner("913578")
    proof = here.prove(there.reply(here.hello()))
    with pytest.raises(WrongCode):
        there.grant(proof)
    assert there.partner is None


def test_a_later_version_may_tell_more_in_its_bundle() -> None:
    told = msgspec.msgpack.encode({"name": "den", "port": 1, "roster": [b"x"], "deep": {"a": [1]}})
    assert decode(told, Bundle) == Bundle(name="den", port=1)


# --- who is at the other end --------------------------------------------------------------------------


def test_a_device_does_not_pair_with_itself() -> None:
    with pytest.raises(PairingFailed, match="shown by this device"):
        joiner(who=DEN)
    with pytest.raises(PairingFailed, match="own certificate"):
        host().reply(Joiner(DEN, "913577", LAB.certificate, LAB_BUNDLE, entropy("j")).hello())


def test_a_relay_with_its_own_certificate_fails_at_the_joiner() -> None:
    # Mallory passes messages on unchanged; the joiner saw Mallory's TLS certificate.
    there, here = host(), joiner(seen=MALLORY.certificate)
    reply = there.reply(here.hello())
    with pytest.raises(PairingFailed, match="in between"):
        here.prove(reply)


def test_a_relay_that_forges_the_certificate_field_fails_at_the_host() -> None:
    there, here = host(), joiner(seen=MALLORY.certificate)
    reply = decode(there.reply(here.hello()), HelloReply)
    forged = msgspec.msgpack.encode(msgspec.structs.replace(reply, certificate=MALLORY.certificate))
    proof = here.prove(forged)
    with pytest.raises(WrongCode):
        there.grant(proof)


def test_a_relay_that_puts_its_own_certificate_into_message_1_fails() -> None:
    there, here = host(), joiner()
    hello = decode(here.hello(), Hello)
    forged = msgspec.msgpack.encode(msgspec.structs.replace(hello, certificate=MALLORY.certificate))
    proof = here.prove(there.reply(forged))
    with pytest.raises(WrongCode):
        there.grant(proof)


def test_who_knows_the_code_and_shows_the_certificate_of_another_is_refused() -> None:
    # Mallory has the code and Lab's certificate, not Lab's key.
    thief = Identity(key=MALLORY.key, certificate=LAB.certificate, pem_path="")
    there, here = host(), joiner(who=thief)
    proof = here.prove(there.reply(here.hello()))
    with pytest.raises(PairingFailed, match="does not have the key"):
        there.grant(proof)


def test_a_host_that_shows_the_certificate_of_another_is_refused() -> None:
    thief = Identity(key=MALLORY.key, certificate=DEN.certificate, pem_path="")
    there, here = host(who=thief), joiner()
    grant = there.grant(here.prove(there.reply(here.hello())))
    with pytest.raises(PairingFailed, match="does not have the key"):
        here.thank(grant)
    assert here.partner is None


def test_a_certificate_of_another_form_is_refused() -> None:
    other = DEN.certificate[:-1] + bytes([DEN.certificate[-1] ^ 1])
    with pytest.raises(PairingFailed):
        joiner(seen=other)
    hello = decode(joiner().hello(), Hello)
    with pytest.raises(PairingFailed):
        host().reply(msgspec.msgpack.encode(msgspec.structs.replace(hello, certificate=other)))


# --- deviations ---------------------------------------------------------------------------------------


def test_a_changed_byte_anywhere_ends_the_run() -> None:
    frames: list[bytes] = []
    run(host(), joiner(), recorder(frames))
    for number, frame in enumerate(frames, start=1):
        # A sample that meets every field; certificates have a test of their own for each of their bits.
        for position in range(0, len(frame), 3 if number > 2 else 29):
            _expect_failure(number, position)


def _expect_failure(number: int, position: int) -> None:
    def flip(at: int, frame: bytes) -> bytes:
        if at != number:
            return frame
        return frame[:position] + bytes([frame[position] ^ 1]) + frame[position + 1 :]

    there, here = host(), joiner()
    with pytest.raises(PairingFailed):
        run(there, here, flip)
    assert there.partner is None
    if number < 5:
        assert here.partner is None


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("instead", ["longer", "shorter", "empty", "too long"])
def test_a_longer_or_shorter_message_ends_the_run(number: int, instead: str) -> None:
    def change(at: int, frame: bytes) -> bytes:
        changed = {"longer": frame + b"\0", "shorter": frame[:-1], "empty": b"", "too long": b"\xff" * 5000}
        return changed[instead] if at == number else frame

    with pytest.raises(PairingFailed):
        run(host(), joiner(), change)


def test_messages_of_an_earlier_run_with_the_same_code_are_of_no_use() -> None:
    recorded: list[bytes] = []
    run(host(), joiner(), recorder(recorded))
    again = host(seed="later")
    again.reply(recorded[0])
    with pytest.raises(WrongCode):
        again.grant(recorded[2])
    here = joiner(seed="later")
    here.hello()
    here.prove(recorded[1])
    with pytest.raises(WrongCode):
        here.thank(recorded[3])


def test_a_reflected_message_is_refused() -> None:
    here = joiner()
    hello = here.hello()
    with pytest.raises(PairingFailed):
        here.prove(hello)
    here = joiner()
    ours = decode(here.hello(), Hello)
    relabelled = HelloReply(certificate=DEN.certificate, nonce=ours.nonce, share=ours.share)
    with pytest.raises(PairingFailed, match="not valid"):
        here.prove(msgspec.msgpack.encode(relabelled))


def test_a_proof_cannot_be_sent_back_as_a_grant() -> None:
    there, here = host(), joiner()
    proof = decode(here.prove(there.reply(here.hello())), Proof)
    back = Grant(mac=proof.mac, signature=proof.signature, sealed=b"")
    with pytest.raises(WrongCode):
        here.thank(msgspec.msgpack.encode(back))


def test_a_host_message_cannot_be_sent_back_as_thanks() -> None:
    there, here = host(), joiner()
    grant = there.grant(here.prove(there.reply(here.hello())))
    back = msgspec.msgpack.encode(Thanks(sealed=decode(grant, Grant).sealed))
    with pytest.raises(PairingFailed, match="changed"):
        there.finish(back)


@pytest.mark.parametrize(
    "point",
    [
        b"\1" + bytes(31),  # the identity
        bytes(32),  # order 4
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),  # order 8
        b"\xff" * 32,  # not canonical
        b"\2" + bytes(31),  # on no curve
    ],
)
def test_a_share_that_is_no_group_element_is_refused(point: bytes) -> None:
    hello = decode(joiner().hello(), Hello)
    with pytest.raises(PairingFailed, match="not valid"):
        host().reply(msgspec.msgpack.encode(msgspec.structs.replace(hello, share=b"A" + point)))
    here = joiner()
    reply = HelloReply(certificate=DEN.certificate, nonce=bytes(16), share=b"B" + point)
    here.hello()
    with pytest.raises(PairingFailed, match="not valid"):
        here.prove(msgspec.msgpack.encode(reply))


def test_a_run_that_failed_cannot_be_taken_up_again() -> None:
    there, here = host(), joiner("000000")
    reply = there.reply(here.hello())
    with pytest.raises(WrongCode):
        there.grant(here.prove(reply))
    guess = joiner("913577")
    guess.hello()
    with pytest.raises(PairingFailed, match="out of turn"):
        there.grant(guess.prove(reply))


def test_messages_out_of_turn_end_the_run() -> None:
    there = host()
    with pytest.raises(PairingFailed, match="out of turn"):
        there.grant(b"")
    with pytest.raises(PairingFailed, match="out of turn"):
        there.reply(joiner().hello())
    there, hello = host(), joiner().hello()
    there.reply(hello)
    with pytest.raises(PairingFailed, match="out of turn"):
        there.finish(b"")
    with pytest.raises(PairingFailed, match="out of turn"):
        joiner().thank(b"")


# --- hostile bytes --------------------------------------------------------------------------------------


hostile = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda depth: b"\x91" * depth, st.integers(1, FRAME_MAX)),
    st.sampled_from(
        [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"]
    ),
    st.builds(
        lambda tag, rest: msgspec.msgpack.encode({"type": tag, **rest}),
        st.sampled_from(["hello", "reply", "proof", "grant", "thanks"]),
        st.dictionaries(
            st.sampled_from(["certificate", "nonce", "share", "mac", "signature", "sealed", "x"]),
            st.one_of(st.binary(max_size=64), st.none(), st.integers(0, 9), st.text(max_size=4)),
        ),
    ),
)


@pytest.mark.parametrize("kind", [Hello, HelloReply, Proof, Grant, Thanks, Bundle])
@given(data=hostile)
@settings(max_examples=60)
def test_no_bytes_do_more_than_fail_to_pair(kind: type[Hello], data: bytes) -> None:
    try:
        decode(data, kind)
    except PairingFailed:
        return
    assert msgspec.msgpack.decode(data)  # rarely, they are a message


@given(hostile)
@settings(max_examples=60)
def test_no_first_message_does_more_than_fail(data: bytes) -> None:
    with pytest.raises(PairingFailed):
        host().reply(data)


# --- codes ----------------------------------------------------------------------------------------------


def test_a_code_keeps_its_zeros() -> None:
    numbers = iter([7, 42])
    code = new_code(lambda _: next(numbers))
    assert (code.slot, code.secret, str(code)) == ("07", "000042", "07-000-042")
    assert parse_code(str(code)) == code


@given(st.integers(0, 99), st.integers(0, 999_999))
def test_every_code_is_read_as_it_is_shown(slot: int, secret: int) -> None:
    numbers = iter([slot, secret])
    code = new_code(lambda _: next(numbers))
    assert parse_code(str(code)) == code


@pytest.mark.parametrize(
    "typed", ["42-913-577", "42913577", " 42 913 577\n", "42\u2013913\u2011577", "4-2-9-1-3-5-7-7"]
)
def test_dashes_and_spaces_do_not_matter(typed: str) -> None:
    assert parse_code(typed) == Code("42", "913577")


@pytest.mark.parametrize(
    "typed", ["", "42", "42-913-57", "42-913-5777", "42-913-57a", "\u0664\u0662913577", "42.913.577"]
)
def test_a_malformed_code_is_refused_before_any_use(typed: str) -> None:  # a slot alone would be no password
    with pytest.raises(BadParams, match="eight digits"):
        parse_code(typed)


@given(st.text())
def test_no_text_does_more_than_be_refused(typed: str) -> None:
    try:
        code = parse_code(typed)
    except BadParams:
        return
    assert len(code.slot + code.secret) == 8


# --- the long code ---------------------------------------------------------------------------------------------------


@given(st.binary(min_size=16, max_size=16), st.sampled_from(["", "-", " ", "\u2013"]), st.booleans())
def test_a_long_code_is_read_however_it_was_pasted(seed: bytes, dash: str, upper: bool) -> None:
    code = new_long_code(lambda _: seed)
    assert len(code.secret) == 26
    text = f" {str(code).replace('-', dash)}\n"
    assert parse_code(text.upper() if upper else text) == code
    assert code.long
    assert code.secret not in repr(code)


@given(st.binary(min_size=16, max_size=16), st.lists(st.sampled_from(["10.0.0.1", "fd00::1"]), max_size=2))
def test_a_link_says_who_and_where(seed: bytes, hosts: list[str]) -> None:
    code = new_long_code(lambda _: seed)
    full = msgspec.structs.replace(
        code, device="abcdefghijklmn23", endpoints=tuple(Endpoint(host, 4242) for host in hosts)
    )
    assert parse_code(full.link()) == full
    assert parse_code(f"  {full.link()} ") == full


@pytest.mark.parametrize(
    "text",
    [
        "lan-agent://pair?",
        "lan-agent://pair?s=",
        "lan-agent://pair?id=../../etc&s=" + "a" * 26,
        "lan-agent://pair?id=abc&s=" + "a" * 26,
        "lan-agent://elsewhere?s=" + "a" * 26,
        "https://pair?s=" + "a" * 26,
        "a" * 25,
        "a" * 25 + "b",  # its last two bits carry nothing, and must be zero
        "a" * 25 + "1",
        "a" * 100_000,
    ],
)
def test_a_damaged_long_code_or_link_is_refused(text: str) -> None:
    with pytest.raises(BadParams, match="eight digits"):
        parse_code(text)


@given(st.text(max_size=600) | st.text("abz27=&?:/[]%-lan-agent://pair", max_size=120).map("lan-agent://pair?".__add__))
def test_no_text_does_more_than_fail_to_be_a_code(text: str) -> None:
    try:
        code = parse_code(text)
    except BadParams:
        return
    assert len(code.secret) in {6, 26}
    assert len(code.endpoints) <= 8


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("192.168.1.7", "is not HOST:PORT"),
        ("den.local:0", "is not HOST:PORT"),
        ("fd00::7:41234", "is not HOST:PORT"),  # where the address ends nobody can tell
        ("[fe80::1]:41234", "fe80::1 is link-local"),
        ("[FE8A::1]:41234", "FE8A::1 is link-local"),
    ],
)
def test_an_address_that_leads_nowhere_for_sure_is_refused_with_the_form_that_does(typed: str, told: str) -> None:
    with pytest.raises(BadParams, match=re.escape(told)) as refused:
        given_address(typed)
    assert "]:41234" in refused.value.hint


@pytest.mark.parametrize("typed", ["den.local:41234", "[fe80::1%eth0]:41234", "[::1]:41234", "10.0.0.7:41234"])
def test_an_address_with_all_that_it_needs_is_taken(typed: str) -> None:
    assert address(given_address(typed)) == typed
