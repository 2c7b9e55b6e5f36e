"""What a task driver does, and the plain data it is told with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec

from kokiris.kernel.errors import KokirisError
from kokiris.orchestrator.model.allocwire import PortMapping
from kokiris.orchestrator.model.resources import DNSConfig
from kokiris.worker.logs.files import LogLimits

Say = Callable[[str], None]
"""Takes a line for the task's events ("Downloading image…")."""


class StartFailed(KokirisError):
    """The task could not be started. `final`: trying again cannot help."""

    code = "task_start"
    default_next_step = "Correct the task's configuration and run the job again."

    def __init__(self, message: str, *, final: bool = False, next_step: str | None = None) -> None:
        super().__init__(message, next_step=next_step)
        self.final = final


@dataclass(frozen=True, slots=True)
class Mount:
    """A host folder (or file) in the task."""

    host: str
    inside: str
    read_only: bool = False
    propagation: str = ""


@dataclass(frozen=True, slots=True)
class TaskFolders:
    """`shared` is the allocation's, the others the task's own."""

    shared: Path
    local: Path
    secrets: Path
    private: Path
    """The driver's own files for this task, invisible to it."""


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """`mode`: the group's (host, bridge, none). `pause_container` set: join its network namespace."""

    mode: str = "host"
    pause_container: str = ""
    hostname: str = ""
    dns: DNSConfig | None = None
    ports: Sequence[PortMapping] = ()


@dataclass(frozen=True, slots=True)
class TaskSetup:
    """All a driver needs to start one attempt. Texts are interpolated already."""

    alloc_id: str
    task: str
    config: dict[str, Any]
    env: dict[str, str] = field(repr=False)
    """May hold secrets."""
    folders: TaskFolders
    network: NetworkPlan
    mounts: Sequence[Mount] = ()
    user: str = ""
    cpu_mhz: int = 100
    memory_mb: int = 300
    memory_max_mb: int = 0
    attempt: int = 0
    namespace: str = "default"
    node_cpu_mhz: int = 0
    node_cores: int = 1


class TaskHandle(msgspec.Struct, kw_only=True):
    """Names one started attempt for ever; kept on disk so that a returning worker finds it."""

    driver: str
    container_id: str = ""
    private: str = ""
    """raw_exec: the attempt's folder."""
    pid: int = 0
    start_time: int = 0
    """raw_exec: clock ticks since boot, so that a reused pid is not mistaken for it."""
    address: str = ""
    """Address of the container in its network; "" in host mode."""
    started_at_ns: int = 0


@dataclass(frozen=True, slots=True)
class Exit:
    """How an attempt ended."""

    code: int = 0
    signal: int = 0
    oom_killed: bool = False
    message: str = ""
    gone: bool = False
    """It is not known how: the engine knows the task no more."""

    @property
    def success(self) -> bool:
        return self.code == 0 and self.signal == 0 and not self.gone


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one task: CPU as total ns and percent of one core, memory in bytes."""

    cpu_percent: float = 0.0
    cpu_total_ns: int = 0
    cpu_system_ns: int = 0
    cpu_user_ns: int = 0
    throttled_periods: int = 0
    throttled_ns: int = 0
    memory_bytes: int = 0
    memory_max_bytes: int = 0
    memory_cache_bytes: int = 0
    timestamp_ns: int = 0


@dataclass(frozen=True, slots=True)
class DriverHealth:
    """What the node says of a driver."""

    detected: bool
    healthy: bool
    description: str
    attributes: dict[str, str] = field(default_factory=dict)


class ExecSession(Protocol):
    """A command running inside a task."""

    def output(self) -> AsyncIterator[tuple[str, bytes]]:
        """("stdout" or "stderr", bytes) until it ends; with a tty all is stdout."""
        ...

    async def write(self, data: bytes) -> None: ...

    async def close_input(self) -> None: ...

    async def resize(self, height: int, width: int) -> None: ...

    async def exit_code(self) -> int:
        """After `output` ended."""
        ...

    async def close(self) -> None:
        """Ends the session; a command that still runs loses its terminal."""
        ...


class LogFollower(Protocol):
    """Copies a task's output into its log files until the attempt has ended and all is copied."""

    async def run(self) -> None:
        """Returns at the end of output; survives outages of the engine. Cancel-safe."""
        ...


class Driver(Protocol):
    """Runs tasks. All methods may be called at once for different tasks; all survive a restart of the worker."""

    @property
    def name(self) -> str: ...

    async def health(self) -> DriverHealth: ...

    async def start(self, setup: TaskSetup, say: Say) -> TaskHandle:
        """Starts the attempt, or finds it started by an earlier worker. Raises StartFailed."""
        ...

    async def recover(self, handle: TaskHandle) -> bool:
        """Whether the attempt is known still, running or ended; False when there is no trace of it."""
        ...

    async def wait(self, handle: TaskHandle) -> Exit:
        """Returns when it has ended, also if it had before; waits through outages of the engine."""
        ...

    async def stop(self, handle: TaskHandle, signal: str, timeout_s: float) -> None:
        """`signal` ("" is the driver's own default), then SIGKILL after `timeout_s`. Returns when it has ended."""
        ...

    async def signal(self, handle: TaskHandle, signal: str) -> None:
        """Raises BadInput for a signal that does not exist."""
        ...

    async def usage(self, handle: TaskHandle) -> Usage: ...

    async def exec(self, handle: TaskHandle, command: Sequence[str], *, tty: bool) -> ExecSession:
        """Raises BadInput when the command cannot be run."""
        ...

    def follower(self, handle: TaskHandle, folder: Path, task: str, limits: LogLimits) -> LogFollower: ...

    async def remove(self, handle: TaskHandle) -> None:
        """Leaves nothing of the ended attempt. Idempotent."""
        ...
