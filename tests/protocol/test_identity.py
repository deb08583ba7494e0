from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.identity import BadCertificate, check_profile, device_id, fingerprint, make_certificate, public_key

KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


def minted(*, ca: bool = False, subject: str | None = None, name: str | None = None) -> bytes:
    """A certificate of KEY that differs from the profile in what is said."""
    own = x509.load_der_x509_certificate(make_certificate(KEY))
    common = own.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name or str(common))]))
        .issuer_name(own.issuer)
        .public_key(KEY.public_key())
        .serial_number(own.serial_number)
        .not_valid_before(own.not_valid_before_utc)
        .not_valid_after(own.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if subject:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
    return builder.sign(KEY, None).public_bytes(Encoding.DER)


def test_the_certificate_is_a_pure_function_of_the_key() -> None:  # T1
    assert make_certificate(KEY) == make_certificate(KEY)
    assert make_certificate(KEY) != make_certificate(OTHER)
    assert minted() == make_certificate(KEY)  # so the variations below differ in one thing only


def test_a_certificate_says_nothing_but_its_key() -> None:  # T1
    cert = x509.load_der_x509_certificate(make_certificate(KEY))
    assert [attribute.oid for attribute in cert.subject] == [NameOID.COMMON_NAME]
    assert [extension.oid.dotted_string for extension in cert.extensions] == ["2.5.29.19"]
    assert not cert.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert cert.not_valid_before_utc == datetime(1970, 1, 1, tzinfo=UTC)
    assert cert.not_valid_after_utc == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    common = str(cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
    assert common.startswith("lan-agent ")
    assert len(common) <= 64


def test_the_device_id_is_80_bits_of_the_fingerprint() -> None:  # T1
    der = make_certificate(KEY)
    assert fingerprint(der) == hashlib.sha256(der).digest()
    assert len(device_id(der)) == 16
    assert device_id(der) == device_id(der).lower()
    assert device_id(der) != device_id(make_certificate(OTHER))


@given(st.binary(min_size=32, max_size=32))
def test_the_certificate_of_every_key_passes_and_has_one_length(seed: bytes) -> None:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    der = make_certificate(key)
    check_profile(der)
    assert len(der) == len(make_certificate(KEY))
    assert public_key(der).public_bytes_raw() == key.public_key().public_bytes_raw()


def test_every_single_flipped_bit_is_refused() -> None:
    der = make_certificate(KEY)
    for position in range(len(der) * 8):
        flipped = bytearray(der)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises(BadCertificate):
            check_profile(bytes(flipped))


@pytest.mark.parametrize(
    "der",
    [
        minted(ca=True),
        minted(subject="den.local"),
        minted(name="lan-agent"),
        make_certificate(KEY) + b"\0",
        make_certificate(KEY)[:-1],
        b"",
    ],
    ids=["may mint", "names a host", "common name", "longer", "shorter", "empty"],
)
def test_no_other_certificate_of_a_key_is_accepted(der: bytes) -> None:
    with pytest.raises(BadCertificate):
        check_profile(der)


def test_another_key_type_is_refused() -> None:  # CVE-2026-0073: a comparison that failed for another type
    key = ec.generate_private_key(ec.SECP256R1())
    own = x509.load_der_x509_certificate(make_certificate(KEY))
    der = (
        x509.CertificateBuilder()
        .subject_name(own.subject)
        .issuer_name(own.issuer)
        .public_key(key.public_key())
        .serial_number(own.serial_number)
        .not_valid_before(own.not_valid_before_utc)
        .not_valid_after(own.not_valid_after_utc)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    with pytest.raises(BadCertificate):
        check_profile(der)


def test_a_certificate_signed_by_another_key_is_refused() -> None:
    theirs, ours = make_certificate(OTHER), make_certificate(KEY)
    with pytest.raises(BadCertificate):
        check_profile(ours[:-64] + theirs[-64:])


@given(st.binary(max_size=400))
def test_no_bytes_do_more_than_be_refused(der: bytes) -> None:
    with pytest.raises(BadCertificate):
        check_profile(der)
