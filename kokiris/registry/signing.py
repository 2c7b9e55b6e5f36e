"""Keys that sign access tokens: made here, known to the registry by a bundle of their certificates.

The registry reads the bundle only when it starts. To rotate: `add_key` (the bundle then holds two certificates),
restart the registry, `use_newest_key`, and `drop_old_keys` once the last token of the old key has run out.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from kokiris.kernel.errors import HostError, Unavailable
from kokiris.kernel.files import write_atomic, write_secret

CERTIFICATE_LIFE = timedelta(days=3650)
_COORDINATE_BYTES = 32


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An ES256 key. `kid` is libtrust's key id, by which the registry finds the certificate."""

    private: ec.EllipticCurvePrivateKey
    kid: str

    def sign(self, claims: object) -> str:
        """A compact JWT."""
        head = {"typ": "JWT", "alg": "ES256", "kid": self.kid}
        signed = f"{_b64(msgspec.json.encode(head))}.{_b64(msgspec.json.encode(claims))}"
        r, s = decode_dss_signature(self.private.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        raw = r.to_bytes(_COORDINATE_BYTES, "big") + s.to_bytes(_COORDINATE_BYTES, "big")
        return f"{signed}.{_b64(raw)}"


def key_id(public: ec.EllipticCurvePublicKey) -> str:
    """libtrust's: base32 of the first 240 bits of the SHA-256 of the public key's DER, in twelve groups of four."""
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    text = base64.b32encode(hashlib.sha256(der).digest()[:30]).decode()
    return ":".join(text[at : at + 4] for at in range(0, 48, 4))


class SigningKeys:
    """The keys in one folder: `<serial>.key` (0600) and `<serial>.pem`; `current` names the one that signs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._loaded: tuple[str, SigningKey] | None = None

    def ensure(self, now: datetime | None = None) -> bool:
        """Makes the first key unless there is one. Whether one was made."""
        if (self.folder / "current").exists():
            return False
        self.add_key(now)
        self.use_newest_key()
        return True

    def add_key(self, now: datetime | None = None) -> str:
        """A further key with its self-signed certificate; it signs nothing yet. Its serial."""
        now = now or datetime.now(UTC)
        serial = f"{len(self._serials()) and int(self._serials()[-1]) + 1:04d}"
        private = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"kokiris registry tokens {serial}")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + CERTIFICATE_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(private, hashes.SHA256())
        )
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_secret(self.folder / f"{serial}.key", pem)
        write_atomic(self.folder / f"{serial}.pem", certificate.public_bytes(serialization.Encoding.PEM))
        return serial

    def use_newest_key(self) -> None:
        """The newest key signs from now on, also in running servers."""
        write_atomic(self.folder / "current", self._serials()[-1].encode())

    def drop_old_keys(self) -> int:
        """Removes all keys but the one that signs. How many."""
        current = self._current()
        old = [serial for serial in self._serials() if serial != current]
        for serial in old:
            (self.folder / f"{serial}.key").unlink(missing_ok=True)
            (self.folder / f"{serial}.pem").unlink(missing_ok=True)
        return len(old)

    def bundle(self) -> bytes:
        """The certificates of all keys, for the registry."""
        return b"".join((self.folder / f"{serial}.pem").read_bytes() for serial in self._serials())

    def signer(self) -> SigningKey:
        """The key that signs now. Raises Unavailable when the registry has not been enabled."""
        current = self._current()
        if self._loaded is None or self._loaded[0] != current:
            try:
                private = serialization.load_pem_private_key((self.folder / f"{current}.key").read_bytes(), None)
            except (OSError, ValueError) as error:
                raise HostError(f"signing key {current} of the registry cannot be read: {error}") from error
            if not isinstance(private, ec.EllipticCurvePrivateKey):
                raise HostError(f"signing key {current} of the registry is not an elliptic-curve key")
            self._loaded = (current, SigningKey(private, key_id(private.public_key())))
        return self._loaded[1]

    def _current(self) -> str:
        try:
            return (self.folder / "current").read_text()
        except FileNotFoundError:
            raise Unavailable("the registry is not enabled", next_step="Run `kokiris addon enable registry`.") from None

    def _serials(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("*.key"))


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
