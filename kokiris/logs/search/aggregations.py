"""Aggregations over all days: each day is asked, the answers are merged, and written as Elasticsearch writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from kokiris.logs.index.day import DayIndex
from kokiris.logs.query import tree
from kokiris.logs.query.dsl import Context
from kokiris.logs.query.tree import QueryError
from kokiris.logs.search.aggregation_answer import answer_of
from kokiris.logs.search.aggregation_plan import METRICS, Aggregation, parse_aggregations
from kokiris.logs.search.aggregation_states import (
    Bucket,
    Buckets,
    State,
    key_of,
    merge_all,
    metric_request,
    metric_state,
)
from kokiris.logs.times import EPOCH, floor, to_us

_STEP = {"h": 1.5, "d": 26, "w": 7 * 24 + 2, "M": 32 * 24, "q": 93 * 24, "y": 367 * 24}
"""Hours from a unit's beginning that lie in the next one, whatever clocks do."""
_FILTERS = frozenset({"filter", "filters"})


class TooManyBuckets(QueryError):
    """More buckets than the index counts, or a reader wants."""

    code = "too_many_buckets"


def aggregate(days: Sequence[DayIndex], query: tree.Query, body: object, context: Context) -> dict[str, Any]:
    """The `aggregations` of an answer. Raises QueryError."""
    wanted = parse_aggregations(body, context)
    states: dict[str, State] = {}
    for day in days:
        merge_all(states, _ask(day, query, wanted))
    return {one.name: answer_of(one, states.get(one.name)) for one in wanted}


def _ask(day: DayIndex, query: tree.Query, wanted: Sequence[Aggregation]) -> dict[str, State]:
    """A day's states. Filters are asked one by one, with the query narrowed down: the index has no such aggregation."""
    plain = [one for one in wanted if one.kind not in _FILTERS and one.column.name]
    states = _ask_plain(day, query, plain) if plain else {}
    for one in wanted:
        if one.kind in _FILTERS:
            states[one.name] = _ask_filters(day, query, one)
    return states


def _ask_filters(day: DayIndex, query: tree.Query, one: Aggregation) -> Buckets:
    found = Buckets()
    for name, narrowed in one.filters:
        both = tree.both(query, narrowed)
        found.buckets[name] = Bucket(day.count(day.compile(both)), _ask(day, both, one.children))
    return found


def _ask_plain(day: DayIndex, query: tree.Query, wanted: Sequence[Aggregation]) -> dict[str, State]:
    request = {str(number): _request(one, day) for number, one in enumerate(wanted)}
    for number, one in enumerate(wanted):
        if one.kind == "percentiles":
            request[f"{number}n"] = {"value_count": {"field": one.column.name}}
    try:
        answer = day.aggregate(day.compile(query), request)
    except ValueError as error:
        if "bucket" in str(error).lower():
            raise TooManyBuckets(f"too many buckets: {error}; use a longer interval or a smaller size") from None
        raise QueryError(f"the index does not take this aggregation: {str(error)[:300]}") from None
    states = {one.name: _state(one, answer, str(number)) for number, one in enumerate(wanted)}
    for one in wanted:
        _hoist_filters(day, query, one, states)
    return states


def _hoist_filters(day: DayIndex, query: tree.Query, one: Aggregation, states: dict[str, State]) -> None:
    """Filters below buckets: the same buckets are asked for once more for each filter, under the narrowed query."""
    parent = states[one.name]
    if one.kind in METRICS or not isinstance(parent, Buckets):
        return
    for child in one.children:
        if child.kind not in _FILTERS:
            continue
        for bucket in parent.buckets.values():
            bucket.states[child.name] = Buckets({name: Bucket() for name, _ in child.filters})
        for name, narrowed in child.filters:
            shaped = replace(one, children=child.children, settings={**one.settings, "size": 10_000})
            again = _ask(day, tree.both(query, narrowed), [shaped]).get(one.name)
            for key, bucket in again.buckets.items() if isinstance(again, Buckets) else ():
                into = parent.buckets.get(key)
                if into is not None:
                    place = into.states[child.name]
                    assert isinstance(place, Buckets)  # noqa: S101 - made so above
                    place.buckets[name] = Bucket(bucket.count, bucket.states)


# ---- requests --------------------------------------------------------------------------------------------------------


def _request(one: Aggregation, day: DayIndex) -> dict[str, Any]:
    if one.kind in METRICS:
        return metric_request(one)
    request = _bucket_request(one, day)
    children = [child for child in one.children if child.kind not in _FILTERS and child.column.name]
    below: dict[str, Any] = {}
    for number, child in enumerate(children):
        below[str(number)] = _request(child, day)
        if child.kind == "percentiles":
            below[f"{number}n"] = {"value_count": {"field": child.column.name}}
    return {**request, "aggs": below} if below else request


def _bucket_request(one: Aggregation, day: DayIndex) -> dict[str, Any]:
    column, settings = one.column.name, one.settings
    if one.kind == "terms":
        terms: dict[str, Any] = {"field": column, "size": _terms_size(one), "segment_size": 2 * _terms_size(one)}
        terms |= {name: settings[name] for name in ("include", "exclude", "missing") if name in settings}
        order = settings.get("order")
        if isinstance(order, dict) and set(order) <= {"_key", "_count", "_term"}:
            terms["order"] = {name.replace("_term", "_key"): way for name, way in order.items()}
        return {"terms": terms}
    if one.kind == "histogram":
        bounds = {"offset": float(settings["offset"])} if settings.get("offset") else {}
        return {"histogram": {"field": column, "interval": settings["interval"], "min_doc_count": 1, **bounds}}
    if one.kind == "range":
        ranges = [
            {side: float(given[side]) for side in ("from", "to") if given.get(side) is not None}
            for given in _ranges(one)
        ]
        return {"range": {"field": column, "ranges": ranges}}
    if settings["unit"]:
        edges = calendar_edges(one, day.catalogue.min_time_us, day.catalogue.max_time_us)
        pairs = pairwise(edges)
        return {"range": {"field": column, "ranges": [{"from": float(low), "to": float(high)} for low, high in pairs]}}
    histogram: dict[str, Any] = {"field": column, "interval": float(settings["interval_us"]), "min_doc_count": 1}
    if settings["offset_us"] % settings["interval_us"]:
        histogram["offset"] = float(settings["offset_us"] % settings["interval_us"])
    return {"histogram": histogram}


def _ranges(one: Aggregation) -> list[dict[str, Any]]:
    given = one.settings.get("ranges")
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise QueryError(f"aggregation [{one.name}] of type [range] expects [ranges]")
    return given


def _terms_size(one: Aggregation) -> int:
    """More than asked, so that the merged top is right in all but contrived cases."""
    order = one.settings.get("order")
    by_metric = order is not None and not (isinstance(order, dict) and set(order) <= {"_key", "_count", "_term"})
    return min(10_000, max(int(one.settings["size"]) * 2 + 10, 1000 if by_metric else 100))


def calendar_edges(one: Aggregation, low_us: int, high_us: int) -> list[int]:
    """The beginnings (unix µs) of all calendar units from the one of `low_us` to the one after `high_us`."""
    unit, zone, offset_us = one.settings["unit"], one.settings["zone"], one.settings["offset_us"]
    edge = floor(_moment(low_us - offset_us), unit, zone)
    edges = [edge]
    while to_us(edge) + offset_us <= high_us:
        edge = floor(edge + timedelta(hours=_STEP[unit]), unit, zone)
        edges.append(edge)
        if len(edges) > 60_000:
            raise TooManyBuckets("too many buckets; use a longer interval")
    return [to_us(one_edge) + offset_us for one_edge in edges]


def _moment(time_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=time_us)


# ---- answers ---------------------------------------------------------------------------------------------------------


def _state(one: Aggregation, answers: dict[str, Any], place: str) -> State:
    answer = answers[place]
    if one.kind in METRICS:
        counted = answers.get(f"{place}n", {}).get("value") or 0
        return metric_state(one, answer, int(counted))
    children = [child for child in one.children if child.kind not in _FILTERS and child.column.name]
    found = Buckets(
        others=answer.get("sum_other_doc_count") or 0, error_bound=answer.get("doc_count_error_upper_bound") or 0
    )
    for raw in answer["buckets"]:
        key = _key(one, raw)
        if key is None or (not raw["doc_count"] and one.kind != "range"):
            continue
        states = {child.name: _state(child, raw, str(number)) for number, child in enumerate(children)}
        fresh = Bucket(raw["doc_count"], states)
        if key in found.buckets:
            found.buckets[key].merge(fresh)
        else:
            found.buckets[key] = fresh
    return found


def _key(one: Aggregation, raw: dict[str, Any]) -> Any:
    """Times in unix µs, ranges as (from, to); None: a bucket nobody asked for."""
    if one.kind == "range":
        wanted = {(given.get("from"), given.get("to")) for given in _ranges(one)}
        key = (raw.get("from"), raw.get("to"))
        return key if key in wanted else None
    if one.kind == "date_histogram":
        if one.settings["unit"]:
            return int(raw["from"]) if "from" in raw and "to" in raw else None
        return round(raw["key"])
    return key_of(raw["key"])
