"""What a driver is told of a task: environment, configuration with `${…}` filled in, mounts, limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kokiris.kernel.errors import BadInput
from kokiris.orchestrator.model.allocwire import Allocation
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.resources import TaskResources
from kokiris.orchestrator.model.task import Task
from kokiris.worker.allocs.folders import AllocFolders
from kokiris.worker.drivers.contract import Mount, NetworkPlan, StartFailed, TaskFolders, TaskSetup
from kokiris.worker.surroundings import Surroundings
from kokiris.worker.tasks.environment import (
    Place,
    Subject,
    environment,
    interpolate,
    interpolate_tree,
    node_values,
)


@dataclass(frozen=True, slots=True)
class Placed:
    """An allocation as it is on this node."""

    alloc: Allocation
    job: Job
    group: TaskGroup
    folders: AllocFolders
    plan: NetworkPlan
    address: str = ""
    """Of its own network namespace, if the group has one."""


class SetupMaker:
    """Of one node."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around

    def make(self, placed: Placed, task: Task, attempt: int, extra_env: Mapping[str, str]) -> TaskSetup:
        """Makes the task's folders too. Raises HostError, StartFailed."""
        on_host = task.Driver != "docker"
        made = placed.folders.make_task(task.Name, user=task.User, on_host=on_host)
        _write_payload(placed.job, task, made)
        env = environment(self._subject(placed, task, made, extra_env))
        values = {**node_values(self._around.node), **env}
        resources = task.Resources or TaskResources()
        return TaskSetup(
            alloc_id=placed.alloc.ID,
            task=task.Name,
            config=interpolate_tree(task.Config or {}, values),
            env=env,
            folders=made,
            network=placed.plan,
            mounts=[] if on_host else [*_task_mounts(made), *self._volume_mounts(placed.group, task, values)],
            user=interpolate(task.User, values),
            cpu_mhz=resources.CPU,
            memory_mb=resources.MemoryMB,
            memory_max_mb=resources.MemoryMaxMB,
            attempt=attempt,
            namespace=placed.alloc.Namespace,
            node_cpu_mhz=self._around.cpu_mhz,
            node_cores=self._around.cores,
        )

    def template_env(self, placed: Placed, task: Task) -> dict[str, str]:
        """What a template's `env` function sees; the folders are made, for the rendered files to lie in."""
        made = placed.folders.make_task(task.Name, user=task.User, on_host=task.Driver != "docker")
        return environment(self._subject(placed, task, made, {}))

    def group_values(self, placed: Placed) -> dict[str, str]:
        """What the group's checks may refer to."""
        subject = Subject(
            placed.alloc,
            placed.job,
            placed.group,
            Task(),
            self._around.node,
            ports=placed.plan.ports,
            inside_address=placed.address,
        )
        return {**node_values(self._around.node), **environment(subject)}

    def _subject(self, placed: Placed, task: Task, made: TaskFolders, extra_env: Mapping[str, str]) -> Subject:
        in_container = task.Driver == "docker"
        place = Place() if in_container else Place(str(made.shared), str(made.local), str(made.secrets))
        own_mode = str((task.Config or {}).get("network_mode") or "")
        return Subject(
            alloc=placed.alloc,
            job=placed.job,
            group=placed.group,
            task=task,
            node=self._around.node,
            place=place,
            ports=placed.plan.ports,
            inside_address=placed.address,
            on_host_network=not in_container or own_mode == "host",
            extra=extra_env,
        )

    def _volume_mounts(self, group: TaskGroup, task: Task, values: Mapping[str, str]) -> list[Mount]:
        mounts: list[Mount] = []
        for wanted in task.VolumeMounts or ():
            request = (group.Volumes or {}).get(wanted.Volume)
            if request is None:
                raise StartFailed(f'volume_mount names "{wanted.Volume}", which the group does not declare', final=True)
            source = interpolate(request.Source, values)
            volume = (self._around.node.HostVolumes or {}).get(source)
            if request.Type not in {"", "host"} or volume is None:
                raise StartFailed(f'this node has no {request.Type or "host"} volume "{source}"', final=True)
            mounts.append(
                Mount(
                    host=str(volume.get("Path", "")),
                    inside=interpolate(wanted.Destination, values),
                    read_only=wanted.ReadOnly or request.ReadOnly or bool(volume.get("ReadOnly")),
                    propagation=wanted.PropagationMode,
                )
            )
        return mounts


def _task_mounts(folders: TaskFolders) -> list[Mount]:
    return [
        Mount(str(folders.shared), "/alloc"),
        Mount(str(folders.local), "/local"),
        Mount(str(folders.secrets), "/secrets"),
    ]


def _write_payload(job: Job, task: Task, folders: TaskFolders) -> None:
    """A dispatched job's payload, at `local/<file>`. Raises BadInput for a file outside of it."""
    if task.DispatchPayload is None or not task.DispatchPayload.File or not job.Payload:
        return
    path = (folders.local / task.DispatchPayload.File).resolve()
    if not path.is_relative_to(folders.local.resolve()):
        raise BadInput(f'dispatch_payload.file "{task.DispatchPayload.File}" leaves the task\'s local folder')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(job.Payload)
