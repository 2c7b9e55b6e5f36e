"""What a change of a job means for its running allocations: replace them, or update them in place. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.resources import NetworkResource, Port, TaskResources
from kokiris.orchestrator.model.task import Task


def is_destructive(old_group_job: Job, new_job: Job, group: str) -> bool:
    """Whether running allocations of `group` must be replaced to go from one version of the job to the other.

    Both jobs are canonical. True when what a running container or its placement is made of changed (nomad.md, 3.1
    item 2); False when only counts, services, checks, policies, constraints, affinities, priorities or log sizes did:
    then the allocation is updated in place, as long as its node still meets the constraints (the scheduler's part).
    A group that one of them lacks counts as destructive.
    """
    old, new = find_group(old_group_job, group), find_group(new_job, group)
    if old is None or new is None:
        return True
    return _made_of(old_group_job, old) != _made_of(new_job, new)


def find_group(job: Job, name: str) -> TaskGroup | None:
    """The group of that name, or None."""
    return next((group for group in job.TaskGroups or [] if group.Name == name), None)


def combined_meta(job: Job, group: TaskGroup, task: Task) -> dict[str, str]:
    """The meta a task sees: the job's, overlaid by the group's, overlaid by its own."""
    return {**(job.Meta or {}), **(group.Meta or {}), **(task.Meta or {})}


def _made_of(job: Job, group: TaskGroup) -> dict[str, Any]:
    """Everything of a group that cannot change under a running allocation; empty and absent are the same."""
    return {
        "disk": group.EphemeralDisk,
        "networks": [_network(network) for network in group.Networks or []],
        "volumes": group.Volumes or {},
        "consul": group.Consul or {},
        "connect": {service.Name: service.Connect for service in group.Services or [] if service.Connect},
        "tasks": {task.Name: _made_of_task(job, group, task) for task in group.Tasks or []},
    }


def _made_of_task(job: Job, group: TaskGroup, task: Task) -> dict[str, Any]:
    return {
        "driver": (task.Driver, task.User, task.Kind),
        "config": task.Config or {},
        "env": task.Env or {},
        "meta": combined_meta(job, group, task),
        "resources": _resources(task.Resources or TaskResources()),
        "order": (task.Lifecycle, task.Leader),
        "files": (task.Templates or [], task.Artifacts or [], task.VolumeMounts or [], task.DispatchPayload),
        "identity": (task.Identity, task.Identities or [], task.Vault, task.Consul or {}, task.Secrets or []),
        "csi": task.CSIPluginConfig or {},
        "logs": task.LogConfig is not None and task.LogConfig.Disabled,
        "schedule": task.Schedule,
        "render": task.RestartPolicy is not None and task.RestartPolicy.RenderTemplates,
    }


def _resources(resources: TaskResources) -> dict[str, Any]:
    asked = msgspec.structs.asdict(resources)
    asked["Networks"] = [_network(network) for network in resources.Networks or []]
    asked["Devices"] = resources.Devices or []
    return asked


def _network(network: NetworkResource) -> dict[str, Any]:
    return {
        "mode": (network.Mode, network.Hostname),
        "dns": network.DNS,
        "cni": network.CNI or {},
        "static": _ports(network.ReservedPorts),
        "dynamic": _ports(network.DynamicPorts),
    }


def _ports(ports: list[Port] | None) -> dict[str, tuple[int, int, str, bool]]:
    """By label: the order of declaration does not matter."""
    return {port.Label: (port.Value, port.To, port.HostNetwork, port.IgnoreCollision) for port in ports or []}
