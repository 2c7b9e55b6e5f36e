"""Version constraints: `>= 1.2, < 2.0`, `~> 1.2.3`. Operands `version` (lenient) and `semver` (strict)."""

from __future__ import annotations

import functools
import re

_LENIENT = re.compile(
    r"v?(\d+(?:\.\d+)*)(?:-([0-9]+[0-9A-Za-z\-~]*(?:\.[0-9A-Za-z\-~]+)*|[A-Za-z\-~]+[0-9A-Za-z\-~]*(?:\.[0-9A-Za-z\-~]+)*))?"
    r"(?:\+[0-9A-Za-z\-~.]+)?"
)
_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)"
    r"(?:\.(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*))?(?:\+[0-9A-Za-z.-]+)?"
)
_TERM = re.compile(r"\s*(=|==|!=|>=|<=|>|<|~>)?\s*(\S+)\s*")
_MAX_TEXT = 512

Numbers = tuple[int, ...]
Version = tuple[Numbers, str]
"""(numbers, prerelease)."""


def satisfies(version: str, constraint: str, *, strict: bool) -> bool:
    """Whether `version` meets all comma-separated terms of `constraint`. What does not parse satisfies nothing.

    As in Nomad: with `version`, a prerelease only meets terms that name a prerelease of the same numbers; with `semver`
    prereleases take part in the plain order.
    """
    parsed = parse(version, strict=strict)
    terms = _terms(constraint, strict)
    return parsed is not None and terms is not None and all(_meets(parsed, term, strict) for term in terms)


def parse(text: str, *, strict: bool) -> Version | None:
    """The version in `text`, or None."""
    if len(text) > _MAX_TEXT:
        return None
    if strict:
        found = _SEMVER.fullmatch(text.strip())
        return ((int(found[1]), int(found[2]), int(found[3])), found[4] or "") if found else None
    found = _LENIENT.fullmatch(text.strip())
    if found is None:
        return None
    numbers = tuple(int(part) for part in found[1].split("."))
    return numbers + (0,) * (3 - len(numbers)), found[2] or ""


Term = tuple[str, Version, int]
"""(operator, version, how many numbers were written)."""


@functools.lru_cache(maxsize=512)
def _terms(constraint: str, strict: bool) -> tuple[Term, ...] | None:
    terms: list[Term] = []
    for part in constraint.split(","):
        found = _TERM.fullmatch(part)
        version = parse(found[2], strict=strict) if found else None
        if found is None or version is None:
            return None
        written = len(found[2].split("-")[0].split("+")[0].split("."))
        terms.append((found[1] or "=", version, written))
    return tuple(terms)


def _meets(version: Version, term: Term, strict: bool) -> bool:
    operator, wanted, written = term
    order = _compare(version, wanted)
    if operator in {"=", "=="}:
        return order == 0
    if operator == "!=":
        return order != 0
    if not strict and not _prerelease_allowed(version, wanted):
        return False
    if operator == "~>":
        fixed = max(1, written - 1)
        return order >= 0 and version[0][:fixed] == wanted[0][:fixed]
    return {">": order > 0, ">=": order >= 0, "<": order < 0, "<=": order <= 0}[operator]


def _prerelease_allowed(version: Version, wanted: Version) -> bool:
    if not version[1]:
        return True
    return bool(wanted[1]) and version[0] == wanted[0]


def _compare(one: Version, other: Version) -> int:
    length = max(len(one[0]), len(other[0]))
    left, right = (numbers + (0,) * (length - len(numbers)) for numbers in (one[0], other[0]))
    if left != right:
        return 1 if left > right else -1
    if one[1] == other[1]:
        return 0
    if not one[1] or not other[1]:
        return 1 if not one[1] else -1
    left_key, right_key = (_prerelease_key(text) for text in (one[1], other[1]))
    return (left_key > right_key) - (left_key < right_key)


def _prerelease_key(text: str) -> list[tuple[int, int, str]]:
    """Numeric parts before text parts, numbers by value, and a longer one after its own beginning."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in text.split(".")]
