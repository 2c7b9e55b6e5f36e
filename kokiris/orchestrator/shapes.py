"""Allocations as clients see them: the three stored parts joined with job and node. Pure; shared by both APIs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kokiris.kernel.clock import ZERO_TIME, rfc3339
from kokiris.orchestrator.model.alloc import Alloc
from kokiris.orchestrator.model.allocwire import (
    AllocatedCpuResources,
    AllocatedMemoryResources,
    AllocatedSharedResources,
    AllocatedTaskResources,
    Allocation,
    AllocationListStub,
    AllocDeploymentStatus,
    AllocResources,
    PortMapping,
)
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.node import Node
from kokiris.orchestrator.model.resources import NetworkResource, Port, TaskResources


def wire_alloc(alloc: Alloc, job: Job | None, node: Node | None) -> Allocation:
    """The full allocation, as `GET /v1/allocation/:id` and a worker's assignment carry it.

    `job` is the version it runs (None when that version is gone: no job, no resources), `node` names the node.
    """
    desired, client, segment = alloc.Desired, alloc.Client, alloc.Segment
    group = group_of(job, alloc.TaskGroup)
    return Allocation(
        ID=alloc.ID,
        Namespace=segment.Namespace,
        EvalID=segment.EvalID,
        Name=alloc.Name,
        NodeID=alloc.NodeID,
        NodeName=node.Name if node else "",
        JobID=segment.JobID,
        Job=job,
        TaskGroup=segment.TaskGroup,
        Resources=_total(group),
        TaskResources=_per_task(group),
        AllocatedResources=allocated_resources(alloc, group, node),
        Metrics=segment.Metrics,
        DesiredStatus=alloc.DesiredStatus,
        DesiredDescription=desired.DesiredDescription if desired else "",
        DesiredTransition=desired.DesiredTransition if desired else None,
        ClientStatus=alloc.ClientStatus,
        ClientDescription=client.ClientDescription if client else "",
        TaskStates=client.TaskStates if client else None,
        DeploymentID=alloc.DeploymentID,
        DeploymentStatus=deployment_status(alloc),
        FollowupEvalID=desired.FollowupEvalID if desired else "",
        PreviousAllocation=alloc.PreviousAllocation,
        NextAllocation=desired.NextAllocation if desired else "",
        RescheduleTracker=segment.Histories.get(alloc.Row),
        NetworkStatus=client.NetworkStatus if client else None,
        PreemptedByAllocation=desired.PreemptedBy if desired else "",
        CreateIndex=alloc.CreateIndex,
        ModifyIndex=alloc.ModifyIndex,
        AllocModifyIndex=alloc.AllocModifyIndex,
        CreateTime=segment.CreateTime,
        ModifyTime=modify_time_ns(alloc),
    )


def alloc_stub(
    alloc: Alloc, job: Job | None, node: Node | None, *, resources: bool = False, task_states: bool = True
) -> AllocationListStub:
    """The allocation as lists show it, with `AllocatedResources` and `TaskStates` only where asked for."""
    desired, client, segment = alloc.Desired, alloc.Client, alloc.Segment
    return AllocationListStub(
        ID=alloc.ID,
        EvalID=segment.EvalID,
        Name=alloc.Name,
        Namespace=segment.Namespace,
        NodeID=alloc.NodeID,
        NodeName=node.Name if node else "",
        JobID=segment.JobID,
        JobType=job.Type if job else "",
        JobVersion=alloc.JobVersion,
        TaskGroup=segment.TaskGroup,
        AllocatedResources=allocated_resources(alloc, group_of(job, alloc.TaskGroup), node) if resources else None,
        DesiredStatus=alloc.DesiredStatus,
        DesiredDescription=desired.DesiredDescription if desired else "",
        ClientStatus=alloc.ClientStatus,
        ClientDescription=client.ClientDescription if client else "",
        TaskStates=client.TaskStates if client and task_states else None,
        DeploymentStatus=deployment_status(alloc),
        FollowupEvalID=desired.FollowupEvalID if desired else "",
        NextAllocation=desired.NextAllocation if desired else "",
        RescheduleTracker=segment.Histories.get(alloc.Row),
        PreemptedByAllocation=desired.PreemptedBy if desired else "",
        CreateIndex=alloc.CreateIndex,
        ModifyIndex=alloc.ModifyIndex,
        CreateTime=segment.CreateTime,
        ModifyTime=modify_time_ns(alloc),
    )


def group_of(job: Job | None, name: str) -> TaskGroup | None:
    """The group of that name; None when the job is unknown or has none."""
    return next((group for group in (job.TaskGroups or () if job else ()) if group.Name == name), None)


def modify_time_ns(alloc: Alloc) -> int:
    """When any of its three parts last changed, in unix ns."""
    return max(
        alloc.Segment.CreateTime,
        alloc.Desired.ModifyTime if alloc.Desired else 0,
        alloc.Client.ModifyTime if alloc.Client else 0,
    )


def deployment_status(alloc: Alloc) -> AllocDeploymentStatus | None:
    """Its health within its deployment; None while nothing is known and it is no canary."""
    healthy, canary = alloc.Healthy, alloc.Canary
    if healthy is None and not canary:
        return None
    healthy_at = alloc.Client.HealthyAt if alloc.Client else 0
    if alloc.Desired is not None and alloc.Desired.Healthy is not None:
        healthy_at = alloc.Desired.ModifyTime
    timestamp = ZERO_TIME if healthy is None else rfc3339(healthy_at)
    return AllocDeploymentStatus(Healthy=healthy, Timestamp=timestamp, Canary=canary, ModifyIndex=alloc.ModifyIndex)


def allocated_resources(alloc: Alloc, group: TaskGroup | None, node: Node | None) -> AllocResources | None:
    """What it holds: CPU and memory per task, disk, and its ports on the node's address. None without its group."""
    if group is None:
        return None
    tasks = {}
    for task in group.Tasks or ():
        asked = task.Resources or TaskResources()
        tasks[task.Name] = AllocatedTaskResources(
            Cpu=AllocatedCpuResources(CpuShares=asked.CPU),
            Memory=AllocatedMemoryResources(MemoryMB=asked.MemoryMB, MemoryMaxMB=asked.MemoryMaxMB),
        )
    assigned, host_ip = alloc.ports(), node_ip(node)
    shared = AllocatedSharedResources(
        DiskMB=group.EphemeralDisk.SizeMB if group.EphemeralDisk else 0,
        Networks=[_network(network, assigned, host_ip) for network in group.Networks or ()] or None,
        Ports=[_mapping(port, assigned, host_ip) for port in ports_of(group)] or None,
    )
    return AllocResources(Tasks=tasks, Shared=shared)


def ports_of(group: TaskGroup) -> Sequence[Port]:
    """All ports of the group's networks: static ones first within each network, as `PlanSegment.PortLabels`."""
    return [
        port
        for network in group.Networks or ()
        for port in (*(network.ReservedPorts or ()), *(network.DynamicPorts or ()))
    ]


def node_ip(node: Node | None) -> str:
    """The address at which the node's services are reached; "" when the node is unknown."""
    if node is None:
        return ""
    networks = node.NodeResources.Networks if node.NodeResources else None
    for network in networks or ():
        if network.IP:
            return network.IP
    return (node.Attributes or {}).get("unique.network.ip-address", "")


def _mapping(port: Port, assigned: dict[str, int], host_ip: str) -> PortMapping:
    value = assigned.get(port.Label, port.Value)
    return PortMapping(Label=port.Label, Value=value, To=value if port.To == -1 else port.To, HostIP=host_ip)


def _network(network: NetworkResource, assigned: dict[str, int], host_ip: str) -> NetworkResource:
    def filled(ports: list[Port] | None) -> list[Port] | None:
        return [
            msgspec.structs.replace(port, Value=mapped.Value, To=mapped.To)
            for port in ports or ()
            for mapped in (_mapping(port, assigned, host_ip),)
        ] or None

    return msgspec.structs.replace(
        network,
        IP=host_ip,
        ReservedPorts=filled(network.ReservedPorts),
        DynamicPorts=filled(network.DynamicPorts),
    )


def _per_task(group: TaskGroup | None) -> dict[str, TaskResources] | None:
    if group is None:
        return None
    return {task.Name: task.Resources or TaskResources() for task in group.Tasks or ()}


def _total(group: TaskGroup | None) -> TaskResources | None:
    if group is None:
        return None
    asked = list((_per_task(group) or {}).values())
    return TaskResources(
        CPU=sum(one.CPU for one in asked),
        Cores=sum(one.Cores for one in asked),
        MemoryMB=sum(one.MemoryMB for one in asked),
        MemoryMaxMB=sum(one.MemoryMaxMB for one in asked),
        DiskMB=group.EphemeralDisk.SizeMB if group.EphemeralDisk else 0,
        Networks=group.Networks,
    )
