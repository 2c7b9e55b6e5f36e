"""Durable writes per second, SQLite and etcd, against a bare flush to the same disk in the same run."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from pathlib import Path

from bench.table import Report, Row, main, median_and_p99
from kokiris.store.contract import Store
from kokiris.store.opening import open_store
from tests.engines.etcd import start_etcd

VALUE = bytes(512)
ROUND_S = 1.0
ROUNDS = 5
"""Baseline and stores take turns, so that other load on the machine hits them alike."""
CONCURRENCIES = (1, 64)


async def run(report: Report) -> None:
    """Needs Debian's etcd-server; writes to a folder of the present directory's disk."""
    folder = Path(tempfile.mkdtemp(prefix=".bench-store-", dir=Path.cwd()))
    etcd = start_etcd(folder / "etcd")
    stores: dict[str, Store] = {}
    try:
        stores["SQLite"] = await open_store("sqlite", path=folder / "sqlite")
        stores["etcd"] = await open_store("etcd", path=folder, endpoints=etcd.endpoints, tls=etcd.tls)
        await _measure(report, stores, folder / "raw")
    finally:
        for store in stores.values():
            await store.close()
        etcd.close()
        shutil.rmtree(folder, ignore_errors=True)


async def _measure(report: Report, stores: dict[str, Store], raw: Path) -> None:
    samples: dict[tuple[str, int], list[float]] = {("raw", 1): []}
    rates: dict[tuple[str, int], list[float]] = {("raw", 1): []}
    for round_ in range(ROUNDS):
        report.progress(f"round {round_ + 1} of {ROUNDS}")
        took = await asyncio.to_thread(_flushes, raw)
        samples["raw", 1] += took
        rates["raw", 1].append(1000 * len(took) / sum(took))
        for name, store in stores.items():
            for concurrency in CONCURRENCIES:
                latencies, rate = await _commits(store, concurrency)
                samples.setdefault((name, concurrency), []).extend(latencies)
                rates.setdefault((name, concurrency), []).append(rate)
    baseline = median_and_p99(rates["raw", 1])[0]
    for (name, concurrency), found in rates.items():
        median, p99 = median_and_p99(samples[name, concurrency])
        is_raw = name == "raw"
        report.add(
            Row(
                name="bare append + fdatasync" if is_raw else f"durable commits, {name}, {concurrency} at a time",
                value=median_and_p99(found)[0],
                unit="/s",
                n=len(samples[name, concurrency]),
                median_ms=median,
                p99_ms=p99,
                ratio=None if is_raw else median_and_p99(found)[0] / baseline,
                conditions="512 B, same disk" if is_raw else "512 B per commit; ratio to the bare fdatasync",
            )
        )


def _flushes(file: Path) -> list[float]:
    """Milliseconds of each append that reaches the disk before the next begins."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    took, end = [], time.perf_counter() + ROUND_S
    try:
        while (begun := time.perf_counter()) < end:
            os.write(descriptor, VALUE)
            os.fdatasync(descriptor)
            took.append(1000 * (time.perf_counter() - begun))
    finally:
        os.close(descriptor)
    return took


async def _commits(store: Store, concurrency: int) -> tuple[list[float], float]:
    """Milliseconds of each commit, and commits per second, with so many callers that each wait for their own."""
    took: list[float] = []
    begun = time.perf_counter()

    async def caller(number: int) -> None:
        written = 0
        while (start := time.perf_counter()) < begun + ROUND_S:
            await store.commit(puts={b"/bench/%d/%d" % (number, written % 1000): VALUE})
            took.append(1000 * (time.perf_counter() - start))
            written += 1

    await asyncio.gather(*(caller(number) for number in range(concurrency)))
    return took, len(took) / (time.perf_counter() - begun)


if __name__ == "__main__":
    main(run)
