"""Docker's statistics in the worker's terms. Pure."""

from __future__ import annotations

from typing import Any

from kokiris.kernel.clock import parse_rfc3339_ns
from kokiris.worker.drivers.contract import Usage


def usage_from_stats(stats: dict[str, Any]) -> Usage:
    """From one sample; percent of one core since the sample before it, 0 when there is none."""
    cpu, before = stats.get("cpu_stats") or {}, stats.get("precpu_stats") or {}
    memory = stats.get("memory_stats") or {}
    total = _number(cpu, "cpu_usage", "total_usage")
    spent = total - _number(before, "cpu_usage", "total_usage")
    system = _number(cpu, "system_cpu_usage") - _number(before, "system_cpu_usage")
    cores = int(cpu.get("online_cpus") or 1)
    percent = 100.0 * cores * spent / system if system > 0 and before.get("system_cpu_usage") else 0.0
    detail = memory.get("stats") or {}
    cache = int(detail.get("total_inactive_file", detail.get("inactive_file", 0)))
    return Usage(
        cpu_percent=percent,
        cpu_total_ns=total,
        cpu_system_ns=_number(cpu, "cpu_usage", "usage_in_kernelmode"),
        cpu_user_ns=_number(cpu, "cpu_usage", "usage_in_usermode"),
        throttled_periods=_number(cpu, "throttling_data", "throttled_periods"),
        throttled_ns=_number(cpu, "throttling_data", "throttled_time"),
        memory_bytes=max(0, int(memory.get("usage") or 0) - cache),
        memory_max_bytes=int(memory.get("max_usage") or 0),
        memory_cache_bytes=int(detail.get("cache", cache)),
        timestamp_ns=_stamp(str(stats.get("read", ""))),
    )


def _number(tree: dict[str, Any], *path: str) -> int:
    value: Any = tree
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return int(value or 0)


def _stamp(text: str) -> int:
    try:
        return parse_rfc3339_ns(text)
    except ValueError:
        return 0
