"""What every allocation of a worker shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kokiris.infra.config import Layout
from kokiris.kernel.clock import NowNs, wall_ns
from kokiris.orchestrator.model.alloc import AllocClient
from kokiris.orchestrator.model.node import Node
from kokiris.worker.allocs.kept import Keeper
from kokiris.worker.allocs.network import PauseContainers
from kokiris.worker.checks.probe import Prober
from kokiris.worker.client import Servers
from kokiris.worker.drivers.contract import Driver
from kokiris.worker.drivers.published_ports import PublishedPorts
from kokiris.worker.templates.services import ServiceWatcher


@dataclass(slots=True)
class Surroundings:
    """The node and what runs on it. `node` is replaced when its fingerprint changes."""

    layout: Layout
    node: Node
    node_address: str
    """Where services of this node are reached."""
    servers: Servers
    drivers: Mapping[str, Driver]
    pauses: PauseContainers
    ports: PublishedPorts
    prober: Prober
    keeper: Keeper
    services: ServiceWatcher
    report: Callable[[AllocClient], None]
    now_ns: NowNs = field(default=wall_ns)

    @property
    def cpu_mhz(self) -> int:
        """Of the whole node."""
        resources = self.node.NodeResources
        return resources.Cpu.CpuShares if resources and resources.Cpu else 0

    @property
    def cores(self) -> int:
        """Of the whole node; at least 1."""
        resources = self.node.NodeResources
        return max(1, resources.Cpu.TotalCpuCores) if resources and resources.Cpu else 1
