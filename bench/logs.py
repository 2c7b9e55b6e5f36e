"""Log search: ingest on one core, bytes on disk, search latency over everything that was taken, beside bare tantivy.

BENCH_LOGS_LINES=2000000 takes so many lines; without it, as many as BENCH_LOGS_S (60) seconds of ingest give. Ratios
are of CPU time, which other work on the machine hardly changes; medians and p99 are of the clock, which it does.
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from bench.bare_tantivy import BareIndex, ingest_us
from bench.log_corpus import SPREAD_US, documents
from bench.table import Report, Row, main, median_and_p99, number
from kokiris.agent.roles.logs import COLLECT_AFTER, SWITCH_S
from kokiris.http.app import asgi
from kokiris.http.serve import HttpServer
from kokiris.http.tokens import NODE, Principal
from kokiris.logs.api.app import make_logs_app
from kokiris.logs.api.bulk import answer, incoming_of, parse_bulk
from kokiris.logs.api.call import Call
from kokiris.logs.api.readers import Readers
from kokiris.logs.index.log_index import LogIndex
from kokiris.logs.index.retention import Limits

BATCH = 1000
BARE_LINES = 200_000
PENDING = 20_000
"""Beyond, the sender waits: what is measured is a rate that can be kept up."""
RUNS, LEAST_RUNS, QUERY_S = 40, 7, 5.0
BULK_ACTION = b'{"create":{"_index":"logs"}}\n'


@dataclass(slots=True)
class _Ingested:
    """`cpu_s` is of all threads, without what making the lines took."""

    lines: int = 0
    raw_bytes: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    bulks_ms: list[float] = field(default_factory=list)


def _ingest(index: LogIndex, wanted: int, seconds: float, report: Report) -> _Ingested:
    made = documents(1, SPREAD_US // (wanted or 400_000))
    done = _Ingested(cpu_s=-time.process_time())
    while (done.lines < wanted) if wanted else (done.wall_s < seconds):
        making_s = time.thread_time()
        bodies = [msgspec.json.encode(next(made)) for _ in range(BATCH)]
        body = b"".join(BULK_ACTION + one + b"\n" for one in bodies)
        done.cpu_s -= time.thread_time() - making_s
        begun_s = time.perf_counter()
        actions = parse_bulk(body, "")
        reply = msgspec.json.encode(answer(actions, index.take(incoming_of(actions)), 0))
        done.bulks_ms.append((time.perf_counter() - begun_s) * 1000)
        assert b'"errors":false' in reply
        while index.waiting() > PENDING:
            time.sleep(0.005)
        done.wall_s += time.perf_counter() - begun_s
        done.raw_bytes += sum(map(len, bodies)) + BATCH
        done.lines += BATCH
        if done.lines % 200_000 == 0:
            report.progress(f"{done.lines:,} lines")
    begun_s = time.perf_counter()
    assert index.refresh(300)
    done.wall_s += time.perf_counter() - begun_s
    done.cpu_s += time.process_time()
    return done


def _report_ingest(done: _Ingested, report: Report) -> None:
    bare_us = ingest_us(BARE_LINES)
    median, p99 = median_and_p99(done.bulks_ms)
    conditions = (
        f"per second of CPU, by the clock {done.lines / done.wall_s:,.0f}; bulks of {BATCH}, journal synced before "
        f"each answer, {done.raw_bytes // done.lines} bytes a line; ratio: bare tantivy, {BARE_LINES:,} rows ready"
    )
    rate = done.lines / done.cpu_s
    ratio = rate / (1e6 / bare_us)
    report.add(Row("log ingest", rate, "lines/s", done.lines, median, p99, ratio, conditions))


def _searches() -> dict[str, dict[str, Any]]:
    page = {"size": 500, "sort": [{"@timestamp": "desc"}]}
    histogram = {
        "date_histogram": {"field": "@timestamp", "fixed_interval": "30m"},
        "aggs": {"l": {"terms": {"field": "level"}}},
    }
    percentiles = {
        "terms": {"field": "job"},
        "aggs": {"p": {"percentiles": {"field": "duration_ms", "percents": [95]}}},
    }
    kql = "job:service-3 and level:error and @timestamp >= now-24h"
    untold = {"size": 0, "track_total_hits": False}
    return {
        "rare term, newest 500": {**page, "query": {"match": {"message": "zebrafish"}}},
        "common term, newest 500": {**page, "query": {"match": {"message": "completed"}}},
        "filter and range, newest 500": {**page, "query": {"kql": {"query": kql}}},
        "phrase, newest 500": {**page, "query": {"match_phrase": {"message": "zebrafish sighting"}}},
        "everything, newest 500": page,
        "histogram by level over everything": {**untold, "aggs": {"h": histogram}},
        "top 10 jobs": {**untold, "aggs": {"t": {"terms": {"field": "job", "size": 10}}}},
        "p95 of duration by job": {**untold, "aggs": {"t": percentiles}},
        "a JSON number": {**page, "query": {"term": {"user.id": 12345}}},
        "range of a JSON number": {**page, "query": {"range": {"user.id": {"gte": 99_000}}}},
        "infix wildcard": {**page, "query": {"wildcard": {"message": "*ebrafis*"}}},
    }


def _timed(work: Callable[[], Any], wall_ms: list[float], cpu_ms: list[float]) -> None:
    wall_s, cpu_s = time.perf_counter(), time.thread_time()
    work()
    cpu_ms.append((time.thread_time() - cpu_s) * 1000)
    wall_ms.append((time.perf_counter() - wall_s) * 1000)


def _measure(name: str, ours: Callable[[], Any], bare: Callable[[], Any], lines: int, report: Report) -> None:
    """Both in turn."""
    ours(), bare()
    wall, cpu, bare_wall, bare_cpu = [], [], [], []
    begun_s = time.monotonic()
    while len(cpu) < LEAST_RUNS or (len(cpu) < RUNS and time.monotonic() - begun_s < QUERY_S):
        _timed(ours, wall, cpu)
        _timed(bare, bare_wall, bare_cpu)
    median, p99 = median_and_p99(wall)
    cpu_ms, bare_ms = statistics.median(cpu), statistics.median(bare_cpu)
    conditions = (
        f"{lines:,} lines, answer encoded; CPU {number(cpu_ms)} ms, bare tantivy with documents {number(bare_ms)} ms"
    )
    report.add(Row(f"log search: {name}", median, "ms", len(wall), median, p99, cpu_ms / bare_ms, conditions))


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


class _AnyToken:
    async def check(self, secret: str) -> Principal | None:
        return NODE if secret else None


async def _through_http(index: LogIndex, report: Report) -> None:
    """What a call costs beside its search: the listener, the token, the thread it is handed to."""
    http = HttpServer(asgi(make_logs_app(index, _AnyToken(), cluster="bench")))
    await http.start()
    headers, body = {"Authorization": "Bearer x"}, _searches()["rare term, newest 500"]
    samples = []
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{http.port}", headers=headers) as session:
            for _ in range(RUNS + 1):
                begun_s = time.perf_counter()
                async with session.post("/_search", json=body) as reply:
                    await reply.read()
                samples.append((time.perf_counter() - begun_s) * 1000)
    finally:
        await http.stop()
    median, p99 = median_and_p99(samples[1:])
    conditions = "client in the same process"
    report.add(Row("log search: rare term through HTTP", median, "ms", RUNS, median, p99, conditions=conditions))


def _bench(report: Report, folder: Path) -> None:
    wanted, seconds = int(os.environ.get("BENCH_LOGS_LINES", "0")), float(os.environ.get("BENCH_LOGS_S", "60"))
    index = LogIndex(folder, Limits())
    index.start()
    try:
        done = _ingest(index, wanted, seconds, report)
        _report_ingest(done, report)
        days = index.days()
        size_bytes = sum(day.size_bytes() for day in days)
        conditions = f"{len(days)} days, just after ingest"
        report.add(
            Row("log index on disk", size_bytes / done.raw_bytes, "bytes/raw byte", done.lines, conditions=conditions)
        )
        readers, bare = Readers(index), BareIndex([day.folder for day in days])
        for name, body in _searches().items():
            call = Call("POST", "/_search", {}, {}, msgspec.json.encode(body), NODE)
            _measure(
                name,
                lambda call=call: msgspec.json.encode(readers.search(call).body),
                bare.searches[name],
                done.lines,
                report,
            )
        asyncio.run(_through_http(index, report))
        median, p99 = median_and_p99([_visible_after(index, readers) for _ in range(7)])
        report.add(Row("log entry visible after", median, "ms", 7, median, p99, conditions="commit once a second"))
    finally:
        index.stop()


async def run(report: Report) -> None:
    """On one CPU, as the other roles need theirs."""
    folder = Path(tempfile.mkdtemp(prefix="kokiris-bench-logs-"))
    before, collected, switch_s = os.sched_getaffinity(0), gc.get_threshold(), sys.getswitchinterval()
    os.sched_setaffinity(0, {max(before)})
    gc.set_threshold(*COLLECT_AFTER)
    sys.setswitchinterval(SWITCH_S)
    try:
        await asyncio.to_thread(_bench, report, folder)
    finally:
        os.sched_setaffinity(0, before)
        gc.set_threshold(*collected)
        sys.setswitchinterval(switch_s)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(run)
