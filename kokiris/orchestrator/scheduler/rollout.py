"""Carries a group's plan out on a draft of the cluster: chooses nodes, and stops what has found its replacement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from kokiris.kernel.clock import parse_rfc3339_ns
from kokiris.orchestrator.model.alloc import Alloc
from kokiris.orchestrator.model.deployment import Deployment
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.metric import AllocationMetric
from kokiris.orchestrator.model.node import Node
from kokiris.orchestrator.scheduler.draft import Draft
from kokiris.orchestrator.scheduler.outcome import Outcome, Placed, note_placed
from kokiris.orchestrator.scheduler.placement import Request, place
from kokiris.orchestrator.scheduler.reconcile import IN_PLACE, MIGRATING, UPDATING, GroupPlan, Wanted
from kokiris.orchestrator.scheduler.reschedule import failed_nodes

JobVersionOf = Callable[[int], Job | None]


@dataclass(slots=True)
class Rollout:
    """One evaluation's placements so far; `carry_out` does one group after the other."""

    outcome: Outcome
    draft: Draft
    job: Job
    nodes: Mapping[str, Node]
    staying: list[Alloc]
    """All allocations of the job that run and are not stopped by the plan."""
    version_of: JobVersionOf
    algorithm: str = "binpack"
    deployment: Deployment | None = None
    """Owned by this evaluation: changed as allocations are placed in it."""
    failed: dict[str, AllocationMetric] = field(default_factory=dict)
    metrics: dict[str, AllocationMetric] = field(default_factory=dict)
    queued: dict[str, int] = field(default_factory=dict)
    _placed: list[tuple[int, str]] = field(default_factory=list)

    def carry_out(self, group: TaskGroup, plan: GroupPlan) -> None:
        """Places what the plan wants. An allocation to be replaced runs on if its replacement fits nowhere."""
        self.queued[group.Name] = 0
        deployment_id = self._deployment_of(group)
        self.update_in_place(group, plan.in_place)
        pairs = [*self._destructive(plan.destructive), *self._wanted(group, plan), *self._migrating(plan)]
        new = [(wanted, request) for wanted, request in pairs if not wanted.old_version]
        self._place(self.job, group, new, deployment_id)
        instead = self._destructive(plan.destructive_instead[: self.queued[group.Name]])
        self._place(self.job, group, instead, deployment_id)
        for old_job, old_group, old in self._by_old_version(group, pairs):
            self._place(old_job, old_group, old, "")

    def update_in_place(self, group: TaskGroup, allocs: Sequence[Alloc]) -> None:
        """The allocations run on under the new version."""
        deployment_id = self._deployment_of(group)
        for alloc in allocs:
            self.outcome.change(
                alloc, JobVersion=self.job.Version, DeploymentID=deployment_id, DesiredDescription=IN_PLACE
            )

    def _deployment_of(self, group: TaskGroup) -> str:
        deployment = self.deployment
        if deployment is None or deployment.Status == "failed" or group.Name not in (deployment.TaskGroups or {}):
            return ""
        return deployment.ID

    def _destructive(self, allocs: Sequence[Alloc]) -> list[tuple[Wanted, Request]]:
        pairs = []
        for alloc in allocs:
            wanted = Wanted(name_index=alloc.NameIndex, previous=alloc)
            pairs.append((wanted, Request(previous=alloc, replaces=alloc)))
        return pairs

    def _wanted(self, group: TaskGroup, plan: GroupPlan) -> list[tuple[Wanted, Request]]:
        sticky = group.EphemeralDisk is not None and group.EphemeralDisk.Sticky
        pairs = []
        for wanted in plan.place:
            previous = wanted.previous
            avoid = failed_nodes(previous) if previous is not None and wanted.rescheduled else frozenset()
            prefer = previous.NodeID if previous is not None and sticky else ""
            pairs.append((wanted, Request(previous=previous, avoid=avoid, prefer=prefer, canary=wanted.canary)))
        return pairs

    def _migrating(self, plan: GroupPlan) -> list[tuple[Wanted, Request]]:
        return [(wanted, Request(previous=alloc, replaces=alloc)) for alloc, wanted in plan.migrate]

    def _by_old_version(
        self, group: TaskGroup, pairs: Sequence[tuple[Wanted, Request]]
    ) -> list[tuple[Job, TaskGroup, list[tuple[Wanted, Request]]]]:
        """What must run an old version, by version; one that is no longer known is left out."""
        by_version: dict[int, list[tuple[Wanted, Request]]] = defaultdict(list)
        for wanted, request in pairs:
            if wanted.old_version:
                by_version[self._old_version(group, wanted)].append((wanted, request))
        found = []
        for version, members in sorted(by_version.items()):
            job = self.version_of(version)
            old = next((one for one in (job.TaskGroups or () if job else ()) if one.Name == group.Name), None)
            if job is not None and old is not None:
                found.append((job, old, members))
        return found

    def _old_version(self, group: TaskGroup, wanted: Wanted) -> int:
        if wanted.previous is not None and wanted.previous.JobVersion != self.job.Version:
            return wanted.previous.JobVersion
        running = [alloc.JobVersion for alloc in self.staying if alloc.TaskGroup == group.Name]
        return max([version for version in running if version != self.job.Version], default=self.job.Version - 1)

    def _place(self, job: Job, group: TaskGroup, pairs: Sequence[tuple[Wanted, Request]], deployment_id: str) -> None:
        if not pairs:
            return
        requests = [request for _, request in pairs]
        placement = place(
            self.draft,
            job,
            group,
            requests,
            staying=self.staying,
            placed_before=self._placed,
            algorithm=self.algorithm,
        )
        placed: list[Placed] = []
        for (wanted, request), row, ports in zip(pairs, placement.rows, placement.ports, strict=True):
            node = self.draft.cluster.nodes[row] if row >= 0 else None
            if node is not None:
                placed.append(Placed(wanted, node.ID, ports))
                self._placed.append((row, group.Name))
            if request.replaces is not None and (node is not None or self._must_go(request.replaces)):
                self._leave(request.replaces, job)
        ids = self.outcome.place(job, group, placed, deployment_id=deployment_id, metric=placement.metric)
        if deployment_id and self.deployment is not None and ids:
            canaries = [alloc_id for alloc_id, one in zip(ids, placed, strict=True) if one.wanted.canary]
            note_placed(self.deployment, group.Name, ids, canaries, self.outcome.now_ns)
        self.note(group, missing=len(pairs) - len(placed), metric=placement.metric, failure=placement.failure)

    def note(
        self, group: TaskGroup, *, missing: int, metric: AllocationMetric | None, failure: AllocationMetric | None
    ) -> None:
        """Keeps the group's first metrics and counts what was not placed."""
        self.queued[group.Name] = self.queued.get(group.Name, 0) + missing
        if metric is not None:
            self.metrics.setdefault(group.Name, metric)
        if failure is not None:
            self.failed.setdefault(group.Name, failure)

    def _leave(self, alloc: Alloc, job: Job) -> None:
        transition = alloc.Desired.DesiredTransition if alloc.Desired is not None else None
        migrating = transition is not None and transition.Migrate
        self.outcome.stop(alloc, MIGRATING if migrating and not _updated(alloc, job) else UPDATING)
        self.staying = [one for one in self.staying if one.ID != alloc.ID]

    def _must_go(self, alloc: Alloc) -> bool:
        """Whether it is stopped even without a replacement: `alloc stop`, or a drain whose time is up.

        Nomad stops migrating allocations in any case; while a drain has time, ours serve on until there is room.
        """
        transition = alloc.Desired.DesiredTransition if alloc.Desired is not None else None
        if transition is None or not transition.Migrate:
            return False
        node = self.nodes.get(alloc.NodeID)
        if node is None or node.DrainStrategy is None or node.DrainStrategy.Deadline < 0:
            return True
        deadline_ns = parse_rfc3339_ns(node.DrainStrategy.ForceDeadline)
        return 0 < deadline_ns <= self.outcome.now_ns


def _updated(alloc: Alloc, job: Job) -> bool:
    return alloc.JobVersion != job.Version
