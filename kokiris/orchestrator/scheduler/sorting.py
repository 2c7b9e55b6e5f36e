"""The allocations of a group sorted by what is to become of them."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

from kokiris.orchestrator.model.alloc import Alloc
from kokiris.orchestrator.model.deployment import Deployment
from kokiris.orchestrator.model.job import Job, TaskGroup, replaced_when_lost
from kokiris.orchestrator.model.node import Node
from kokiris.orchestrator.model.policy import ReschedulePolicySpec
from kokiris.orchestrator.scheduler.reschedule import next_attempt_ns

Allocs = dict[str, Alloc]
"""By id."""

_WINDOW_NS = 1_000_000_000
"""A time this near counts as now."""

ACTIVE = frozenset({"running", "paused", "pending", "initializing", "blocked", "unblocking"})
"""Statuses of deployments that are not over."""


@dataclass(slots=True)
class Sorted:
    """Each allocation that matters is in exactly one of these."""

    untainted: Allocs = field(default_factory=dict)
    """Fine where they are, or failed and waiting for their turn."""
    migrate: Allocs = field(default_factory=dict)
    """Asked to move (drain, `alloc stop`)."""
    lost: Allocs = field(default_factory=dict)
    """On a node that is down or gone."""
    reschedule_now: Allocs = field(default_factory=dict)
    """Failed, and due."""
    reschedule_later: dict[str, int] = field(default_factory=dict)
    """Failed, not due yet: id → when (unix ns). They are in `untainted` as well."""


def older_incarnation(alloc: Alloc, job: Job) -> bool:
    """Whether the allocation belongs to a purged job that happened to have the same id."""
    return 0 < alloc.CreateIndex < job.CreateIndex


def is_current(alloc: Alloc, job: Job) -> bool:
    """Whether the allocation runs exactly this version of the job."""
    return alloc.JobVersion == job.Version and not older_incarnation(alloc, job)


def reschedule_policy(job: Job, group: TaskGroup) -> ReschedulePolicySpec | None:
    """The group's policy, else the job's; None: failed allocations stay failed."""
    policy = group.ReschedulePolicy or job.Reschedule
    return policy if job.Type in {"service", "batch"} else None


def by_node(allocs: Iterable[Alloc], nodes: Mapping[str, Node], group: TaskGroup) -> Sorted:
    """Sorts by the state of their nodes and by whether they are asked to move. Stopped ones count as untainted."""
    found = Sorted()
    for alloc in allocs:
        node = nodes.get(alloc.NodeID)
        transition = alloc.Desired.DesiredTransition if alloc.Desired is not None else None
        if alloc.DesiredStatus == "run" and alloc.ClientStatus == "lost" and replaced_when_lost(group):
            found.lost[alloc.ID] = alloc
        elif alloc.terminal():
            found.untainted[alloc.ID] = alloc
        elif node is None or node.Status == "down":
            (found.lost if replaced_when_lost(group) else found.untainted)[alloc.ID] = alloc
        elif transition is not None and transition.Migrate:
            found.migrate[alloc.ID] = alloc
        else:
            found.untainted[alloc.ID] = alloc
    return found


def by_failure(
    found: Sorted,
    job: Job,
    policy: ReschedulePolicySpec | None,
    *,
    deployment: Deployment | None,
    eval_id: str,
    pending_evals: Container[str],
    now_ns: int,
) -> None:
    """Takes failed allocations that are due, and those that are over, out of `found.untainted`."""
    untainted: Allocs = {}
    for alloc in found.untainted.values():
        if _is_over(alloc, job, replaced=bool(alloc.Desired is not None and alloc.Desired.NextAllocation)):
            continue
        due_ns = _due_ns(alloc, policy, deployment, now_ns)
        follow_up = alloc.Desired.FollowupEvalID if alloc.Desired is not None else ""
        if due_ns is not None and (due_ns - now_ns <= _WINDOW_NS or (follow_up and follow_up == eval_id)):
            found.reschedule_now[alloc.ID] = alloc
            continue
        untainted[alloc.ID] = alloc
        if due_ns is not None and follow_up not in pending_evals:
            found.reschedule_later[alloc.ID] = due_ns
    found.untainted = untainted


def _is_over(alloc: Alloc, job: Job, *, replaced: bool) -> bool:
    """Whether it no longer holds its name: another one may take it."""
    if not alloc.terminal():
        return False
    if replaced:
        return True
    if job.Type == "batch":
        return alloc.DesiredStatus != "run" and alloc.ClientStatus != "complete"
    return alloc.DesiredStatus != "run" or alloc.ClientStatus == "complete"


def _due_ns(
    alloc: Alloc, policy: ReschedulePolicySpec | None, deployment: Deployment | None, now_ns: int
) -> int | None:
    if alloc.ClientStatus != "failed" or alloc.DesiredStatus != "run":
        return None
    transition = alloc.Desired.DesiredTransition if alloc.Desired is not None else None
    if transition is not None and transition.ForceReschedule:
        return now_ns
    deploying = deployment is not None and deployment.Status in ACTIVE and alloc.DeploymentID == deployment.ID
    if deploying and not (transition is not None and transition.Reschedule):
        return None  # the deployment's watcher decides whether a failed allocation of it is tried again
    return next_attempt_ns(alloc, policy)
