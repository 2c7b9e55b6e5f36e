"""Hits of a search over all days, in one order."""

from __future__ import annotations

import heapq
import itertools
import re
from collections.abc import Sequence
from typing import Any

import msgspec
import tantivy

from kokiris.kernel.errors import BadInput
from kokiris.logs.index.day import DayIndex, Found
from kokiris.logs.index.schema import KEY_STEPS
from kokiris.logs.model import TIME, Document
from kokiris.logs.query import tree
from kokiris.logs.query.compile import Nested, sequence_id, together
from kokiris.logs.query.tree import QueryError
from kokiris.logs.search.request import SearchRequest, SortField, time_bounds
from kokiris.logs.times import query_time_us

KEYS_PER_MS = KEY_STEPS * 1000
FEW_MATCHES = 20_000
"""So many are put in order at once; of more, only a stretch of time that should hold enough."""
WINDOW_SPARE, WINDOW_GROWTH = 4, 8
"""How many times the hits wanted the first stretch should hold, and how much longer each further one is."""


class Hit(msgspec.Struct, frozen=True, gc=False):
    """One document found. `order`: its value in the first sort field; `key`: the index's own order; `raw`: the document
    as JSON."""

    order: int | str
    key: int
    day: DayIndex
    identifier: str
    raw: bytes

    def source(self) -> Document:
        """The document, decoded."""
        found: Document = msgspec.json.decode(self.raw)
        return found


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
    after = _after(request, sort, now_us) if request.search_after else (None, None)
    wanted = request.offset + request.size
    total, found = 0, _Best(wanted, descending=sort.descending)
    ordered = days if sort.descending else list(reversed(days))
    for day in overlapping(ordered, request.query):
        query = day.compile(request.query)
        if request.last_sequence is not None:
            query = together([query, day.compiler.integers("seq", None, request.last_sequence)])
        if not wanted or (by_key and found.is_beyond(_extreme(day, descending=sort.descending))):
            total += _count(day, request, query) if request.total else 0
        elif by_key:
            hits, searcher, count = _by_key(day, query, request, after, descending=sort.descending)
            total += count
            found.add(day, searcher, [(int(hit.key), int(hit.key), hit.address) for hit in hits])
        else:
            hits, searcher, count = day.newest_of_all(query, wanted, by=sort.name, descending=sort.descending)
            total += count
            keys = day.key_values(searcher, hits)
            found.add(day, searcher, [(hit.key, key, hit.address) for hit, key in zip(hits, keys, strict=True)])
    return _read(found.ordered()[request.offset :]), total if request.total else 0


class _Candidate(msgspec.Struct, frozen=True, gc=False):
    """A hit whose document is not read yet."""

    order: int | str
    key: int
    day: DayIndex
    searcher: tantivy.Searcher
    address: Any


class _Best:
    """The first `count` of all candidates."""

    def __init__(self, count: int, *, descending: bool) -> None:
        self._count = count
        self._descending = descending
        self._found: list[_Candidate] = []
        self._in_order = True

    def add(self, day: DayIndex, searcher: tantivy.Searcher, hits: list[tuple[int | str, int, Any]]) -> None:
        """`hits` of one day, in order: (order, key, address)."""
        self._in_order = not self._found
        self._found += [_Candidate(order, key, day, searcher, address) for order, key, address in hits]

    def ordered(self) -> list[_Candidate]:
        if self._in_order:
            return self._found
        self._in_order = True
        choose = heapq.nlargest if self._descending else heapq.nsmallest
        self._found = choose(self._count, self._found, key=lambda one: (one.order, one.key))
        return self._found

    def is_beyond(self, extreme: int) -> bool:
        """Whether what lies at `extreme` or further would come after all that is found."""
        if len(self._found) < self._count:
            return False
        last = self.ordered()[-1].key
        return last > extreme if self._descending else last < extreme


# ---- one day, in the order of time -----------------------------------------------------------------------------------


def _by_key(
    day: DayIndex,
    query: Nested,
    request: SearchRequest,
    after: tuple[int | None, int | None],
    *,
    descending: bool,
) -> tuple[list[Found], tantivy.Searcher, int]:
    """The first hits of a day, and how many match without regard to `after` (0: not counted)."""
    wanted = request.offset + request.size
    if _expands(request.query):  # costs the same twice: all in one pass
        if after == (None, None):
            return day.newest_of_all(query, wanted, descending=descending)
        count = _count(day, request, query) if request.total else 0
        beyond = together([query, day.compiler.integers("k", *after)])
        return *day.newest(beyond, wanted, descending=descending), count
    count = _count(day, request, query)
    stretch = _stretch(day, request.query, after)
    query = query if after == (None, None) else together([query, day.compiler.integers("k", *after)])
    return *_first(day, query, wanted, count, stretch, descending=descending), count


def _count(day: DayIndex, request: SearchRequest, query: Nested) -> int:
    everything = request.last_sequence is None and day.compiler.is_all(request.query)
    return day.documents if everything else day.count(query)


def _first(
    day: DayIndex, query: Nested, wanted: int, count: int, stretch: tuple[int, int], *, descending: bool
) -> tuple[list[Found], tantivy.Searcher]:
    """To put the newest of a million matches in order, each of them is looked at. Nearly always they are in a short
    part at the end of `stretch`, which costs a hundredth; a longer one is tried until it holds enough."""
    low, high = stretch
    share = WINDOW_SPARE * wanted / count if count > FEW_MATCHES else 1.0
    while share < 1 / WINDOW_GROWTH:
        width = round((high - low) * share)
        window = day.compiler.integers("k", *((high - width, None) if descending else (None, low + width)))
        hits, searcher = day.newest(together([query, window]), wanted, descending=descending)
        if len(hits) >= wanted:
            return hits, searcher
        share *= WINDOW_GROWTH
    return day.newest(query, wanted, descending=descending)


def _stretch(day: DayIndex, query: tree.Query, after: tuple[int | None, int | None]) -> tuple[int, int]:
    """The keys between which the day's matches lie."""
    low_us, high_us = time_bounds(query)
    lows = [_extreme(day, descending=False), after[0], None if low_us is None else low_us * KEY_STEPS]
    highs = [_extreme(day, descending=True), after[1], None if high_us is None else (high_us + 1) * KEY_STEPS]
    return max(one for one in lows if one is not None), min(one for one in highs if one is not None)


def _expands(query: tree.Query) -> bool:
    """Whether the index looks through its words to begin with, which costs more than putting the matches in order."""
    match query:
        case tree.Wildcard() | tree.Regexp() | tree.Phrase(prefix=True):
            return True
        case tree.And(parts=parts) | tree.Or(parts=parts):
            return any(_expands(part) for part in parts)
        case tree.Not(part=part):
            return _expands(part)
    return False


def _extreme(day: DayIndex, *, descending: bool) -> int:
    if descending:
        return (day.catalogue.max_time_us + 1) * KEY_STEPS - 1 + KEYS_PER_MS
    return day.catalogue.min_time_us * KEY_STEPS


def _after(request: SearchRequest, sort: SortField, now_us: int) -> tuple[int | None, int | None]:
    """The keys between which the next page lies."""
    first = request.search_after[0]
    if sort.by_arrival:
        return _beyond(_whole(first), _whole(first), descending=sort.descending)
    try:
        time_ms = query_time_us(first, now_us=now_us, round_up=False, form=sort.form) // 1000
    except BadInput as error:
        raise QueryError(f"search_after: {error.message}") from None
    if len(request.search_after) > 1:
        exact = time_ms * KEYS_PER_MS + _whole(request.search_after[1])
        return _beyond(exact, exact, descending=sort.descending)
    return _beyond(time_ms * KEYS_PER_MS, (time_ms + 1) * KEYS_PER_MS - 1, descending=sort.descending)


def _beyond(low: int, high: int, *, descending: bool) -> tuple[int | None, int | None]:
    return (None, low - 1) if descending else (high + 1, None)


def _whole(value: object) -> int:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float, str))
        or not re.fullmatch(r"\d{1,19}(\.0)?", str(value))
    ):
        raise QueryError(f"search_after: [{str(value)[:50]}] is not a value of this sort")
    return int(float(value)) if isinstance(value, float) else int(value)


# ---- documents -------------------------------------------------------------------------------------------------------


def _read(found: Sequence[_Candidate]) -> list[Hit]:
    """The documents; those that came without an id are named by their numbers."""
    hits: list[Hit] = []
    for _, group in itertools.groupby(found, key=lambda one: id(one.searcher)):
        those = list(group)
        searcher = those[0].searcher
        numbers = searcher.fast_field_values("seq", [one.address for one in those])
        for one, number in zip(those, numbers, strict=True):
            document = searcher.doc(one.address)
            identifier = document.get_first("id") or sequence_id(int(number or 0))
            hits.append(Hit(one.order, one.key, one.day, identifier, document.get_first("_source") or b"{}"))
    return hits
