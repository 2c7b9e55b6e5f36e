"""Which checks an allocation has, where each asks, and whose health it tells. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kokiris.discovery.model import check_id, instance_id
from kokiris.orchestrator.model.allocwire import PortMapping
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.service import Service, ServiceCheck
from kokiris.orchestrator.model.task import Task
from kokiris.worker.drivers.docker_config import inside_port
from kokiris.worker.tasks.environment import interpolate


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """A check of one service of one allocation."""

    id: str
    name: str
    service: str
    task: str
    """The task it belongs to; "" for a group's service: all main tasks."""
    group: str
    check: ServiceCheck
    owner_service: Service


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where an allocation is reached."""

    ports: Sequence[PortMapping]
    node_address: str
    inside: str = ""
    """Of the group's network namespace."""
    drivers: Mapping[str, str] = field(default_factory=dict)
    """Task → address of its container."""


class Declared(NamedTuple):
    """A service and where in the group it stands."""

    owner: str
    """As in instance ids: "group-<group>" or the task's name."""
    service: Service
    task: Task | None
    """By its place, or by its `task` field."""


def services_of(group: TaskGroup) -> list[Declared]:
    """The group's and its tasks' services."""
    tasks = {task.Name: task for task in group.Tasks or ()}
    found = [Declared(f"group-{group.Name}", service, tasks.get(service.TaskName)) for service in group.Services or ()]
    for task in tasks.values():
        found += [Declared(task.Name, service, task) for service in task.Services or ()]
    return found


def instances_of(alloc_id: str, job: Job, group: TaskGroup) -> list[str]:
    """The instance ids under which the catalog knows the allocation: what must be released before it is killed."""
    return [_instance(alloc_id, job, group, declared) for declared in services_of(group)]


def checks_of(alloc_id: str, job: Job, group: TaskGroup, values: Mapping[str, str]) -> list[CheckSpec]:
    """All http and tcp checks, with `${…}` of `values` filled in."""
    specs: list[CheckSpec] = []
    for declared in services_of(group):
        service, task = declared.service, declared.task
        instance = _instance(alloc_id, job, group, declared)
        name = interpolate(service.Name, _names(job, group, task))
        for check in service.Checks or ():
            specs.append(
                CheckSpec(
                    id=check_id(instance, check.Name),
                    name=interpolate(check.Name, values) or f'service: "{name}" check',
                    service=name,
                    task=task.Name if task is not None else check.TaskName,
                    group=group.Name,
                    check=check,
                    owner_service=service,
                )
            )
    return specs


def endpoint(spec: CheckSpec, addresses: Addresses) -> tuple[str, int]:
    """(address, port) to ask; port 0 when the check has none."""
    label = spec.check.PortLabel or spec.owner_service.PortLabel
    mode = spec.check.AddressMode or _host_or_own(spec.owner_service)
    mapping = next((port for port in addresses.ports if port.Label == label), None)
    literal = int(label) if label.isdigit() else 0
    inner = inside_port(mapping) if mapping else literal
    if mode == "alloc" and addresses.inside:
        return addresses.inside, inner
    if mode in {"driver", "alloc"}:
        own = addresses.drivers.get(spec.task) or next(iter(addresses.drivers.values()), "")
        if own:
            return own, inner
    if mapping is not None:
        return mapping.HostIP or addresses.node_address, mapping.Value
    return addresses.node_address, literal


def _host_or_own(service: Service) -> str:
    if service.AddressMode in {"driver", "alloc"}:
        return service.AddressMode
    return "driver" if service.PortLabel.isdigit() and service.AddressMode != "host" else "host"


def _names(job: Job, group: TaskGroup, task: Task | None) -> dict[str, str]:
    base = "-".join([job.ID, group.Name, *([task.Name] if task is not None else [])])
    return {"JOB": job.ID, "TASKGROUP": group.Name, "TASK": task.Name if task is not None else "", "BASE": base}


def _instance(alloc_id: str, job: Job, group: TaskGroup, declared: Declared) -> str:
    name = interpolate(declared.service.Name, _names(job, group, declared.task))
    return instance_id(alloc_id, declared.owner, name, declared.service.PortLabel)
