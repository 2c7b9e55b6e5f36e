"""Files of the registry below a node's data folder, and the configuration of CNCF Distribution."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from kokiris.infra.config import Config, Layout
from kokiris.kernel.files import write_atomic, write_secret
from kokiris.registry.sharing import read_share
from kokiris.registry.signing import SigningKeys

CERTIFICATE_FOLDER = Path("/etc/docker/certs.d")
"""Where every Docker Engine looks for authorities, per registry; it reads them at each connection."""

USER_ID = GROUP_ID = 990
"""Distribution's in its image (`platform/images/registry`)."""

PORT = 5000
"""Distribution's, inside its container."""


class RegistryLayout:
    """Everything below the add-on's folder, `<data>/addons/registry`."""

    def __init__(self, layout: Layout) -> None:
        self.root = layout.addons / "registry"
        self.keys = self.root / "keys"
        """Signing keys; 0700, never mounted anywhere."""
        self.config = self.root / "config"
        """config.yml and bundle.pem: mounted read-only into the registry's container."""
        self.storage = self.root / "blobs"
        """Blobs and repositories: mounted into the container; read and swept by the server."""


def issuer(config: Config) -> str:
    """The `iss` of access tokens."""
    return f"kokiris registry of {config.client}"


def distribution_config(
    *, realm: str, service: str, token_issuer: str, http_secret: str, address: str, storage: str, bundle: str
) -> str:
    """Distribution's configuration file.

    No cache of blob descriptors: with one, a blob that was collected would still be announced, its upload skipped, and
    every pull broken. Uploads that were never finished are purged by `registry gc`, not by a timer.
    """
    return f"""version: 0.1
log:
  level: info
  formatter: text
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: {storage}
    maxthreads: 100
  delete:
    enabled: true
  redirect:
    disable: true
  maintenance:
    uploadpurging:
      enabled: false
http:
  addr: {address}
  relativeurls: true
  secret: {http_secret}
  headers:
    X-Content-Type-Options: [nosniff]
auth:
  token:
    realm: {realm}
    service: {service}
    issuer: {token_issuer}
    rootcertbundle: {bundle}
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
"""


def prepare(config: Config, layout: Layout) -> RegistryLayout:
    """Signing key, certificates and configuration, made where missing: before the registry's job starts. Idempotent.

    The configuration file holds the secret that ties an upload's requests together, so that uploads survive a restart
    of the registry: readable by root and the registry's group only.
    """
    files = RegistryLayout(layout)
    for folder, mode in ((files.root, 0o711), (files.storage, 0o750), (files.config, 0o750)):
        folder.mkdir(parents=True, exist_ok=True, mode=mode)
    keys = SigningKeys(files.keys)
    keys.ensure()
    secret_file = files.keys / "http-secret"
    if not secret_file.exists():
        write_secret(secret_file, secrets.token_hex(32).encode())
    service = config.registry_server
    text = distribution_config(
        realm=f"https://{service}/token",
        service=service,
        token_issuer=issuer(config),
        http_secret=secret_file.read_text(),
        address=f":{PORT}",
        storage="/var/lib/registry",
        bundle="/etc/registry/bundle.pem",
    )
    _write_for_registry(files.config / "config.yml", text.encode())
    _write_for_registry(files.config / "bundle.pem", keys.bundle())
    return files


def _write_for_registry(path: Path, data: bytes) -> None:
    if path.exists() and path.read_bytes() == data:
        return
    write_atomic(path, data, mode=0o640)
    if os.geteuid() == 0:
        os.chown(path, 0, GROUP_ID)


def trust_registry(config: Config, layout: Layout, folder: Path = CERTIFICATE_FOLDER) -> bool:
    """Lets this node's Docker Engine know the authority of the client's registry. Whether it was news."""
    authority = _authority(config, layout)
    target = folder / config.registry_server / "ca.crt"
    if target.exists() and target.read_bytes() == authority:
        return False
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    write_atomic(target, authority)
    if config.registry.server:
        _trust_mark(layout).touch()
    return True


def distrust_registry(config: Config, layout: Layout, folder: Path = CERTIFICATE_FOLDER) -> None:
    """Undoes `trust_registry`, unless the file is about another authority by now, or was there before: the infra that
    holds a shared registry may be on this node too."""
    target = folder / config.registry_server / "ca.crt"
    if config.registry.server and not _trust_mark(layout).exists():
        return
    try:
        ours = target.read_bytes() == _authority(config, layout)
    except FileNotFoundError:
        return
    if ours:
        target.unlink()
        with contextlib.suppress(OSError):
            target.parent.rmdir()


def _authority(config: Config, layout: Layout) -> bytes:
    if config.registry.server:
        return read_share(layout.registry_share).Authority.encode()
    return (layout.tls / "ca.pem").read_bytes()


def _trust_mark(layout: Layout) -> Path:
    return layout.worker / "registry-trusted"
