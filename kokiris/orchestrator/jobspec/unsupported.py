"""Names everything in a job that this version would not act on. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import msgspec

from kokiris.orchestrator.jobspec.acted import ACTED_DRIVERS, REFUSED
from kokiris.orchestrator.jobspec.dockerkeys import (
    DEFAULT_CAPABILITIES,
    DOCKER_KEYS,
    RAW_EXEC_KEYS,
    Key,
)
from kokiris.orchestrator.jobspec.tasktemplates import refused_calls
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.service import Service
from kokiris.orchestrator.model.task import Task

PLATFORM = "platform"
"""The namespace of the infra's own add-ons, which may use the host."""


def unsupported(job: Job) -> list[str]:
    """One sentence for each thing this version does not act on, with its place; [] when it acts on all of the job.

    The job is canonical. A job with any of these must be refused rather than run in part.
    """
    found = list(_of(job, ""))
    for group in job.TaskGroups or []:
        found += _of_group(job, group)
    return found


def _of(thing: msgspec.Struct, where: str) -> Iterator[str]:
    prefix = f"{where}: " if where else "job: "
    for refused in REFUSED[type(thing)]:
        if refused.found(thing):
            yield f"{prefix}{_refusal(_named(refused.what, thing), refused.note)}"


def _refusal(named: str, note: str) -> str:
    return f"{named} is not acted on by this version" + (f" ({note})" if note else "")


def _named(what: str, thing: Any) -> str:
    """'block "vault"', and values in place of general words: 'driver "java"'."""
    if what.startswith("driver "):
        return f'driver "{thing.Driver}"'
    if what.startswith("network mode"):
        return f'network mode "{thing.Mode}"'
    kind, _, name = what.rpartition(" ")
    return f'{kind} "{name}"'


def _of_group(job: Job, group: TaskGroup) -> Iterator[str]:
    where = f'group "{group.Name}"'
    yield from _of(group, where)
    for network in group.Networks or []:
        yield from _of(network, where)
        for port in [*(network.ReservedPorts or []), *(network.DynamicPorts or [])]:
            yield from _of(port, f'{where} port "{port.Label}"')
    for name, volume in (group.Volumes or {}).items():
        yield from _of(volume, f'{where} volume "{name}"')
    for service in group.Services or []:
        yield from _of_service(service, where)
    for task in group.Tasks or []:
        yield from _of_task(job, task, f'{where} task "{task.Name}"')


def _of_service(service: Service, where: str) -> Iterator[str]:
    here = f'{where} service "{service.Name}"'
    yield from _of(service, here)
    for check in service.Checks or []:
        yield from _of(check, f'{here} check "{check.Name}"')


def _of_task(job: Job, task: Task, where: str) -> Iterator[str]:
    yield from _of(task, where)
    for i, template in enumerate(task.Templates or []):
        here = f'{where} template "{template.DestPath or i + 1}"'
        yield from _of(template, here)
        yield from (f"{here}: {call}" for call in refused_calls(template))
    for mount in task.VolumeMounts or []:
        yield from _of(mount, f'{where} volume_mount "{mount.Volume}"')
    for service in task.Services or []:
        yield from _of_service(service, where)
    if task.Driver not in ACTED_DRIVERS:
        return
    if task.Driver == "raw_exec" and job.Namespace != PLATFORM:  # it is root on the node: nothing would be closed to it
        yield f'{where}: driver "raw_exec" is only allowed in the namespace "{PLATFORM}" (docker is everywhere)'
    keys = DOCKER_KEYS if task.Driver == "docker" else RAW_EXEC_KEYS
    config = task.Config or {}
    yield from _of_keys(job, config, keys, f"{where} config")
    if task.Driver == "docker" and job.Namespace != PLATFORM:
        yield from _host_access(config, f"{where} config")
    if task.Driver == "docker":
        yield from _values(config, f"{where} config")


def _of_keys(job: Job, config: Mapping[str, Any], keys: Mapping[str, Key], where: str) -> Iterator[str]:
    for name, value in config.items():
        key = keys.get(name)
        if key is None or key.acted == "yes" or value in (False, None, "", 0):
            continue
        if key.acted == "platform":
            if job.Namespace != PLATFORM:
                yield f'{where}: argument "{name}" is only allowed in the namespace "{PLATFORM}"'
        else:
            yield f"{where}: " + _refusal(f'argument "{name}"', key.note)


def _values(config: Mapping[str, Any], where: str) -> Iterator[str]:
    """Values of acted keys that are not acted on, in any namespace."""
    mode = config.get("network_mode")
    if isinstance(mode, str) and mode not in {"", "bridge", "default", "host", "none"}:
        yield f'{where}: network_mode "{mode}" is not acted on by this version; bridge, host and none are'
    for mount in _mounts(config):
        kind = mount.get("type", "volume")
        if kind not in {"bind", "tmpfs"}:
            yield f'{where}: mount type "{kind}" is not acted on by this version; bind and tmpfs are'
        if mount.get("volume_options"):
            yield f"{where}: mount volume_options are not acted on by this version"


def _host_access(config: Mapping[str, Any], where: str) -> Iterator[str]:
    """What would reach the node itself from a tenant's container."""
    only = f'is only allowed in the namespace "{PLATFORM}"'
    for volume in _texts(config.get("volumes")):
        host = volume.partition(":")[0]
        if _leaves(host):
            yield f'{where}: volume "{volume}": host path "{host}" {only}; use a relative path or a host volume'
    for mount in _mounts(config):
        source = mount.get("source", "")
        if mount.get("type") == "bind" and isinstance(source, str) and _leaves(source):
            yield f'{where}: mount source "{source}" {only}; use a relative path or a host volume'
    for capability in _texts(config.get("cap_add")):
        if capability.lower().removeprefix("cap_") not in DEFAULT_CAPABILITIES:
            yield f'{where}: cap_add "{capability}" {only}'
    for option in _texts(config.get("security_opt")):
        if option.replace("=", ":").lower() not in {"no-new-privileges", "no-new-privileges:true"}:
            yield f'{where}: security_opt "{option}" {only}'


def _leaves(path: str) -> bool:
    """Whether a host path is absolute or climbs out of the task's folder (`../alloc` is the shared folder)."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or path.startswith("~"):
        return True
    depth = 0
    for part in pure.parts:
        depth += -1 if part == ".." else 1
        if depth < -1:
            return True
    return depth < 0 or (pure.parts[:1] == ("..",) and pure.parts[1:2] != ("alloc",))


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _mounts(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = config.get("mounts")
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
