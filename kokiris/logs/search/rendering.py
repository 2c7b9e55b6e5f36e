"""What a hit looks like in an answer: its source, fields, sort values and marked words. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from kokiris.logs.analysis import words
from kokiris.logs.documents import path_of
from kokiris.logs.index.schema import KEY_STEPS
from kokiris.logs.model import TIME
from kokiris.logs.query import tree
from kokiris.logs.search.hits import KEYS_PER_MS, Hit
from kokiris.logs.search.request import SearchRequest, SortField, filtered_source
from kokiris.logs.times import iso_ms


def rendered(hit: Hit, request: SearchRequest, index_name: str) -> dict[str, Any]:
    """As Elasticsearch writes it, keys in its order. The document is not decoded when nothing of it is picked out."""
    shown: dict[str, Any] = {"_index": index_name, "_id": hit.identifier, "_score": None if request.sort else 1.0}
    if request.source is True or request.source is None:
        shown["_source"] = msgspec.Raw(hit.raw)
    elif request.source is not False:
        shown["_source"] = filtered_source(hit.source(), request.source)
    if request.fields:
        shown["fields"] = _fields(hit, request.fields)
    if request.highlight is not None and (marked := _highlighted(hit, request)):
        shown["highlight"] = marked
    if request.sort:
        shown["sort"] = [_sort_value(hit, field, number, request.sort) for number, field in enumerate(request.sort)]
    return shown


def _sort_value(hit: Hit, field: SortField, number: int, sort: Sequence[SortField]) -> Any:
    if field.by_arrival:
        return hit.key % KEYS_PER_MS if number and sort[0].name == TIME else hit.key
    if field.name == TIME:
        time_ms = hit.key // KEYS_PER_MS
        return iso_ms(time_ms * 1000) if field.form and not field.form.startswith("epoch") else time_ms
    return hit.order if number == 0 else hit.source().get(field.name)


def _fields(hit: Hit, wanted: Sequence[tuple[str, str]]) -> dict[str, list[Any]]:
    flat: dict[str, list[Any]] = {}
    _flatten(hit.source(), "", flat)
    found: dict[str, list[Any]] = {}
    for pattern, form in wanted:
        expression = re.compile("".join(".*" if char == "*" else re.escape(char) for char in pattern))
        for path, values in flat.items():
            if expression.fullmatch(path):
                found[path] = values
        if TIME in found and expression.fullmatch(TIME):
            time_us = hit.key // KEY_STEPS
            found[TIME] = [str(time_us // 1000) if form == "epoch_millis" else iso_ms(time_us)]
    return found


def _flatten(value: Any, path: str, flat: dict[str, list[Any]]) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            _flatten(inner, f"{path}.{name}" if path else name, flat)
    elif isinstance(value, list):
        for inner in value:
            _flatten(inner, path, flat)
    elif value is not None:
        flat.setdefault(path, []).append(value)


def words_of_query(query: tree.Query) -> set[str]:
    """The words a reader would like to see marked."""
    match query:
        case tree.And(parts=parts) | tree.Or(parts=parts):
            return set().union(*(words_of_query(part) for part in parts))
        case tree.Words(text=text) | tree.Phrase(text=text):
            return set(words(text))
        case tree.Term(value=value):
            return set(words(value))
        case tree.Wildcard(pattern=pattern):
            return {f"{pattern.rstrip('*').lower()}*"} if pattern.rstrip("*").isalnum() else set()
    return set()


def _highlighted(hit: Hit, request: SearchRequest) -> dict[str, list[str]]:
    settings = request.highlight or {}
    before = str((settings.get("pre_tags") or ["<em>"])[0])
    after = str((settings.get("post_tags") or ["</em>"])[0])
    wanted = words_of_query(request.query)
    patterns = [str(name) for name in (settings.get("fields") or {})]
    if not wanted:
        return {}
    flat: dict[str, list[Any]] = {}
    _flatten(hit.source(), "", flat)
    found = {}
    for path, values in flat.items():
        if not any(pattern in {"*", path} or path_of(pattern) == path for pattern in patterns):
            continue
        marked = [mark(str(value), wanted, before, after) for value in values]
        if any(one is not None for one in marked):
            found[path] = [one for one in marked if one is not None]
    return found


def mark(text: str, wanted: set[str], before: str, after: str) -> str | None:
    """`text` with the wanted words between `before` and `after`; None when it has none of them."""
    prefixes = tuple(one[:-1] for one in wanted if one.endswith("*"))
    hit = False

    def around(match: re.Match[str]) -> str:
        nonlocal hit
        word = match[0].lower()
        if word not in wanted and not (prefixes and word.startswith(prefixes)):
            return match[0]
        hit = True
        return f"{before}{match[0]}{after}"

    result = re.sub(r"[^\W_]+", around, text)
    return result if hit else None
