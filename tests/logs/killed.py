"""The folder of an index as a kill -9 would leave it now."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path


def copy_as_killed(folder: Path, copy: Path) -> None:
    """While nothing can be committed: what goes away as it is copied is a temporary file, which no start reads."""

    def one(source: str, target: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(source, target)

    shutil.copytree(folder, copy, copy_function=one)
