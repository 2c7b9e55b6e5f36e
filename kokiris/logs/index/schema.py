"""The fields of a day's index, and documents for it."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any

import tantivy

from kokiris.logs.analysis import ANALYZER, words
from kokiris.logs.model import INTEGERS, KEYWORDS, Indexed, Value

VERSION = 1
"""Of the fields below: an index of another version is not opened."""
DATE_MARK = "\x01"
"""Put before texts that look like dates: tantivy would turn them into dates, which no text query finds."""
_DATE_LIKE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d")
MAX_PATHS = 1000
"""Attribute paths of a day that are indexed by name; values of further ones are found by their words."""
KEY_STEPS = 2048
"""Entries of the same µs are told apart by `Indexing`: key = time * KEY_STEPS + step."""


def make_schema() -> tantivy.Schema:
    """`k` orders entries uniquely, `time` is their unix µs, `seq` the number the journal gave them."""
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("k", stored=False, indexed=False, fast=True)
    builder.add_integer_field("time", stored=False, indexed=False, fast=True)
    builder.add_integer_field("seq", stored=False, indexed=True, fast=True)
    builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("message", stored=False, tokenizer_name=ANALYZER, index_option="position")
    builder.add_text_field("texts", stored=False, tokenizer_name=ANALYZER, index_option="position")
    builder.add_text_field("absent", stored=False, tokenizer_name="raw", index_option="basic")
    for name in KEYWORDS:
        builder.add_text_field(name, stored=False, fast=True, tokenizer_name="raw", index_option="basic")
    for name in INTEGERS:
        builder.add_integer_field(name, stored=False, indexed=True, fast=True)
    builder.add_json_field(
        "attrs", stored=False, fast=True, tokenizer_name="raw", index_option="basic", expand_dots_enabled=True
    )
    builder.add_bytes_field("_source", stored=True)
    return builder.build()


def marked(value: str) -> str:
    """An attribute's text as it is indexed."""
    return DATE_MARK + value if _DATE_LIKE.match(value) else value


def unmarked(value: str) -> str:
    """The inverse of `marked`."""
    return value.removeprefix(DATE_MARK)


def row_of(
    entry: Indexed, *, key: int, sequence: int, identifier: str, source: bytes, paths: Container[str]
) -> dict[str, Any]:
    """The row of one document; `paths`: the attribute paths that are indexed by name."""
    row: dict[str, Any] = {"k": key, "time": entry.time_us, "seq": sequence, "_source": source, **entry.keywords}
    if identifier:
        row["id"] = identifier
    if entry.message is not None and words_in(entry.message):
        row["message"] = entry.message
    else:
        row["absent"] = "message"
    if entry.texts:
        row["texts"] = entry.texts
    row.update(entry.integers)
    attributes = {path: _attribute(values) for path, values in entry.attributes.items() if path in paths}
    if attributes:
        row["attrs"] = attributes
    return row


def words_in(text: str) -> bool:
    """Whether a query could find any word in it."""
    return any(char.isalnum() for char in text[:200]) or bool(words(text))


def _attribute(values: Value | list[Value]) -> Value | list[Value]:
    if isinstance(values, float):
        return values
    if isinstance(values, str):
        return marked(values)
    return [marked(one) if isinstance(one, str) else one for one in values]
