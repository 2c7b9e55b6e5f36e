"""Emptying a node: who moves next, and when it is done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from msgspec import structs

from kokiris.kernel.clock import parse_rfc3339_ns, rfc3339
from kokiris.kernel.names import PLATFORM
from kokiris.orchestrator.model.alloc import Alloc
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.node import DrainMetadata, DrainStrategySpec, Node
from kokiris.orchestrator.model.policy import MigrateStrategy

GroupAllocs = Callable[[str, str, str], Sequence[Alloc]]
"""(namespace, job id, group) → all its allocations, on any node."""


@dataclass(slots=True, kw_only=True)
class DrainDecision:
    """What is to be done about a draining node now."""

    migrate: list[str] = field(default_factory=list)
    """Allocations to mark with `DesiredTransition.Migrate`."""
    jobs: list[tuple[str, str]] = field(default_factory=list)
    """(namespace, job id) of those, to be evaluated (trigger "node-drain")."""
    done: bool = False
    """Nothing that has to leave is left: the drain has ended."""
    wake_at_ns: int | None = None
    """When to look again even if nothing happens."""


def drain_node(
    node: Node,
    allocs: Sequence[Alloc],
    job_of: Callable[[Alloc], Job | None],
    group_allocs: GroupAllocs,
    now_ns: int,
) -> DrainDecision:
    """Service allocations leave at `migrate.max_parallel` per group, as their replacements become healthy; what
    does not serve leaves at once. Batch ones may finish until the deadline. System ones leave last, or never. The
    platform's own stay: their data are on this node, and a tenant's drain must not stop them.

    `allocs`: those of the node, `job_of`: the version each runs. A node that does not drain: nothing to do.
    """
    strategy = node.DrainStrategy
    if strategy is None:
        return DrainDecision()
    waiting = [alloc for alloc in allocs if not alloc.client_terminal() and alloc.Namespace != PLATFORM]
    if strategy.IgnoreSystemJobs:
        waiting = [alloc for alloc in waiting if _type_of(alloc, job_of) not in {"system", "sysbatch"}]
    if not waiting:
        return DrainDecision(done=True)
    movable = [alloc for alloc in waiting if alloc.DesiredStatus == "run" and not is_migrating(alloc)]
    deadline_ns = parse_rfc3339_ns(strategy.ForceDeadline)
    if strategy.Deadline < 0 or 0 < deadline_ns <= now_ns:
        return _decision(movable, None)
    decision = _by_pace(movable, waiting, job_of, group_allocs, now_ns)
    wakes = [one for one in (deadline_ns or None, decision.wake_at_ns) if one is not None]
    decision.wake_at_ns = min(wakes, default=None)
    return decision


def _by_pace(
    movable: Sequence[Alloc],
    waiting: Sequence[Alloc],
    job_of: Callable[[Alloc], Job | None],
    group_allocs: GroupAllocs,
    now_ns: int,
) -> DrainDecision:
    groups: dict[tuple[str, str, str], list[Alloc]] = defaultdict(list)
    system: list[Alloc] = []
    for alloc in movable:
        kind = _type_of(alloc, job_of)
        if kind == "service":
            groups[(alloc.Namespace, alloc.JobID, alloc.TaskGroup)].append(alloc)
        elif kind in {"system", "sysbatch"}:
            system.append(alloc)
    chosen: list[Alloc] = []
    wakes: list[int] = []
    for key, members in groups.items():
        leaving, wake_ns = _next_of_group(members, group_allocs(*key), job_of, now_ns)
        chosen += leaving
        wakes += [wake_ns] if wake_ns is not None else []
    if all(_type_of(alloc, job_of) in {"system", "sysbatch"} for alloc in waiting):
        chosen += system
    return _decision(chosen, min(wakes, default=None))


def _next_of_group(
    members: Sequence[Alloc], everywhere: Sequence[Alloc], job_of: Callable[[Alloc], Job | None], now_ns: int
) -> tuple[list[Alloc], int | None]:
    """Those of one group that leave now, and when another one will count as serving by the passing of time."""
    group = _group_of(members[0], job_of)
    strategy = (group.Migrate if group is not None else None) or MigrateStrategy()
    count = group.Count if group is not None else 0
    serving_at = {alloc.ID: _serving_from_ns(alloc, strategy) for alloc in everywhere if not alloc.terminal()}
    serving = {alloc_id for alloc_id, at_ns in serving_at.items() if at_ns is not None and at_ns <= now_ns}
    idle = [alloc for alloc in members if alloc.ID not in serving]
    spare = max(0, len(serving) - max(0, count - strategy.MaxParallel))
    moving = sum(is_migrating(alloc) for alloc in everywhere if alloc.ID in serving)
    leaving = [alloc for alloc in members if alloc.ID in serving][: max(0, spare - moving)]
    later = [at_ns for at_ns in serving_at.values() if at_ns is not None and at_ns > now_ns]
    return idle + leaving, min(later, default=None)


def _serving_from_ns(alloc: Alloc, strategy: MigrateStrategy) -> int | None:
    """Since when it counts as healthy. Where nobody judges health (no deployment), running for a while is enough."""
    if alloc.Healthy is True:
        return 0
    if alloc.Healthy is False or alloc.DeploymentID or alloc.ClientStatus != "running":
        return None
    return alloc.Segment.CreateTime + strategy.MinHealthyTime


def is_migrating(alloc: Alloc) -> bool:
    """Whether it has been told to move."""
    transition = alloc.Desired.DesiredTransition if alloc.Desired is not None else None
    return transition is not None and transition.Migrate


def _decision(chosen: Sequence[Alloc], wake_at_ns: int | None) -> DrainDecision:
    jobs = list(dict.fromkeys((alloc.Namespace, alloc.JobID) for alloc in chosen))
    return DrainDecision(migrate=[alloc.ID for alloc in chosen], jobs=jobs, wake_at_ns=wake_at_ns)


def _type_of(alloc: Alloc, job_of: Callable[[Alloc], Job | None]) -> str:
    job = job_of(alloc)
    return job.Type if job is not None else "service"


def _group_of(alloc: Alloc, job_of: Callable[[Alloc], Job | None]) -> TaskGroup | None:
    job = job_of(alloc)
    return next((one for one in (job.TaskGroups or () if job else ()) if one.Name == alloc.TaskGroup), None)


def draining(node: Node, deadline_ns: int, *, ignore_system_jobs: bool, now_ns: int) -> Node:
    """The node as a drain starts: ineligible at once. `deadline_ns`: a duration; 0 none, negative: move all now."""
    strategy = DrainStrategySpec(
        Deadline=deadline_ns,
        IgnoreSystemJobs=ignore_system_jobs,
        ForceDeadline=rfc3339(now_ns + deadline_ns if deadline_ns > 0 else 0),
        StartedAt=rfc3339(now_ns),
    )
    last = DrainMetadata(StartedAt=rfc3339(now_ns), UpdatedAt=rfc3339(now_ns), Status="draining")
    return structs.replace(node, Drain=True, DrainStrategy=strategy, SchedulingEligibility="ineligible", LastDrain=last)
