"""Paths that clients name: only what lies in the allocation's folder, and no task's secrets, is ever opened."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from kokiris.kernel.errors import BadInput, Forbidden, NotFound

HIDDEN = ("secrets", "private")
"""Below each task's folder."""


def parts_of(path: str) -> list[str]:
    """The parts of a client's path below the allocation's folder. Pure. Raises BadInput for one that climbs out."""
    if "\0" in path:
        raise BadInput("Path contains a NUL byte")
    parts: list[str] = []
    for part in path.split("/"):
        if part in {"", "."}:
            continue
        if part == "..":
            if not parts:
                raise BadInput("Path escapes the alloc directory")
            parts.pop()
        else:
            parts.append(part)
    return parts


def refuse_secrets(parts: Sequence[str]) -> None:
    """Raises Forbidden for `<task>/secrets` and what lies below. Pure."""
    if len(parts) >= 2 and parts[0] != "alloc" and parts[1] in HIDDEN:
        raise Forbidden(
            f"Reading secret file prohibited: {'/'.join(parts)}",
            next_step="No token opens it from outside; inside the task it is there: `kokiris alloc exec`.",
        )


def resolve(root: Path, path: str) -> Path:
    """The real path. Raises NotFound, BadInput for one that leaves the folder (also by a symbolic link), Forbidden."""
    parts = parts_of(path)
    refuse_secrets(parts)
    real_root = root.resolve()
    real = real_root.joinpath(*parts).resolve()
    if not real.is_relative_to(real_root):
        raise BadInput("Path escapes the alloc directory")
    refuse_secrets(real.relative_to(real_root).parts)
    if not real.exists():
        raise NotFound(f"stat {path}: no such file or directory", next_step="`alloc fs` without a path lists files.")
    return real


def open_file(root: Path, path: str) -> int:
    """A descriptor for reading a regular file. Checked again after it is open: a task may swap a link in between."""
    real = resolve(root, path)
    if not real.is_file():
        raise BadInput(f"{path} is a directory" if real.is_dir() else f"{path} is not a regular file")
    descriptor = os.open(real, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    opened = Path(f"/proc/self/fd/{descriptor}").readlink()
    if not opened.is_relative_to(root.resolve()):
        os.close(descriptor)
        raise BadInput("Path escapes the alloc directory")
    return descriptor
