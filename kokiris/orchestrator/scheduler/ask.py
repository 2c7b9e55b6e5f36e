"""What one allocation of a group takes from its node."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kokiris.orchestrator.model.job import TaskGroup
from kokiris.orchestrator.model.resources import NetworkResource
from kokiris.orchestrator.model.task import Task


@dataclass(frozen=True, slots=True)
class Ask:
    """MHz, MB and ports of one allocation. Labels: static ports first, then dynamic ones, as declared."""

    cpu_mhz: int = 0
    memory_mb: int = 0
    disk_mb: int = 0
    static_ports: tuple[tuple[str, int], ...] = ()
    """(label, host port) that must be free."""
    shared_ports: tuple[tuple[str, int], ...] = ()
    """(label, host port) declared with `ignore_collision`: never in anybody's way."""
    dynamic_labels: tuple[str, ...] = ()
    network_modes: tuple[str, ...] = ()
    host_networks: tuple[str, ...] = ()

    @property
    def labels(self) -> list[str]:
        """All port labels, in the order a segment stores them."""
        fixed = [label for label, _ in (*self.static_ports, *self.shared_ports)]
        return fixed + list(self.dynamic_labels)

    @property
    def fixed_values(self) -> list[int]:
        """The host ports of the fixed labels, in the order of `labels`."""
        return [port for _, port in (*self.static_ports, *self.shared_ports)]


def ask_of(group: TaskGroup) -> Ask:
    """What one allocation of `group` takes. Tasks that never run together share (prestart, main, poststop)."""
    networks = list(_networks(group))
    fixed = [port for network in networks for port in network.ReservedPorts or ()]
    dynamic = [port for network in networks for port in network.DynamicPorts or ()]
    return Ask(
        cpu_mhz=_together(group.Tasks or (), lambda task: task.Resources.CPU if task.Resources else 0),
        memory_mb=_together(group.Tasks or (), lambda task: task.Resources.MemoryMB if task.Resources else 0),
        disk_mb=group.EphemeralDisk.SizeMB if group.EphemeralDisk else 0,
        static_ports=tuple((port.Label, port.Value) for port in fixed if not port.IgnoreCollision),
        shared_ports=tuple((port.Label, port.Value) for port in fixed if port.IgnoreCollision),
        dynamic_labels=tuple(port.Label for port in dynamic),
        network_modes=tuple(dict.fromkeys(network.Mode for network in networks)),
        host_networks=tuple(dict.fromkeys(port.HostNetwork for port in [*fixed, *dynamic] if port.HostNetwork)),
    )


def _networks(group: TaskGroup) -> Iterable[NetworkResource]:
    yield from group.Networks or ()
    for task in group.Tasks or ():
        if task.Resources is not None:
            yield from task.Resources.Networks or ()


def _together(tasks: Iterable[Task], amount: Callable[[Task], int]) -> int:
    sums = {"prestart": 0, "sidecar": 0, "main": 0, "poststop": 0}
    for task in tasks:
        sums[_phase(task)] += amount(task)
    return max(sums["prestart"], sums["main"], sums["poststop"]) + sums["sidecar"]


def _phase(task: Task) -> str:
    hook = task.Lifecycle.Hook if task.Lifecycle else ""
    if hook == "prestart":
        return "sidecar" if task.Lifecycle is not None and task.Lifecycle.Sidecar else "prestart"
    return "poststop" if hook == "poststop" else "main"
