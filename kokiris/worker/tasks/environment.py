"""The environment of a task, and `${…}` in its configuration. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kokiris.orchestrator.model.allocwire import Allocation, PortMapping
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.node import Node
from kokiris.orchestrator.model.task import Task

_REFERENCE = re.compile(r"\$\{\s*([^{}]+?)\s*\}")
_INDEXED_ENV = re.compile(r'env\["([^"]+)"\]')
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the task finds its folders, as it sees them itself."""

    alloc_dir: str = "/alloc"
    task_dir: str = "/local"
    secrets_dir: str = "/secrets"


@dataclass(frozen=True, slots=True)
class Subject:
    """All that a task's environment is made from."""

    alloc: Allocation
    job: Job
    group: TaskGroup
    task: Task
    node: Node
    place: Place = field(default_factory=Place)
    ports: Sequence[PortMapping] = ()
    inside_address: str = ""
    """Address of the group's network namespace, when it has one."""
    on_host_network: bool = False
    extra: Mapping[str, str] = field(default_factory=dict)
    """From templates with `env = true`."""


def environment(subject: Subject) -> dict[str, str]:
    """NOMAD_* and meta variables, ports, then the task's own `env` (interpolated), then those of templates."""
    env = {**_identity(subject), **_limits(subject.task), **_meta(subject), **port_variables(subject)}
    known = {**node_values(subject.node), **env}
    env.update({name: interpolate(value, known) for name, value in (subject.task.Env or {}).items()})
    env.update(subject.extra)
    return env


def interpolate(text: str, values: Mapping[str, str]) -> str:
    """`text` with every known `${name}` and `${env["name"]}` replaced; what is unknown stays as it is written."""
    if "${" not in text:
        return text

    def replaced(match: re.Match[str]) -> str:
        indexed = _INDEXED_ENV.fullmatch(match[1])
        name = indexed[1] if indexed else match[1].removeprefix("env.")
        return values.get(name, match[0])

    return _REFERENCE.sub(replaced, text)


def interpolate_tree(value: Any, values: Mapping[str, str]) -> Any:
    """As `interpolate`, in all texts of a driver's `config` (keys of maps too)."""
    if isinstance(value, str):
        return interpolate(value, values)
    if isinstance(value, list):
        return [interpolate_tree(one, values) for one in value]
    if isinstance(value, dict):
        return {interpolate(str(key), values): interpolate_tree(one, values) for key, one in value.items()}
    return value


def node_values(node: Node) -> dict[str, str]:
    """`node.*`, `attr.*` and `meta.*`."""
    values = {
        "node.unique.id": node.ID,
        "node.unique.name": node.Name,
        "node.datacenter": node.Datacenter,
        "node.class": node.NodeClass,
        "node.pool": node.NodePool,
        "node.region": "global",
    }
    values.update({f"attr.{key}": value for key, value in (node.Attributes or {}).items()})
    values.update({f"meta.{key}": value for key, value in (node.Meta or {}).items()})
    return values


def name_index(alloc_name: str) -> str:
    """The n of `job.group[n]`."""
    return alloc_name.rpartition("[")[2].rstrip("]") if alloc_name.endswith("]") else "0"


def variable(label: str) -> str:
    """A label as part of a variable's name."""
    return _NOT_IN_NAMES.sub("_", label)


def port_variables(subject: Subject) -> dict[str, str]:
    """NOMAD_PORT_ (where to listen), NOMAD_HOST_PORT_ and NOMAD_ADDR_ (where others connect), NOMAD_ALLOC_*_."""
    env: dict[str, str] = {}
    for port in subject.ports:
        name = variable(port.Label)
        inner = port.Value if subject.on_host_network or port.To <= 0 else port.To
        env[f"NOMAD_IP_{name}"] = env[f"NOMAD_HOST_IP_{name}"] = port.HostIP
        env[f"NOMAD_PORT_{name}"] = str(inner)
        env[f"NOMAD_HOST_PORT_{name}"] = str(port.Value)
        env[f"NOMAD_ADDR_{name}"] = env[f"NOMAD_HOST_ADDR_{name}"] = f"{port.HostIP}:{port.Value}"
        env[f"NOMAD_ALLOC_PORT_{name}"] = str(inner)
        if subject.inside_address:
            env[f"NOMAD_ALLOC_IP_{name}"] = subject.inside_address
            env[f"NOMAD_ALLOC_ADDR_{name}"] = f"{subject.inside_address}:{inner}"
            env[f"NOMAD_ALLOC_INTERFACE_{name}"] = "eth0"
    return env


def _identity(subject: Subject) -> dict[str, str]:
    alloc, job, place = subject.alloc, subject.job, subject.place
    env = {
        "NOMAD_ALLOC_DIR": place.alloc_dir,
        "NOMAD_TASK_DIR": place.task_dir,
        "NOMAD_SECRETS_DIR": place.secrets_dir,
        "NOMAD_ALLOC_ID": alloc.ID,
        "NOMAD_SHORT_ALLOC_ID": alloc.ID[:8],
        "NOMAD_ALLOC_NAME": alloc.Name,
        "NOMAD_ALLOC_INDEX": name_index(alloc.Name),
        "NOMAD_TASK_NAME": subject.task.Name,
        "NOMAD_GROUP_NAME": subject.group.Name,
        "NOMAD_JOB_ID": job.ID,
        "NOMAD_JOB_NAME": job.Name,
        "NOMAD_DC": subject.node.Datacenter,
        "NOMAD_REGION": job.Region,
        "NOMAD_NAMESPACE": alloc.Namespace,
    }
    if job.ParentID:
        env["NOMAD_JOB_PARENT_ID"] = job.ParentID
    return env


def _limits(task: Task) -> dict[str, str]:
    if task.Resources is None:
        return {}
    env = {"NOMAD_CPU_LIMIT": str(task.Resources.CPU), "NOMAD_MEMORY_LIMIT": str(task.Resources.MemoryMB)}
    if task.Resources.MemoryMaxMB:
        env["NOMAD_MEMORY_MAX_LIMIT"] = str(task.Resources.MemoryMaxMB)
    return env


def _meta(subject: Subject) -> dict[str, str]:
    env: dict[str, str] = {}
    for scope in (subject.job.Meta, subject.group.Meta, subject.task.Meta):
        for key, value in (scope or {}).items():
            name = variable(key)
            env[f"NOMAD_META_{name}"] = env[f"NOMAD_META_{name.upper()}"] = value
    return env
