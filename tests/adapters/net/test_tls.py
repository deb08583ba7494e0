from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from agent.adapters.net.tls import (
    client_context,
    limit_buffers,
    pairing_client_context,
    pairing_server_context,
    peer_certificate,
    server_context,
)
from agent.errors import StateError
from agent.protocol.identity import Identity
from tests.adapters.net.connections import device


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends of a connection in memory. Raises: ssl.SSLError, on whichever side refuses."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    there = server.wrap_bio(to_server, to_client, server_side=True)
    here = client.wrap_bio(to_client, to_server)
    done = {here: False, there: False}
    for _ in range(10):
        for side in (here, there):
            if not done[side]:
                try:
                    side.do_handshake()
                    done[side] = True
                except ssl.SSLWantReadError:
                    continue
    assert all(done.values())
    return there, here


def write_pem(path: Path, key: Ed25519PrivateKey, *certificates: x509.Certificate) -> str:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + b"".join(each.public_bytes(Encoding.PEM) for each in certificates))
    return str(path)


def certify(key: Ed25519PrivateKey, name: str, issuer: str, signer: Ed25519PrivateKey, *, ca: bool) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(datetime(1970, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(9999, 12, 31, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(signer, None)
    )


def test_two_devices_that_trust_each_other_meet_over_tls_1_3(tmp_path: Path) -> None:  # T2
    den, lab = device(tmp_path, 1), device(tmp_path, 2)
    there, here = handshake(server_context(den, [lab.certificate]), client_context(lab, den.certificate))
    assert there.version() == here.version() == "TLSv1.3"
    assert there.getpeercert(binary_form=True) == lab.certificate
    assert here.getpeercert(binary_form=True) == den.certificate


def test_the_certificate_passes_the_strictest_check_of_the_library(tmp_path: Path) -> None:
    den, lab = device(tmp_path, 1), device(tmp_path, 2)
    server, client = server_context(den, [lab.certificate]), client_context(lab, den.certificate)
    for context in (server, client):
        context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    handshake(server, client)


def test_among_fifty_trusted_devices_each_is_found(tmp_path: Path) -> None:
    den = device(tmp_path, 100)
    others = [device(tmp_path, number) for number in range(1, 51)]
    server = server_context(den, [other.certificate for other in others])
    for other in (others[0], others[25], others[49]):
        there, _ = handshake(server, client_context(other, den.certificate))
        assert there.getpeercert(binary_form=True) == other.certificate


@pytest.mark.parametrize("trusted", [(), (3,)], ids=["nobody", "somebody else"])
def test_a_server_refuses_a_device_that_it_does_not_trust(tmp_path: Path, trusted: tuple[int, ...]) -> None:
    den, stranger = device(tmp_path, 1), device(tmp_path, 2)
    server = server_context(den, [device(tmp_path, number).certificate for number in trusted])
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        handshake(server, client_context(stranger, den.certificate))


def test_a_server_refuses_a_client_without_a_certificate(tmp_path: Path) -> None:
    den, lab = device(tmp_path, 1), device(tmp_path, 2)
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        handshake(server_context(den, [lab.certificate]), pairing_client_context())


def test_a_client_refuses_another_device_at_the_address(tmp_path: Path) -> None:
    den, lab, spoofer = (device(tmp_path, number) for number in (1, 2, 3))
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        handshake(server_context(spoofer, [lab.certificate]), client_context(lab, den.certificate))


def test_a_trusted_device_cannot_vouch_for_another(tmp_path: Path) -> None:
    den, lab = device(tmp_path, 1), device(tmp_path, 2)
    own = x509.load_der_x509_certificate(lab.certificate)
    name = str(own.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
    minted_key = Ed25519PrivateKey.generate()
    minted = certify(minted_key, "minted", name, lab.key, ca=False)
    pem = write_pem(tmp_path / "minted.pem", minted_key, minted, own)
    thief = Identity(key=minted_key, certificate=b"", pem_path=pem)
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        handshake(server_context(den, [lab.certificate]), client_context(thief, den.certificate))


def test_older_tls_is_refused(tmp_path: Path) -> None:
    den, lab = device(tmp_path, 1), device(tmp_path, 2)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.load_cert_chain(lab.pem_path)
    for server in (server_context(den, [lab.certificate]), pairing_server_context(den)):
        with pytest.raises(ssl.SSLError, match=r"PROTOCOL|VERSION"):
            handshake(server, old)


@pytest.mark.parametrize(("tickets", "resumable"), [(None, False), (2, True)], ids=["as made", "with tickets"])
def test_no_session_can_be_resumed(tmp_path: Path, tickets: int | None, *, resumable: bool) -> None:
    # A ticket would outlive a revocation: TLS checks no certificate on resumption.
    den, lab = device(tmp_path, 1), device(tmp_path, 2)
    server, client = server_context(den, [lab.certificate]), client_context(lab, den.certificate)
    if tickets is not None:
        server.num_tickets = tickets  # shows that this test would see one
    there, here = handshake(server, client)
    there.write(b"hello")
    assert here.read(5) == b"hello"  # takes in the tickets that came before it
    assert here.session is not None
    assert here.session.has_ticket == resumable


def test_pairing_shows_the_host_and_asks_nothing_of_the_joiner(tmp_path: Path) -> None:  # T3
    den = device(tmp_path, 1)
    there, here = handshake(pairing_server_context(den), pairing_client_context())
    assert here.getpeercert(binary_form=True) == den.certificate
    assert there.getpeercert(binary_form=True) is None


def test_a_key_file_that_is_gone_is_named(tmp_path: Path) -> None:
    den = device(tmp_path, 1)
    Path(den.pem_path).unlink()
    with pytest.raises(StateError, match=r"identity\.pem"):
        server_context(den, [])


def test_no_certificate_without_tls() -> None:
    assert peer_certificate(None) is None
    assert peer_certificate(asyncio.Transport()) is None


def test_buffers_are_limited_once_for_the_process() -> None:
    limit_buffers()
    limit_buffers()
    assert getattr(asyncio.sslproto.SSLProtocol, "max_size", 65_536) == 65_536
