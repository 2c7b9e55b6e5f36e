"""Limits for processes without a container: cgroup v1 and v2, where they are writable."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from kokiris.kernel.clock import wall_ns
from kokiris.worker.drivers.contract import Usage

ROOT = Path("/sys/fs/cgroup")
PARENT = "kokiris"
_V1 = ("memory", "cpu", "cpuacct")


def is_v2(root: Path) -> bool:
    """Whether there is one unified hierarchy."""
    return (root / "cgroup.controllers").exists()


def controllers(root: Path) -> list[str]:
    """Those in which limits can be set."""
    if is_v2(root):
        return ["cpu", "memory"] if os.access(root, os.W_OK) else []
    return [name for name in ("cpu", "memory") if os.access(root / name, os.W_OK)]


def make(root: Path, name: str, cpu_shares: int, memory_bytes: int) -> list[Path]:
    """The groups for a task, with its limits set; a process joins by its pid in `cgroup.procs`. Empty if impossible."""
    try:
        return (
            _make_v2(root, name, cpu_shares, memory_bytes)
            if is_v2(root)
            else _make_v1(root, name, cpu_shares, memory_bytes)
        )
    except OSError:
        return []


def _make_v1(root: Path, name: str, cpu_shares: int, memory_bytes: int) -> list[Path]:
    made: list[Path] = []
    for controller in _V1:
        if not (root / controller).is_dir():
            continue
        group = root / controller / PARENT / name
        group.mkdir(parents=True, exist_ok=True)
        made.append(group)
        if controller == "memory":
            (group / "memory.limit_in_bytes").write_text(str(memory_bytes))
            with contextlib.suppress(OSError):  # no swap accounting on this kernel
                (group / "memory.memsw.limit_in_bytes").write_text(str(memory_bytes))
        if controller == "cpu":
            (group / "cpu.shares").write_text(str(max(2, cpu_shares)))
    return made


def _make_v2(root: Path, name: str, cpu_shares: int, memory_bytes: int) -> list[Path]:
    parent = root / PARENT
    parent.mkdir(exist_ok=True)
    for folder in (root, parent):
        with contextlib.suppress(OSError):
            (folder / "cgroup.subtree_control").write_text("+cpu +memory")
    group = parent / name
    group.mkdir(exist_ok=True)
    (group / "memory.max").write_text(str(memory_bytes))
    (group / "cpu.weight").write_text(str(min(10_000, max(1, 1 + (max(2, cpu_shares) - 2) * 9999 // 262142))))
    return [group]


def remove_parent(root: Path) -> None:
    """What all our groups lie in, unless one is left. Not while a worker runs: it may be making one."""
    for folder in [root / PARENT, *(root / one / PARENT for one in _V1)]:
        with contextlib.suppress(OSError):
            folder.rmdir()


def groups_of(root: Path, name: str) -> list[Path]:
    """Those that exist."""
    candidates = [root / PARENT / name] if is_v2(root) else [root / one / PARENT / name for one in _V1]
    return [group for group in candidates if group.is_dir()]


def oom_killed(root: Path, name: str) -> bool:
    """Whether the kernel has killed a process of the group for its memory limit."""
    for group in groups_of(root, name):
        for file in ("memory.oom_control", "memory.events"):
            for line in _read(group / file).splitlines():
                key, _, value = line.partition(" ")
                if key == "oom_kill" and value.strip() not in {"", "0"}:
                    return True
    return False


def usage(root: Path, name: str) -> Usage:
    """What the group has used; zeros for what cannot be read."""
    found = {
        file: _number(group / file) for group in groups_of(root, name) for file in _FILES if (group / file).exists()
    }
    return Usage(
        cpu_total_ns=found.get("cpuacct.usage", 0),
        memory_bytes=found.get("memory.usage_in_bytes", found.get("memory.current", 0)),
        memory_max_bytes=found.get("memory.max_usage_in_bytes", found.get("memory.peak", 0)),
        timestamp_ns=wall_ns(),
    )


def kill_all(root: Path, name: str, *, but: int) -> None:
    """Kills every process of the group except `but`."""
    pids = {int(pid) for group in groups_of(root, name) for pid in _read(group / "cgroup.procs").split()}
    for pid in pids - {but}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def remove(root: Path, name: str) -> None:
    """The kernel refuses while a process is still leaving: tried for a moment."""
    for group in groups_of(root, name):
        for _ in range(20):
            try:
                group.rmdir()
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.005)
            else:
                break


_FILES = (
    "cpuacct.usage",
    "memory.usage_in_bytes",
    "memory.current",
    "memory.max_usage_in_bytes",
    "memory.peak",
)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _number(path: Path) -> int:
    text = _read(path).strip()
    return int(text) if text.isdigit() else 0
