"""The raw_exec driver: a task is a process of the node, without isolation; for the platform's own needs.

A small `sh` stands over each attempt, in a session of its own: it outlives the worker, keeps the exit code in a file,
and holds the task's output pipes open, so that nothing is lost while no worker reads them. A returning worker finds
the attempt by pid and start time in its folder:

    claim/      made first, by `mkdir`: a second start of the same attempt gives up
    wrapper     pid of the `sh`          pid     pid of the task itself
    exit        exit code, once it ended
    stdout, stderr   named pipes

The `sh` waits after the end until the worker has taken the rest of the output and kills it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal as signals
from collections.abc import Mapping, Sequence
from pathlib import Path

from kokiris.kernel.clock import wall_ns
from kokiris.kernel.errors import BadInput
from kokiris.worker.drivers import cgroups
from kokiris.worker.drivers.config_values import strings, text
from kokiris.worker.drivers.contract import (
    DriverHealth,
    ExecSession,
    Exit,
    LogFollower,
    Say,
    StartFailed,
    TaskHandle,
    TaskSetup,
    Usage,
)
from kokiris.worker.drivers.processes import is_running, spawn, start_time_of, when_ended
from kokiris.worker.drivers.raw_exec_session import open_exec
from kokiris.worker.drivers.signals import number
from kokiris.worker.logs.files import LogLimits
from kokiris.worker.logs.pipe_follow import PipeFollower

DEFAULT_SIGNAL = "SIGINT"
APPEAR_S = 10.0
POLL_S = 0.01
EXEC_FAILED = (126, 127)

WRAPPER = """
dir=$1; shift
mkdir "$dir/claim" 2>/dev/null || exit 0
for group in $KOKIRIS_CGROUPS; do echo $$ > "$group/cgroup.procs" 2>/dev/null; done
unset KOKIRIS_CGROUPS
exec 3<>"$dir/stdout" 4<>"$dir/stderr"
echo $$ > "$dir/wrapper.new" && mv "$dir/wrapper.new" "$dir/wrapper"
trap '' INT TERM HUP QUIT USR1 USR2 PIPE
(trap - INT TERM HUP QUIT USR1 USR2 PIPE
 exec /bin/sh -c 'd=$1; shift; echo $$ > "$d/pid.new"; mv "$d/pid.new" "$d/pid"; exec "$@"' sh "$dir" "$@" \
 >&3 2>&4 3>&- 4>&- </dev/null)
echo $? > "$dir/exit.new"; mv "$dir/exit.new" "$dir/exit"
while :; do sleep 3600; done
"""


class RawExecDriver:
    """See `drivers.contract.Driver`."""

    name = "raw_exec"

    def __init__(self, cgroup_root: Path = cgroups.ROOT) -> None:
        self._cgroup_root = cgroup_root

    async def health(self) -> DriverHealth:
        """Always there; says whether limits hold."""
        limited = cgroups.controllers(self._cgroup_root)
        attributes = {"driver.raw_exec": "1", "driver.raw_exec.limits": ",".join(limited) or "none"}
        return DriverHealth(True, True, "Healthy", attributes)

    async def start(self, setup: TaskSetup, say: Say) -> TaskHandle:
        """See the contract. The attempt's folder decides whether an earlier worker has started it already."""
        command = text(setup.config, "command")
        if not command:
            raise StartFailed(f'task "{setup.task}": config.command is missing', final=True)
        folder = setup.folders.private / f"attempt-{setup.attempt}"
        groups = cgroups.make(self._cgroup_root, f"{setup.alloc_id}-{setup.task}", setup.cpu_mhz, _memory_bytes(setup))
        if not groups:
            say("this node has no writable cgroups: CPU and memory limits do not hold for this task")
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for stream in ("stdout", "stderr"):
                with contextlib.suppress(FileExistsError):
                    os.mkfifo(folder / stream, 0o600)
            if not (folder / "claim").exists():
                argv = [*_as_user(setup.user), command, *strings(setup.config, "args")]
                env = {**setup.env, "KOKIRIS_CGROUPS": " ".join(map(str, groups))}
                work_dir = text(setup.config, "work_dir") or str(setup.folders.local.parent)
                spawn(["/bin/sh", "-c", WRAPPER, "sh", str(folder), *argv], _with_path(env), work_dir)
        except OSError as error:
            raise StartFailed(f'cannot start "{command}": {error.strerror}') from error
        return await self._appeared(folder, command)

    async def _appeared(self, folder: Path, command: str) -> TaskHandle:
        deadline = asyncio.get_running_loop().time() + APPEAR_S
        while asyncio.get_running_loop().time() < deadline:
            code = _read_number(folder / "exit")
            if code in EXEC_FAILED and _read_number(folder / "pid") is not None:
                await self._release(folder)
                why = "it is not executable" if code == 126 else "no such program"
                raise StartFailed(f'cannot run "{command}": {why}', final=True)
            wrapper = _read_number(folder / "wrapper")
            if wrapper is not None and (code is not None or _has_become(_read_number(folder / "pid"))):
                return TaskHandle(
                    driver=self.name,
                    private=str(folder),
                    pid=wrapper,
                    start_time=start_time_of(wrapper) or 0,
                    started_at_ns=wall_ns(),
                )
            await asyncio.sleep(POLL_S)
        raise StartFailed(f'"{command}" did not appear within {APPEAR_S:.0f} s')

    async def recover(self, handle: TaskHandle) -> bool:
        """Its folder is there, and it runs or has left its exit code."""
        folder = Path(handle.private)
        return (folder / "exit").exists() or is_running(handle.pid, handle.start_time)

    async def wait(self, handle: TaskHandle) -> Exit:
        """Ended: the exit file is there; a `sh` that was killed before it could write one is `gone`."""
        folder = Path(handle.private)
        ended = asyncio.ensure_future(when_ended(handle.pid, handle.start_time))
        try:
            while True:
                code = _read_number(folder / "exit")
                if code is not None:
                    oom = cgroups.oom_killed(self._cgroup_root, _group_name(folder))
                    return Exit(code=code, signal=code - 128 if code > 128 else 0, oom_killed=oom)
                if ended.done():
                    return Exit(code=137, gone=True, message="the process and its guard were killed by somebody else")
                await asyncio.wait({ended}, timeout=0.1)
        finally:
            ended.cancel()

    async def stop(self, handle: TaskHandle, signal: str, timeout_s: float) -> None:
        """Signals the task itself; after `timeout_s` its whole session is killed."""
        self._send(handle, number(signal or DEFAULT_SIGNAL))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.wait(handle), timeout_s)
            return
        self._send(handle, signals.SIGKILL)
        await self.wait(handle)

    async def signal(self, handle: TaskHandle, signal: str) -> None:
        """See the contract."""
        if not self._send(handle, number(signal)):
            raise BadInput("Task not running")

    def _send(self, handle: TaskHandle, number_: int) -> bool:
        """Only while its guard lives and it has not ended: the pid cannot have been reused then."""
        folder = Path(handle.private)
        pid = _read_number(folder / "pid")
        if pid is None or (folder / "exit").exists() or not is_running(handle.pid, handle.start_time):
            return False
        try:
            os.kill(pid, number_)
        except ProcessLookupError:
            return False
        return True

    async def usage(self, handle: TaskHandle) -> Usage:
        """From its cgroup; zeros where there is none."""
        return cgroups.usage(self._cgroup_root, _group_name(Path(handle.private)))

    async def exec(self, handle: TaskHandle, command: Sequence[str], *, tty: bool) -> ExecSession:
        """With the task's environment and folder."""
        pid = _read_number(Path(handle.private) / "pid")
        if pid is None or not is_running(handle.pid, handle.start_time):
            raise BadInput("Task not running")
        return await open_exec(pid, command, tty=tty)

    def follower(self, handle: TaskHandle, folder: Path, task: str, limits: LogLimits) -> LogFollower:
        """Empties the attempt's pipes."""
        return PipeFollower(Path(handle.private), folder, task, limits)

    async def remove(self, handle: TaskHandle) -> None:
        """Ends the guard and whatever the task has left in its session; removes the cgroups."""
        folder = Path(handle.private)
        await self._release(folder, handle)
        cgroups.remove(self._cgroup_root, _group_name(folder))

    async def _release(self, folder: Path, handle: TaskHandle | None = None) -> None:
        guard = _read_number(folder / "wrapper")
        start_time = handle.start_time if handle is not None else (start_time_of(guard) if guard else None)
        if guard is None or start_time is None or not is_running(guard, start_time):
            return
        cgroups.kill_all(self._cgroup_root, _group_name(folder), but=guard)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(guard, signals.SIGKILL)
        await when_ended(guard, start_time)


def _group_name(folder: Path) -> str:
    """`<alloc>-<task>`: the folder is `<worker>/allocs/<alloc>/<task>/attempt-<n>`."""
    return f"{folder.parent.parent.name}-{folder.parent.name}"


def _has_become(pid: int | None) -> bool:
    """Whether the task has taken the place of the `sh` that recorded its pid."""
    if pid is None:
        return False
    try:
        return b"pid.new" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _read_number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _memory_bytes(setup: TaskSetup) -> int:
    return max(setup.memory_mb, setup.memory_max_mb) * 1024 * 1024


def _as_user(user: str) -> list[str]:
    """`setpriv` keeps the process as it is but for its identity (util-linux; on every Debian)."""
    if not user or user == "root":
        return []
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--"]


def _with_path(env: Mapping[str, str]) -> dict[str, str]:
    """The worker's own environment is not passed on but for PATH."""
    return {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), **env}
