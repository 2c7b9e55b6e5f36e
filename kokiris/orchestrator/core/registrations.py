"""What an allocation's services look like in the catalog. Pure.

An instance is there while the allocation is to run and its main tasks run; its checks carry the newest result that the
worker sent. Services without checks pass as soon as they are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from kokiris.discovery.model import (
    CRITICAL,
    PASSING,
    WARNING,
    CheckState,
    DeclaredService,
    ServiceInstance,
    check_id,
    instance_id,
)
from kokiris.kernel.units import format_duration
from kokiris.orchestrator.core.interpolation import Running, interpolate, values_of
from kokiris.orchestrator.core.specification import group_named
from kokiris.orchestrator.model.alloc import Alloc, AllocClient
from kokiris.orchestrator.model.allocwire import AllocCheckStatus
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.node import Node
from kokiris.orchestrator.model.resources import NetworkResource, Port
from kokiris.orchestrator.model.service import Service, ServiceCheck
from kokiris.orchestrator.model.task import Task

SOURCE = {"external-source": "nomad"}
"""Meta by which Consul's tools tell a job's instances from others."""

_STATUS = {"success": PASSING, "passing": PASSING, "warning": WARNING}
"""Nomad's check results as the catalog says them; anything else is critical."""


@dataclass(frozen=True, slots=True)
class _Owner:
    """A service and where in the job it stands."""

    service: Service
    owner: str
    """The word in the instance id: "group-<group>" or the task's name."""
    task: Task | None
    """The task it belongs to, by its place or by its `task` field."""


def instances_of(alloc: Alloc, client: AllocClient | None, job: Job, node: Node) -> list[ServiceInstance]:
    """The instances the catalog should show for `alloc` now; none before its main tasks run or once it is to stop."""
    group = group_named(job.TaskGroups or (), alloc.TaskGroup)
    if group is None or alloc.DesiredStatus != "run" or client is None or client.ClientStatus != "running":
        return []
    if node.Status == "down" or not main_tasks_run(group, client):
        return []
    running = Running(alloc, client, job, group, node)
    return [_instance(one, running) for one in _services(group)]


def instance_ids(alloc: Alloc, job: Job) -> list[str]:
    """The ids of every instance `alloc` may have while it runs `job`."""
    group = group_named(job.TaskGroups or (), alloc.TaskGroup)
    return [] if group is None else [_id(one, alloc, job, group) for one in _services(group)]


def declared_of(job: Job) -> list[DeclaredService]:
    """The services a job wants, by name; tags of one name in several groups are joined. None once it is stopped."""
    if job.Stop or job.Periodic is not None or job.ParameterizedJob is not None:
        return []
    found: dict[str, DeclaredService] = {}
    for group in job.TaskGroups or ():
        for one in _services(group):
            values = _names(job, group, one.task)
            name = interpolate(one.service.Name, values)
            entry = found.setdefault(
                name, DeclaredService(Service=name, Namespace=job.Namespace, JobID=job.ID, JobVersion=job.Version)
            )
            tags = [interpolate(tag, values) for tag in one.service.Tags or ()]
            entry.Tags.extend(tag for tag in tags if tag not in entry.Tags)
    return list(found.values())


def main_tasks_run(group: TaskGroup, client: AllocClient) -> bool:
    """Whether every task that is neither a one-shot hook nor a poststop task runs."""
    states = client.TaskStates or {}
    for task in group.Tasks or ():
        hook = task.Lifecycle
        if hook is not None and (not hook.Sidecar or hook.Hook == "poststop"):
            continue
        state = states.get(task.Name)
        if state is None or state.State != "running":
            return False
    return True


def _services(group: TaskGroup) -> Iterator[_Owner]:
    tasks = {task.Name: task for task in group.Tasks or ()}
    for service in group.Services or ():
        yield _Owner(service, f"group-{group.Name}", tasks.get(service.TaskName))
    for task in tasks.values():
        for service in task.Services or ():
            yield _Owner(service, task.Name, task)


def _names(job: Job, group: TaskGroup, task: Task | None) -> dict[str, str]:
    """`${JOB}` and its like; known without an allocation."""
    base = "-".join([job.ID, group.Name, *([task.Name] if task is not None else [])])
    return {"JOB": job.ID, "TASKGROUP": group.Name, "TASK": task.Name if task is not None else "", "BASE": base}


def _id(one: _Owner, alloc: Alloc, job: Job, group: TaskGroup) -> str:
    name = interpolate(one.service.Name, _names(job, group, one.task))
    return instance_id(alloc.ID, one.owner, name, one.service.PortLabel)


def _instance(one: _Owner, running: Running) -> ServiceInstance:
    service, alloc, job, group, node = one.service, running.alloc, running.job, running.group, running.node
    values = {**values_of(running, one.task), **_names(job, group, one.task)}
    ident = _id(one, alloc, job, group)
    tags = service.CanaryTags if alloc.Canary and service.CanaryTags else service.Tags
    meta = service.CanaryMeta if alloc.Canary and service.CanaryMeta else service.Meta
    address, port = endpoint(service, running, one.task)
    return ServiceInstance(
        ID=ident,
        Service=interpolate(service.Name, values),
        Tags=[interpolate(tag, values) for tag in tags or ()],
        Address=interpolate(service.Address, values) or address,
        Port=port,
        Meta={**SOURCE, **{key: interpolate(value, values) for key, value in (meta or {}).items()}},
        TaggedAddresses={
            key: {"Address": interpolate(value, values), "Port": port}
            for key, value in (service.TaggedAddresses or {}).items()
        },
        Weights=_weights(service),
        EnableTagOverride=service.EnableTagOverride,
        Kind=service.Kind,
        Node=node.Name,
        Checks=[_check(check, ident, service, values, running.client) for check in service.Checks or ()],
        Provider=service.Provider,
        Namespace=job.Namespace,
        JobID=job.ID,
        AllocID=alloc.ID,
        NodeID=node.ID,
        JobVersion=alloc.JobVersion,
    )


def _weights(service: Service) -> dict[str, int]:
    given = {key.lower(): value for key, value in (service.Weights or {}).items()}
    return {"Passing": int(given.get("passing", 1)), "Warning": int(given.get("warning", 1))}


def _check(
    check: ServiceCheck, ident: str, service: Service, values: Mapping[str, str], client: AllocClient
) -> CheckState:
    name = interpolate(check.Name, values) or f'service: "{interpolate(service.Name, values)}" check'
    result = (client.Checks or {}).get(check_id(ident, check.Name))
    return CheckState(
        CheckID=check_id(ident, check.Name),
        Name=name,
        Status=_check_status(check, result),
        Output=result.Output if result is not None else "",
        Type=check.Type,
        Notes=check.Notes,
        Interval=format_duration(check.Interval),
        Timeout=format_duration(check.Timeout),
    )


def _check_status(check: ServiceCheck, result: AllocCheckStatus | None) -> str:
    if result is None or result.Status in {"", "pending"}:
        return check.InitialStatus or CRITICAL
    return _STATUS.get(result.Status, CRITICAL)


def endpoint(service: Service, running: Running, task: Task | None) -> tuple[str, int]:
    """(address, port) of a service by its `address_mode`; port 0 for a service without one.

    auto: the host's address and port, or the driver's own address where the port is a number and not a label. host,
    alloc (the group's network namespace), driver (the task's container).
    """
    client, label = running.client, service.PortLabel
    ports = running.alloc.ports()
    inside = _inside_ports(running.group, ports)
    mode = service.AddressMode or "auto"
    if mode == "auto":
        mode = "driver" if label.isdigit() and client.DriverAddresses else "host"
    host_port = ports.get(label, int(label) if label.isdigit() else 0)
    inner_port = inside.get(label, host_port)
    if mode == "alloc" and client.NetworkStatus is not None and client.NetworkStatus.Address:
        return client.NetworkStatus.Address, inner_port
    if mode == "driver":
        address = _driver_address(client, task)
        if address:
            return address, inner_port
    return node_address(running.node), host_port


def _driver_address(client: AllocClient, task: Task | None) -> str:
    addresses = client.DriverAddresses or {}
    if task is not None:
        return addresses.get(task.Name, "")
    return next(iter(addresses.values()), "")


def _inside_ports(group: TaskGroup, ports: Mapping[str, int]) -> dict[str, int]:
    return {port.Label: _inside(port, ports.get(port.Label, 0)) for port in _ports(group.Networks or ())}


def _inside(port: Port, host_port: int) -> int:
    return port.To if port.To > 0 else host_port


def _ports(networks: Sequence[NetworkResource]) -> Iterator[Port]:
    for network in networks:
        yield from network.ReservedPorts or ()
        yield from network.DynamicPorts or ()


def node_address(node: Node) -> str:
    """Where services of the node are reached: the address it advertises."""
    attributes = node.Attributes or {}
    return attributes.get("unique.network.ip-address", "") or node.HTTPAddr.rpartition(":")[0]


def same_but_output(one: ServiceInstance, other: ServiceInstance) -> bool:
    """Whether only what checks printed (or indexes) differs."""
    return _quiet(one) == _quiet(other)


def _quiet(instance: ServiceInstance) -> ServiceInstance:
    checks = [msgspec.structs.replace(check, Output="") for check in instance.Checks]
    return msgspec.structs.replace(instance, Checks=checks, CreateIndex=0, ModifyIndex=0)
