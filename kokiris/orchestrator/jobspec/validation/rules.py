"""Rules as data: a list reads better than a ladder of ifs."""

from __future__ import annotations

Rule = tuple[bool, str]
"""(whether it is broken, what to say then)"""


def broken(*rules: Rule) -> list[str]:
    """The texts of all broken rules."""
    return [text for is_broken, text in rules if is_broken]


def first_broken(*rules: Rule) -> str:
    """The text of the first broken rule, "" when none is."""
    return next((text for is_broken, text in rules if is_broken), "")
