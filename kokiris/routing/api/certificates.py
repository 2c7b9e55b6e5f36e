"""Certificates in the shape of Traefik's API, read from their files. Private keys are never shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

SOON = timedelta(days=5)
"""Certificates live 30 days and are renewed after 20: closer to its end than this, renewal does not work."""


def certificate(pem: bytes, now: datetime) -> dict[str, Any]:
    """One certificate. `name` is its SHA-256 fingerprint. Raises ValueError for what is not a certificate."""
    one = x509.load_pem_x509_certificate(pem[max(pem.find(b"-----BEGIN CERTIFICATE"), 0) :])
    try:
        sans = [str(name.value) for name in one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value]
    except x509.ExtensionNotFound:
        sans = []
    key = one.public_key()
    ends = one.not_valid_after_utc
    return {
        "name": one.fingerprint(hashes.SHA256()).hex(),
        "sans": sans,
        "notBefore": one.not_valid_before_utc.isoformat().replace("+00:00", "Z"),
        "notAfter": ends.isoformat().replace("+00:00", "Z"),
        "issuerOrg": _attribute(one.issuer, NameOID.ORGANIZATION_NAME),
        "issuerCN": _attribute(one.issuer, NameOID.COMMON_NAME),
        "keyType": "ECDSA" if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__.strip("_"),
        "keySize": key.key_size if isinstance(key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)) else 0,
        "status": "expired" if ends <= now else "warning" if ends - now < SOON else "enabled",
        "provider": "kokiris",
    }


class CertificateShapes:
    """Reads each file once, until it changes."""

    def __init__(self) -> None:
        self._read: dict[Path, tuple[int, dict[str, Any]]] = {}

    def of(self, paths: list[Path]) -> list[dict[str, Any]]:
        """Shapes of the certificates in these files; one that cannot be read is left out."""
        shapes = []
        for path in paths:
            try:
                changed_ns = path.stat().st_mtime_ns
                known = self._read.get(path)
                if known is None or known[0] != changed_ns:
                    known = (changed_ns, certificate(path.read_bytes(), datetime.now(UTC)))
                    self._read[path] = known
            except (OSError, ValueError):
                continue
            shapes.append(known[1])
        return shapes


def _attribute(name: x509.Name, oid: x509.ObjectIdentifier) -> str:
    return next((str(one.value) for one in name.get_attributes_for_oid(oid)), "")
