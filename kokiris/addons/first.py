"""The add-ons as plain jobs, until a package of their own refines them (`kokiris.addons.registered`)."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping

from kokiris.access.bootstrap import door_address
from kokiris.addons.model import AddOn, Folder, Site
from kokiris.kernel.files import write_atomic, write_secret
from kokiris.kernel.names import Addresses


def _registry(addresses: Addresses) -> str:
    return addresses.registry


def _pma(addresses: Addresses) -> str:
    return addresses.pma


_CLOSED_REGISTRY = """version: 0.1
storage:
  filesystem:
    rootdirectory: /var/lib/registry
  delete:
    enabled: true
http:
  addr: 0.0.0.0:5000
  relativeurls: true
auth:
  htpasswd:
    realm: kokiris
    path: /var/lib/registry/htpasswd
"""
"""Nobody gets in: Distribution makes the password file itself, with a password that is shown to no one."""


def _registry_files(site: Site) -> None:
    path = site.data / "config" / "config.yml"
    if not path.exists():
        write_atomic(path, _CLOSED_REGISTRY.encode())


def _secret(site: Site, path: str, gid: int) -> None:
    """A random secret in a file below the add-on's folder, made once, readable by the group of the process."""
    target = site.data / path
    if not target.exists():
        partial = target.with_name(f".{target.name}")
        partial.unlink(missing_ok=True)
        partial.touch(mode=0o640)
        os.chown(partial, 0, gid)
        partial.write_text(secrets.token_hex(16))
        partial.rename(target)


def _mariadb_secrets(site: Site) -> None:
    _secret(site, "secrets/root", 991)
    options = site.data / "secrets" / "client.cnf"
    if not options.exists():
        password = (site.data / "secrets" / "root").read_text()
        write_secret(options, f"[client]\nuser=root\npassword={password}\nsocket=/run/mysqld/mysqld.sock\n".encode())
        os.chown(options, 0, 991)
        options.chmod(0o640)


def _phpmyadmin_variables(site: Site) -> Mapping[str, str]:
    return {"address": door_address(site.config, site.config.addresses.pma) + "/"}


REGISTRY = AddOn(
    name="registry",
    title="Docker registry",
    images={"image": "registry"},
    host=_registry,
    probe="/v2/",
    folders=(Folder("blobs", 990, 990, 0o750), Folder("config", 0, 990, 0o750)),
    prepare=_registry_files,
)

MARIADB = AddOn(
    name="mariadb",
    title="MariaDB",
    images={"image": "mariadb"},
    folders=(Folder("data", 991, 991, 0o750), Folder("secrets", 0, 991, 0o750)),
    prepare=_mariadb_secrets,
)

PHPMYADMIN = AddOn(
    name="phpmyadmin",
    title="phpMyAdmin",
    images={"image": "phpmyadmin"},
    host=_pma,
    requires=("mariadb",),
    folders=(Folder("sessions", 33, 33, 0o700), Folder("config", 0, 33, 0o750)),
    variables=_phpmyadmin_variables,
    prepare=lambda site: _secret(site, "config/blowfish", 33),
)
