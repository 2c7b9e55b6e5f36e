"""The add-ons there are. One line each; their packages are imported when they are asked for."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from kokiris.addons.model import AddOn
from kokiris.kernel.errors import BadInput

WHERE = {
    "registry": "kokiris.registry.addon:REGISTRY",
    "mariadb": "kokiris.addons.first:MARIADB",
    "phpmyadmin": "kokiris.addons.first:PHPMYADMIN",
}
"""Name → module and constant holding its `AddOn`. What an add-on requires stands before it."""


def add_on(name: str) -> AddOn:
    """The add-on of that name. Raises BadInput naming those there are."""
    where = WHERE.get(name)
    if where is None:
        raise BadInput(f'there is no add-on "{name}"', next_step=f"Add-ons are: {', '.join(WHERE)}.")
    module, _, constant = where.partition(":")
    found: AddOn = getattr(importlib.import_module(module), constant)
    return found


def all_add_ons() -> Sequence[AddOn]:
    """In the order in which they can be enabled."""
    return [add_on(name) for name in WHERE]
