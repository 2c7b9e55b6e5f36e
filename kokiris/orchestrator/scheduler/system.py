"""Wanted against there, for system and sysbatch jobs: one allocation of each group on every node that can run it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from kokiris.orchestrator.model.alloc import Alloc
from kokiris.orchestrator.model.job import TaskGroup
from kokiris.orchestrator.scheduler.ask import ask_of
from kokiris.orchestrator.scheduler.candidates import Candidates
from kokiris.orchestrator.scheduler.columns import Cluster
from kokiris.orchestrator.scheduler.explain import failure_metric, placement_metric
from kokiris.orchestrator.scheduler.feasibility import Feasible, exhausted_dimension, feasible_nodes
from kokiris.orchestrator.scheduler.outcome import Placed
from kokiris.orchestrator.scheduler.reconcile import (
    LOST,
    MIGRATING,
    NOT_NEEDED,
    UPDATING,
    GroupPlan,
    Situation,
    Stop,
    Wanted,
)
from kokiris.orchestrator.scheduler.rollout import Rollout
from kokiris.orchestrator.scheduler.sorting import is_current


@dataclass(slots=True)
class SystemPlan:
    """A group's plan, and on which row each new allocation goes."""

    group: GroupPlan
    feasible: Feasible
    place: list[tuple[int, Wanted]] = field(default_factory=list)
    """Nodes without one: (row, wanted)."""


def reconcile_system(
    situation: Situation, cluster: Cluster, group: TaskGroup, allocs: Sequence[Alloc], *, failed_too: bool
) -> SystemPlan:
    """Compares nodes and allocations of one group.

    `failed_too`: nodes where it failed get a new one (any reason to look but that failure itself: else a broken image
    would be tried again without end). Allocations on nodes that are not eligible any more stay until they are drained.
    """
    feasible = feasible_nodes(cluster, situation.job, group, ask_of(group))
    plan = SystemPlan(GroupPlan(group.Name), feasible)
    served: set[int] = set()
    for alloc in sorted(allocs, key=lambda one: (one.terminal(), -one.CreateIndex, one.ID)):
        row = cluster.row_of.get(alloc.NodeID, -1)
        if alloc.terminal():
            if row >= 0 and _keeps_node(alloc, situation, failed_too=failed_too):
                served.add(row)
            continue
        _living(situation, cluster, plan.group, group, alloc, surplus=row in served)
        served.add(row)
    for row in np.flatnonzero(feasible.mask).tolist():
        if row not in served:
            plan.place.append((row, Wanted(name_index=0)))
    _count(plan, allocs)
    return plan


def _keeps_node(alloc: Alloc, situation: Situation, *, failed_too: bool) -> bool:
    """Whether an allocation that is over still means that its node needs no new one."""
    if alloc.DesiredStatus != "run" or not is_current(alloc, situation.job):
        return False
    if situation.job.Type == "sysbatch":
        return alloc.ClientStatus in {"complete", "failed"}
    return alloc.ClientStatus == "failed" and not failed_too


def _living(
    situation: Situation, cluster: Cluster, plan: GroupPlan, group: TaskGroup, alloc: Alloc, *, surplus: bool
) -> None:
    node = situation.nodes.get(alloc.NodeID)
    transition = alloc.Desired.DesiredTransition if alloc.Desired is not None else None
    if node is None or node.Status == "down":
        plan.stop.append(Stop(alloc=alloc, description=LOST, lost=True))
    elif transition is not None and transition.Migrate:
        plan.stop.append(Stop(alloc=alloc, description=MIGRATING))
    elif surplus:
        plan.stop.append(Stop(alloc=alloc, description=NOT_NEEDED))
    elif is_current(alloc, situation.job):
        plan.updates.Ignore += 1
    elif not situation.needs_replacement(alloc, group):
        plan.in_place.append(alloc)
    elif cluster.usable[cluster.row_of[alloc.NodeID]]:
        plan.destructive.append(alloc)
    else:
        plan.updates.Ignore += 1


def _count(plan: SystemPlan, allocs: Sequence[Alloc]) -> None:
    updates, group = plan.group.updates, plan.group
    updates.Place = len(plan.place)
    updates.Stop = len(group.stop)
    updates.InPlaceUpdate = len(group.in_place)
    updates.DestructiveUpdate = len(group.destructive)
    updates.Ignore += sum(alloc.terminal() and alloc.DesiredStatus == "run" for alloc in allocs)


def carry_out_system(rollout: Rollout, group: TaskGroup, plan: SystemPlan) -> None:
    """Places on each node of the plan, updates at most `max_parallel` per `stagger`, and says what did not fit."""
    rollout.update_in_place(group, plan.group.in_place)
    update = group.Update or rollout.job.Update
    limit = update.MaxParallel if update is not None and update.MaxParallel > 0 else len(plan.group.destructive)
    rows = rollout.draft.cluster.row_of
    now = [
        (rows[alloc.NodeID], Wanted(name_index=alloc.NameIndex, previous=alloc), alloc)
        for alloc in plan.group.destructive[:limit]
    ]
    _place_on_rows(rollout, group, plan, now + [(row, wanted, None) for row, wanted in plan.place])
    if update is not None and len(plan.group.destructive) > limit:
        rollout.outcome.follow_up(
            rollout.job, "rolling-update", "created for the next step", rollout.outcome.now_ns + update.Stagger
        )


def _place_on_rows(
    rollout: Rollout, group: TaskGroup, plan: SystemPlan, wishes: Sequence[tuple[int, Wanted, Alloc | None]]
) -> None:
    ask, draft = ask_of(group), rollout.draft
    candidates = Candidates(draft, rollout.job, group, ask=ask, feasible=plan.feasible, staying=rollout.staying)
    metric = placement_metric(candidates, plan.feasible.mask) if plan.feasible.mask.any() else None
    placed: list[Placed] = []
    failure = None if plan.feasible.mask.any() else failure_metric(candidates, {})
    missing = 0 if failure is None else 1
    for row, wanted, replaced in wishes:
        if replaced is not None:
            draft.release(replaced)
        inherited = candidates.inherited(replaced).get(row, ())
        node = draft.cluster.nodes[row]
        if node is None or exhausted_dimension(draft, row, ask, inherited) is not None:
            if failure is None:
                failure = failure_metric(candidates, {row: inherited})
            else:
                failure.CoalescedFailures += 1
            missing += 1
            if replaced is not None:
                draft.restore(replaced)
            continue
        placed.append(Placed(wanted, node.ID, draft.take(row, ask, inherited)))
        if replaced is not None:
            rollout.outcome.stop(replaced, UPDATING)
    rollout.outcome.place(rollout.job, group, placed, metric=metric)
    rollout.note(group, missing=missing, metric=metric, failure=failure)
