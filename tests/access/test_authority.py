"""The infra's authority, checked by the ssl module and by openssl's own rules."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from kokiris.access.authority import LEAF_LIFE, KeyPair, due, expires, issue, new_authority, new_key_and_request
from kokiris.kernel.errors import BadInput

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def leaf(authority: KeyPair, names: list[str], now: datetime = NOW) -> tuple[bytes, bytes]:
    key_pem, request_pem = new_key_and_request(names)
    return key_pem, issue(authority, request_pem, names, now)


def test_a_leaf_is_accepted_by_a_real_handshake_under_its_names_only(tmp_path: Path) -> None:
    authority = new_authority("kokiris demo/rec1", datetime.now(UTC))
    key_pem, certificate_pem = leaf(authority, ["nomad.rec1.demo.example", "127.0.0.1"], datetime.now(UTC))
    (tmp_path / "key").write_bytes(key_pem)
    (tmp_path / "cert").write_bytes(certificate_pem)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    client_side = ssl.create_default_context(cadata=authority.certificate_pem.decode())

    def handshake(name: str) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:

            def serve() -> None:
                with contextlib.suppress(OSError):
                    server_side.wrap_socket(theirs, server_side=True).close()

            server = threading.Thread(target=serve)
            server.start()
            try:
                client_side.wrap_socket(ours, server_hostname=name).close()
            finally:
                ours.close()
                server.join(10)

    handshake("nomad.rec1.demo.example")
    handshake("127.0.0.1")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake("consul.rec1.demo.example")


def test_renewal_is_due_after_two_thirds_or_when_a_name_is_missing() -> None:
    authority = new_authority("ca", NOW)
    _, certificate = leaf(authority, ["a.example"])
    assert expires(certificate) == NOW + LEAF_LIFE
    assert not due(certificate, NOW + timedelta(days=19), ["a.example"])
    assert due(certificate, NOW + timedelta(days=20, hours=1))
    assert due(certificate, NOW, ["a.example", "b.example"])


def test_a_leaf_never_outlives_its_authority() -> None:
    authority = new_authority("ca", NOW - timedelta(days=3640))
    _, certificate = leaf(authority, ["a.example"])
    assert expires(certificate) == NOW + timedelta(days=10)


@pytest.mark.parametrize("name", ["", "UPPER.example", "a b", "*.*.x", "a..b", "x" * 300, "evil\nname", "-a.b"])
def test_a_name_that_no_certificate_may_carry_is_refused(name: str) -> None:
    authority = new_authority("ca", NOW)
    _, request = new_key_and_request(["ok.example"])
    with pytest.raises(BadInput):
        issue(authority, request, [name], NOW)


@pytest.mark.parametrize("names", [[], ["a.example"] * 101])
def test_the_number_of_names_is_bounded(names: list[str]) -> None:
    _, request = new_key_and_request(["ok.example"])
    with pytest.raises(BadInput):
        issue(new_authority("ca", NOW), request, names, NOW)


def test_garbage_and_foreign_keys_are_refused() -> None:
    authority = new_authority("ca", NOW)
    with pytest.raises(BadInput, match="not a PEM request"):
        issue(authority, b"hello", ["a.example"], NOW)
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")])
    from cryptography.hazmat.primitives import hashes

    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(rsa_key, hashes.SHA256())
    with pytest.raises(BadInput, match="elliptic"):
        issue(authority, request.public_bytes(serialization.Encoding.PEM), ["a.example"], NOW)


def test_a_request_signed_by_another_key_is_refused() -> None:
    authority = new_authority("ca", NOW)
    _, request_pem = new_key_and_request(["a.example"])
    der = bytearray(x509.load_pem_x509_csr(request_pem).public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1  # the last byte belongs to the signature

    broken = (
        b"-----BEGIN CERTIFICATE REQUEST-----\n"
        + base64.encodebytes(bytes(der))
        + b"-----END CERTIFICATE REQUEST-----\n"
    )
    with pytest.raises(BadInput):
        issue(authority, broken, ["a.example"], NOW)
