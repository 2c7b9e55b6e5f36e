"""Attributes and indexes of values."""

from __future__ import annotations

from kokiris.orchestrator.jobspec.suggest import did_you_mean
from kokiris.orchestrator.jobspec.values import SetOf, Value, ValueProblem, shorten, to_integer, to_string, type_name


def get_attribute(value: Value, name: str) -> Value:
    """`value.name`. Raises ValueProblem naming what there is instead."""
    if not isinstance(value, dict):
        raise ValueProblem(f'Unsupported attribute: a {type_name(value)} has no attribute "{name}"')
    if name not in value:
        raise ValueProblem(f'Unsupported attribute: there is no "{name}"{did_you_mean(name, value)}')
    return value[name]


def get_index(value: Value, key: Value) -> Value:
    """`value[key]`. Raises ValueProblem."""
    if isinstance(value, dict):
        name = to_string(key)
        if name not in value:
            raise ValueProblem(f'Invalid index: there is no key "{shorten(name)}"{did_you_mean(name, value)}')
        return value[name]
    if isinstance(value, SetOf) or not isinstance(value, tuple):
        raise ValueProblem(f"Invalid index: a {type_name(value)} has no indexes")
    index = to_integer(key)
    if not 0 <= index < len(value):
        raise ValueProblem(f"Invalid index: {index} is outside a list of {len(value)}")
    return value[index]
