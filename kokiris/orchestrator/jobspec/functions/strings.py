"""Functions of strings."""

from __future__ import annotations

import re
from decimal import Decimal

from kokiris.orchestrator.jobspec.functions.patterns import compile_pattern, go_replacement
from kokiris.orchestrator.jobspec.values import (
    MAX_STRING,
    Value,
    ValueProblem,
    to_integer,
    to_items,
    to_string,
)


def chomp(text: Value) -> Value:
    """Without the newlines at the end."""
    return to_string(text).rstrip("\r\n")


def indent(spaces: Value, text: Value) -> Value:
    """All lines but the first moved right."""
    count = to_integer(spaces)
    if not 0 <= count <= 1000:
        raise ValueProblem(f"0 to 1000 spaces are possible, found {count}")
    lines = to_string(text)
    if lines.count("\n") * count > MAX_STRING:
        raise ValueProblem(f"the string has more than {MAX_STRING} characters")
    return lines.replace("\n", "\n" + " " * count)


def join(separator: Value, first: Value, *more: Value) -> Value:
    """join("-", ["a", "b"]) is "a-b"; several lists are joined one after the other."""
    between = to_string(separator)
    texts = [to_string(item) for items in (first, *more) for item in to_items(items)]
    if sum(map(len, texts)) + len(between) * len(texts) > MAX_STRING:
        raise ValueProblem(f"the string has more than {MAX_STRING} characters")
    return between.join(texts)


def split(separator: Value, text: Value) -> Value:
    """split(",", "a,b") is ["a", "b"]; an empty separator gives the characters."""
    between, whole = to_string(separator), to_string(text)
    if not between:
        return tuple(whole)
    return tuple(whole.split(between))


def replace(text: Value, old: Value, new: Value) -> Value:
    """Every `old` becomes `new`."""
    whole, before, after = to_string(text), to_string(old), to_string(new)
    if whole.count(before) * len(after) > MAX_STRING:
        raise ValueProblem(f"the string has more than {MAX_STRING} characters")
    return whole.replace(before, after)


def regex_replace(text: Value, pattern: Value, replacement: Value) -> Value:
    """Every match becomes `replacement`, in which $1 and ${name} stand for groups."""
    whole, after = to_string(text), to_string(replacement)
    compiled = compile_pattern(to_string(pattern), len(whole))
    if (len(whole) + 1) * (len(after) + len(whole)) > 64 * MAX_STRING:
        raise ValueProblem("text and replacement are too long")
    return compiled.sub(lambda match: go_replacement(match, after), whole)


def strlen(text: Value) -> Value:
    """Number of characters."""
    return Decimal(len(to_string(text)))


def substr(text: Value, offset: Value, length: Value) -> Value:
    """From `offset` (negative: from the end), `length` characters (-1: the rest)."""
    whole, start, count = to_string(text), to_integer(offset), to_integer(length)
    if start < 0:
        start = max(0, len(whole) + start)
    return whole[start:] if count < 0 else whole[start : start + count]


def title(text: Value) -> Value:
    """The first letter of each word in upper case."""
    return re.sub(r"(?<![^\W_'])[^\W\d_]", lambda match: match[0].upper(), to_string(text))


def trim(text: Value, characters: Value) -> Value:
    """Without these characters at both ends."""
    return to_string(text).strip(to_string(characters)) if to_string(characters) else to_string(text)


def reverse(value: Value) -> Value:
    """A string's characters, or a list's items, backwards."""
    if isinstance(value, tuple):
        return tuple(reversed(value))
    return to_string(value)[::-1]


FUNCTIONS = {
    "chomp": chomp,
    "indent": indent,
    "join": join,
    "lower": lambda text: to_string(text).lower(),
    "regex_replace": regex_replace,
    "replace": replace,
    "reverse": reverse,
    "split": split,
    "strlen": strlen,
    "strrev": reverse,
    "substr": substr,
    "title": title,
    "trim": trim,
    "trimprefix": lambda text, prefix: to_string(text).removeprefix(to_string(prefix)),
    "trimspace": lambda text: to_string(text).strip(),
    "trimsuffix": lambda text, suffix: to_string(text).removesuffix(to_string(suffix)),
    "upper": lambda text: to_string(text).upper(),
}
