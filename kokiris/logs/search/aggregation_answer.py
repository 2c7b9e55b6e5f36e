"""Merged states as Elasticsearch writes them: keys, gaps filled, order, formats. Pure."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from kokiris.logs.documents import number_of
from kokiris.logs.query.tree import QueryError
from kokiris.logs.search.aggregation_plan import MAX_BUCKETS, Aggregation
from kokiris.logs.search.aggregation_states import Bucket, Buckets, Curves, Distinct, Numbers, State
from kokiris.logs.times import EPOCH, floor, iso_ms, to_us

_STEP_HOURS = {"h": 1.5, "d": 26.0, "w": 170.0, "M": 768.0, "q": 2232.0, "y": 8808.0}


def answer_of(one: Aggregation, state: State | None) -> dict[str, Any]:  # noqa: PLR0911 - one return per kind
    """`state` None: no day had anything to say."""
    if one.kind == "percentiles":
        return _percentiles(one, state if isinstance(state, Curves) else Curves())
    if one.kind == "cardinality":
        return {"value": state.value() if isinstance(state, Distinct) else 0}
    if isinstance(state, Numbers) or one.kind in {"avg", "sum", "min", "max", "stats", "extended_stats", "value_count"}:
        return _numbers(one, state if isinstance(state, Numbers) else Numbers())
    buckets = state if isinstance(state, Buckets) else Buckets()
    if one.kind == "filter":
        return _bucket(one, buckets.buckets.get("", Bucket()))
    if one.kind == "filters":
        return _filters(one, buckets)
    if one.kind == "terms":
        return _terms(one, buckets)
    if one.kind == "range":
        return _range(one, buckets)
    return _date_histogram(one, buckets) if one.kind == "date_histogram" else _histogram(one, buckets)


def _bucket(one: Aggregation, bucket: Bucket) -> dict[str, Any]:
    return {
        "doc_count": bucket.count,
        **{child.name: answer_of(child, bucket.states.get(child.name)) for child in one.children},
    }


def _numbers(one: Aggregation, numbers: Numbers) -> dict[str, Any]:
    if one.kind == "value_count":
        return {"value": numbers.count}
    scale = 1000.0 if one.column.is_time else 1.0
    empty = not numbers.count
    low = None if empty else numbers.low / scale
    high = None if empty else numbers.high / scale
    mean = None if empty else numbers.sum / numbers.count / scale
    if one.kind in {"avg", "min", "max", "sum"}:
        value = {"avg": mean, "min": low, "max": high, "sum": numbers.sum / scale}[one.kind]
        shown: dict[str, Any] = {"value": value}
        if one.column.is_time and value is not None and one.kind != "sum":
            shown["value_as_string"] = iso_ms(round(value * 1000))
        return shown
    stats: dict[str, Any] = {"count": numbers.count, "min": low, "max": high, "avg": mean, "sum": numbers.sum / scale}
    if one.kind == "extended_stats":
        stats |= _spread(numbers)
    return stats


def _spread(numbers: Numbers) -> dict[str, Any]:
    if not numbers.count:
        return {"sum_of_squares": None, "variance": None, "std_deviation": None}
    mean = numbers.sum / numbers.count
    variance = max(0.0, numbers.squares / numbers.count - mean * mean)
    deviation = math.sqrt(variance)
    return {
        "sum_of_squares": numbers.squares,
        "variance": variance,
        "variance_population": variance,
        "std_deviation": deviation,
        "std_deviation_population": deviation,
        "std_deviation_bounds": {"upper": mean + 2 * deviation, "lower": mean - 2 * deviation},
    }


def _percentiles(one: Aggregation, curves: Curves) -> dict[str, Any]:
    scale = 1000.0 if one.column.is_time else 1.0
    values = [(percent, curves.at(percent)) for percent in one.settings["percents"]]
    scaled = [(percent, None if value is None else value / scale) for percent, value in values]
    if one.settings.get("keyed", True) is False:
        return {"values": [{"key": percent, "value": value} for percent, value in scaled]}
    return {"values": {str(percent): value for percent, value in scaled}}


def _filters(one: Aggregation, buckets: Buckets) -> dict[str, Any]:
    named = {name: _bucket(one, buckets.buckets.get(name, Bucket())) for name, _ in one.filters}
    if isinstance(one.settings.get("filters"), list):
        return {"buckets": list(named.values())}
    return {"buckets": named}


def _terms(one: Aggregation, buckets: Buckets) -> dict[str, Any]:
    minimum = one.settings.get("min_doc_count", 1)
    rendered = [
        ({"key": key, **_bucket(one, bucket)}, bucket)
        for key, bucket in buckets.buckets.items()
        if bucket.count >= minimum
    ]
    given = one.settings.get("order") or {"_count": "desc"}
    orders = [(name, way) for each in (given if isinstance(given, list) else [given]) for name, way in each.items()]
    rendered.sort(key=lambda pair: _sortable(pair[0]["key"]))
    for name, way in reversed(orders):
        descending = str(way).lower() == "desc"
        rendered.sort(key=lambda pair, name=name: _order_value(pair[0], name), reverse=descending)  # type: ignore[misc]  # a default in a lambda
    size = one.settings["size"]
    others = buckets.others + sum(bucket.count for _, bucket in rendered[size:])
    return {
        "doc_count_error_upper_bound": buckets.error_bound,
        "sum_other_doc_count": others,
        "buckets": [shown for shown, _ in rendered[:size]],
    }


def _sortable(key: Any) -> tuple[int, float, str]:
    return (0, float(key), "") if isinstance(key, (int, float)) else (1, 0.0, str(key))


def _order_value(bucket: dict[str, Any], name: str) -> Any:
    if name in {"_key", "_term"}:
        return _sortable(bucket["key"])
    if name == "_count":
        return bucket["doc_count"]
    path, _, part = name.rstrip("]").replace("[", ".").replace(">", ".").partition(".")
    child = bucket.get(path)
    if not isinstance(child, dict):
        raise QueryError(f"terms cannot be ordered by [{name}]: there is no such sub-aggregation")
    if "values" in child:
        found = _percentile(child["values"], part)
    else:
        found = child.get(part or "value", child.get("doc_count"))
    return -math.inf if found is None else found


def _percentile(values: Any, part: str) -> Any:
    """`95`, `95.0`: the percentile meant; None without it."""
    percent = number_of(part)
    pairs = values.items() if isinstance(values, dict) else ((pair["key"], pair["value"]) for pair in values)
    return next((value for key, value in pairs if float(key) == percent), None)


def _range(one: Aggregation, buckets: Buckets) -> dict[str, Any]:
    shown = []
    for given in one.settings["ranges"]:
        low, high = given.get("from"), given.get("to")
        key = given.get("key") or f"{_edge(low)}-{_edge(high)}"
        sides = {side: value for side, value in (("from", low), ("to", high)) if value is not None}
        shown.append({"key": key, **sides, **_bucket(one, buckets.buckets.get((low, high), Bucket()))})
    if one.settings.get("keyed"):
        return {"buckets": {entry.pop("key"): entry for entry in shown}}
    return {"buckets": shown}


def _edge(value: float | None) -> str:
    return "*" if value is None else str(float(value))


def _histogram(one: Aggregation, buckets: Buckets) -> dict[str, Any]:
    interval, minimum = one.settings["interval"], one.settings.get("min_doc_count", 0)
    keys = sorted(buckets.buckets)
    if minimum == 0 and keys:
        steps = round((keys[-1] - keys[0]) / interval)
        _check_count(steps)
        full = {round(keys[0] + step * interval, 9): Bucket() for step in range(steps + 1)}
        full.update({round(key, 9): bucket for key, bucket in buckets.buckets.items()})
        shown = [{"key": float(key), **_bucket(one, full[key])} for key in sorted(full)]
    else:
        kept = [key for key in keys if buckets.buckets[key].count >= minimum]
        shown = [{"key": float(key), **_bucket(one, buckets.buckets[key])} for key in kept]
    if one.settings.get("keyed"):
        return {"buckets": {str(entry["key"]): entry for entry in shown}}
    return {"buckets": shown}


def _date_histogram(one: Aggregation, buckets: Buckets) -> dict[str, Any]:
    minimum = one.settings.get("min_doc_count", 0)
    hard = one.settings.get("hard_bounds") or {}
    found = {
        key: bucket
        for key, bucket in buckets.buckets.items()
        if hard.get("min", key) <= key <= hard.get("max", key) and bucket.count >= minimum
    }
    if minimum == 0:
        for key in _all_keys(one, sorted(found)):
            found.setdefault(key, Bucket())
    form = str(one.settings.get("format", ""))
    descending = (one.settings.get("order") or {}).get("_key") == "desc"
    shown = [
        {"key_as_string": _key_text(key, form), "key": key // 1000, **_bucket(one, found[key])}
        for key in sorted(found, reverse=descending)
    ]
    if one.settings.get("keyed"):
        return {"buckets": {str(entry["key_as_string"]): entry for entry in shown}}
    return {"buckets": shown}


def _key_text(key: int, form: str) -> str:
    if form.startswith("epoch_millis"):
        return str(key // 1000)
    return str(key // 1_000_000) if form.startswith("epoch_second") else iso_ms(key)


def _all_keys(one: Aggregation, keys: list[int]) -> list[int]:
    """Every key from the first to the last, and over the extended bounds."""
    settings = one.settings
    extended = settings.get("extended_bounds") or {}
    lows = [*keys[:1], *([_floor(one, extended["min"])] if "min" in extended else [])]
    highs = [*keys[-1:], *([_floor(one, extended["max"])] if "max" in extended else [])]
    if not lows or not highs:
        return []
    low, high = min(lows), max(highs)
    if not settings["unit"]:
        _check_count((high - low) // settings["interval_us"])
        return list(range(low, high + 1, settings["interval_us"]))
    found = [low]
    while found[-1] < high:
        later = EPOCH + timedelta(microseconds=found[-1] - settings["offset_us"], hours=_STEP_HOURS[settings["unit"]])
        found.append(to_us(floor(later, settings["unit"], settings["zone"])) + settings["offset_us"])
        _check_count(len(found))
    return found


def _floor(one: Aggregation, time_us: int) -> int:
    interval_us, offset_us = one.settings["interval_us"], one.settings["offset_us"]
    if interval_us:
        return int((time_us - offset_us) // interval_us * interval_us + offset_us)
    moment = EPOCH + timedelta(microseconds=time_us - offset_us)
    return int(to_us(floor(moment, one.settings["unit"], one.settings["zone"])) + offset_us)


def _check_count(count: float) -> None:
    if count >= MAX_BUCKETS:
        raise QueryError(f"too many buckets: {count:.0f}; at most {MAX_BUCKETS} are written, use a longer interval")
