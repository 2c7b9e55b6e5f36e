"""The functions of the job language."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from pathlib import Path

from kokiris.orchestrator.jobspec.evaluate import Function
from kokiris.orchestrator.jobspec.functions import (
    collections,
    dates,
    digests,
    encoding,
    files,
    formatting,
    network,
    numbers,
    strings,
)
from kokiris.orchestrator.jobspec.functions.lazy import LAZY
from kokiris.orchestrator.jobspec.values import Value, ValueProblem

__all__ = ["FUNCTIONS", "LAZY", "filesystem_functions"]


def _counted(function: Function) -> Function:
    """Refuses a wrong number of arguments by name instead of failing with a TypeError."""
    parameters = inspect.signature(function).parameters.values()
    required = sum(parameter.kind is parameter.POSITIONAL_OR_KEYWORD for parameter in parameters)
    more = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)

    @functools.wraps(function)
    def call(*arguments: Value) -> Value:
        if len(arguments) < required or (len(arguments) > required and not more):
            needed = f"at least {required}" if more else str(required)
            raise ValueProblem(f"{needed} arguments are needed, found {len(arguments)}")
        return function(*arguments)

    return call


_MODULES = (numbers, strings, collections, formatting, encoding, digests, network, dates)

FUNCTIONS: dict[str, Function] = {
    name: _counted(function) for module in _MODULES for name, function in module.FUNCTIONS.items()
}
"""By name; those that read files are made by `filesystem_functions`."""


def filesystem_functions(base_dir: Path, allow: bool) -> Mapping[str, Function]:
    """The functions that read files, relative to `base_dir`; without `allow` they refuse by name."""
    return {name: _counted(function) for name, function in files.filesystem_functions(base_dir, allow).items()}
