"""Aggregations over several days: what the merged answers say, against counting by hand."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from kokiris.logs.documents import indexed
from kokiris.logs.index.day import DayIndex
from kokiris.logs.index.schema import KEY_STEPS, row_of
from kokiris.logs.query import tree
from kokiris.logs.query.dsl import Context
from kokiris.logs.query.tree import QueryError
from kokiris.logs.search.aggregations import aggregate
from kokiris.logs.times import iso

START = datetime(2026, 10, 23, 6, tzinfo=UTC)
CONTEXT = Context(int((START + timedelta(days=4)).timestamp()) * 1_000_000)
COUNT = 900


def documents() -> list[dict[str, Any]]:
    rng = random.Random(7)  # noqa: S311 - reproducible
    made = []
    for number in range(COUNT):
        at = START + timedelta(seconds=number * 400 + rng.randrange(300))
        made.append(
            {
                "@timestamp": at.isoformat(),
                "level": rng.choice(["info", "info", "info", "warn", "error"]),
                "job": f"job-{rng.randrange(30)}",
                "status": rng.choice([200, 404, 500]),
                "took": rng.lognormvariate(3, 1),
                "user": {"id": rng.randrange(400)},
            }
        )
    return made


DOCUMENTS = documents()


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[DayIndex]]:
    root = tmp_path_factory.mktemp("days")
    opened: dict[str, DayIndex] = {}
    for number, document in enumerate(DOCUMENTS):
        day = opened.setdefault(document["@timestamp"][:10], DayIndex(root / document["@timestamp"][:10]))
        entry = indexed(document, 0)
        day.catalogue.add(entry, 1)
        source = msgspec.json.encode(document)
        day.add(
            row_of(entry, key=entry.time_us * KEY_STEPS, sequence=number, identifier="", source=source, paths=day.paths)
        )
    for day in opened.values():
        day.commit(COUNT)
    yield [opened[name] for name in sorted(opened, reverse=True)]
    for day in opened.values():
        day.close_writer()


def ask(days: list[DayIndex], aggs: dict[str, Any], query: tree.Query | None = None) -> dict[str, Any]:
    return aggregate(days, query or tree.All(), aggs, CONTEXT)


def test_terms_with_metrics(days: list[DayIndex]) -> None:
    found = ask(days, {"j": {"terms": {"field": "job", "size": 5}, "aggs": {"t": {"avg": {"field": "took"}}}}})["j"]
    counted = Counter(one["job"] for one in DOCUMENTS)
    expected = sorted(counted.items(), key=lambda one: (-one[1], one[0]))[:5]
    assert [(bucket["key"], bucket["doc_count"]) for bucket in found["buckets"]] == expected
    assert found["sum_other_doc_count"] == COUNT - sum(count for _, count in expected)
    for bucket in found["buckets"]:
        own = [one["took"] for one in DOCUMENTS if one["job"] == bucket["key"]]
        assert math.isclose(bucket["t"]["value"], sum(own) / len(own), rel_tol=1e-9)


def test_terms_ordered_by_a_metric(days: list[DayIndex]) -> None:
    aggs = {
        "j": {"terms": {"field": "job", "size": 3, "order": {"m": "desc"}}, "aggs": {"m": {"max": {"field": "took"}}}}
    }
    top: dict[str, float] = defaultdict(float)
    for one in DOCUMENTS:
        top[one["job"]] = max(top[one["job"]], one["took"])
    expected = sorted(top, key=lambda job: -top[job])[:3]
    assert [bucket["key"] for bucket in ask(days, aggs)["j"]["buckets"]] == expected


def test_date_histogram_fills_its_gaps(days: list[DayIndex]) -> None:
    found = ask(days, {"h": {"date_histogram": {"field": "@timestamp", "fixed_interval": "7m"}}})["h"]["buckets"]
    step = 7 * 60_000
    counted = Counter(
        int(datetime.fromisoformat(one["@timestamp"]).timestamp() * 1000) // step * step for one in DOCUMENTS
    )
    assert {bucket["key"]: bucket["doc_count"] for bucket in found if bucket["doc_count"]} == dict(counted)
    assert [bucket["key"] for bucket in found] == list(range(min(counted), max(counted) + 1, step))
    assert found[0]["key_as_string"] == iso(found[0]["key"] * 1000)[:23] + "Z"


@pytest.mark.parametrize(
    ("unit", "zone"),
    [("day", "UTC"), ("day", "Europe/Paris"), ("week", "UTC"), ("month", "Europe/Paris"), ("hour", "+05:30")],
)
def test_calendar_intervals(days: list[DayIndex], unit: str, zone: str) -> None:
    """The clocks went back on 2026-10-25 in Paris."""
    aggs = {"h": {"date_histogram": {"field": "@timestamp", "calendar_interval": unit, "time_zone": zone}}}
    found = ask(days, aggs)["h"]["buckets"]
    where = (
        UTC
        if zone == "UTC"
        else ZoneInfo(zone)
        if "/" in zone
        else datetime.fromisoformat(f"2026-01-01T00:00:00{zone}").tzinfo
    )
    counted: Counter[int] = Counter()
    for one in DOCUMENTS:
        local = datetime.fromisoformat(one["@timestamp"]).astimezone(where).replace(minute=0, second=0, microsecond=0)
        if unit != "hour":
            local = local.replace(hour=0)
        if unit == "week":
            local -= timedelta(days=local.weekday())
        if unit == "month":
            local = local.replace(day=1)
        counted[int(local.timestamp() * 1000)] += 1
    assert {bucket["key"]: bucket["doc_count"] for bucket in found if bucket["doc_count"]} == dict(counted)


def test_filters_below_buckets(days: list[DayIndex]) -> None:
    bad = {
        "filters": {"filters": {"bad": {"range": {"status": {"gte": 500}}}, "slow": {"range": {"took": {"gt": 50}}}}}
    }
    aggs = {
        "j": {"terms": {"field": "level"}, "aggs": {"f": {**bad, "aggs": {"n": {"value_count": {"field": "user.id"}}}}}}
    }
    for bucket in ask(days, aggs)["j"]["buckets"]:
        own = [one for one in DOCUMENTS if one["level"] == bucket["key"]]
        assert bucket["f"]["buckets"]["bad"]["doc_count"] == sum(one["status"] >= 500 for one in own)
        assert bucket["f"]["buckets"]["slow"]["n"]["value"] == sum(one["took"] > 50 for one in own)


def test_numbers(days: list[DayIndex]) -> None:
    aggs = {
        "c": {"cardinality": {"field": "user.id"}},
        "p": {"percentiles": {"field": "took", "percents": [50, 95]}},
        "s": {"extended_stats": {"field": "took"}},
        "t": {"max": {"field": "@timestamp"}},
        "r": {"range": {"field": "status", "ranges": [{"to": 300}, {"from": 300, "to": 500}, {"from": 500}]}},
        "h": {"histogram": {"field": "status", "interval": 100}},
        "m": {"missing": {"field": "nowhere"}},
        "none": {"avg": {"field": "nowhere"}},
    }
    found = ask(days, aggs)
    took = sorted(one["took"] for one in DOCUMENTS)
    assert found["c"]["value"] == len({one["user"]["id"] for one in DOCUMENTS})
    for percent in (50, 95):
        exact = took[int(len(took) * percent / 100)]
        assert abs(found["p"]["values"][f"{percent}.0"] - exact) / exact < 0.1
    assert math.isclose(found["s"]["sum"], sum(took), rel_tol=1e-9)
    assert found["s"]["max"] == took[-1]
    assert found["t"]["value"] == datetime.fromisoformat(DOCUMENTS[-1]["@timestamp"]).timestamp() * 1000
    statuses = Counter(one["status"] for one in DOCUMENTS)
    assert [bucket["doc_count"] for bucket in found["r"]["buckets"]] == [statuses[200], statuses[404], statuses[500]]
    assert [bucket["doc_count"] for bucket in found["h"]["buckets"]] == [statuses[200], 0, statuses[404], statuses[500]]
    assert found["m"]["doc_count"] == COUNT
    assert found["none"] == {"value": None}


@pytest.mark.parametrize(
    ("aggs", "part"),
    [
        ({"a": {"termss": {"field": "x"}}}, "unknown aggregation type"),
        ({"a": {"terms": {"field": "message"}}}, "analyzed text"),
        ({"a": {"date_histogram": {"field": "@timestamp"}}}, "fixed_interval"),
        (
            {"a": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1ms", "min_doc_count": 0}}},
            "too many buckets",
        ),
        ({"a": {"date_histogram": {"field": "job", "fixed_interval": "1d"}}}, "works on"),
        ({"a": {"avg": {}}}, "expects a [field]"),
        ({"a": {"avg": {"field": "x"}, "aggs": {"b": {"avg": {"field": "x"}}}}}, "cannot have"),
        ([], "expects an object"),
    ],
)
def test_errors(days: list[DayIndex], aggs: Any, part: str) -> None:
    with pytest.raises(QueryError) as caught:
        ask(days, aggs)
    assert part in caught.value.message
