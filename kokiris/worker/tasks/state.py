"""The state of a task as the worker keeps and reports it: what an event does to it. Pure."""

from __future__ import annotations

import msgspec

from kokiris.kernel.clock import ZERO_TIME, parse_rfc3339_ns, rfc3339
from kokiris.orchestrator.model.allocwire import TaskEvent, TaskState
from kokiris.worker.tasks.events import appended


def initial() -> TaskState:
    """Of a task that has not been looked at yet."""
    return TaskState(State="pending", Events=[])


def with_event(state: TaskState, event: TaskEvent) -> TaskState:
    """One more line of history; nothing else changes but `Failed`, when the event fails the task."""
    return msgspec.structs.replace(state, Events=appended(state.Events, event), Failed=state.Failed or event.FailsTask)


def running(state: TaskState, event: TaskEvent, started_at_ns: int) -> TaskState:
    """It has been started. `StartedAt` is of the newest start."""
    return msgspec.structs.replace(
        with_event(state, event), State="running", StartedAt=rfc3339(started_at_ns), FinishedAt=ZERO_TIME
    )


def waiting_to_restart(state: TaskState, event: TaskEvent) -> TaskState:
    """It ended and will be started again."""
    return msgspec.structs.replace(
        with_event(state, event), State="pending", Restarts=state.Restarts + 1, LastRestart=rfc3339(event.Time)
    )


def dead(state: TaskState, now_ns: int, *, failed: bool = False) -> TaskState:
    """It will not run again."""
    finished = state.FinishedAt if state.State == "dead" and state.FinishedAt != ZERO_TIME else rfc3339(now_ns)
    return msgspec.structs.replace(state, State="dead", Failed=state.Failed or failed, FinishedAt=finished)


def started_at_ns(state: TaskState) -> int:
    """0: never."""
    return parse_rfc3339_ns(state.StartedAt)
