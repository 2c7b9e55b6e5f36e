"""Which tasks of an allocation may start and which must end, by life-cycle hooks, leader and failures. Pure.

prestart tasks first; main tasks once every prestart task has succeeded (or, as a sidecar, runs); poststart tasks once
every main task has run; poststop tasks once all others are dead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

PENDING, RUNNING, DEAD = "pending", "running", "dead"


@dataclass(frozen=True, slots=True)
class TaskView:
    """What ordering needs to know of a task."""

    name: str
    hook: str = ""
    """"" (main), prestart, poststart or poststop."""
    sidecar: bool = False
    leader: bool = False
    state: str = PENDING
    failed: bool = False
    ran: bool = False
    """It has been running at least once."""


class Cause(StrEnum):
    """Why a task must end."""

    SIBLING_FAILED = "sibling"
    LEADER_DEAD = "leader"
    MAIN_DEAD = "main"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Orders:
    """`start`: may start now. `kill`: task → cause, for tasks that are not dead."""

    start: frozenset[str] = frozenset()
    kill: dict[str, Cause] = field(default_factory=dict)
    failed_task: str = ""
    """Whose failure it was, with SIBLING_FAILED."""


def orders(tasks: Sequence[TaskView], *, stopping: bool = False) -> Orders:
    """What follows from the present states; asked again whenever one changes."""
    poststop = [task for task in tasks if task.hook == "poststop"]
    others = [task for task in tasks if task.hook != "poststop"]
    all_dead = all(task.state == DEAD for task in others)
    after = frozenset(task.name for task in poststop if all_dead and task.state == PENDING)
    kill, failed_task = _kills(others, stopping=stopping)
    if kill or all_dead:
        return Orders(start=after, kill=kill, failed_task=failed_task)
    return Orders(start=frozenset(_startable(others)))


def kill_waves(tasks: Sequence[TaskView]) -> list[list[str]]:
    """In which order running tasks are told to end: the leader, then main tasks, then sidecars."""
    alive = [task for task in tasks if task.state != DEAD and task.hook != "poststop"]
    leader = [task.name for task in alive if task.leader]
    main = [task.name for task in alive if not task.leader and not task.sidecar]
    sidecars = [task.name for task in alive if not task.leader and task.sidecar]
    return [wave for wave in (leader, main, sidecars) if wave]


def _kills(others: Sequence[TaskView], *, stopping: bool) -> tuple[dict[str, Cause], str]:
    alive = [task for task in others if task.state != DEAD]
    if stopping:
        return {task.name: Cause.STOPPED for task in alive}, ""
    failed = next((task.name for task in others if task.state == DEAD and task.failed), "")
    if failed:
        return {task.name: Cause.SIBLING_FAILED for task in alive}, failed
    if any(task.leader and task.state == DEAD for task in others):
        return {task.name: Cause.LEADER_DEAD for task in alive}, ""
    main = [task for task in others if not task.hook]
    if main and all(task.state == DEAD for task in main):
        return {task.name: Cause.MAIN_DEAD for task in alive}, ""
    return {}, ""


def _startable(others: Sequence[TaskView]) -> list[str]:
    names = [task.name for task in others if task.hook == "prestart" and task.state == PENDING]
    ready = all(
        (task.sidecar and task.state == RUNNING) or (not task.sidecar and task.state == DEAD and not task.failed)
        for task in others
        if task.hook == "prestart"
    )
    main = [task for task in others if not task.hook]
    if ready:
        names += [task.name for task in main if task.state == PENDING]
        if all(task.ran for task in main):
            names += [task.name for task in others if task.hook == "poststart" and task.state == PENDING]
    return names
