"""What an idle infra with all seven doors open costs: proportional set sizes, which count shared pages once, and CPU.

`python -m bench.idle` brings up an infra of its own; `bench.deploy` measures the one it has just brought up.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable
from pathlib import Path

from bench.table import Report, Row, main
from tests.scenarios.infra import Infra
from tests.scenarios.infra import run as command

SETTLE_S = 5
CPU_FOR_S = 30
"""What idle means: nothing has been asked of it for a while."""
CORE = ("agent", "nursery", "server", "worker", "edge", "dns")
ENGINE = ("dockerd", "containerd", "containerd-shim", "docker-proxy")
ADD_ONS = {"distribution": "registry", "apache": "phpMyAdmin", "mariadb": "MariaDB"}
"""Task → what its container is listed as."""
CONDITIONS = "PSS, one node, sample site runs"


async def run(report: Report) -> None:
    """Needs root and nothing listening on the usual ports."""
    report.progress("bringing an infra up")
    infra = await asyncio.to_thread(Infra.bring_up, "sqlite")
    try:
        await idle(report, infra)
    finally:
        await asyncio.to_thread(command, ["make", "down", "PURGE=1"])


async def idle(report: Report, infra: Infra) -> None:
    """A row a process of ours, a row a third party, the sums that have an aim, and what our processes compute."""
    await asyncio.sleep(SETTLE_S)
    await _memory(report, infra)
    await _cpu(report, infra)


async def _cpu(report: Report, infra: Infra) -> None:
    pids = {name: infra.pid(name) for name in (*CORE, "logs")}
    before = {name: _cpu_s(pid) for name, pid in pids.items()}
    await asyncio.sleep(CPU_FOR_S)
    spent_s = {name: _cpu_s(pid) - before[name] for name, pid in pids.items()}
    most = max(spent_s, key=lambda name: spent_s[name])
    conditions = f"over {CPU_FOR_S} s, health checks of the sample site and the add-ons run; most of it: {most}"
    share = 100 * sum(spent_s.values()) / CPU_FOR_S
    report.add(Row("idle CPU, all our processes", share, "% of a core", conditions=conditions))


def _cpu_s(pid: int) -> float:
    """What a process has computed, with all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _memory(report: Report, infra: Infra) -> None:
    ours = {name: _pss_mb([infra.pid(name)]) for name in (*CORE, "logs")}
    third = {
        "haproxy": _pss_mb(_named("haproxy")),
        "dockerd, containerd, shims": _pss_mb(_named(*ENGINE)),
    }
    third |= {title: _pss_mb(await asyncio.to_thread(_in_container, task)) for task, title in ADD_ONS.items()}
    for name, size_mb in {**ours, **third}.items():
        assert size_mb > 0, f"{name} does not run"
        report.add(Row(f"idle memory, {name}", size_mb, "MB", conditions=CONDITIONS))
    core = sum(ours[name] for name in CORE)
    whole = sum(ours.values()) + sum(third.values()) - third["MariaDB"]
    sums = (
        ("our processes without logs", core, "sum"),
        ("all our processes", sum(ours.values()), "sum; aim < 200 MB"),
        ("all seven doors open", whole, "all of the above without MariaDB; aim < 500 MB"),
    )
    for name, size_mb, conditions in sums:
        report.add(Row(f"idle memory, {name}", size_mb, "MB", conditions=conditions))


def _pss_mb(pids: Iterable[int]) -> float:
    """Of those that still run when they are looked at."""
    total_kb = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total_kb += int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)[1])  # always there
    return total_kb / 1024


def _named(*names: str) -> list[int]:
    """Of this machine, which is the benchmark's own; `comm` is cut at 15 characters."""
    wanted = {name[:15] for name in names}
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text().strip() in wanted:
                found.append(int(path.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _in_container(task: str) -> list[int]:
    """All processes of the running container of a task."""
    ids = command(["docker", "ps", "-q", "--filter", f"label=kokiris.task={task}"]).stdout.split()
    tops = [command(["docker", "top", one, "-o", "pid"]).stdout.split()[1:] for one in ids]
    return [int(pid) for top in tops for pid in top]


if __name__ == "__main__":
    main(run)
