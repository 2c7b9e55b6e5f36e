"""What a day's index says of an aggregation, in a form that days can be merged in. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from kokiris.logs.index.schema import unmarked
from kokiris.logs.search.aggregation_plan import Aggregation

CURVE = tuple(one * 2.5 for one in range(41))
"""Percentiles asked of every day, so that those of several days can be put together."""
MAX_DISTINCT = 10_000
"""Up to so many different values a day, `cardinality` is exact."""


@dataclass(slots=True)
class Numbers:
    """Of avg, sum, min, max, stats, extended_stats, value_count."""

    count: int = 0
    sum: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    squares: float = 0.0

    def merge(self, other: Numbers) -> None:
        self.count += other.count
        self.sum += other.sum
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.squares += other.squares


@dataclass(slots=True)
class Curves:
    """Of percentiles: for each day, how many values there are and (percent, value) points of them."""

    days: list[tuple[int, list[tuple[float, float]]]] = field(default_factory=list)

    def merge(self, other: Curves) -> None:
        self.days += other.days

    def at(self, percent: float) -> float | None:
        """The value that `percent` of all lie below; None without any."""
        days = [(count, points) for count, points in self.days if count and points]
        if not days:
            return None
        if len(days) == 1:
            return _interpolated(days[0][1], percent)
        total = sum(count for count, _ in days)
        candidates = sorted({value for _, points in days for _, value in points})

        def below(value: float) -> float:
            return sum(count * _share(points, value) for count, points in days) / total

        place = bisect_left(candidates, percent, key=below)
        around = candidates[max(0, place - 1) : place + 1]
        return _interpolated([(below(value), value) for value in around], percent)


@dataclass(slots=True)
class Distinct:
    """Of cardinality."""

    values: set[Any] = field(default_factory=set)
    estimate: float = 0.0
    exact: bool = True

    def merge(self, other: Distinct) -> None:
        self.values |= other.values
        self.estimate = max(self.estimate, other.estimate)
        self.exact = self.exact and other.exact

    def value(self) -> int:
        return len(self.values) if self.exact else max(len(self.values), round(self.estimate))


@dataclass(slots=True)
class Bucket:
    """`count` documents, and the states of the sub-aggregations."""

    count: int = 0
    states: dict[str, State] = field(default_factory=dict)

    def merge(self, other: Bucket) -> None:
        self.count += other.count
        merge_all(self.states, other.states)


@dataclass(slots=True)
class Buckets:
    """Of every bucket aggregation: key → bucket. `others`: documents in buckets that were not looked at."""

    buckets: dict[Any, Bucket] = field(default_factory=dict)
    others: int = 0
    error_bound: int = 0

    def merge(self, other: Buckets) -> None:
        for key, bucket in other.buckets.items():
            if key in self.buckets:
                self.buckets[key].merge(bucket)
            else:
                self.buckets[key] = bucket
        self.others += other.others
        self.error_bound += other.error_bound


State = Numbers | Curves | Distinct | Buckets


def merge_all(into: dict[str, State], other: dict[str, State]) -> None:
    """Adds the states of `other`, which must come from the same aggregations."""
    for name, state in other.items():
        known = into.get(name)
        if known is None:
            into[name] = state
        else:
            known.merge(state)  # type: ignore[arg-type]  # the same aggregation gives the same kind of state


# ---- from tantivy's answers ------------------------------------------------------------------------------------------


def metric_request(aggregation: Aggregation) -> dict[str, Any]:
    """What tantivy is asked for a metric: always something that merges."""
    column = aggregation.column.name
    if aggregation.kind == "percentiles":
        percents = sorted({*CURVE, *aggregation.settings["percents"]})
        return {"percentiles": {"field": column, "percents": percents}}
    if aggregation.kind == "cardinality":
        return {"terms": {"field": column, "size": MAX_DISTINCT}}
    if aggregation.kind == "value_count":
        return {"value_count": {"field": column}}
    missing = {"missing": aggregation.settings["missing"]} if "missing" in aggregation.settings else {}
    if aggregation.kind == "extended_stats":
        return {"extended_stats": {"field": column, **missing}}
    return {"stats": {"field": column, **missing}}


def metric_state(aggregation: Aggregation, answer: dict[str, Any], count: int) -> State:
    """`count`: values there are, for percentiles."""
    if aggregation.kind == "percentiles":
        points = [(float(percent), value) for percent, value in answer["values"].items() if _is_number(value)]
        return Curves([(count, sorted(points))] if points else [])
    if aggregation.kind == "cardinality":
        values = {bucket["key"] for bucket in answer["buckets"]}
        exact = not answer.get("sum_other_doc_count")
        return Distinct(values, len(values) + (answer.get("sum_other_doc_count") or 0), exact)
    if aggregation.kind == "value_count":
        return Numbers(count=int(answer["value"] or 0))
    counted = int(answer["count"] or 0)
    if not counted:
        return Numbers()
    return Numbers(counted, answer["sum"], answer["min"], answer["max"], answer.get("sum_of_squares") or 0.0)


def key_of(raw: Any) -> Any:
    """A bucket's key as the document had it."""
    if isinstance(raw, str):
        return unmarked(raw)
    if isinstance(raw, float) and raw.is_integer():
        return int(raw)
    return raw


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _interpolated(points: list[tuple[float, float]], percent: float) -> float:
    for number, (at, value) in enumerate(points):
        if at >= percent:
            if at == percent or not number:
                return value
            before_at, before = points[number - 1]
            return before + (value - before) * (percent - before_at) / (at - before_at)
    return points[-1][1]


def _share(points: list[tuple[float, float]], value: float) -> float:
    """The percentage of a day's values at or below `value`."""
    at = bisect_right(points, value, key=itemgetter(1))
    if not at:
        return 0.0
    if at == len(points):
        return 100.0
    (low_percent, low), (high_percent, high) = points[at - 1], points[at]
    return low_percent + (high_percent - low_percent) * ((value - low) / (high - low) if high > low else 0.0)
