"""Which nodes may run a group, and why the others may not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.node import Node
from kokiris.orchestrator.model.policy import Constraint
from kokiris.orchestrator.model.resources import VolumeRequest
from kokiris.orchestrator.scheduler.ask import Ask
from kokiris.orchestrator.scheduler.columns import DIMENSIONS, Cluster
from kokiris.orchestrator.scheduler.constraints import PLACEMENT_OPERANDS, Mask, describe
from kokiris.orchestrator.scheduler.draft import Draft

FILTER_DRIVERS = "missing drivers"
FILTER_VOLUMES = "missing host volumes"
FILTER_CSI = "missing CSI plugins"
FILTER_NETWORK = "missing network"
FILTER_HOST_NETWORK = "missing host network"
FILTER_DEVICES = "missing devices"
FILTER_DISTINCT_HOSTS = "distinct_hosts"
PORTS_EXHAUSTED = "network: dynamic port selection failed"


@dataclass(slots=True)
class Feasible:
    """The nodes that may run a group whatever else runs on them, and the count of the others by reason."""

    mask: Mask
    evaluated: int = 0
    in_pool: int = 0
    available: dict[str, int] = field(default_factory=dict)
    """Datacenter → usable nodes."""
    filtered: int = 0
    by_reason: Counter[str] = field(default_factory=Counter)
    by_class: Counter[str] = field(default_factory=Counter)


def constraints_of(job: Job, group: TaskGroup) -> list[Constraint]:
    """All hard constraints on the nodes of a group: the job's, its own, its tasks'."""
    found = [*(job.Constraints or ()), *(group.Constraints or ())]
    for task in group.Tasks or ():
        found.extend(task.Constraints or ())
    return found


def feasible_nodes(cluster: Cluster, job: Job, group: TaskGroup, ask: Ask) -> Feasible:
    """Filters cheapest first; a node counts under the first reason that refuses it."""
    rows = cluster.rows
    pool = _in_pool(cluster, job)
    mask = cluster.usable[:rows] & pool & _in_datacenters(cluster, job)
    datacenters = cluster.attributes.places(("${node.datacenter}",))
    counts = np.bincount(datacenters.of_row[mask], minlength=len(datacenters.combinations)).tolist()
    available = {name or "": count for (name,), count in zip(datacenters.combinations, counts, strict=True) if count}
    result = Feasible(mask, int(mask.sum()), int(pool.sum()), available)
    for reason, allowed in _filters(cluster, job, group, ask):
        refused = result.mask & ~allowed
        count = int(refused.sum())
        if count:
            result.filtered += count
            result.by_reason[reason] += count
            result.by_class.update(_classes(cluster, refused))
            result.mask = result.mask & allowed
    return result


def suitable_nodes(cluster: Cluster, job: Job, group: TaskGroup, ask: Ask) -> Mask:
    """Nodes a running allocation of the group may stay on, ready and eligible or not."""
    mask = _in_pool(cluster, job) & _in_datacenters(cluster, job)
    for _, allowed in _filters(cluster, job, group, ask):
        mask = mask & allowed
    return mask


def _classes(cluster: Cluster, mask: Mask) -> Iterable[str]:
    for row in np.flatnonzero(mask).tolist():
        node = cluster.nodes[row]
        if node is not None and node.NodeClass:
            yield node.NodeClass


def _in_pool(cluster: Cluster, job: Job) -> Mask:
    pool = job.NodePool or "default"
    return cluster.attributes.where(("pool", pool), lambda node: pool in {"all", node.NodePool})


def _in_datacenters(cluster: Cluster, job: Job) -> Mask:
    globs = tuple(job.Datacenters or ["*"])
    patterns = [_glob_pattern(glob) for glob in globs]
    return cluster.attributes.where(
        ("datacenters", globs), lambda node: any(pattern.fullmatch(node.Datacenter) for pattern in patterns)
    )


def _glob_pattern(glob: str) -> re.Pattern[str]:
    """`*` stands for anything, everything else for itself (Nomad's glob)."""
    return re.compile(".*".join(re.escape(part) for part in re.sub(r"\*+", "*", glob)[:256].split("*")))


def _filters(cluster: Cluster, job: Job, group: TaskGroup, ask: Ask) -> Iterable[tuple[str, Mask]]:
    attributes = cluster.attributes
    for constraint in job.Constraints or ():
        if constraint.Operand not in PLACEMENT_OPERANDS:
            yield describe(constraint), attributes.mask(constraint)
    for driver in dict.fromkeys(task.Driver for task in group.Tasks or ()):
        yield FILTER_DRIVERS, attributes.where(("driver", driver), partial(has_driver, driver=driver))
    for constraint in constraints_of(Job(), group):
        if constraint.Operand not in PLACEMENT_OPERANDS:
            yield describe(constraint), attributes.mask(constraint)
    yield from _equipment(cluster, group, ask)


def _equipment(cluster: Cluster, group: TaskGroup, ask: Ask) -> Iterable[tuple[str, Mask]]:
    attributes = cluster.attributes
    for volume in (group.Volumes or {}).values():
        if volume.Type == "csi":
            yield FILTER_CSI, np.zeros(cluster.rows, dtype=np.bool_)
        else:
            key = ("volume", volume.Source, volume.ReadOnly)
            yield FILTER_VOLUMES, attributes.where(key, partial(has_volume, request=volume))
    if any(task.Resources is not None and task.Resources.Devices for task in group.Tasks or ()):
        yield FILTER_DEVICES, np.zeros(cluster.rows, dtype=np.bool_)
    for mode in ask.network_modes:
        if mode.startswith("cni/"):
            yield FILTER_NETWORK, attributes.where(("cni", mode), partial(has_cni, name=mode[4:]))
    for name in ask.host_networks:
        if name != "default":
            yield FILTER_HOST_NETWORK, attributes.where(("host_network", name), partial(has_host_network, name=name))


def has_driver(node: Node, driver: str) -> bool:
    """Whether the node can run tasks of `driver`: its driver report, else its attribute `driver.<name>`."""
    info = (node.Drivers or {}).get(driver)
    if info is not None:
        return info.Detected and info.Healthy
    return (node.Attributes or {}).get(f"driver.{driver}", "").lower() in {"1", "t", "true"}


def has_volume(node: Node, request: VolumeRequest) -> bool:
    """Whether the node offers the host volume, writable if that is asked."""
    if request.Type not in {"", "host"}:
        return True
    volume = (node.HostVolumes or {}).get(request.Source)
    return volume is not None and (request.ReadOnly or not volume.get("ReadOnly", False))


def has_cni(node: Node, name: str) -> bool:
    """Whether the node has the CNI network of that name."""
    return f"plugins.cni.config.{name}" in (node.Attributes or {})


def has_host_network(node: Node, name: str) -> bool:
    """Whether the node has the host network of that name."""
    return name in (node.HostNetworks or {})


# ---- what depends on what else runs there ----------------------------------------------------------------------


def fitting_nodes(draft: Draft, mask: Mask, ask: Ask, inherited: Mapping[int, Sequence[int]]) -> Mask:
    """Of the nodes in `mask`, those with room for one allocation now (`inherited`: row → ports to take over)."""
    fits = mask & (draft.free_dynamic >= len(ask.dynamic_labels))
    for dimension, amount in enumerate((ask.cpu_mhz, ask.memory_mb, ask.disk_mb)):
        fits &= draft.used[dimension] + amount <= draft.capacity[dimension]
    for row in np.flatnonzero(fits).tolist() if ask.static_ports else ():
        fits[row] = _ports_fit(draft, row, ask, inherited.get(row, ()))
    return fits


def _ports_fit(draft: Draft, row: int, ask: Ask, inherited: Sequence[int]) -> bool:
    return port_collision(draft, row, ask, inherited) is None and _dynamic_ports_fit(draft, row, ask, inherited)


def _dynamic_ports_fit(draft: Draft, row: int, ask: Ask, inherited: Sequence[int]) -> bool:
    """Whether enough dynamic ports are free; a static port that lies in their range takes one away."""
    ports = draft.cluster.ports[row]
    inside = sum(ports.first <= port <= ports.last and port not in inherited for _, port in ask.static_ports)
    return not ask.dynamic_labels or bool(draft.free_dynamic[row] >= len(ask.dynamic_labels) + inside)


def port_collision(draft: Draft, row: int, ask: Ask, inherited: Sequence[int] = ()) -> str | None:
    """The dimension in Nomad's words when a static port is taken there; None when all are free.

    Two static ports of the group that are the same never fit.
    """
    seen: set[int] = set()
    for label, port in ask.static_ports:
        busy = draft.taken_here(row, port) or (port not in inherited and draft.is_taken(row, port))
        if busy or port in seen:
            return f"network: reserved port collision {label}={port}"
        seen.add(port)
    return None


def exhausted_dimension(draft: Draft, row: int, ask: Ask, inherited: Sequence[int] = ()) -> str | None:
    """The first thing the node lacks for one allocation; None when it fits."""
    collision = port_collision(draft, row, ask, inherited)
    if collision is not None:
        return collision
    for dimension, amount in enumerate((ask.cpu_mhz, ask.memory_mb, ask.disk_mb)):
        if draft.used[dimension, row] + amount > draft.capacity[dimension, row]:
            return DIMENSIONS[dimension]
    return None if _dynamic_ports_fit(draft, row, ask, inherited) else PORTS_EXHAUSTED
