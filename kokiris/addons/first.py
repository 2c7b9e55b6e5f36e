"""The add-ons that need little beside their job."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence

from kokiris.access.bootstrap import door_address
from kokiris.addons.model import AddOn, Folder, Site
from kokiris.kernel.files import write_secret
from kokiris.kernel.names import Addresses


def _pma(addresses: Addresses) -> str:
    return addresses.pma


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


def _databases_users(site: Site) -> Sequence[str]:
    """Whether MariaDB answers or not: which job names which database is the servers' to know."""
    return sorted(
        f"{namespace}/{job} (database {name})"
        for one in site.api.get("/v1/databases").data
        for namespace, name in ((one["Database"]["Namespace"], one["Database"]["Name"]),)
        for job in one["Jobs"]
    )


MARIADB = AddOn(
    name="mariadb",
    title="MariaDB",
    images={"image": "mariadb"},
    folders=(Folder("data", 991, 991, 0o750), Folder("secrets", 0, 991, 0o750)),
    prepare=_mariadb_secrets,
    used_by=_databases_users,
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
