"""Constraint and affinity operators over node attributes, and their answers for all nodes at once."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kokiris.orchestrator.model.node import Node
from kokiris.orchestrator.model.policy import Affinity, Constraint
from kokiris.orchestrator.scheduler import versions

Mask = NDArray[np.bool_]

PLACEMENT_OPERANDS = frozenset({"distinct_hosts", "distinct_property"})
"""Operands that depend on other placements; `feasibility` handles them."""

_MAX_PATTERN = 1_000
_MAX_SUBJECT = 256
_MAX_UNBOUNDED = 5
_MAX_CACHED = 2_048

_NODE_FIELDS: dict[str, Callable[[Node], str]] = {
    "node.unique.id": lambda node: node.ID,
    "node.datacenter": lambda node: node.Datacenter,
    "node.unique.name": lambda node: node.Name,
    "node.class": lambda node: node.NodeClass,
    "node.pool": lambda node: node.NodePool,
    "node.region": lambda _node: "global",
}


def resolve(node: Node, target: str) -> str | None:
    """The value of `${node.…}`, `${attr.…}` or `${meta.…}` on `node`, None when missing; other text is itself."""
    if not target.startswith("${"):
        return target
    name = target[2:].removesuffix("}").strip()
    if name in _NODE_FIELDS:
        return _NODE_FIELDS[name](node)
    if name.startswith("attr."):
        return (node.Attributes or {}).get(name[5:])
    if name.startswith("meta."):
        return (node.Meta or {}).get(name[5:])
    return None


def holds(operand: str, left: str | None, right: str | None) -> bool:
    """Whether `left operand right` holds for values of one node; None is a missing value.

    As in Nomad: missing values only meet `!=` and `is_not_set`; an unknown operand and a right side that does not
    parse hold nowhere.
    """
    if operand in {"", "=", "==", "is"}:
        return left is not None and left == right
    if operand in {"!=", "not"}:
        return left != right
    if operand in {"is_set", "is_not_set"}:
        return (left is not None) is (operand == "is_set")
    if left is None or right is None:
        return False
    test = _TESTS.get(operand)
    return test is not None and test(left, right)


def _ordered(test: Callable[[int], bool]) -> Callable[[str, str], bool]:
    return lambda left, right: test(_order(left, right))


def _order(left: str, right: str) -> int:
    """Numbers by value, anything else as text."""
    for kind in (int, float):
        try:
            one, other = kind(left), kind(right)
        except ValueError:
            continue
        return (one > other) - (one < other)
    return (left > right) - (left < right)


def _items(text: str) -> set[str]:
    return {part.strip() for part in text.split(",")}


def _matches(subject: str, pattern: str) -> bool:
    compiled = compile_pattern(pattern)
    return compiled is not None and compiled.search(subject[:_MAX_SUBJECT]) is not None


@functools.lru_cache(maxsize=512)
def compile_pattern(pattern: str) -> re.Pattern[str] | None:
    """The regular expression, or None when it is malformed or could run away.

    Go's expressions run in linear time, Python's backtrack. So a repeated group that holds a repetition or an
    alternative is refused, and pattern, subject and the number of unbounded repetitions are limited.
    """
    plain = re.sub(r"\\.", "_", pattern)
    plain = re.sub(r"\[\^?\]?[^\]]*\]", "_", plain)
    unbounded = len(re.findall(r"[*+]|\{\d*,\}", plain))
    if len(pattern) > _MAX_PATTERN or unbounded > _MAX_UNBOUNDED or _nested_repetition(plain):
        return None
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return None


def _nested_repetition(plain: str) -> bool:
    """Whether a group with a repetition or an alternative inside is itself repeated. Escapes and classes are gone."""
    groups: list[bool] = []
    for position, sign in enumerate(plain):
        following = plain[position + 1 : position + 2]
        if sign == "(":
            groups.append(False)
        elif sign == ")" and groups:
            inside = groups.pop()
            if inside and following in {"*", "+", "{"}:
                return True
            if groups:
                groups[-1] = groups[-1] or inside
        elif sign in "*+{|" and groups:
            groups[-1] = True
    return False


_TESTS: dict[str, Callable[[str, str], bool]] = {
    "<": _ordered(lambda order: order < 0),
    "<=": _ordered(lambda order: order <= 0),
    ">": _ordered(lambda order: order > 0),
    ">=": _ordered(lambda order: order >= 0),
    "version": lambda left, right: versions.satisfies(left, right, strict=False),
    "semver": lambda left, right: versions.satisfies(left, right, strict=True),
    "regexp": _matches,
    "set_contains": lambda left, right: _items(left) >= _items(right),
    "set_contains_all": lambda left, right: _items(left) >= _items(right),
    "set_contains_any": lambda left, right: bool(_items(left) & _items(right)),
}
OPERANDS = frozenset({"", "=", "==", "is", "!=", "not", "is_set", "is_not_set", *_TESTS, *PLACEMENT_OPERANDS})
"""Every operand that is known."""


def describe(constraint: Constraint | Affinity) -> str:
    """As Nomad writes it in metrics: `${attr.kernel.name} = linux`."""
    return f"{constraint.LTarget} {constraint.Operand or '='} {constraint.RTarget}".strip()


@dataclass(frozen=True, slots=True)
class Places:
    """Nodes grouped by the values of some targets."""

    of_row: NDArray[np.int64]
    """Row → number of its combination of values. Do not change it."""
    combinations: list[tuple[str | None, ...]]


class Attributes:
    """Values of targets and answers to questions about nodes, a column each, kept row by row as nodes change."""

    def __init__(self) -> None:
        self._nodes: list[Node | None] = []
        self._values: dict[str, list[str | None]] = {}
        self._tests: dict[Hashable, Callable[[Node], bool]] = {}
        self._masks: dict[Hashable, Mask] = {}
        self._places: dict[tuple[str, ...], Places] = {}

    def set_row(self, row: int, node: Node | None) -> None:
        """Takes over what `node` says now; None: no node there any more."""
        self._nodes.extend([None] * (row + 1 - len(self._nodes)))
        self._nodes[row] = node
        self._places.clear()
        for target, values in self._values.items():
            values.extend([None] * (row + 1 - len(values)))
            values[row] = None if node is None else resolve(node, target)
        for key, test in self._tests.items():
            if len(self._masks[key]) <= row:
                longer = np.zeros(2 * (row + 1), dtype=np.bool_)
                longer[: len(self._masks[key])] = self._masks[key]
                self._masks[key] = longer
            self._masks[key][row] = node is not None and test(node)

    def values(self, target: str) -> Sequence[str | None]:
        """The value of `target` on every row. Do not change it."""
        if target not in self._values:
            if len(self._values) >= _MAX_CACHED:
                self._values.clear()
            self._values[target] = [None if node is None else resolve(node, target) for node in self._nodes]
        return self._values[target]

    def places(self, targets: tuple[str, ...]) -> Places:
        """The combinations of values of `targets` that occur, and which one each row has."""
        if targets not in self._places:
            columns = [self.values(target) for target in targets]
            numbers: dict[tuple[str | None, ...], int] = {}
            keys = zip(*columns, strict=True) if columns else iter([()] * len(self._nodes))
            of_row = np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
            self._places[targets] = Places(of_row, list(numbers))
        return self._places[targets]

    def where(self, key: Hashable, test: Callable[[Node], bool]) -> Mask:
        """On which rows `test` holds; asked once per `key` and then kept. Do not change the mask."""
        if key not in self._masks:
            if len(self._masks) >= _MAX_CACHED:
                self._masks.clear()
                self._tests.clear()
            self._tests[key] = test
            self._masks[key] = np.array([node is not None and test(node) for node in self._nodes], dtype=np.bool_)
        return self._masks[key][: len(self._nodes)]

    def mask(self, constraint: Constraint | Affinity) -> Mask:
        """On which rows the constraint holds. Do not change the mask."""
        left, operand, right = constraint.LTarget, constraint.Operand, constraint.RTarget
        return self.where(
            (left, operand, right), lambda node: holds(operand, resolve(node, left), resolve(node, right))
        )
