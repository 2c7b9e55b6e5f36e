"""The functions of the job language."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kokiris.orchestrator.jobspec.evaluate import Function, LazyFunction

FUNCTIONS: dict[str, Function] = {}
LAZY: dict[str, LazyFunction] = {}


def filesystem_functions(base_dir: Path, allow: bool) -> Mapping[str, Function]:
    """Stub."""
    return {}
