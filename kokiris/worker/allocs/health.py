"""Whether an allocation is healthy in the sense of a rolling update: tasks run, checks pass, for long enough. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """Of the group's `update` block (or `migrate`, outside a deployment). Durations in ns."""

    health_check: str = "checks"
    """checks, task_states or manual."""
    min_healthy_ns: int = 10_000_000_000
    deadline_ns: int = 300_000_000_000


@dataclass(frozen=True, slots=True)
class TaskHealth:
    """`long_lived`: a main task or sidecar, which must be running; others must not have failed."""

    long_lived: bool
    state: str
    failed: bool
    started_at_ns: int = 0
    prerequisite: bool = False
    """A prestart task: must have ended well."""


@dataclass(frozen=True, slots=True)
class CheckHealth:
    """`good_since_ns` 0: not good now. `required` False: `on_update = "ignore"`."""

    good_since_ns: int
    required: bool = True


@dataclass(frozen=True, slots=True)
class Judgement:
    """`healthy` None: not known yet; look again at `again_at_ns` (0: only when something changes)."""

    healthy: bool | None
    at_ns: int = 0
    again_at_ns: int = 0


def judge(
    policy: Policy, since_ns: int, tasks: Sequence[TaskHealth], checks: Sequence[CheckHealth], now_ns: int
) -> Judgement:
    """`since_ns`: when the allocation (or this version of it) came to this node; its deadline counts from there."""
    if policy.health_check == "manual":
        return Judgement(None)
    if any(task.failed and task.state == "dead" for task in tasks):
        return Judgement(False, at_ns=now_ns)
    deadline_ns = since_ns + policy.deadline_ns
    good_since_ns = _good_since(policy, tasks, checks)
    if good_since_ns:
        ripe_at_ns = good_since_ns + policy.min_healthy_ns
        if ripe_at_ns <= min(now_ns, deadline_ns):
            return Judgement(True, at_ns=now_ns)
        if now_ns < deadline_ns:
            return Judgement(None, again_at_ns=min(ripe_at_ns, deadline_ns))
    if now_ns >= deadline_ns:
        return Judgement(False, at_ns=now_ns)
    return Judgement(None, again_at_ns=deadline_ns)


def _good_since(policy: Policy, tasks: Sequence[TaskHealth], checks: Sequence[CheckHealth]) -> int:
    """Since when all is well; 0 when it is not."""
    since_ns = 1
    for task in tasks:
        if task.long_lived:
            if task.state != "running":
                return 0
            since_ns = max(since_ns, task.started_at_ns)
        elif task.prerequisite and task.state != "dead":
            return 0
    if policy.health_check == "checks":
        for check in checks:
            if check.required:
                if not check.good_since_ns:
                    return 0
                since_ns = max(since_ns, check.good_since_ns)
    return since_ns
