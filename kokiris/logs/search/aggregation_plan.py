"""Aggregations as asked for, read and checked. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any

from kokiris.kernel.errors import BadInput
from kokiris.logs.documents import number_of
from kokiris.logs.model import TIME
from kokiris.logs.query import tree
from kokiris.logs.query.dsl import Context, parse_dsl
from kokiris.logs.query.fields import Kind, places
from kokiris.logs.query.tree import QueryError
from kokiris.logs.times import DAY_US, SECOND_US, query_time_us, zone_of

METRICS = frozenset(
    {"avg", "sum", "min", "max", "stats", "extended_stats", "value_count", "percentiles", "cardinality"}
)
BUCKETS = frozenset({"terms", "date_histogram", "histogram", "range", "filter", "filters", "missing"})
DEFAULT_PERCENTS = (1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0)
MAX_BUCKETS = 65_536
MAX_DEPTH = 5
WEEK_OFFSET_US = 4 * DAY_US
"""1970 began on a Thursday: weeks of 7 days begin on Monday with this offset."""
_FIXED_US = {"ms": 1_000, "s": SECOND_US, "m": 60 * SECOND_US, "h": 3_600 * SECOND_US, "d": DAY_US}
_CALENDAR = {
    "second": "s", "1s": "s", "minute": "m", "1m": "m", "hour": "h", "1h": "h", "day": "d", "1d": "d",
    "week": "w", "1w": "w", "month": "M", "1M": "M", "quarter": "q", "1q": "q", "year": "y", "1y": "y",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """What of the index is aggregated. `name` is tantivy's, "" when the index has nothing of it."""

    name: str
    is_time: bool = False


@dataclass(frozen=True, slots=True)
class Aggregation:
    """One aggregation. `settings` are those of its kind, checked; `children` are computed for each bucket."""

    name: str
    kind: str
    column: Column = Column("")
    settings: dict[str, Any] = field(default_factory=dict)
    filters: tuple[tuple[str, tree.Query], ...] = ()
    children: tuple[Aggregation, ...] = ()


def parse_aggregations(body: object, context: Context, depth: int = 0) -> tuple[Aggregation, ...]:
    """Raises QueryError."""
    if not isinstance(body, dict):
        raise QueryError("[aggs] expects an object")
    if depth >= MAX_DEPTH:
        raise QueryError(f"aggregations are nested more than {MAX_DEPTH} deep")
    return tuple(_one(str(name), one, context, depth) for name, one in body.items())


def _one(name: str, body: object, context: Context, depth: int) -> Aggregation:
    if not isinstance(body, dict):
        raise QueryError(f"aggregation [{name}] expects an object")
    kinds = [key for key in body if key not in {"aggs", "aggregations", "meta"}]
    if len(kinds) != 1:
        raise QueryError(f"aggregation [{name}] expects one type, found {kinds}")
    kind = kinds[0]
    settings = body[kind]
    if kind not in METRICS | BUCKETS:
        known = ", ".join(sorted(METRICS | BUCKETS))
        raise QueryError(f"unknown aggregation type [{kind}]; known are {known}")
    if not isinstance(settings, dict):
        raise QueryError(f"aggregation [{name}] of type [{kind}] expects an object")
    children = parse_aggregations(body.get("aggs") or body.get("aggregations") or {}, context, depth + 1)
    if children and kind in METRICS:
        raise QueryError(f"aggregation [{name}] of type [{kind}] cannot have sub-aggregations")
    return _of_kind(name, kind, settings, children, context)


def _of_kind(
    name: str, kind: str, settings: dict[str, Any], children: tuple[Aggregation, ...], context: Context
) -> Aggregation:
    if kind == "filter":
        return Aggregation(name, kind, filters=(("", parse_dsl(settings, context)),), children=children)
    if kind == "filters":
        return Aggregation(name, kind, settings=settings, filters=_filters(settings, context), children=children)
    field_name = settings.get("field")
    if not isinstance(field_name, str):
        raise QueryError(f"aggregation [{name}] of type [{kind}] expects a [field]")
    if kind == "missing":
        query = tree.Not(tree.Exists(field_name))
        return Aggregation(name, "filter", filters=(("", query),), children=children)
    if "script" in settings:
        raise QueryError(f"aggregation [{name}] of type [{kind}]: scripts are not run")
    column = column_of(field_name, name)
    return Aggregation(name, kind, column, _checked(name, kind, settings, column, context), children=children)


def _checked(name: str, kind: str, settings: dict[str, Any], column: Column, context: Context) -> dict[str, Any]:
    """The settings, numbers as numbers. Raises QueryError."""
    checked = dict(settings)
    if kind == "date_histogram":
        if not column.is_time:
            raise QueryError(f"aggregation [{name}]: date_histogram works on [{TIME}], not on [{settings['field']}]")
        checked = date_histogram_settings(name, settings, context)
    elif kind == "histogram":
        checked["interval"] = _positive(settings.get("interval"), name)
    elif kind == "terms":
        checked["size"] = _whole("size", settings.get("size", 10), name) or 10
        if column.is_time:
            raise QueryError(f"aggregation [{name}]: terms of [{TIME}] are not supported; use date_histogram")
    elif kind == "percentiles":
        checked["percents"] = _percents(settings.get("percents", DEFAULT_PERCENTS), name)
    if kind in METRICS and "missing" in settings:
        checked["missing"] = _missing(settings["missing"], kind, name)
    if "min_doc_count" in settings:
        checked["min_doc_count"] = _whole("min_doc_count", settings["min_doc_count"], name)
    return checked


def _percents(given: object, name: str) -> list[float]:
    found = [_number(one) for one in given] if isinstance(given, (list, tuple)) else [None]
    percents = [one for one in found if one is not None and 0 <= one <= 100]
    if len(percents) < len(found):
        raise QueryError(f"aggregation [{name}]: percents are numbers from 0 to 100")
    return percents


def column_of(field_name: str, name: str) -> Column:
    """The column of a field. Raises QueryError for analyzed text, which has none."""
    found = places(field_name)
    if not found:
        return Column("")
    place = found[0]
    if place.kind is Kind.TIME:
        return Column("time", is_time=True)
    if place.kind in {Kind.TEXT, Kind.ID}:
        if len(found) > 1 and found[-1].kind is Kind.ATTRIBUTE:
            return Column(f"attrs.{found[-1].name}")
        raise QueryError(
            f"aggregation [{name}]: [{field_name}] is analyzed text, which is not aggregated; use a keyword or a number"
        )
    return Column(f"attrs.{place.name}" if place.kind is Kind.ATTRIBUTE else place.name)


def _filters(settings: dict[str, Any], context: Context) -> tuple[tuple[str, tree.Query], ...]:
    given = settings.get("filters")
    if isinstance(given, dict):
        named = [(str(key), parse_dsl(one, context)) for key, one in given.items()]
    elif isinstance(given, list):
        named = [(str(number), parse_dsl(one, context)) for number, one in enumerate(given)]
    else:
        raise QueryError("[filters] aggregation expects [filters]")
    if settings.get("other_bucket") or settings.get("other_bucket_key"):
        other = tree.And(tuple(tree.Not(query) for _, query in named))
        named.append((str(settings.get("other_bucket_key") or "_other_"), other))
    return tuple(named)


def date_histogram_settings(name: str, settings: dict[str, Any], context: Context) -> dict[str, Any]:
    """`interval_us` and `offset_us` of equal steps, or `unit` and `zone` of the calendar's. Raises QueryError."""
    try:
        zone: tzinfo = zone_of(str(settings.get("time_zone", "UTC")))
    except BadInput as error:
        raise QueryError(error.message) from None
    checked = dict(settings)
    checked["zone"], checked["unit"] = zone, ""
    fixed, calendar = settings.get("fixed_interval"), settings.get("calendar_interval")
    if fixed is None and calendar is None:
        legacy = settings.get("interval")
        fixed, calendar = (None, legacy) if str(legacy) in _CALENDAR else (legacy, None)
    offset_us = _duration_us(settings.get("offset", "0s"), name, signed=True)
    if calendar is not None:
        unit = _CALENDAR.get(str(calendar))
        if unit is None:
            raise QueryError(
                f"aggregation [{name}]: calendar_interval [{calendar}] is not known; use day, week, month…"
            )
        equal = {"s": SECOND_US, "m": _FIXED_US["m"], "h": _FIXED_US["h"], "d": DAY_US, "w": 7 * DAY_US}.get(unit)
        if equal is None or (zone is not UTC and unit not in "sm"):
            checked["unit"] = unit
        else:
            fixed, offset_us = f"{equal // 1000}ms", offset_us + (WEEK_OFFSET_US if unit == "w" else 0)
    if fixed is None and not checked["unit"]:
        raise QueryError(f"aggregation [{name}]: date_histogram needs a fixed_interval or a calendar_interval")
    checked["interval_us"] = 0 if checked["unit"] else max(1_000, _duration_us(fixed, name))
    checked["offset_us"] = offset_us
    for bounds in ("extended_bounds", "hard_bounds"):
        if isinstance(settings.get(bounds), dict):
            checked[bounds] = {
                side: _bound(value, context, str(settings.get("format", "")))
                for side, value in settings[bounds].items()
            }
    return checked


def _bound(value: object, context: Context, form: str) -> int:
    try:
        return query_time_us(value, now_us=context.now_us, round_up=False, form=form)
    except BadInput as error:
        raise QueryError(error.message) from None


def _duration_us(given: object, name: str, *, signed: bool = False) -> int:
    match = re.fullmatch(r"([+-]?)(\d{1,12})(ms|s|m|h|d)", str(given), re.ASCII)
    if match is None or (match[1] == "-" and not signed):
        raise QueryError(f"aggregation [{name}]: [{given}] is not an interval; write 30s, 5m, 1h or 1d")
    found = int(match[2]) * _FIXED_US[match[3]]
    if not found and not signed:
        raise QueryError(f"aggregation [{name}]: an interval is longer than 0")
    return -found if match[1] == "-" else found


def _number(given: object) -> float | None:
    """A number, or the text of one as Grafana sends them; None for anything else."""
    if isinstance(given, str):
        return number_of(given)
    return float(given) if isinstance(given, (int, float)) and not isinstance(given, bool) else None


def _missing(given: object, kind: str, name: str) -> float:
    """What documents without the field count as."""
    found = _number(given)
    if found is None or kind in {"cardinality", "value_count", "percentiles"}:
        raise QueryError(f"aggregation [{name}]: [missing] of [{kind}] with [{given}] is not supported")
    return found


def _positive(given: object, name: str) -> float:
    found = _number(given)
    if found is None or found <= 0:
        raise QueryError(f"aggregation [{name}]: [interval] must be a number over 0")
    return found


def _whole(what: str, given: object, name: str) -> int:
    if isinstance(given, str) and given.isdecimal():
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= MAX_BUCKETS:
        raise QueryError(f"aggregation [{name}]: [{what}] must be a number from 0 to {MAX_BUCKETS}")
    return given
