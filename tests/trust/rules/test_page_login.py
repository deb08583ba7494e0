"""trust.rules.page_login: tickets, codes, logins and signatures, as a function of the time (T8)."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.errors import BadParams, Forbidden
from agent.trust.rules.page_login import (
    CODE_TRIES,
    LOGIN_FOR,
    LOGINS_MAX,
    TICKET_FOR,
    TICKETS_MAX,
    Given,
    Logins,
    check_key,
    is_label,
    normal,
    signed,
    spelled,
    ticket_document,
    verifies,
    words_of_page,
    words_of_service,
)

HERE, NOW = "http://abcdefghijkm.localhost:7480", 1_800_000_000.0
KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def given(number: int = 0) -> Given:
    return Given(cookie=f"cookie{number}", enrol=f"enrol{number}", resume=f"resume{number}")


def logged_in(logins: Logins, number: int = 0, now: float = NOW) -> None:
    logins.offer_ticket(f"ticket{number}", now)
    logins.redeem_ticket(f"ticket{number}", HERE, given(number), now)


def test_a_ticket_is_good_once_and_until_its_time_is_over() -> None:
    logins = Logins("run")
    logged_in(logins)
    for ticket in ("ticket0", "never", ""):
        with pytest.raises(Forbidden, match="used, or is too old"):
            logins.redeem_ticket(ticket, HERE, given(), NOW)
    logins.offer_ticket("late", NOW)
    with pytest.raises(Forbidden):
        logins.redeem_ticket("late", HERE, given(), NOW + TICKET_FOR)


def test_a_code_takes_three_tries_and_the_next_one_voids_it() -> None:
    logins = Logins("run")
    logins.offer_code("abcd-2345", NOW)
    logins.offer_code("wxyz-2345", NOW)
    with pytest.raises(Forbidden):
        logins.redeem_code("abcd2345", HERE, given(), NOW)
    assert logins.redeem_code("WXYZ 2345", HERE, given(), NOW).origin == HERE
    logins.offer_code("abcd-2345", NOW)
    for _ in range(CODE_TRIES):
        with pytest.raises(Forbidden):
            logins.redeem_code("wrong", HERE, given(), NOW)
    with pytest.raises(Forbidden, match="not the code"):
        logins.redeem_code("abcd-2345", HERE, given(), NOW)


def test_a_code_is_no_ticket_and_a_ticket_no_code() -> None:
    logins = Logins("run")
    logins.offer_code("abcd2345", NOW)
    logins.offer_ticket("ticket", NOW)
    with pytest.raises(Forbidden):
        logins.redeem_ticket("abcd2345", HERE, given(), NOW)
    with pytest.raises(Forbidden):
        logins.redeem_code("ticket", HERE, given(), NOW)


def test_t11_tickets_and_logins_are_bounded_and_the_oldest_leaves() -> None:
    logins = Logins("run")
    for number in range(TICKETS_MAX + 1):
        logins.offer_ticket(f"ticket{number}", NOW)
    with pytest.raises(Forbidden):
        logins.redeem_ticket("ticket0", HERE, given(), NOW)
    for number in range(LOGINS_MAX + 1):
        logged_in(logins, number)
    assert len(logins.logins) == LOGINS_MAX
    assert logins.find("cookie0", HERE, NOW) is None
    assert logins.find(f"cookie{LOGINS_MAX}", HERE, NOW) is not None


def test_what_is_kept_of_a_login_does_not_open_it() -> None:
    logins = Logins("run")
    logged_in(logins)
    (login,) = logins.logins
    assert logins.find(login.cookie, HERE, NOW) is None
    assert "cookie0" not in repr(login)
    assert "enrol0" not in repr(login)


def test_a_login_is_for_its_origin_and_its_twelve_hours() -> None:
    logins = Logins("run")
    logged_in(logins)
    assert logins.find("cookie0", HERE, NOW + LOGIN_FOR - 1) is not None
    assert logins.find("cookie0", "http://127.0.0.1:7480", NOW) is None
    assert logins.find("cookie0", HERE, NOW + LOGIN_FOR) is None
    assert logins.logins == ()


def test_a_key_is_named_once_by_who_was_let_in_and_is_of_p_256() -> None:
    logins = Logins("run")
    logged_in(logins)
    ed = ed25519.Ed25519PrivateKey.generate().public_key()
    wrong = ed.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for key in (b"", b"\0" * 91, wrong):
        with pytest.raises(BadParams):
            check_key(key)
        with pytest.raises(BadParams):
            logins.enrol("cookie0", "enrol0", key, HERE, NOW)
    for cookie, token in (("cookie0", "x"), ("x", "enrol0")):
        with pytest.raises(Forbidden):
            logins.enrol(cookie, token, PUBLIC, HERE, NOW)
    assert logins.enrol("cookie0", "enrol0", PUBLIC, HERE, NOW).key == PUBLIC
    for token in ("enrol0", ""):
        with pytest.raises(Forbidden):
            logins.enrol("cookie0", token, PUBLIC, HERE, NOW)


def test_after_a_restart_the_word_of_a_living_document_is_needed_beside_the_key() -> None:
    logins = Logins("one")
    logged_in(logins)
    login = logins.enrol("cookie0", "enrol0", PUBLIC, HERE, NOW)
    words = words_of_page(HERE, "p", "s")
    proof = signed(KEY, words)
    assert logins.proves(login, proof, words, "")
    again = Logins("two", logins.logins)
    assert [again.proves(login, proof, words, resume) for resume in ("", "resume", "resume0")] == [False, False, True]
    assert not again.proves(login, signed(ec.generate_private_key(ec.SECP256R1()), words), words, "resume0")


def test_a_signature_is_for_one_side_one_origin_and_two_numbers() -> None:
    proof = signed(KEY, words_of_page(HERE, "p", "s"))
    assert verifies(PUBLIC, proof, words_of_page(HERE, "p", "s"))
    for words in (
        words_of_service(HERE, "p", "s"),
        words_of_page(f"{HERE}0", "p", "s"),
        words_of_page(HERE, "q", "s"),
        words_of_page(HERE, "p", "t"),
    ):
        assert not verifies(PUBLIC, proof, words)
    for broken in (b"", proof[:-1], bytes(64), b"\xff" * 64):
        assert not verifies(PUBLIC, broken, words_of_page(HERE, "p", "s"))


def test_ending_all_leaves_no_login_ticket_or_code() -> None:
    logins = Logins("run")
    logged_in(logins)
    logins.offer_ticket("ticket", NOW)
    logins.offer_code("abcd2345", NOW)
    assert len(logins.end()) == 1
    assert logins.find("cookie0", HERE, NOW) is None
    with pytest.raises(Forbidden):
        logins.redeem_ticket("ticket", HERE, given(), NOW)
    with pytest.raises(Forbidden):
        logins.redeem_code("abcd2345", HERE, given(), NOW)


def test_labels_and_codes_are_spelled_with_nothing_that_is_taken_for_another_character() -> None:
    label = spelled(bytes(range(12)))
    assert is_label(label)
    assert not any(is_label(text) for text in ("", label[:-1], label + "a", "localhost", "lllllllllll0"))
    assert normal(f" {label[:4].upper()}-{label[4:8]} ") == label[:8]
    assert len({spelled(bytes([number])) for number in range(256)}) == 32


def test_the_document_of_a_ticket_posts_it_and_has_it_in_no_address() -> None:
    document = ticket_document(HERE, "secret")
    assert f'action="{HERE}/login"' in document
    assert document.count("secret") == 1
    assert 'method="post"' in document
