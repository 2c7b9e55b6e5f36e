"""Nodes as columns: what each has, what is used on it, which ports are taken. Kept up to date change by change."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kokiris.orchestrator.model.alloc import Alloc
from kokiris.orchestrator.model.job import TaskGroup
from kokiris.orchestrator.model.node import Node
from kokiris.orchestrator.scheduler.ask import Ask, ask_of
from kokiris.orchestrator.scheduler.constraints import Attributes, Mask
from kokiris.orchestrator.scheduler.ports import NodePorts, port_range, reserved_ports, starting_port

if TYPE_CHECKING:
    from kokiris.orchestrator.state import State

Column = NDArray[np.int64]

GroupOf = Callable[[Alloc], TaskGroup | None]
"""The group an allocation runs, from its job version; None when that version is gone."""

AllocsOf = Callable[[str], Iterable[Alloc]]
"""All allocations of a node, by node id."""

CPU, MEMORY, DISK = 0, 1, 2
DIMENSIONS = ("cpu", "memory", "disk")
"""Rows of `capacity` and `used`: MHz, MB, MB."""


@dataclass(slots=True)
class _Held:
    """The ask shared by all allocations of one segment (and version), and how many of them still count."""

    ask: Ask
    count: int = 0


class Cluster:
    """All nodes in NumPy columns, with what is used on each; an `AllocObserver` of `State`.

    Add it to `state.observers` before `state.load` (`Cluster.following(state)` does). A row belongs to one node as long
    as the node exists; rows of removed nodes are reused.

    An allocation counts in two ways. Its CPU, memory and disk are free as soon as it is *wanted* stopped, as in Nomad:
    otherwise a full cluster could never roll an update. Its host ports stay taken until its worker says that it *has*
    ended: a port cannot be shared for a moment. The one exception is the replacement on the same node, which starts
    only after its `PreviousAllocation` has ended (`placement` handles it).
    """

    def __init__(self, group_of: GroupOf, allocs_of: AllocsOf = lambda _node_id: ()) -> None:
        """`allocs_of` is asked when a node is removed that still has allocations."""
        self.group_of = group_of
        self.allocs_of = allocs_of
        self.rows = 0
        """Rows in use or once used; columns are longer."""
        self.nodes: list[Node | None] = []
        self.row_of: dict[str, int] = {}
        self.capacity: Column = np.zeros((3, 64), dtype=np.int64)
        self.used: Column = np.zeros((3, 64), dtype=np.int64)
        self.free_dynamic: Column = np.zeros(64, dtype=np.int64)
        """Dynamic ports not taken."""
        self.usable: Mask = np.zeros(64, dtype=np.bool_)
        """Ready, eligible and not draining."""
        self.attributes = Attributes()
        self.ports: list[NodePorts] = []
        self._vacant: list[int] = []
        self._counted: list[int] = []
        """Allocations counted on each row."""
        self._held: dict[tuple[str, str, int], _Held] = {}
        self._homeless: dict[str, dict[str, Alloc]] = {}
        """Allocations of nodes that are not (or no longer) known: node id → alloc id → alloc."""

    @classmethod
    def following(cls, state: State) -> Cluster:
        """A cluster that follows `state` from now on and has caught up with what is in it."""

        def group_of(alloc: Alloc) -> TaskGroup | None:
            job = state.job_of(alloc)
            groups = job.TaskGroups if job is not None else None
            return next((group for group in groups or () if group.Name == alloc.TaskGroup), None)

        cluster = cls(group_of, state.allocs_of_node)
        for node in state.nodes.values():
            cluster.node_changed(None, node)
        for alloc in state.allocs.values():
            cluster.alloc_changed(None, alloc)
        state.observers.append(cluster)
        return cluster

    # ---- nodes -------------------------------------------------------------------------------------------------

    def node_changed(self, before: Node | None, after: Node | None) -> None:
        """Follows one node: new, changed, or gone (`after` None)."""
        if after is None:
            if before is not None:
                self._remove_node(before.ID)
            return
        row = self.row_of.get(after.ID)
        if row is None:
            row = self._new_row(after)
        self.nodes[row] = after
        self.capacity[:, row] = _capacity(after)
        self.usable[row] = (
            after.Status == "ready"
            and after.SchedulingEligibility == "eligible"
            and not after.Drain
            and after.DrainStrategy is None
        )
        self._refresh_ports(row, after)
        if before is None or _described(before) != _described(after):
            self.attributes.set_row(row, after)
        for alloc in self._homeless.pop(after.ID, {}).values():
            self._count(row, alloc, 1)

    def _new_row(self, node: Node) -> int:
        row = self._vacant.pop() if self._vacant else self.rows
        if row == self.rows:
            self.rows += 1
            self.nodes.append(None)
            self._counted.append(0)
            self.ports.append(NodePorts(*port_range(node), reserved_ports(node), starting_port(node)))
            if self.rows > self.used.shape[1]:
                self._grow()
        self.row_of[node.ID] = row
        self.used[:, row] = 0
        self.ports[row] = NodePorts(*port_range(node), reserved_ports(node), starting_port(node))
        return row

    def _grow(self) -> None:
        size = self.used.shape[1]
        self.capacity = np.concatenate([self.capacity, np.zeros((3, size), dtype=np.int64)], axis=1)
        self.used = np.concatenate([self.used, np.zeros((3, size), dtype=np.int64)], axis=1)
        self.free_dynamic = np.concatenate([self.free_dynamic, np.zeros(size, dtype=np.int64)])
        self.usable = np.concatenate([self.usable, np.zeros(size, dtype=np.bool_)])

    def _refresh_ports(self, row: int, node: Node) -> None:
        ports = self.ports[row]
        if (ports.first, ports.last) != port_range(node) or ports.reserved != reserved_ports(node):
            self.ports[row] = ports.moved(*port_range(node), reserved_ports(node))
        self.free_dynamic[row] = self.ports[row].free_dynamic

    def _remove_node(self, node_id: str) -> None:
        row = self.row_of.pop(node_id, None)
        if row is None:
            return
        if self._counted[row]:
            for alloc in self.allocs_of(node_id):
                self._count(row, alloc, -1)
                self._homeless.setdefault(node_id, {})[alloc.ID] = alloc
        self._counted[row] = 0
        self.nodes[row] = None
        self.usable[row] = False
        self.capacity[:, row] = 0
        self.used[:, row] = 0
        self.attributes.set_row(row, None)
        self._vacant.append(row)

    # ---- allocations -------------------------------------------------------------------------------------------

    def alloc_changed(self, before: Alloc | None, after: Alloc | None) -> None:
        """Follows one allocation: placed, changed, or collected (`after` None)."""
        if before is not None and after is not None and _same_weight(before, after):
            self._keep_homeless(after)
            return
        if before is not None:
            self._follow(before, -1)
        if after is not None:
            self._follow(after, 1)

    def _follow(self, alloc: Alloc, sign: int) -> None:
        row = self.row_of.get(alloc.NodeID)
        if row is not None:
            self._count(row, alloc, sign)
        elif sign > 0:
            self._homeless.setdefault(alloc.NodeID, {})[alloc.ID] = alloc
        else:
            self._homeless.get(alloc.NodeID, {}).pop(alloc.ID, None)

    def _keep_homeless(self, alloc: Alloc) -> None:
        waiting = self._homeless.get(alloc.NodeID)
        if waiting is not None and alloc.ID in waiting:
            waiting[alloc.ID] = alloc

    def _count(self, row: int, alloc: Alloc, sign: int) -> None:
        if alloc.client_terminal():
            return
        key = (alloc.EvalID, alloc.TaskGroup, alloc.JobVersion)
        held = self._held.get(key)
        if held is None:
            group = self.group_of(alloc)
            held = self._held[key] = _Held(ask_of(group) if group is not None else Ask())
        held.count += sign
        self._counted[row] += sign
        if held.count <= 0:
            del self._held[key]
        ask = held.ask
        if not alloc.terminal():
            self.used[CPU, row] += sign * ask.cpu_mhz
            self.used[MEMORY, row] += sign * ask.memory_mb
            self.used[DISK, row] += sign * ask.disk_mb
        if ask.static_ports or ask.dynamic_labels:
            self._count_ports(row, alloc, ask, sign)

    def _count_ports(self, row: int, alloc: Alloc, ask: Ask, sign: int) -> None:
        shared = {label for label, _ in ask.shared_ports}
        ports = self.ports[row]
        for label, port in alloc.ports().items():
            if label not in shared:
                ports.count(port, sign)
        self.free_dynamic[row] = ports.free_dynamic

    def ask_held(self, alloc: Alloc) -> Ask:
        """What `alloc` was counted with."""
        held = self._held.get((alloc.EvalID, alloc.TaskGroup, alloc.JobVersion))
        if held is not None:
            return held.ask
        group = self.group_of(alloc)
        return ask_of(group) if group is not None else Ask()


def _same_weight(before: Alloc, after: Alloc) -> bool:
    return (
        before.NodeID == after.NodeID
        and before.Segment is after.Segment
        and before.JobVersion == after.JobVersion
        and before.terminal() == after.terminal()
        and before.client_terminal() == after.client_terminal()
    )


def _capacity(node: Node) -> tuple[int, int, int]:
    """MHz, MB and MB that allocations may use: what the node has less what it reserves."""
    has, keeps = node.NodeResources, node.ReservedResources
    if has is None:
        old = node.Resources
        return (old.CPU, old.MemoryMB, old.DiskMB) if old is not None else (0, 0, 0)

    def kept(part: dict[str, object] | None, name: str) -> int:
        value = (part or {}).get(name, 0)
        return int(value) if isinstance(value, int | float) else 0

    return (
        max(0, (has.Cpu.CpuShares if has.Cpu else 0) - (kept(keeps.Cpu, "CpuShares") if keeps else 0)),
        max(0, (has.Memory.MemoryMB if has.Memory else 0) - (kept(keeps.Memory, "MemoryMB") if keeps else 0)),
        max(0, (has.Disk.DiskMB if has.Disk else 0) - (kept(keeps.Disk, "DiskMB") if keeps else 0)),
    )


def _described(node: Node) -> tuple[object, ...]:
    """What questions about a node are answered from."""
    names = (node.ID, node.Datacenter, node.Name, node.NodeClass, node.NodePool)
    drivers = {name: (info.Detected, info.Healthy) for name, info in (node.Drivers or {}).items()}
    return (*names, node.Attributes, node.Meta, drivers, node.HostVolumes, node.HostNetworks)
