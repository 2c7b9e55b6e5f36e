"""Groups: policies, tasks, networks, volumes, scaling."""

from __future__ import annotations

import re

from kokiris.orchestrator.jobspec.multierror import multi_error
from kokiris.orchestrator.jobspec.validation.placement import (
    affinity_errors,
    constraint_errors,
    numbered,
    spread_errors,
)
from kokiris.orchestrator.jobspec.validation.policies import (
    migrate_errors,
    reschedule_errors,
    restart_errors,
    update_errors,
)
from kokiris.orchestrator.jobspec.validation.services import service_errors
from kokiris.orchestrator.jobspec.validation.task import task_errors
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.resources import NetworkResource, Port

MAX_PORT = 65535
_MIN_DISK_MB = 10
_HOSTNAME = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)


def group_errors(job: Job, group: TaskGroup) -> list[str]:
    """What is wrong with one group, its tasks included."""
    errors: list[str] = []
    if not group.Name:
        errors.append("Missing task group name")
    elif "\x00" in group.Name:
        errors.append("Task group name contains null character")
    if group.Count < 0:
        errors.append("Task group count can't be negative")
    if not group.Tasks:
        errors.append("Missing tasks for task group")
    errors += _placement_errors(job, group)
    errors += _policy_errors(job, group)
    errors += _task_list_errors(group)
    errors += _volume_errors(group)
    for kind, found in (
        ("network", _network_errors(group)),
        ("service", service_errors(group)),
        ("scaling policy", _scaling_errors(group)),
    ):
        if found:
            errors.append(f"Task group {kind} validation failed: {multi_error(found)}")
    for task in group.Tasks or []:
        found = task_errors(job, group, task)
        if found:
            errors.append(f"Task {task.Name} validation failed: {multi_error(found)}")
    return errors


def _placement_errors(job: Job, group: TaskGroup) -> list[str]:
    errors = numbered("Constraint", group.Constraints, constraint_errors)
    if job.Type == "system":
        if group.Affinities:
            errors.append("System jobs may not have an affinity block")
        if group.Spreads:
            errors.append("System jobs may not have a spread block")
        return errors
    errors += numbered("Affinity", group.Affinities, affinity_errors)
    errors += numbered("Spread", group.Spreads, spread_errors)
    return errors


def _policy_errors(job: Job, group: TaskGroup) -> list[str]:
    errors: list[str] = []
    if group.MaxRunDuration < 0:
        errors.append("MaxRunDuration must be greater than zero")
    if group.RestartPolicy is None:
        errors.append(f"Task Group {group.Name} should have a restart policy")
    else:
        errors += restart_errors(group.RestartPolicy)
    errors += _reschedule_errors(job, group)
    if group.EphemeralDisk is None:
        errors.append(f"Task Group {group.Name} should have an ephemeral disk object")
    elif group.EphemeralDisk.SizeMB < _MIN_DISK_MB:
        errors.append(f"minimum DiskMB value is {_MIN_DISK_MB}; got {group.EphemeralDisk.SizeMB}")
    if group.Update is not None:
        if job.Type not in {"service", "system"}:
            errors.append(f'Job type "{job.Type}" does not allow update block')
        errors += update_errors(group.Update)
    if group.Migrate is not None and job.Type != "service":
        errors.append(f'Job type "{job.Type}" does not allow migrate block')
    elif group.Migrate is not None:
        errors += migrate_errors(group.Migrate)
    return errors


def _reschedule_errors(job: Job, group: TaskGroup) -> list[str]:
    policy = group.ReschedulePolicy
    if job.Type in {"system", "sysbatch"}:
        return [] if policy is None else ["System or sysbatch jobs should not have a reschedule policy"]
    if policy is None:
        return [f"Task Group {group.Name} should have a reschedule policy"]
    return reschedule_errors(policy)


def _task_list_errors(group: TaskGroup) -> list[str]:
    errors: list[str] = []
    tasks = group.Tasks or []
    seen: dict[str, int] = {}
    for i, task in enumerate(tasks, start=1):
        if not task.Name:
            errors.append(f"Task {i} missing name")
        elif task.Name in seen:
            errors.append(f"Task {i} redefines '{task.Name}' from task {seen[task.Name]}")
        else:
            seen[task.Name] = i
    if sum(task.Leader for task in tasks) > 1:
        errors.append("Only one task may be marked as leader")
    if tasks and all(task.Lifecycle is not None for task in tasks):
        errors.append(f"Task group {group.Name} must have at least one main task")
    return errors


def _volume_errors(group: TaskGroup) -> list[str]:
    errors: list[str] = []
    for name, volume in (group.Volumes or {}).items():
        found: list[str] = []
        if volume.Type not in {"host", "csi"}:
            found.append(f'volume has unrecognized type "{volume.Type}"')
        if not volume.Source:
            found.append("volume has an empty source")
        if found:
            errors.append(f"Task group volume validation for {name} failed: {multi_error(found)}")
    return errors


def _network_errors(group: TaskGroup) -> list[str]:
    errors: list[str] = []
    networks = group.Networks or []
    if len(networks) > 1:
        errors.append("only one network block per group is allowed")
    labels: dict[str, str] = {}
    static: dict[tuple[int, str], str] = {}
    for network in networks:
        if network.Hostname and "${" not in network.Hostname and not _HOSTNAME.fullmatch(network.Hostname):
            errors.append("Hostname is not a valid DNS name")
        for port in [*(network.ReservedPorts or []), *(network.DynamicPorts or [])]:
            errors += _port_errors(port, network, labels, static)
    return errors


def _port_errors(
    port: Port, network: NetworkResource, labels: dict[str, str], static: dict[tuple[int, str], str]
) -> list[str]:
    errors: list[str] = []
    if not port.Label:
        errors.append("Port has no label")
    elif port.Label in labels:
        errors.append(f"Port label {port.Label} already in use by {labels[port.Label]}")
    labels.setdefault(port.Label, "taskgroup network:" + port.Label)
    if port.Value > MAX_PORT:
        errors.append(f"Port {port.Label} ({port.Value}) cannot be greater than {MAX_PORT}")
    elif port.Value < 0:
        errors.append(f"Port {port.Label} ({port.Value}) cannot be negative")
    elif port.Value > 0:
        other = static.setdefault((port.Value, port.HostNetwork or "default"), f"taskgroup network:{port.Label}")
        if other != f"taskgroup network:{port.Label}":
            errors.append(f"Static port {port.Value} already reserved by {other}")
    if port.To < -1:
        errors.append(f'Port "{port.Label}" cannot be mapped to negative value {port.To}')
    elif port.To > MAX_PORT:
        errors.append(f'Port "{port.Label}" cannot be mapped to a port ({port.To}) greater than {MAX_PORT}')
    if port.IgnoreCollision and network.Mode not in {"", "host"}:
        errors.append(f'Port "{port.Label}" collision may not be ignored on non-host network mode "{network.Mode}"')
    return errors


def _scaling_errors(group: TaskGroup) -> list[str]:
    scaling = group.Scaling
    if scaling is None:
        return []
    errors: list[str] = []
    if scaling.Max < 0 or (scaling.Max == 0 and scaling.Min > 0):
        errors.append("Scaling policy invalid: maximum count must be specified and non-negative")
    elif scaling.Max < scaling.Min:
        errors.append("Scaling policy invalid: maximum count must not be less than minimum count")
    if scaling.Min < 0:
        errors.append("Scaling policy invalid: minimum count must be specified and non-negative")
    if group.Count > scaling.Max:
        errors.append(
            "Scaling policy invalid: task group count must not be greater than maximum count in scaling policy"
        )
    if group.Count < scaling.Min:
        errors.append("Scaling policy invalid: task group count must not be less than minimum count in scaling policy")
    return errors
