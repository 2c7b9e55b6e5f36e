"""Reading the token files that `bootstrap` writes."""

from __future__ import annotations

from pathlib import Path


def parse_exports(file: Path) -> dict[str, str]:
    """The variables of a token file. Raises OSError."""
    found = {}
    for line in file.read_text().splitlines():
        name, _, text = line.removeprefix("export ").partition("=")
        found[name] = text.strip("'\"")
    return found
