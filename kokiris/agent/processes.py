"""One supervised process: started in a session of its own, known by pid and start time, found again after we die."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from kokiris.kernel.errors import HostError
from kokiris.kernel.files import write_atomic


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """What to run. No secret belongs in `argv` or `env`."""

    name: str
    argv: Sequence[str]
    log_file: Path
    pid_file: Path
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the agent's own environment. What a nursery forks has the nursery's: there it only counts as a reason to
    start it anew."""
    pass_fds: Sequence[int] = ()
    stop_signal: int = signal.SIGTERM
    stop_timeout_s: float = 10.0
    nursery: Path | None = None
    """The socket of the nursery that forks it; None: it is a program of its own."""
    inner_pid_files: Sequence[Path] = ()
    """Of processes that it starts itself: removed before a start when they name nobody that runs (see `start`)."""

    def fingerprint(self) -> str:
        """Changes when the process would have to be started anew to honour the spec."""
        return hashlib.sha256("\0".join([*self.argv, *map("=".join, sorted(self.env.items()))]).encode()).hexdigest()


class PidRecord(msgspec.Struct, kw_only=True):
    """A pid alone may be reused; with the kernel's start time it names one process for ever."""

    pid: int
    start_time: int
    """Clock ticks since boot, field 22 of /proc/<pid>/stat."""
    fingerprint: str = ""


def start_time_of(pid: int) -> int | None:
    """None when no such process runs (a zombie does not run)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def read_pid(pid_file: Path) -> PidRecord | None:
    """The running process that `pid_file` names; None when there is none (any more)."""
    try:
        record = msgspec.json.decode(pid_file.read_bytes(), type=PidRecord)
    except (OSError, msgspec.MsgspecError):
        return None
    return record if start_time_of(record.pid) == record.start_time else None


class Running:
    """A process we started or adopted."""

    def __init__(
        self, record: PidRecord, exit_code: Callable[[], Awaitable[int | None]] | None, *, adopted: bool
    ) -> None:
        """`exit_code` is called once it has ended; None: nobody knows. Raises ProcessLookupError when it is gone."""
        self.pid = record.pid
        self.adopted = adopted
        self._pidfd = os.pidfd_open(record.pid)
        self._gone = asyncio.Event()
        self._ended = asyncio.create_task(self._end(exit_code), name=f"end of {record.pid}")
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_end)

    def _on_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._gone.set()

    async def _end(self, exit_code: Callable[[], Awaitable[int | None]] | None) -> int | None:
        await self._gone.wait()
        return None if exit_code is None else await exit_code()

    async def wait(self) -> int | None:
        """Returns when it has ended: the exit code, or None where its parent cannot tell (it was adopted)."""
        return await asyncio.shield(self._ended)

    def alive(self) -> bool:
        """Whether it still runs."""
        return not self._gone.is_set()

    def send(self, number: int) -> None:
        """Signals exactly this process, never one that got its pid later."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    async def stop(self, stop_signal: int, timeout_s: float) -> None:
        """Asks with `stop_signal`, then kills. Returns when it is gone."""
        self.send(stop_signal)
        try:
            await asyncio.wait_for(self.wait(), timeout_s)
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self.wait()


MARK = "KOKIRIS_PROCESS"
"""In the environment of all we start: pid file and fingerprint, so that a process whose pid file was never written
(its agent was killed in that very moment) is found too."""


def _mark(spec: ProcessSpec) -> str:
    return f"{spec.pid_file}@{spec.fingerprint()}"


def _unrecorded(spec: ProcessSpec) -> PidRecord | None:
    wanted = f"{MARK}={_mark(spec)}".encode()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            pid = int(process.name)
            leads_session = os.getsid(pid) == pid  # not a child that inherited the mark
            if leads_session and wanted in (process / "environ").read_bytes().split(b"\0"):
                start_time = start_time_of(pid)
                if start_time is not None:
                    return PidRecord(pid=pid, start_time=start_time, fingerprint=spec.fingerprint())
    return None


def adopt(spec: ProcessSpec) -> Running | None:
    """The process of an earlier agent, if it runs and was started from the same spec. A different one is left alone."""
    record = read_pid(spec.pid_file)
    if record is None:
        record = _unrecorded(spec)
        if record is not None:
            write_atomic(spec.pid_file, msgspec.json.encode(record))
    if record is None or record.fingerprint != spec.fingerprint():
        return None
    try:
        return Running(record, None, adopted=True)
    except ProcessLookupError:
        return None


def _remove_stale(pid_file: Path) -> None:
    """A dead containerd's pid file, its process a zombie, makes the next dockerd wait for it and give up (seen)."""
    with contextlib.suppress(OSError, ValueError):
        if start_time_of(int(pid_file.read_text())) is None:
            pid_file.unlink()


def start(spec: ProcessSpec) -> Running:
    """Starts it detached, with output appended to its log file. Raises HostError when the program cannot be run."""
    spec.log_file.parent.mkdir(parents=True, exist_ok=True)
    for inner in spec.inner_pid_files:
        _remove_stale(inner)
    with spec.log_file.open("ab") as log_file:
        try:
            child = subprocess.Popen(
                list(spec.argv),
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **spec.env, MARK: _mark(spec)},
                pass_fds=tuple(spec.pass_fds),
                start_new_session=True,
                cwd="/",
            )
        except OSError as error:
            raise HostError(f'cannot start {spec.name} ("{spec.argv[0]}"): {error.strerror}') from error
    record = PidRecord(pid=child.pid, start_time=start_time_of(child.pid) or 0, fingerprint=spec.fingerprint())
    write_atomic(spec.pid_file, msgspec.json.encode(record))

    async def exit_code() -> int:
        return child.wait()

    return Running(record, exit_code, adopted=False)
