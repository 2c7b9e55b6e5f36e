"""Hits of a search over all days, in one order."""

from __future__ import annotations

import heapq
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import tantivy

from kokiris.kernel.errors import BadInput
from kokiris.logs.analysis import words
from kokiris.logs.documents import path_of
from kokiris.logs.index.day import DayIndex
from kokiris.logs.index.schema import KEY_STEPS
from kokiris.logs.model import TIME
from kokiris.logs.query import tree
from kokiris.logs.query.compile import Nested, sequence_id, together
from kokiris.logs.query.tree import QueryError
from kokiris.logs.search.request import SearchRequest, SortField, filtered_source, time_bounds
from kokiris.logs.times import iso_ms, query_time_us

KEYS_PER_MS = KEY_STEPS * 1000


@dataclass(frozen=True, slots=True)
class Hit:
    """One document found. `order`: its value in the first sort field; `key`: the index's own order."""

    order: int | str
    key: int
    day: DayIndex
    identifier: str
    source: dict[str, Any]


def overlapping(days: Sequence[DayIndex], query: tree.Query) -> list[DayIndex]:
    """The days that can hold a match, in the order given."""
    low, high = time_bounds(query)
    return [
        day
        for day in days
        if day.documents
        and (low is None or day.catalogue.max_time_us >= low)
        and (high is None or day.catalogue.min_time_us <= high)
    ]


def find(days: Sequence[DayIndex], request: SearchRequest, now_us: int) -> tuple[list[Hit], int]:
    """The page of hits, and how many there are in all (0 when that was not wanted). `days`: newest first."""
    sort = request.sort[0] if request.sort else SortField("_doc", descending=True, by_arrival=True)
    by_key = sort.by_arrival or sort.name == TIME
    if request.search_after and not by_key:
        raise QueryError(f"search_after works with a sort by {TIME} only, not by [{sort.name}]")
    wanted = request.offset + request.size
    total, found = 0, _Best(wanted, descending=sort.descending)
    ordered = days if sort.descending else list(reversed(days))
    for day in overlapping(ordered, request.query):
        query = day.compile(request.query)
        if request.last_sequence is not None:
            query = together([query, day.compiler.integers("seq", None, request.last_sequence)])
        by = "k" if by_key else sort.name
        wanted_here = wanted and not (by_key and found.is_beyond(_extreme(day, descending=sort.descending)))
        if request.total and wanted_here and not request.search_after:
            hits, searcher, count = day.newest_of_all(query, wanted, by=by, descending=sort.descending)
            total += count
        else:
            total += day.count(query) if request.total else 0
            if not wanted_here:
                continue
            if request.search_after:
                query = together([query, _after(day, request, sort, now_us)])
            hits, searcher = day.newest(query, wanted, by=by, descending=sort.descending)
        keys = [int(hit.key) for hit in hits] if by_key else day.key_values(searcher, hits)
        for hit, key in zip(hits, keys, strict=True):
            found.add(hit.key, key, day, searcher, hit.address)
    return [_read(*one) for one in found.ordered()[request.offset :]], total


class _Best:
    """The first `count` of all candidates."""

    def __init__(self, count: int, *, descending: bool) -> None:
        self._count = count
        self._descending = descending
        self._found: list[tuple[Any, int, DayIndex, tantivy.Searcher, Any]] = []

    def add(self, order: int | str, key: int, day: DayIndex, searcher: tantivy.Searcher, address: Any) -> None:
        self._found.append((order, key, day, searcher, address))

    def ordered(self) -> list[tuple[Any, int, DayIndex, tantivy.Searcher, Any]]:
        choose = heapq.nlargest if self._descending else heapq.nsmallest
        self._found = choose(self._count, self._found, key=lambda one: (one[0], one[1]))
        return self._found

    def is_beyond(self, extreme: int) -> bool:
        """Whether what lies at `extreme` or further would come after all that is found."""
        if len(self._found) < self._count:
            return False
        last = self.ordered()[-1][0]
        return bool(last > extreme if self._descending else last < extreme)


def _extreme(day: DayIndex, *, descending: bool) -> int:
    if descending:
        return (day.catalogue.max_time_us + 1) * KEY_STEPS - 1 + KEYS_PER_MS
    return day.catalogue.min_time_us * KEY_STEPS


def _after(day: DayIndex, request: SearchRequest, sort: SortField, now_us: int) -> Nested:
    first = request.search_after[0]
    if sort.by_arrival:
        key = _whole(first)
        low, high = (None, key - 1) if sort.descending else (key + 1, None)
        return day.compiler.integers("k", low, high)
    try:
        time_ms = query_time_us(first, now_us=now_us, round_up=False, form=sort.form) // 1000
    except BadInput as error:
        raise QueryError(f"search_after: {error.message}") from None
    if len(request.search_after) > 1:
        exact = time_ms * KEYS_PER_MS + _whole(request.search_after[1])
        return day.compiler.integers("k", *((None, exact - 1) if sort.descending else (exact + 1, None)))
    if sort.descending:
        return day.compiler.integers("k", None, time_ms * KEYS_PER_MS - 1)
    return day.compiler.integers("k", (time_ms + 1) * KEYS_PER_MS, None)


def _whole(value: object) -> int:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float, str))
        or not re.fullmatch(r"\d{1,19}(\.0)?", str(value))
    ):
        raise QueryError(f"search_after: [{str(value)[:50]}] is not a value of this sort")
    return int(float(value)) if isinstance(value, float) else int(value)


def _read(order: int | str, key: int, day: DayIndex, searcher: tantivy.Searcher, address: Any) -> Hit:
    document = searcher.doc(address)
    source: dict[str, Any] = msgspec.json.decode(bytes(document.get_first("_source") or b"{}"))
    identifier = document.get_first("id")
    if not identifier:
        (sequence,) = searcher.fast_field_values("seq", [address])
        identifier = sequence_id(int(sequence or 0))
    return Hit(order, key, day, str(identifier), source)


# ---- what a hit looks like -------------------------------------------------------------------------------------------


def rendered(hit: Hit, request: SearchRequest, index_name: str) -> dict[str, Any]:
    """As Elasticsearch writes it, keys in its order."""
    shown: dict[str, Any] = {"_index": index_name, "_id": hit.identifier, "_score": None if request.sort else 1.0}
    source = filtered_source(hit.source, request.source)
    if source is not None:
        shown["_source"] = source
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
    return hit.order if number == 0 else hit.source.get(field.name)


def _fields(hit: Hit, wanted: Sequence[tuple[str, str]]) -> dict[str, list[Any]]:
    flat: dict[str, list[Any]] = {}
    _flatten(hit.source, "", flat)
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
    _flatten(hit.source, "", flat)
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
