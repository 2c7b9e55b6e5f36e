"""The hosts file's block of an infra: the names of its platform, between two marks. Pure text in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kokiris.kernel.names import InfraName


def with_block(text: str, infra: InfraName, address: str, names: Sequence[str]) -> str:
    """`text` with this infra's block set to `names` (an older block is replaced). Idempotent."""
    begin, end = _marks(infra)
    block = "\n".join([begin, *(f"{address} {name}" for name in names), end])
    rest = without_block(text, infra)
    return f"{rest.rstrip(chr(10))}\n{block}\n" if rest.strip() else f"{block}\n"


def without_block(text: str, infra: InfraName) -> str:
    """`text` without this infra's block; everything else is untouched."""
    begin, end = _marks(infra)
    kept: list[str] = []
    inside = False
    for line in text.splitlines():
        if line.strip() == begin:
            inside = True
        elif inside and line.strip() == end:
            inside = False
        elif not inside:
            kept.append(line)
    return "\n".join(kept) + "\n" if kept else ""


def rewrite(path: Path, text: str) -> bool:
    """Writes in place, keeping the file itself (in containers it is often a bind mount). False: it was so already."""
    if path.exists() and path.read_text() == text:
        return False
    path.write_text(text)
    return True


def _marks(infra: InfraName) -> tuple[str, str]:
    return f"# kokiris {infra} begin", f"# kokiris {infra} end"
