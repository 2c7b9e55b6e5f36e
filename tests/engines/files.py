"""Files of a folder that programs are working in."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def contents(root: Path, *, but: str = "") -> Iterator[tuple[Path, bytes]]:
    """Every regular file below `root` with its content, without folders named `but`. What goes away meanwhile
    (temporary files, segments that were merged) is left out."""
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != but]
        for path in (Path(folder, name) for name in names):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() and not path.is_symlink():
                    yield path, path.read_bytes()
