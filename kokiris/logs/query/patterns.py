"""Wildcards as regular expressions of the index's dialect. Pure."""

from __future__ import annotations

import re

from kokiris.logs.query.tree import QueryError

MAX_PATTERN_CHARS = 512


def literal(text: str) -> str:
    """A regular expression that matches `text` only."""
    return "".join(f"\\{char}" if char in _ESCAPED else char for char in text)


_ESCAPED = frozenset("\\.+*?()|[]{}^$#&-~")


def parts(pattern: str) -> list[str | None]:
    """A wildcard pattern cut up: literal texts, "" for `?`, None for `*`."""
    found: list[str | None] = []
    text = ""
    position = 0
    while position < len(pattern):
        char = pattern[position]
        if char == "\\" and position + 1 < len(pattern):
            text += pattern[position + 1]
            position += 2
            continue
        if char in "*?":
            if text:
                found.append(text)
            found.append(None if char == "*" else "")
            text = ""
        else:
            text += char
        position += 1
    if text:
        found.append(text)
    return found


def regex_of(pattern: str, *, lower: bool = False) -> str:
    """A regular expression for the whole value. Raises QueryError for one that is too long."""
    if len(pattern) > MAX_PATTERN_CHARS:
        raise QueryError(f"the pattern has {len(pattern)} characters; at most {MAX_PATTERN_CHARS} are allowed")
    built = ""
    for part in parts(pattern):
        if part is None:
            built += "(.|\\n)*" if not built.endswith("(.|\\n)*") else ""
        else:
            built += literal(part.lower() if lower else part) if part else "(.|\\n)"
    return built


def prefix_of(pattern: str) -> str | None:
    """The text before a single `*` at the end; None for any other pattern."""
    found = parts(pattern)
    if not found or found[-1] is not None:
        return None
    head = found[:-1]
    if any(part is None or part == "" for part in head):
        return None
    return "".join(part for part in head if part)


def is_any(pattern: str) -> bool:
    """Whether it is stars only: the field exists."""
    return bool(pattern) and set(pattern) == {"*"}


def check_regexp(pattern: str) -> str:
    """`pattern` itself, when the dialects agree on it. Raises QueryError."""
    if len(pattern) > MAX_PATTERN_CHARS:
        raise QueryError(
            f"the regular expression has {len(pattern)} characters; at most {MAX_PATTERN_CHARS} are allowed"
        )
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise QueryError(f"the regular expression {pattern!r} is not valid: {error}") from None
    if re.search(r"\(\?|\\[bBAZzpP1-9]|[*+?}][?+]", pattern):
        raise QueryError(f"the regular expression {pattern!r} uses groups with (?, look-around or lazy repetition")
    return pattern
