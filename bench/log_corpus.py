"""The log entries that the benchmarks of the log search are about."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

from kokiris.logs.times import iso

SPREAD_US = 36 * 3_600_000_000
"""Entries are of the last day and a half: two or three daily indexes, as in service."""


def documents(seed: int, step_us: int) -> Iterator[dict[str, Any]]:
    """Without end, as real ones: 24 jobs of uneven size, a third with router fields, 20 000 words, ids, one per
    cent of traces. One every `step_us`, over and over the last SPREAD_US."""
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
