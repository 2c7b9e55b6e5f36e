"""`python -m bench [NAME …]`: all benchmarks (or those named), one table. Run through `make bench`."""

from __future__ import annotations

import asyncio
import importlib
import os
import platform
import sys
from datetime import UTC, datetime

from bench.table import Report

ALL = ("store", "placement", "api", "discovery", "edge", "deploy", "logs", "registry")


async def measure(names: list[str]) -> None:
    """Runs them one after the other: they would disturb each other's figures."""
    report = Report()
    for name in names:
        report.progress(f"bench.{name}")
        await importlib.import_module(f"bench.{name}").run(report)
    cpus = len(os.sched_getaffinity(0))
    now = datetime.now(UTC)
    print(f"{now:%Y-%m-%d %H:%M} UTC, {cpus} CPUs, Python {platform.python_version()}, {platform.release()}\n")
    print(report.table())


if __name__ == "__main__":
    asyncio.run(measure(sys.argv[1:] or list(ALL)))
