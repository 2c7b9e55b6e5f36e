"""What is said of an allocation, put together from its parts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from kokiris.orchestrator.model.alloc import AllocClient
from kokiris.orchestrator.model.allocwire import AllocCheckStatus, AllocNetworkStatus, TaskState
from kokiris.orchestrator.model.job import TaskGroup
from kokiris.orchestrator.model.policy import MigrateStrategy, UpdateStrategy
from kokiris.orchestrator.model.task import Task
from kokiris.worker.allocs import health, status
from kokiris.worker.tasks.ordering import TaskView
from kokiris.worker.tasks.state import started_at_ns


def alloc_client(
    alloc_id: str,
    states: Mapping[str, TaskState],
    *,
    healthy: bool | None,
    healthy_at_ns: int,
    address: str,
    driver_addresses: Mapping[str, str],
    checks: Mapping[str, AllocCheckStatus],
) -> AllocClient:
    """The worker's word on an allocation, but for its time."""
    word = status.client_status(states)
    return AllocClient(
        ID=alloc_id,
        ClientStatus=word,
        ClientDescription=status.describe(word),
        TaskStates={name: msgspec.structs.replace(state) for name, state in states.items()},
        Healthy=healthy,
        HealthyAt=healthy_at_ns,
        NetworkStatus=AllocNetworkStatus(InterfaceName="eth0", Address=address) if address else None,
        DriverAddresses=dict(driver_addresses) or None,
        Checks=dict(checks) or None,
    )


def views(tasks: Iterable[Task], states: Mapping[str, TaskState]) -> list[TaskView]:
    """For the order of starting and ending."""
    return [_view(task, states[task.Name]) for task in tasks]


def _view(task: Task, state: TaskState) -> TaskView:
    lifecycle = task.Lifecycle
    return TaskView(
        name=task.Name,
        hook=lifecycle.Hook if lifecycle else "",
        sidecar=bool(lifecycle and lifecycle.Sidecar),
        leader=task.Leader,
        state=state.State,
        failed=state.Failed,
        ran=started_at_ns(state) > 0,
    )


def running_since(group: TaskGroup, states: Mapping[str, TaskState]) -> dict[str, int]:
    """Task → start of what runs now; "" → the youngest main task's start, when all main tasks run."""
    since = {name: started_at_ns(state) for name, state in states.items() if state.State == "running"}
    main = [task.Name for task in group.Tasks or () if task.Lifecycle is None or not task.Lifecycle.Hook]
    if main and all(name in since for name in main):
        since[""] = max(since[name] for name in main)
    return since


def task_healths(tasks: Sequence[Task], states: Mapping[str, TaskState]) -> list[health.TaskHealth]:
    """For judging a rolling update; poststop tasks do not count."""
    found: list[health.TaskHealth] = []
    for task in tasks:
        lifecycle = task.Lifecycle
        hook = lifecycle.Hook if lifecycle else ""
        if hook == "poststop":
            continue
        state = states[task.Name]
        found.append(
            health.TaskHealth(
                long_lived=not hook or bool(lifecycle and lifecycle.Sidecar),
                state=state.State,
                failed=state.Failed,
                started_at_ns=started_at_ns(state),
                prerequisite=hook == "prestart",
            )
        )
    return found


def health_policy(
    job_type: str, update: UpdateStrategy | None, migrate: MigrateStrategy | None, *, in_deployment: bool
) -> health.Policy | None:
    """The rules to judge by; None for allocations nobody asks about (batch)."""
    if job_type in {"batch", "sysbatch"}:
        return None
    rules: UpdateStrategy | MigrateStrategy | None = update if in_deployment and update else migrate or update
    if rules is None:
        return None
    return health.Policy(
        health_check=rules.HealthCheck or "checks",
        min_healthy_ns=rules.MinHealthyTime,
        deadline_ns=rules.HealthyDeadline,
    )
