"""Statistics as Nomad's clients read them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from kokiris.worker.drivers.contract import Usage

MEASURED_MEMORY = ["RSS", "Cache", "Usage", "Max Usage"]
MEASURED_CPU = ["System Mode", "User Mode", "Throttled Periods", "Throttled Time", "Percent"]


class MemoryUse(msgspec.Struct, kw_only=True):
    """Bytes."""

    RSS: int = 0
    Cache: int = 0
    Swap: int = 0
    Usage: int = 0
    MaxUsage: int = 0
    KernelUsage: int = 0
    KernelMaxUsage: int = 0
    Measured: list[str] = msgspec.field(default_factory=lambda: list(MEASURED_MEMORY))


class CpuUse(msgspec.Struct, kw_only=True):
    """Modes and `Percent` of one core; `TotalTicks` in MHz; `ThrottledTime` in ns."""

    SystemMode: float = 0.0
    UserMode: float = 0.0
    TotalTicks: float = 0.0
    ThrottledPeriods: int = 0
    ThrottledTime: int = 0
    Percent: float = 0.0
    Measured: list[str] = msgspec.field(default_factory=lambda: list(MEASURED_CPU))


class Consumption(msgspec.Struct, kw_only=True):
    """Of a task, or of an allocation together."""

    MemoryStats: MemoryUse
    CpuStats: CpuUse
    DeviceStats: list[dict[str, str]] | None = None


class TaskResourceUsage(msgspec.Struct, kw_only=True):
    """Of one task; `Timestamp` in unix ns."""

    ResourceUsage: Consumption
    Timestamp: int = 0
    Pids: dict[str, Consumption] | None = None


class AllocResourceUsage(msgspec.Struct, kw_only=True):
    """Of an allocation; `Timestamp` in unix ns."""

    ResourceUsage: Consumption
    Tasks: dict[str, TaskResourceUsage]
    Timestamp: int = 0


def percent_since(before: Usage | None, now: Usage) -> float:
    """Of one core, over the time between two samples; the driver's own figure without an earlier one. Pure."""
    if before is None or now.timestamp_ns <= before.timestamp_ns:
        return now.cpu_percent
    return 100.0 * max(0, now.cpu_total_ns - before.cpu_total_ns) / (now.timestamp_ns - before.timestamp_ns)


def alloc_usage(samples: Mapping[str, tuple[Usage, float]], core_mhz: float, now_ns: int) -> AllocResourceUsage:
    """From (sample, percent of one core) per task. Pure."""
    tasks = {
        name: TaskResourceUsage(ResourceUsage=_usage(usage, percent, core_mhz), Timestamp=usage.timestamp_ns or now_ns)
        for name, (usage, percent) in samples.items()
    }
    every = [task.ResourceUsage for task in tasks.values()]
    total = Consumption(
        MemoryStats=MemoryUse(
            RSS=sum(one.MemoryStats.RSS for one in every),
            Cache=sum(one.MemoryStats.Cache for one in every),
            Usage=sum(one.MemoryStats.Usage for one in every),
            MaxUsage=sum(one.MemoryStats.MaxUsage for one in every),
        ),
        CpuStats=CpuUse(
            TotalTicks=sum(one.CpuStats.TotalTicks for one in every),
            ThrottledPeriods=sum(one.CpuStats.ThrottledPeriods for one in every),
            ThrottledTime=sum(one.CpuStats.ThrottledTime for one in every),
            Percent=sum(one.CpuStats.Percent for one in every),
        ),
    )
    return AllocResourceUsage(ResourceUsage=total, Tasks=tasks, Timestamp=now_ns)


def _usage(usage: Usage, percent: float, core_mhz: float) -> Consumption:
    total = max(1, usage.cpu_system_ns + usage.cpu_user_ns)
    return Consumption(
        MemoryStats=MemoryUse(
            RSS=usage.memory_bytes,
            Cache=usage.memory_cache_bytes,
            Usage=usage.memory_bytes,
            MaxUsage=usage.memory_max_bytes,
        ),
        CpuStats=CpuUse(
            SystemMode=percent * usage.cpu_system_ns / total,
            UserMode=percent * usage.cpu_user_ns / total,
            TotalTicks=percent / 100 * core_mhz,
            ThrottledPeriods=usage.throttled_periods,
            ThrottledTime=usage.throttled_ns,
            Percent=percent,
        ),
    )


def host_stats(root: Path) -> dict[str, object]:
    """`HostStats` of this machine now; CPU shares since its boot."""
    memory = {
        key: int(value.split()[0]) * 1024
        for key, _, value in (line.partition(":") for line in Path("/proc/meminfo").read_text().splitlines())
    }
    total, available = memory.get("MemTotal", 0), memory.get("MemAvailable", 0)
    disk, counts = shutil.disk_usage(root), os.statvfs(root)
    used_percent = 100.0 * disk.used / disk.total if disk.total else 0.0
    inodes = 100.0 * (1 - counts.f_favail / counts.f_files) if counts.f_files else 0.0
    storage = {
        "Device": "",
        "Mountpoint": str(root),
        "Size": disk.total,
        "Used": disk.used,
        "Available": disk.free,
        "UsedPercent": used_percent,
        "InodesUsedPercent": inodes,
    }
    return {
        "Memory": {"Total": total, "Available": available, "Used": total - available, "Free": memory.get("MemFree", 0)},
        "CPU": _cpu_shares(Path("/proc/stat").read_text()),
        "DiskStats": [storage],
        "AllocDirStats": storage,
        "DeviceStats": None,
        "Uptime": int(float(Path("/proc/uptime").read_text().split()[0])),
        "CPUTicksConsumed": 0.0,
    }


def _cpu_shares(text: str) -> list[dict[str, object]]:
    """Percent of user, system and idle time per CPU, from /proc/stat. Pure."""
    found: list[dict[str, object]] = []
    for line in text.splitlines():
        name, *numbers = line.split() or [""]
        if name.startswith("cpu") and name != "cpu":
            ticks = [int(number) for number in numbers[:8]]
            total = max(1, sum(ticks))
            user, system, idle = ticks[0] + ticks[1], ticks[2], ticks[3]
            shares = {"User": user, "System": system, "Idle": idle}
            found.append({"CPU": name, **{key: 100.0 * value / total for key, value in shares.items()}})
    return found
