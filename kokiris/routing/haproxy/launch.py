"""What starting HAProxy needs: its command line, its configuration, and the files that must be there first.

HAProxy runs as master and worker: the master's pid stays the same over reloads, and listening sockets that were handed
to it by number stay open in it while workers come and go.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kokiris.infra.config import Config, Layout
from kokiris.kernel.files import write_atomic, write_secret
from kokiris.routing.haproxy.config import Listeners, StaticConfig, static_config
from kokiris.routing.haproxy.files import (
    ENTRY_POINTS,
    MAP_KINDS,
    SLOTS_PER_FILE,
    HaproxyFiles,
    certificate_list_text,
    slot_file_text,
)

FIRST_SLOTS = 2 * SLOTS_PER_FILE
"""The pool a new node starts with; the edge grows it."""


def listeners_at_addresses(config: Config) -> Listeners:
    """The entry points opened by HAProxy itself."""
    return Listeners(
        web=f"{config.vip_address}:{config.ports.http}", websecure=f"{config.vip_address}:{config.ports.https}"
    )


def listeners_on_fds(web: int, websecure: int) -> Listeners:
    """The entry points handed down: the numbers these sockets have in HAProxy's process."""
    return Listeners(web=f"fd@{web}", websecure=f"fd@{websecure}")


def initial_config(config: Config, layout: Layout, listeners: Listeners | None = None, *, threads: int = 0) -> str:
    """The text of `haproxy.cfg`. Without `listeners` HAProxy opens the entry points itself."""
    return static_config(
        StaticConfig(
            listeners=listeners or listeners_at_addresses(config),
            addresses=config.addresses,
            door_address="127.0.0.1" if config.bind_address in {"", "0.0.0.0", "::"} else config.bind_address,
            nomad_port=config.ports.nomad,
            consul_port=config.ports.consul,
            panel_port=config.ports.panel,
            registry_port=config.ports.registry,
            logs_port=config.ports.logs,
            http_port=config.ports.http,
            https_port=config.ports.https,
            threads=threads,
        ),
        HaproxyFiles.of(layout),
    )


def prepare(
    config: Config, layout: Layout, *, bind_fds: Sequence[int] = (), threads: int = 0, slots: int = FIRST_SLOTS
) -> None:
    """Writes `haproxy.cfg` anew, and whatever else HAProxy cannot start without, where it is missing.

    `bind_fds` are the numbers under which HAProxy inherits the sockets of web and websecure; without, it opens them
    itself. Slots, maps and certificates that the edge has written are left as they are, so that a restarted HAProxy
    serves what the last one served. `slots` is the size of a new pool.
    """
    files = HaproxyFiles.of(layout)
    listeners = listeners_on_fds(*bind_fds) if bind_fds else None
    files.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_secret(files.config, initial_config(config, layout, listeners, threads=threads).encode())
    if not list(files.slots.glob("*.cfg")):
        for first in range(0, slots, SLOTS_PER_FILE):
            _write(files.slot_file(first), slot_file_text(first, min(SLOTS_PER_FILE, slots - first), {}))
    for entry_point in ENTRY_POINTS:
        for kind in MAP_KINDS:
            _write(files.map(entry_point, kind), "")
    _write(files.gate, "")
    if not files.default_certificate.exists():
        write_secret(files.default_certificate, placeholder_certificate(config.addresses.vip))
    _write(files.certificate_list, certificate_list_text(files.default_certificate, {}))


def _write(path: Path, text: str) -> None:
    if not path.exists():
        write_atomic(path, text.encode(), mode=0o600)


def placeholder_certificate(name: str) -> bytes:
    """A self-signed key and certificate (PEM): HAProxy needs one before the infra's authority can be asked."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kokiris placeholder")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return key_pem + certificate.public_bytes(serialization.Encoding.PEM)
