"""Constraints, affinities and spreads."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from kokiris.orchestrator.jobspec.functions.patterns import compile_pattern
from kokiris.orchestrator.jobspec.multierror import multi_error
from kokiris.orchestrator.jobspec.validation.rules import broken
from kokiris.orchestrator.jobspec.values import ValueProblem
from kokiris.orchestrator.model.policy import Affinity, Constraint, Spread

T = TypeVar("T")

_COMPARISONS = frozenset({"=", "==", "is", "!=", "not", "<", "<=", ">", ">="})
_SETS = frozenset({"set_contains", "set_contains_all", "set_contains_any"})
_CONSTRAINTS_ONLY = frozenset({"distinct_hosts", "distinct_property", "is_set", "is_not_set"})
_ONE_VERSION = re.compile(r"\s*(?:=|!=|>|<|>=|<=|~>|)\s*v?\d+(?:\.\d+)*(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?\s*")
_ONE_SEMVER = re.compile(r"\s*(?:=|!=|>|<|>=|<=|)\s*v?\d+(?:\.\d+){0,2}(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?\s*")


def constraint_errors(constraint: Constraint, *, in_task: bool = False) -> list[str]:
    """What is wrong with one constraint."""
    operand, right = constraint.Operand, constraint.RTarget
    if in_task and operand in {"distinct_hosts", "distinct_property"}:
        return [f"has disallowed Operand at task level: {operand}"]
    errors = _operand_errors(operand, right, "constraint")
    if operand == "distinct_hosts":
        return errors
    if operand == "distinct_property" and right:
        errors += _distinct_errors(right)
    if operand in {"is_set", "is_not_set"} and right:
        errors.append(f'Operator "{operand}" does not support an RTarget')
    if not constraint.LTarget:
        errors.append("no attribute provided but is required by operator")
    return errors


def _operand_errors(operand: str, right: str, kind: str) -> list[str]:
    if operand == "regexp":
        return _regexp_errors(right)
    if operand in {"version", "semver"}:
        return _version_errors(operand, right, kind)
    known = operand in _COMPARISONS | _SETS or (kind == "constraint" and operand in _CONSTRAINTS_ONLY)
    what = "constraint type" if kind == "constraint" else "affinity operator"
    return broken(
        (not operand, f"Missing {kind} operand"),
        (operand in _SETS and not right, f"Set contains {kind} requires an RTarget"),
        (operand in _COMPARISONS and not right, f'Operator "{operand}" requires an RTarget'),
        (bool(operand) and not known, f'Unknown {what} "{operand}"'),
    )


def _version_errors(operand: str, right: str, kind: str) -> list[str]:
    pattern = _ONE_VERSION if operand == "version" else _ONE_SEMVER
    if right and all(pattern.fullmatch(part) for part in right.split(",")):
        return []
    return [f"{operand.capitalize()} {kind} is invalid: Malformed constraint: {right}"]


def _regexp_errors(pattern: str) -> list[str]:
    """Also refuses what could make the scheduler's matching take for ever."""
    try:
        compile_pattern(pattern, 0)
    except ValueProblem as problem:
        return [f"Regular expression failed to compile: {problem}"]
    return []


def _distinct_errors(right: str) -> list[str]:
    if not re.fullmatch(r"[0-9]{1,19}", right):
        return [f'Failed to convert RTarget "{right}" to uint64']
    return [] if int(right) >= 1 else ["Distinct Property must have an allowed count of 1 or greater: 0 < 1"]


def affinity_errors(affinity: Affinity) -> list[str]:
    """What is wrong with one affinity."""
    errors = _operand_errors(affinity.Operand, affinity.RTarget, "affinity")
    if not affinity.LTarget:
        errors.append("No LTarget provided but is required")
    if affinity.Weight == 0:
        errors.append("Affinity weight cannot be zero")
    if not -100 <= affinity.Weight <= 100:
        errors.append("Affinity weight must be within the range [-100,100]")
    return errors


def spread_errors(spread: Spread) -> list[str]:
    """What is wrong with one spread."""
    errors: list[str] = []
    if not spread.Attribute:
        errors.append("Missing spread attribute")
    if not 0 < spread.Weight <= 100:
        errors.append("Spread block must have a positive weight from 0 to 100")
    seen: set[str] = set()
    for target in spread.SpreadTarget or []:
        if target.Value in seen:
            errors.append(f'Spread target value "{target.Value}" already defined')
        seen.add(target.Value)
        if not 0 <= target.Percent <= 100:
            errors.append(f'Spread target percentage for value "{target.Value}" must be between 0 and 100')
    total = sum(target.Percent for target in spread.SpreadTarget or [])
    if total > 100:
        errors.append(f"Sum of spread target percentages must not be greater than 100%; got {total}%")
    return errors


def numbered(kind: str, things: Sequence[T] | None, errors_of: Callable[[T], list[str]]) -> list[str]:
    """'Constraint 1 validation failed: …' for each thing that is wrong."""
    found: list[str] = []
    for i, thing in enumerate(things or [], start=1):
        errors = errors_of(thing)
        if errors:
            found.append(f"{kind} {i} validation failed: {multi_error(errors)}")
    return found
