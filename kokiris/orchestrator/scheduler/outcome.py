"""Gathers what an evaluation decides and turns it into the objects to be stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from msgspec import structs

from kokiris.kernel.clock import ZERO_TIME, rfc3339
from kokiris.kernel.ids import id_at
from kokiris.orchestrator.model.alloc import Alloc, AllocClient, AllocDesired, PlanSegment, pack_int32
from kokiris.orchestrator.model.deployment import Deployment
from kokiris.orchestrator.model.evaluation import Evaluation
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.metric import AllocationMetric
from kokiris.orchestrator.model.policy import ReschedulePolicySpec
from kokiris.orchestrator.scheduler.ask import ask_of
from kokiris.orchestrator.scheduler.reconcile import RESCHEDULED, Wanted
from kokiris.orchestrator.scheduler.reschedule import extended_history, history_of
from kokiris.orchestrator.scheduler.sorting import reschedule_policy

_BATCH_NS = 5_000_000_000
"""Failed allocations due within this window share one follow-up evaluation."""


@dataclass(frozen=True, slots=True)
class Placed:
    """One wanted allocation with the node and host ports it got."""

    wanted: Wanted
    node_id: str
    ports: list[int]


@dataclass(slots=True)
class Outcome:
    """What has been decided so far for one evaluation."""

    evaluation: Evaluation
    now_ns: int
    new_ids: Callable[[int], bytes]
    segments: list[PlanSegment] = field(default_factory=list)
    desired: dict[str, AllocDesired] = field(default_factory=dict)
    clients: dict[str, AllocClient] = field(default_factory=dict)
    follow_ups: list[Evaluation] = field(default_factory=list)

    def new_id(self) -> str:
        return id_at(self.new_ids(1), 0)

    def change(self, alloc: Alloc, **fields: object) -> None:
        """Changes the desired part of `alloc` (on top of earlier changes)."""
        base = self.desired.get(alloc.ID) or alloc.Desired or AllocDesired()
        self.desired[alloc.ID] = structs.replace(base, ModifyTime=self.now_ns, **fields)

    def stop(self, alloc: Alloc, description: str, *, lost: bool = False) -> None:
        """Stops it; `lost`: its worker is gone, so it also gets client status "lost"."""
        self.change(alloc, DesiredStatus="stop", DesiredDescription=description)
        if lost and not alloc.client_terminal():
            client = alloc.Client or AllocClient(ID=alloc.ID)
            self.clients[alloc.ID] = structs.replace(
                client, ClientStatus="lost", ClientDescription=description, ModifyTime=self.now_ns
            )

    def place(
        self,
        job: Job,
        group: TaskGroup,
        placed: Sequence[Placed],
        *,
        deployment_id: str = "",
        metric: AllocationMetric | None = None,
    ) -> list[str]:
        """Adds a segment; the new allocations' ids in the order of `placed`. Nothing placed: no segment."""
        if not placed:
            return []
        packed = self.new_ids(len(placed))
        ids = [id_at(packed, row) for row in range(len(placed))]
        nodes = list(dict.fromkeys(one.node_id for one in placed))
        index = {node_id: number for number, node_id in enumerate(nodes)}
        segment = PlanSegment(
            EvalID=self.evaluation.ID,
            Namespace=job.Namespace,
            JobID=job.ID,
            JobVersion=job.Version,
            TaskGroup=group.Name,
            DeploymentID=deployment_id,
            CreateTime=self.now_ns,
            AllocIDs=packed,
            NameIndexes=pack_int32([one.wanted.name_index for one in placed]),
            Nodes=nodes,
            NodeRows=pack_int32([index[one.node_id] for one in placed]),
            PortLabels=ask_of(group).labels,
            Ports=pack_int32([port for one in placed for port in one.ports]),
            CanaryRows=[row for row, one in enumerate(placed) if one.wanted.canary],
            Metrics=metric,
        )
        for row, one in enumerate(placed):
            if one.wanted.previous is not None:
                self._succeed(segment, row, one.wanted, reschedule_policy(job, group))
        self.segments.append(segment)
        return ids

    def _succeed(self, segment: PlanSegment, row: int, wanted: Wanted, policy: ReschedulePolicySpec | None) -> None:
        previous = wanted.previous
        if previous is None:
            return
        segment.Previous[row] = previous.ID
        self.change(previous, NextAllocation=id_at(segment.AllocIDs, row))
        if wanted.rescheduled:
            segment.Histories[row] = extended_history(previous, policy, self.now_ns)
            self.stop(previous, RESCHEDULED)
        else:
            history = history_of(previous)
            if history is not None:
                segment.Histories[row] = history

    def reschedule_later(self, due: Sequence[tuple[Alloc, int]], job: Job) -> None:
        """One follow-up evaluation per window of failed allocations; they are told which."""
        window_end, follow_up = 0, None
        for alloc, at_ns in sorted(due, key=lambda one: (one[1], one[0].ID)):
            if follow_up is None or at_ns > window_end:
                window_end = at_ns + _BATCH_NS
                follow_up = self.follow_up(job, "alloc-failure", "created for delayed rescheduling", at_ns)
            self.change(alloc, FollowupEvalID=follow_up.ID)

    def follow_up(self, job: Job, trigger: str, description: str, at_ns: int) -> Evaluation:
        """Another look at the job, at `at_ns`."""
        found = self.child(trigger, description)
        found.Status, found.WaitUntil = "pending", rfc3339(at_ns)
        found.JobModifyIndex = job.JobModifyIndex
        self.follow_ups.append(found)
        return found

    def child(self, trigger: str, description: str) -> Evaluation:
        """A new evaluation of the same job that this one leads to."""
        parent = self.evaluation
        return Evaluation(
            ID=self.new_id(),
            Priority=parent.Priority,
            Type=parent.Type,
            TriggeredBy=trigger,
            Namespace=parent.Namespace,
            JobID=parent.JobID,
            JobModifyIndex=parent.JobModifyIndex,
            StatusDescription=description,
            PreviousEval=parent.ID,
            CreateTime=self.now_ns,
            ModifyTime=self.now_ns,
        )


def note_placed(deployment: Deployment, group: str, ids: Sequence[str], canaries: Sequence[str], now_ns: int) -> None:
    """Counts new allocations in a deployment (changed in place; the caller owns it); the first starts the clock."""
    progress = (deployment.TaskGroups or {})[group]
    progress.PlacedAllocs += len(ids)
    if canaries:
        progress.PlacedCanaries = [*(progress.PlacedCanaries or ()), *canaries]
    if progress.RequireProgressBy == ZERO_TIME and progress.ProgressDeadline:
        progress.RequireProgressBy = rfc3339(now_ns + progress.ProgressDeadline)
