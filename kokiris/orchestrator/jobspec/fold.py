"""Raw job JSON with keys spelled as the model spells them, durations as integers, and empty the same as absent."""

from __future__ import annotations

import math
import types
import typing
from functools import cache
from typing import Any, Union, get_args, get_origin

import msgspec

from kokiris.kernel.errors import BadInput
from kokiris.kernel.units import parse_duration_ns
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.policy import (
    DisconnectStrategy,
    MigrateStrategy,
    ReschedulePolicySpec,
    RestartPolicySpec,
    UpdateStrategy,
)
from kokiris.orchestrator.model.service import CheckRestartSpec, ServiceCheck, WorkloadIdentity
from kokiris.orchestrator.model.task import ChangeScriptSpec, Task, Template, WaitConfig

DURATIONS: dict[type[msgspec.Struct], frozenset[str]] = {
    UpdateStrategy: frozenset({"Stagger", "MinHealthyTime", "HealthyDeadline", "ProgressDeadline"}),
    MigrateStrategy: frozenset({"MinHealthyTime", "HealthyDeadline"}),
    RestartPolicySpec: frozenset({"Interval", "Delay"}),
    ReschedulePolicySpec: frozenset({"Interval", "Delay", "MaxDelay"}),
    DisconnectStrategy: frozenset({"LostAfter", "StopOnClientAfter"}),
    ServiceCheck: frozenset({"Interval", "Timeout"}),
    CheckRestartSpec: frozenset({"Grace"}),
    WorkloadIdentity: frozenset({"TTL"}),
    ChangeScriptSpec: frozenset({"Timeout"}),
    WaitConfig: frozenset({"Min", "Max"}),
    Template: frozenset({"Splay", "VaultGrace"}),
    Task: frozenset({"KillTimeout", "ShutdownDelay"}),
    TaskGroup: frozenset({"ShutdownDelay", "MaxRunDuration", "StopAfterClientDisconnect", "MaxClientDisconnect"}),
}
"""Fields that are durations: integers in ns, or Go's text."""

_MAX_DEPTH = 40
"""Of driver configuration and other free-form parts."""


def fold_job(raw: Any) -> dict[str, Any]:
    """The folded form of a raw job. Unknown keys are dropped, as Go does. Raises BadInput for what is no job."""
    if not isinstance(raw, dict):
        raise BadInput("Job must be specified", next_step='Send {"Job": { … }}.')
    return _struct(raw, Job, "Job")


@cache
def _fields(struct: type[msgspec.Struct]) -> tuple[dict[str, str], dict[str, Any]]:
    hints = typing.get_type_hints(struct)
    names = {field.encode_name: hints[field.name] for field in msgspec.structs.fields(struct)}
    return {name.lower(): name for name in names}, names


def _struct(raw: dict[str, Any], struct: type[msgspec.Struct], path: str) -> dict[str, Any]:
    lowered, hints = _fields(struct)
    durations = DURATIONS.get(struct, frozenset())
    folded: dict[str, Any] = {}
    for key, value in raw.items():
        name = key if key in hints else lowered.get(str(key).lower())
        if name is None or (name != key and name in raw):
            continue
        here = f"{path}.{name}"
        folded_value = _duration(value, here) if name in durations else _value(value, hints[name], here)
        if folded_value is not None:
            folded[name] = folded_value
    return folded


def _duration(value: Any, path: str) -> Any:
    if isinstance(value, str):
        try:
            return parse_duration_ns(value)
        except BadInput as error:
            raise BadInput(f"{path}: {error.message}", next_step=error.next_step) from None
    return _scalar(value, int, path)


def _value(value: Any, hint: Any, path: str) -> Any:
    """None for null, and for empty lists and maps: they are the same in Nomad. An empty block is a block."""
    hint = _without_none(hint)
    is_block = isinstance(hint, type) and issubclass(hint, msgspec.Struct)
    if value is None or value == [] or (value == {} and not is_block):
        return None
    origin = get_origin(hint)
    if origin is list:
        (item,) = get_args(hint)
        entries = enumerate(_expect(value, list, path))
        return [_entry(entry, item, f"{path}[{i}]") for i, entry in entries if entry is not None] or None
    if origin is dict:
        _, item = get_args(hint)
        _expect(value, dict, path)
        if item is Any:
            return _free(value, path, 0)
        found = {key: _value(entry, item, f"{path}[{key}]") for key, entry in value.items()}
        return {key: entry for key, entry in found.items() if entry is not None} or None
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return _struct(_expect(value, dict, path), hint, path)
    return _free(value, path, 0) if hint is Any else _scalar(value, hint, path)


def _entry(value: Any, item: Any, path: str) -> Any:
    """An element of a list: there, an empty object is an object."""
    if isinstance(item, type) and issubclass(item, msgspec.Struct):
        return _struct(_expect(value, dict, path), item, path)
    return _value(value, item, path)


def _expect(value: Any, kind: type, path: str) -> Any:
    if not isinstance(value, kind):
        wanted = "a list" if kind is list else "an object"
        raise BadInput(f"{path}: expected {wanted}, got {json_kind(value)}")
    return value


def _scalar(value: Any, hint: Any, path: str) -> Any:
    _check_size(value, path)
    try:
        return None if value is None else msgspec.convert(value, hint, strict=False)
    except msgspec.ValidationError as error:
        raise BadInput(f"{path}: {error}") from None


def _check_size(value: Any, path: str) -> None:
    """Refuses what no store and no client could hold."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise BadInput(f"{path}: {str(value)[:40]} is out of range: whole numbers have 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise BadInput(f"{path}: {value} is not a number that JSON can hold")
    if isinstance(value, str) and not value.isascii() and any("\ud800" <= one <= "\udfff" for one in value):
        raise BadInput(f"{path}: the text holds half a surrogate pair")


def json_kind(value: Any) -> str:
    """What a JSON value is called: "a list", "a number"…"""
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", int: "a number", float: "a number"}
    return kinds.get(type(value), "null")


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in {Union, types.UnionType}:
        options = [option for option in get_args(hint) if option is not types.NoneType]
        return options[0] if len(options) == 1 else hint
    return hint


def _free(value: Any, path: str, depth: int) -> Any:
    """Free-form parts are taken as they are, within reason."""
    if depth > _MAX_DEPTH:
        raise BadInput(f"{path} is nested deeper than {_MAX_DEPTH} levels")
    if isinstance(value, dict):
        return {key: _free(entry, path, depth + 1) for key, entry in value.items()}
    if isinstance(value, list):
        return [_free(entry, path, depth + 1) for entry in value]
    _check_size(value, path)
    return value
