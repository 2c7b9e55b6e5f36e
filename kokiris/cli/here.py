"""Which infra of this node is meant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from kokiris.cli.flags import value
from kokiris.kernel.errors import BadInput, NotFound
from kokiris.kernel.names import parse_infra

BASE = Path("/var/lib/kokiris")

F = TypeVar("F", bound=Callable[..., Any])


def infra_options(command: F) -> F:
    """-client, -infra, -data-dir: needed only when several infras live on this node."""
    command = value("data-dir", "The infra's data folder.", metavar="DIR")(command)
    command = value("infra", "Kind and number of the infra.")(command)
    return value("client", "The infra's client.")(command)


def find_infra(client: str, infra: str, data_dir: str, *, must_exist: bool = True, base: Path = BASE) -> Path:
    """The data folder meant. Raises NotFound when there is none, BadInput when it is not clear which."""
    if data_dir:
        folder = Path(data_dir).resolve()
        return _existing(folder) if must_exist else folder
    if client and infra:
        parse_infra(client, infra)
        folder = base / client / infra
        return _existing(folder) if must_exist else folder
    there = found = sorted(path.parent for path in base.glob("*/*/config.toml"))
    if client or infra:
        found = [
            path for path in found if (client or path.parent.name, infra or path.name) == (path.parent.name, path.name)
        ]
    if len(found) == 1:
        return found[0]
    if there and not found:
        raise NotFound(
            f"no infra {client or '…'}/{infra or '…'} on this node; here are: {_names(there)}",
            next_step="Name one of these with -client and -infra, or bring yours up with `kokiris up`.",
        )
    if not found:
        raise NotFound(f"no infra on this node (looked in {base})", next_step="Run `kokiris up` first.")
    raise BadInput(f"several infras on this node: {_names(found)}", next_step="Say which: -client CLIENT -infra INFRA.")


def _names(folders: Sequence[Path]) -> str:
    return ", ".join(f"{folder.parent.name}/{folder.name}" for folder in folders)


def _existing(folder: Path) -> Path:
    if not (folder / "config.toml").exists():
        raise NotFound(f"no infra in {folder}", next_step="Run `kokiris up` first, or give its -data-dir.")
    return folder
