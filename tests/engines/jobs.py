"""Small jobs for tests: busybox in containers, shells as processes."""

from __future__ import annotations

from typing import Any

from kokiris.orchestrator.model.alloc import AllocClient
from kokiris.orchestrator.model.allocwire import TaskState
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.policy import RestartPolicySpec
from kokiris.orchestrator.model.resources import NetworkResource, Port, TaskResources
from kokiris.orchestrator.model.task import Task
from tests.engines.dockerd import BUSYBOX

SECOND_NS = 1_000_000_000
SERVE = 'trap "exit 0" TERM; echo started; echo hello > /tmp/index.html; httpd -f -p 8080 -h /tmp & wait'
"""A small web site on port 8080 that ends well on SIGTERM."""


def restart_policy(attempts: int = 2) -> RestartPolicySpec:
    """Quick restarts."""
    return RestartPolicySpec(Attempts=attempts, Interval=1800 * SECOND_NS, Delay=SECOND_NS // 20, Mode="fail")


def _task(name: str, driver: str, config: dict[str, Any], fields: dict[str, Any]) -> Task:
    defaults: dict[str, Any] = {
        "Name": name,
        "Driver": driver,
        "RestartPolicy": restart_policy(),
        "Resources": TaskResources(CPU=50, MemoryMB=32),
        "KillTimeout": SECOND_NS,
    }
    return Task(**{**defaults, **fields, "Config": {**config, **fields.pop("Config", {})}})


def container(script: str, name: str = "web", **fields: Any) -> Task:
    """A busybox container running a script."""
    return _task(name, "docker", {"image": BUSYBOX, "command": "/bin/sh", "args": ["-c", script]}, fields)


def process(script: str, name: str = "web", **fields: Any) -> Task:
    """A process of the node running a script."""
    return _task(name, "raw_exec", {"command": "/bin/sh", "args": ["-c", script]}, fields)


def job(*tasks: Task, kind: str = "service", name: str = "web", **group: Any) -> Job:
    """A job of one group."""
    made = TaskGroup(Name="app", Tasks=list(tasks), **group)
    return Job(ID=name, Name=name, Type=kind, TaskGroups=[made], Datacenters=["*"])


def bridge(**ports: int) -> list[NetworkResource]:
    """A bridge network with dynamic ports: label → port inside."""
    return [NetworkResource(Mode="bridge", DynamicPorts=[Port(Label=label, To=to) for label, to in ports.items()])]


def event_types(state: TaskState) -> list[str]:
    """The types of a task's events, oldest first."""
    return [event.Type for event in state.Events or ()]


def messages(state: TaskState) -> str:
    """All that a person reads in a task's events."""
    return "\n".join(event.DisplayMessage for event in state.Events or ())


def check_status(said: AllocClient) -> str:
    """Of the only check, in a worker's word on an allocation; "" before it says something about it."""
    return next((one.Status for one in (said.Checks or {}).values()), "")
