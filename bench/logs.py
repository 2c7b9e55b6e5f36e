"""Log search: ingest on one core, bytes on disk, search latency over everything that was taken.

BENCH_LOGS_LINES=2000000 takes so many lines; without it, as many as BENCH_LOGS_S (60) seconds of ingest give.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from bench.table import Report, Row, main, median_and_p99
from kokiris.http.tokens import NODE
from kokiris.logs.api.bulk import answer, incoming_of, parse_bulk
from kokiris.logs.api.call import Call
from kokiris.logs.api.readers import Readers
from kokiris.logs.index.log_index import LogIndex
from kokiris.logs.index.retention import Limits
from kokiris.logs.times import iso

BATCH = 1000
RUNS = 15
SPREAD_US = 36 * 3_600_000_000
"""Entries are of the last day and a half: two daily indexes, as in service."""
BULK_ACTION = b'{"create":{"_index":"logs"}}\n'


def _documents(seed: int, step_us: int) -> Iterator[dict[str, Any]]:
    """As real ones: 24 jobs of uneven size, a third with router fields, 20 000 words, ids, one per cent of traces."""
    rng = random.Random(seed)  # noqa: S311 - reproducible, protects nothing
    words = [f"{rng.choice(['conn', 'req', 'cache', 'user', 'db', 'job'])}{number:x}" for number in range(20_000)]
    jobs = [f"service-{number}" for number in range(24)]
    job_weights = [1 / (number + 1) for number in range(24)]
    picked = rng.choices(words, [1 / (number + 1) for number in range(20_000)], k=200_000)
    allocs = [f"{rng.getrandbits(32):08x}-0000-0000-0000-{rng.getrandbits(48):012x}" for _ in range(65)]
    start_us = time.time_ns() // 1000 - SPREAD_US
    number = 0
    while True:
        job = rng.choices(jobs, job_weights)[0]
        level = rng.choices(["info", "debug", "warn", "error", "fatal"], [78, 11, 7.5, 3.3, 0.2])[0]
        at = rng.randrange(190_000)
        text = " ".join(picked[at : at + rng.randrange(5, 14)])
        if number % 3 == 0:
            text = f"request completed {text}"
        if number % 30_000 == 7:
            text += " zebrafish sighting"
        if number % 100 == 50:
            text += "\nTraceback (most recent call last):\n" + "\n".join(
                f'  File "app.py", line {at + n}' for n in range(6)
            )
        document: dict[str, Any] = {
            "@timestamp": iso(start_us + number * step_us % SPREAD_US + rng.randrange(1000)),
            "message": f"{text} id={rng.getrandbits(64):016x}",
            "level": level,
            "infra": "rec1",
            "namespace": "default",
            "job": job,
            "group": "web",
            "task": "app",
            "alloc": allocs[at % 65],
            "node": f"node{at % 3}",
            "stream": "stdout",
        }
        if number % 3 == 0:
            document |= {
                "method": "GET",
                "path": f"/api/v1/items/{at % 36}",
                "status": rng.choices([200, 304, 404, 500, 502], [85, 8, 5, 1, 1])[0],
                "bytes": rng.randrange(100, 90_000),
                "duration_ms": int(rng.lognormvariate(3, 1)),
                "user": {"id": rng.randrange(100_000)},
            }
        number += 1
        yield document


def _ingest(index: LogIndex, wanted: int, seconds: float, report: Report) -> tuple[int, int, float, list[float]]:
    """(lines, raw bytes, seconds of ingest alone, ms of each bulk): making the lines is not counted."""
    documents = _documents(1, SPREAD_US // (wanted or 400_000))
    lines = raw_bytes = 0
    spent_s, cpu = 0.0, []
    while (lines < wanted) if wanted else (spent_s < seconds):
        bodies = [msgspec.json.encode(next(documents)) for _ in range(BATCH)]
        raw_bytes += sum(map(len, bodies)) + BATCH
        body = b"".join(BULK_ACTION + one + b"\n" for one in bodies)
        begun_s = time.perf_counter()
        actions = parse_bulk(body, "")
        reply = answer(actions, index.take(incoming_of(actions)), 0)
        assert not reply["errors"]
        while index.waiting() > 20_000:
            time.sleep(0.005)
        cpu.append((time.perf_counter() - begun_s) * 1000)
        spent_s += cpu[-1] / 1000
        lines += BATCH
        if lines % 200_000 == 0:
            report.progress(f"{lines:,} lines")
    begun_s = time.perf_counter()
    assert index.refresh(300)
    return lines, raw_bytes, spent_s + time.perf_counter() - begun_s, cpu


def _searches() -> dict[str, dict[str, Any]]:
    page = {"size": 500, "sort": [{"@timestamp": "desc"}]}
    histogram = {
        "date_histogram": {"field": "@timestamp", "fixed_interval": "30m"},
        "aggs": {"l": {"terms": {"field": "level"}}},
    }
    kql = "job:service-3 and level:error and @timestamp >= now-24h"
    return {
        "rare term, newest 500": {**page, "query": {"match": {"message": "zebrafish"}}},
        "common term, newest 500": {**page, "query": {"match": {"message": "completed"}}},
        "filter and range, newest 500": {**page, "query": {"kql": {"query": kql}}},
        "phrase, newest 500": {**page, "query": {"match_phrase": {"message": "zebrafish sighting"}}},
        "everything, newest 500": page,
        "histogram by level over everything": {"size": 0, "track_total_hits": False, "aggs": {"h": histogram}},
        "top 10 jobs": {"size": 0, "track_total_hits": False, "aggs": {"t": {"terms": {"field": "job", "size": 10}}}},
        "p95 of duration by job": {
            "size": 0,
            "track_total_hits": False,
            "aggs": {
                "t": {
                    "terms": {"field": "job"},
                    "aggs": {"p": {"percentiles": {"field": "duration_ms", "percents": [95]}}},
                }
            },
        },
        "a JSON number": {**page, "query": {"term": {"user.id": 12345}}},
        "range of a JSON number": {**page, "query": {"range": {"user.id": {"gte": 99_000}}}},
        "infix wildcard": {**page, "query": {"wildcard": {"message": "*ebrafis*"}}},
    }


def _measure(name: str, work: Callable[[], Any], report: Report, conditions: str) -> None:
    work()
    samples = []
    for _ in range(RUNS):
        begun_s = time.perf_counter()
        work()
        samples.append((time.perf_counter() - begun_s) * 1000)
    median, p99 = median_and_p99(samples)
    report.add(Row(f"log search: {name}", median, "ms", RUNS, median, p99, conditions=conditions))


def _visible_after(index: LogIndex, readers: Readers) -> float:
    """ms from sending one entry to finding it."""
    mark = f"mark{time.time_ns():x}"
    begun_s = time.perf_counter()
    actions = parse_bulk(BULK_ACTION + msgspec.json.encode({"message": mark}) + b"\n", "")
    index.take(incoming_of(actions))
    call = Call("POST", "/_count", {}, {}, msgspec.json.encode({"query": {"match": {"message": mark}}}), NODE)
    while not readers.count(call).body["count"]:
        time.sleep(0.005)
    return (time.perf_counter() - begun_s) * 1000


def _bench(report: Report, folder: Path) -> None:
    wanted, seconds = int(os.environ.get("BENCH_LOGS_LINES", "0")), float(os.environ.get("BENCH_LOGS_S", "60"))
    index = LogIndex(folder, Limits())
    index.start()
    try:
        lines, raw_bytes, spent_s, bulks = _ingest(index, wanted, seconds, report)
        median, p99 = median_and_p99(bulks)
        conditions = f"one core, bulks of {BATCH}, journal synced before each answer, {raw_bytes // lines} bytes a line"
        report.add(Row("log ingest", lines / spent_s, "lines/s", lines, median, p99, conditions=conditions))
        time.sleep(2)
        size_bytes = sum(day.size_bytes() for day in index.days())
        report.add(Row("log index on disk", size_bytes / raw_bytes, "bytes/raw byte", lines, conditions="two days"))
        readers = Readers(index)
        for name, body in _searches().items():
            call = Call("POST", "/_search", {}, {}, msgspec.json.encode(body), NODE)
            _measure(
                name,
                lambda call=call: msgspec.json.encode(readers.search(call).body),
                report,
                f"{lines:,} lines, answer encoded",
            )
        median, p99 = median_and_p99([_visible_after(index, readers) for _ in range(7)])
        report.add(Row("log entry visible after", median, "ms", 7, median, p99, conditions="commit once a second"))
    finally:
        index.stop()


async def run(report: Report) -> None:
    """On one CPU, as the other roles need theirs."""
    folder = Path(tempfile.mkdtemp(prefix="kokiris-bench-logs-"))
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        await asyncio.to_thread(_bench, report, folder)
    finally:
        os.sched_setaffinity(0, before)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(run)
