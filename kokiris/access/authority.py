"""The infra's certificate authority: keys, certificates, when to renew. No files, no clock: bytes and times in and out.

Elliptic P-256 throughout. Leaf certificates live 30 days and are renewed after two thirds of that, so that a stolen key
is worth little and renewal is exercised all the time.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kokiris.kernel.errors import BadInput

CA_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=30)
BACKDATE = timedelta(minutes=5)
"""Nodes' clocks differ a little; a certificate must be valid everywhere the moment it is made."""

MAX_NAMES = 100
_DNS_NAME = re.compile(
    r"(?=.{1,253}$)(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?)*"
)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """PEM texts. `key_pem` is a secret: files holding it are 0600."""

    key_pem: bytes
    certificate_pem: bytes


def new_authority(common_name: str, now: datetime) -> KeyPair:
    """A self-signed authority, valid for ten years."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signing_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(_key_pem(key), certificate.public_bytes(serialization.Encoding.PEM))


def new_key_and_request(names: Sequence[str]) -> tuple[bytes, bytes]:
    """(private key PEM, certificate request PEM) for `names`; the key never leaves the node that made it."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(_subject(names[0]))
        .add_extension(x509.SubjectAlternativeName(_general_names(names)), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _key_pem(key), request.public_bytes(serialization.Encoding.PEM)


def issue(authority: KeyPair, request_pem: bytes, names: Sequence[str], now: datetime) -> bytes:
    """A certificate (PEM, followed by the authority's) over the request's key, for exactly `names`.

    Usable as server and client. Raises BadInput for a request that is not one, is not signed by its own key, or for a
    name that no certificate may carry.
    """
    general_names = _general_names(names)
    try:
        request = x509.load_pem_x509_csr(request_pem)
    except ValueError as error:
        raise BadInput(f"certificate request is not a PEM request: {error}") from error
    public_key = request.public_key()
    if not isinstance(public_key, ec.EllipticCurvePublicKey):
        raise BadInput("certificate request: only elliptic-curve keys are signed", next_step="Make a P-256 key.")
    try:
        public_key.verify(request.signature, request.tbs_certrequest_bytes, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise BadInput("certificate request is not signed by its own key") from error
    ca_key = serialization.load_pem_private_key(authority.key_pem, None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)  # noqa: S101 - made by new_authority
    ca = x509.load_pem_x509_certificate(authority.certificate_pem)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_subject(names[0]))
        .issuer_name(ca.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(min(now + LEAF_LIFE, ca.not_valid_after_utc))
        .add_extension(x509.SubjectAlternativeName(general_names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signing_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + authority.certificate_pem


def expires(certificate_pem: bytes) -> datetime:
    """When the first certificate of a PEM text ends."""
    return x509.load_pem_x509_certificate(certificate_pem).not_valid_after_utc


def due(certificate_pem: bytes, now: datetime, names: Sequence[str] = ()) -> bool:
    """Whether it is time to renew: two thirds of its life are over, or it lacks one of `names`."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now >= start + (end - start) * 2 / 3:
        return True
    carried = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    have = {str(name.value) for name in carried}
    return any(name not in have for name in names)


def utc_now() -> datetime:
    """The clock of the shells around this module."""
    return datetime.now(UTC)


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _general_names(names: Sequence[str]) -> list[x509.GeneralName]:
    if not 1 <= len(names) <= MAX_NAMES:
        raise BadInput(f"a certificate carries 1 to {MAX_NAMES} names, not {len(names)}")
    return [_general_name(name) for name in names]


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    if not _DNS_NAME.fullmatch(name):
        raise BadInput(f'certificate name "{name[:100]}" is not a DNS name or an address')
    return x509.DNSName(name)


def _key_usage(*, signing_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signing_certificates,
        crl_sign=signing_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
