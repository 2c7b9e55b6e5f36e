"""The add-ons as plain jobs, until a package of their own refines them (`kokiris.addons.registered`)."""

from __future__ import annotations

from kokiris.addons.model import AddOn, Folder
from kokiris.kernel.names import Addresses


def _registry(addresses: Addresses) -> str:
    return addresses.registry


def _pma(addresses: Addresses) -> str:
    return addresses.pma


REGISTRY = AddOn(
    name="registry",
    title="Docker registry",
    images={"image": "registry"},
    host=_registry,
    probe="/v2/",
    folders=(Folder("blobs", 990, 990, 0o750),),
)

MARIADB = AddOn(
    name="mariadb",
    title="MariaDB",
    images={"image": "mariadb"},
    folders=(Folder("data", 991, 991, 0o750), Folder("secrets", 0, 991, 0o750)),
)

PHPMYADMIN = AddOn(
    name="phpmyadmin",
    title="phpMyAdmin",
    images={"image": "phpmyadmin"},
    host=_pma,
    requires=("mariadb",),
    folders=(Folder("sessions", 33, 33, 0o700), Folder("config", 0, 33, 0o750)),
)
