"""The blocks of the job language as data: HCL name → JSON name and type. The decoder knows nothing of jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Field:
    """An attribute. `type`: str, int, bool, duration, strings, ints, map (strings by string), any."""

    json: str
    type: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Nested:
    """A block inside another. `how`: one, many, or by_label (a map keyed by the label)."""

    json: str
    spec: Spec
    how: str = "one"


@dataclass(frozen=True, slots=True)
class Spec:
    """A block. `kind`: fields (what is listed here), strings (any name = string), lists (any name = list of strings),
    opaque (anything: driver configuration)."""

    kind: str = "fields"
    labels: tuple[str, ...] = ()
    """JSON names that the labels fill."""
    fields: dict[str, Field] = field(default_factory=dict)
    blocks: dict[str, Nested] = field(default_factory=dict)
    finish: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    """Rewrites what was decoded: shorthands, ports."""


STRINGS = Spec(kind="strings")
LISTS = Spec(kind="lists")
OPAQUE = Spec(kind="opaque")


def fields(table: str) -> dict[str, Field]:
    """Reads lines "hcl_name JSONName type", a "!" after the type for a required one."""
    found: dict[str, Field] = {}
    for line in table.strip().splitlines():
        name, json, kind = line.split()
        found[name] = Field(json, kind.rstrip("!"), required=kind.endswith("!"))
    return found


def one(json: str, spec: Spec) -> Nested:
    """At most one such block."""
    return Nested(json, spec, "one")


def many(json: str, spec: Spec) -> Nested:
    """Any number of such blocks."""
    return Nested(json, spec, "many")


def by_label(json: str, spec: Spec) -> Nested:
    """Any number, each with a label of its own."""
    return Nested(json, spec, "by_label")
