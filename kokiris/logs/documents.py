"""From a JSON document to what the index holds of it. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TypeVar

from kokiris.kernel.errors import BadInput
from kokiris.logs.levels import canonical_level
from kokiris.logs.model import (
    INTEGERS,
    KEYWORDS,
    TIME,
    TIME_ALIASES,
    Document,
    Indexed,
    Value,
    message_field,
)
from kokiris.logs.times import document_time_us

KEYWORD_CHARS = 1024
"""Longer values are found by their words, not as a whole (Elasticsearch's `ignore_above`)."""
MAX_DEPTH = 12
MAX_VALUES = 400
"""Per document; further ones are in the document and are not indexed."""
EXACT_INTEGER = 2**53

T = TypeVar("T")

_KEYWORDS = frozenset(KEYWORDS)
_INTEGERS = frozenset(INTEGERS)
_ODD = re.compile(r"[^A-Za-z0-9_.]")
_DOTS = re.compile(r"\.{2,}")


@lru_cache(maxsize=8192)
def path_of(name: str) -> str:
    """A field's name as the index spells it: letters, digits, `_` and dots; anything else is `_`."""
    cleaned = _ODD.sub("_", name)
    return _DOTS.sub(".", cleaned).strip(".")[:256]


def indexed(document: Document, received_us: int) -> Indexed:
    """What the index holds of `document`. Without a time of its own it has `received_us`. Raises BadInput when it
    states a time in `@timestamp` that is none."""
    skip: set[str] = set()
    result = Indexed(time_us=_time_of(document, received_us, skip))
    message = message_field(document)
    if message is not None:
        result.message = document[message]
        skip.add(message)
    left = MAX_VALUES
    for path, value in _fields(document):
        if path in skip or not path:
            continue
        left -= 1
        if left < 0:
            break
        _place(result, path, value)
    return result


def _time_of(document: Document, received_us: int, skip: set[str]) -> int:
    if document.get(TIME) is not None:
        skip.add("_timestamp")
        return document_time_us(document[TIME])
    for name in TIME_ALIASES:
        if document.get(name) is not None:
            try:
                time_us = document_time_us(document[name])
            except BadInput:
                continue
            skip.add(name)
            return time_us
    return received_us


def _fields(document: Document) -> Iterator[tuple[str, object]]:
    """As `_leaves`, without its cost for the many documents that are flat."""
    for name, value in document.items():
        if isinstance(value, (str, int, float)):
            yield path_of(name), value
        else:
            yield from _leaves(value, path_of(name), 1)


def _leaves(value: object, path: str, depth: int) -> Iterator[tuple[str, object]]:
    """(path, scalar) of everything in a document; beyond the deepest level nothing."""
    if isinstance(value, dict):
        if depth < MAX_DEPTH:
            for name, inner in value.items():
                yield from _leaves(inner, path_of(f"{path}.{name}" if path else str(name)), depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, path, depth + 1)
    elif value is not None:
        yield path, value


def _place(result: Indexed, path: str, value: object) -> None:
    if path in _KEYWORDS:
        text = canonical_level(value) if path == "level" else text_of(value)
        short = len(text) <= KEYWORD_CHARS
        if short and text:
            _add(result.keywords, path, text)
        if not short or path in {"path", "host"}:
            result.texts.append(text)
        return
    if path in _INTEGERS and (whole := whole_number(value)) is not None:
        _add(result.integers, path, whole)
        return
    scalar = scalar_of(value)
    if isinstance(scalar, float) or len(scalar) <= KEYWORD_CHARS:
        _add(result.attributes, path, scalar)
    result.texts.append(text_of(value))


def _add(values: dict[str, T | list[T]], path: str, value: T) -> None:
    known = values.get(path)
    if known is None:
        values[path] = value
    elif isinstance(known, list):
        known.append(value)
    else:
        values[path] = [known, value]


def whole_number(value: object) -> int | None:
    """`value` as an integer that the index's own number fields can hold; None otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float) and not value.is_integer():
        return None
    return int(value) if abs(value) < EXACT_INTEGER else None


def scalar_of(value: object) -> Value:
    """Texts stay, numbers are floats, `true` is "true"; numbers no float holds exactly are texts."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return float(value) if abs(value) < EXACT_INTEGER else str(value)
    if isinstance(value, float):
        return (value + 0.0) if math.isfinite(value) else str(value)
    return str(value)


def text_of(value: object) -> str:
    """As a query would write it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT_INTEGER:
        return str(int(value))
    return str(value)


def number_of(text: str) -> float | None:
    """The number that a query's text may stand for, next to the text itself."""
    if not re.fullmatch(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,3})?", text, re.ASCII):
        return None
    number = float(text)
    return number + 0.0 if math.isfinite(number) else None
