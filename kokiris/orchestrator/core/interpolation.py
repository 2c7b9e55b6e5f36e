"""`${…}` in tags, names and addresses of services, as Nomad replaces it at run time. Pure.

What is unknown stays as it is written: a reader of the catalog then sees what was not replaced.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kokiris.orchestrator.model.alloc import Alloc, AllocClient
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.node import Node
from kokiris.orchestrator.model.task import Task

_REFERENCE = re.compile(r"\$\{\s*([^{}\s]+)\s*\}")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]")


def interpolate(text: str, values: Mapping[str, str]) -> str:
    """`text` with every `${name}` that `values` knows replaced."""
    if "${" not in text:
        return text
    return _REFERENCE.sub(lambda match: values.get(match[1].removeprefix("env."), match[0]), text)


@dataclass(frozen=True, slots=True)
class Running:
    """An allocation with all that its services may refer to."""

    alloc: Alloc
    client: AllocClient
    job: Job
    group: TaskGroup
    node: Node


def values_of(running: Running, task: Task | None) -> dict[str, str]:
    """Everything a service may refer to: NOMAD_* variables, meta, `node.*`, `attr.*`, `meta.*`."""
    alloc, job, group, node = running.alloc, running.job, running.group, running.node
    values = {
        "NOMAD_ALLOC_ID": alloc.ID,
        "NOMAD_SHORT_ALLOC_ID": alloc.ID[:8],
        "NOMAD_ALLOC_NAME": alloc.Name,
        "NOMAD_ALLOC_INDEX": str(alloc.NameIndex),
        "NOMAD_GROUP_NAME": group.Name,
        "NOMAD_JOB_ID": job.ID,
        "NOMAD_JOB_NAME": job.Name,
        "NOMAD_JOB_PARENT_ID": job.ParentID,
        "NOMAD_NAMESPACE": job.Namespace,
        "NOMAD_REGION": job.Region,
        "NOMAD_DC": node.Datacenter,
        "node.unique.id": node.ID,
        "node.unique.name": node.Name,
        "node.datacenter": node.Datacenter,
        "node.class": node.NodeClass,
        "node.pool": node.NodePool,
        "node.region": job.Region,
    }
    if task is not None:
        values["NOMAD_TASK_NAME"] = task.Name
        values.update((task.Env or {}).items())
    for scope in (job.Meta, group.Meta, task.Meta if task is not None else None):
        for key, value in (scope or {}).items():
            name = _NOT_IN_NAMES.sub("_", key)
            values[f"NOMAD_META_{name}"] = values[f"NOMAD_META_{name.upper()}"] = value
    values.update({f"attr.{key}": value for key, value in (node.Attributes or {}).items()})
    values.update({f"meta.{key}": value for key, value in (node.Meta or {}).items()})
    values.update(_ports(running))
    return values


def _ports(running: Running) -> dict[str, str]:
    client = running.client
    host = (running.node.Attributes or {}).get("unique.network.ip-address", "")
    inside = client.NetworkStatus.Address if client.NetworkStatus is not None else ""
    values: dict[str, str] = {}
    targets = {
        port.Label: port.To
        for network in running.group.Networks or ()
        for port in [*(network.ReservedPorts or ()), *(network.DynamicPorts or ())]
    }
    for label, port in running.alloc.ports().items():
        name = _NOT_IN_NAMES.sub("_", label)
        target = targets.get(label, 0)
        values[f"NOMAD_PORT_{name}"] = str(target if target > 0 else port)
        values[f"NOMAD_HOST_PORT_{name}"] = str(port)
        values[f"NOMAD_IP_{name}"] = values[f"NOMAD_HOST_IP_{name}"] = host
        values[f"NOMAD_ADDR_{name}"] = values[f"NOMAD_HOST_ADDR_{name}"] = f"{host}:{port}"
        if inside:
            values[f"NOMAD_ALLOC_IP_{name}"] = inside
    return values
