"""How this command is called from the shell that runs it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

NAME = "kokiris"


def program() -> str:
    """`kokiris` where the PATH leads to this very command; else its path, from the working folder if it lies below."""
    own = Path(sys.argv[0]).absolute()
    found = shutil.which(NAME)
    if found is not None and Path(found).absolute() == own:
        return NAME
    here = Path.cwd()
    return str(own.relative_to(here)) if own.is_relative_to(here) else str(own)
