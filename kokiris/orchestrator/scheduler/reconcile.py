"""Wanted against there, for service and batch jobs: what each group should stop, replace, update and place.

The order of steps is that of Nomad's reconciler, so that what a user sees is the same. Pure: nodes are not chosen here.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import structs

from kokiris.orchestrator.model.alloc import Alloc
from kokiris.orchestrator.model.deployment import Deployment, DeploymentState
from kokiris.orchestrator.model.evaluation import DesiredUpdates
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.node import Node
from kokiris.orchestrator.model.policy import UpdateStrategy
from kokiris.orchestrator.scheduler.names import NameIndex
from kokiris.orchestrator.scheduler.sorting import Allocs, Sorted, by_failure, by_node, is_current, reschedule_policy

NOT_NEEDED = "alloc not needed due to job update"
MIGRATING = "alloc is being migrated"
UPDATING = "alloc is being updated due to job update"
LOST = "alloc is lost since its node is down"
RESCHEDULED = "alloc was rescheduled because it failed"
IN_PLACE = "alloc updating in-place"


@dataclass(slots=True, kw_only=True)
class Stop:
    """An allocation to stop."""

    alloc: Alloc
    description: str
    lost: bool = False
    """Its worker cannot say so: the server writes client status "lost"."""


@dataclass(slots=True, kw_only=True)
class Wanted:
    """An allocation to place."""

    name_index: int
    previous: Alloc | None = None
    canary: bool = False
    rescheduled: bool = False
    """`previous` failed: it is stopped once this is placed, its node is avoided, and the attempt is remembered."""
    old_version: bool = False
    """To run what ran before, since the new version is still on trial in canaries."""


@dataclass(slots=True)
class GroupPlan:
    """What becomes of one group."""

    name: str
    place: list[Wanted] = field(default_factory=list)
    destructive: list[Alloc] = field(default_factory=list)
    """To be replaced by the new version, each stopped only if its replacement finds a place."""
    destructive_instead: list[Alloc] = field(default_factory=list)
    """To be replaced too, one for each allocation of `place` that finds no place: else what can never be placed (too
    few nodes for a static port) would hold up the update of what runs for ever, as it does in Nomad."""
    migrate: list[tuple[Alloc, Wanted]] = field(default_factory=list)
    in_place: list[Alloc] = field(default_factory=list)
    stop: list[Stop] = field(default_factory=list)
    reschedule_later: dict[str, int] = field(default_factory=dict)
    updates: DesiredUpdates = field(default_factory=DesiredUpdates)
    progress: DeploymentState | None = None
    """The group's part of the deployment, new or as it is; None: it has no part in one."""
    starts_deployment: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Everything `reconcile_group` looks at beside the allocations."""

    job: Job
    nodes: Mapping[str, Node]
    eval_id: str
    now_ns: int
    pending_evals: Container[str]
    needs_replacement: Callable[[Alloc, TaskGroup], bool]
    """Whether an allocation of another version must be replaced (else it is updated in place)."""
    deployment: Deployment | None = None
    """The deployment of this very job version, unless it has succeeded or was cancelled."""
    abandoned: Deployment | None = None
    """The latest deployment when it is one of another version, or has succeeded."""

    @property
    def paused(self) -> bool:
        return self.deployment is not None and self.deployment.Status in {"paused", "pending", "initializing"}

    @property
    def failed(self) -> bool:
        return self.deployment is not None and self.deployment.Status == "failed"


def stop_group(name: str, allocs: Sequence[Alloc], nodes: Mapping[str, Node]) -> GroupPlan:
    """The plan for a group that is no longer wanted (job stopped or purged, group removed)."""
    plan = GroupPlan(name)
    for alloc in allocs:
        if alloc.terminal():
            continue
        node = nodes.get(alloc.NodeID)
        lost = node is None or node.Status == "down"
        plan.stop.append(Stop(alloc=alloc, description=LOST if lost else NOT_NEEDED, lost=lost))
    plan.updates.Stop = len(plan.stop)
    plan.updates.Ignore = len(allocs) - len(plan.stop)
    return plan


def update_strategy(job: Job, group: TaskGroup) -> UpdateStrategy | None:
    """How the group rolls out; None: no deployment, everything at once."""
    update = group.Update or job.Update
    return update if update is not None and update.MaxParallel > 0 and job.Type == "service" else None


def reconcile_group(situation: Situation, group: TaskGroup, allocs: Sequence[Alloc]) -> GroupPlan:
    """Compares `group` with its allocations of all versions (terminal ones included)."""
    return _Reconciler(situation, group, allocs).run()


class _Reconciler:
    """The steps for one group; the fields are what the steps hand on."""

    def __init__(self, situation: Situation, group: TaskGroup, allocs: Sequence[Alloc]) -> None:
        self.situation, self.group = situation, group
        self.job = situation.job
        self.update = update_strategy(self.job, group)
        self.plan = GroupPlan(group.Name)
        self.all: Allocs = {alloc.ID: alloc for alloc in allocs}
        self.canaries: Allocs = {}
        deployment = situation.deployment
        progress = (deployment.TaskGroups or {}).get(group.Name) if deployment is not None else None
        self.deploying = progress is not None
        self.progress = structs.replace(progress) if progress is not None else _new_progress(self.update)

    def run(self) -> GroupPlan:
        self._ignore_old_batch()
        self._cancel_canaries()
        found = by_node(self.all.values(), self.situation.nodes, self.group)
        by_failure(
            found,
            self.job,
            reschedule_policy(self.job, self.group),
            deployment=self.situation.deployment,
            eval_id=self.situation.eval_id,
            pending_evals=self.situation.pending_evals,
            now_ns=self.situation.now_ns,
        )
        names = self._names(found)
        self._stop_surplus(found, names)
        destructive = self._updates(found)
        if not self.deploying:
            self.progress.DesiredTotal += len(destructive) + len(self.plan.in_place)
        self._place_canaries(destructive, names)
        self._place(found, destructive, names)
        self._migrate(found)
        self._join_deployment(destructive)
        self._count(found)
        return self.plan

    @property
    def canarying(self) -> bool:
        return self.progress.DesiredCanaries > 0 and not self.progress.Promoted

    # ---- steps -------------------------------------------------------------------------------------------------

    def _ignore_old_batch(self) -> None:
        """What an older version of a batch job has finished says nothing about this one."""
        if self.job.Type != "batch":
            return
        old = [one.ID for one in self.all.values() if one.terminal() and not is_current(one, self.job)]
        for alloc_id in old:
            del self.all[alloc_id]
        self.plan.updates.Ignore += len(old)

    def _cancel_canaries(self) -> None:
        """Canaries of an abandoned or failed deployment go; those on lost or draining nodes are simply replaced."""
        unwanted: set[str] = set()
        for deployment in (self.situation.abandoned, self.situation.deployment if self.situation.failed else None):
            for progress in (deployment.TaskGroups or {}).values() if deployment is not None else ():
                if not progress.Promoted:
                    unwanted.update(progress.PlacedCanaries or ())
        for alloc_id in sorted(unwanted & self.all.keys()):
            self._stop(self.all.pop(alloc_id), NOT_NEEDED)
        current = self.situation.deployment
        mine = (current.TaskGroups or {}).get(self.group.Name) if current is not None else None
        ids = [one for one in (mine.PlacedCanaries or () if mine is not None else ()) if one in self.all]
        canaries = by_node([self.all[one] for one in ids], self.situation.nodes, self.group)
        for gone, description in ((canaries.migrate, MIGRATING), (canaries.lost, LOST)):
            for alloc in gone.values():
                self._stop(alloc, description, lost=description == LOST)
                del self.all[alloc.ID]
        self.canaries = {one.ID: one for one in canaries.untainted.values() if one.DesiredStatus == "run"}

    def _names(self, found: Sorted) -> NameIndex:
        holders = {**found.untainted, **found.migrate, **found.reschedule_now, **found.lost}
        return NameIndex(self.group.Count, (alloc.NameIndex for alloc in holders.values()))

    def _stop_surplus(self, found: Sorted, names: NameIndex) -> None:
        for alloc in found.lost.values():
            self._stop(alloc, LOST, lost=True)
        keep = self.canaries.keys() if self.canarying else set()
        candidates = {key: one for key, one in found.untainted.items() if key not in keep}
        surplus = len(candidates) + len(found.migrate) - self.group.Count
        if surplus <= 0:
            return
        for alloc in self._least_needed(candidates, found, names)[:surplus]:
            self._stop(alloc, NOT_NEEDED)
            found.untainted.pop(alloc.ID, None)
            found.reschedule_later.pop(alloc.ID, None)
            if found.migrate.pop(alloc.ID, None) is not None or alloc.ID not in self.canaries:
                self._release_name(alloc, found, names)

    def _release_name(self, alloc: Alloc, found: Sorted, names: NameIndex) -> None:
        others = [*found.untainted.values(), *found.migrate.values(), *found.reschedule_now.values()]
        if all(other.NameIndex != alloc.NameIndex for other in others):
            names.release(alloc.NameIndex)

    def _least_needed(self, candidates: Allocs, found: Sorted, names: NameIndex) -> list[Alloc]:
        """Whom to stop first: doubles of promoted canaries, then what must move anyway, then the highest indexes."""
        candidates = {key: one for key, one in candidates.items() if not _finished(one)}
        canary_names = {one.NameIndex for one in self.canaries.values()} if not self.canarying else set()

        def rank(alloc: Alloc) -> tuple[int, int, bool, str]:
            doubles = alloc.ID not in self.canaries and alloc.NameIndex in canary_names
            moving = alloc.ID in found.migrate
            place = 0 if doubles else 1 if moving else 2
            return (place, -alloc.NameIndex, is_current(alloc, self.job), alloc.ID)

        return sorted([*candidates.values(), *found.migrate.values()], key=rank)

    def _updates(self, found: Sorted) -> Allocs:
        """Sorts out what runs another version; gives the allocations to be replaced."""
        destructive: Allocs = {}
        for alloc in sorted(found.untainted.values(), key=lambda one: (one.NameIndex, one.ID)):
            if is_current(alloc, self.job):
                continue
            if self.situation.needs_replacement(alloc, self.group):
                if not _finished(alloc):
                    destructive[alloc.ID] = alloc
            elif not alloc.terminal():
                self.plan.in_place.append(alloc)
        return destructive

    def _place_canaries(self, destructive: Allocs, names: NameIndex) -> None:
        wanted = self.update.Canary if self.update is not None else 0
        if not destructive or len(self.canaries) >= wanted or self.progress.Promoted:
            return
        self.progress.DesiredCanaries = wanted
        if self.situation.paused or self.situation.failed:
            return
        replaced = [alloc.NameIndex for alloc in destructive.values()]
        missing = wanted - len(self.canaries)
        for index in names.next_canaries(missing, [one.NameIndex for one in self.canaries.values()], replaced):
            self.plan.place.append(Wanted(name_index=index, canary=True))
        self.plan.updates.Canary = missing

    def _place(self, found: Sorted, destructive: Allocs, names: NameIndex) -> None:
        """Replacements and missing allocations, and as many destructive updates as may be under way at once."""
        canarying = self.canarying
        keep = self.canaries.keys() if canarying else set()
        staying = {key: one for key, one in found.untainted.items() if key not in keep}
        budget = self._budget(staying, destructive, found)
        wanted = self._replacements(staying, found, names)
        if not self.deploying:
            self.progress.DesiredTotal += len(wanted)
        if not (self.situation.paused or self.situation.failed or canarying):
            self.plan.place += wanted
            ordered = sorted(destructive.values(), key=_serves)[:budget]
            first = max(0, budget - len(wanted))
            self.plan.destructive, self.plan.destructive_instead = ordered[:first], ordered[first:]
            return
        self.plan.place += [one for one in wanted if self._replaced_regardless(one, found)]

    def _replaced_regardless(self, wanted: Wanted, found: Sorted) -> bool:
        """Lost and failed allocations come back even while a deployment stands still, except what it itself failed."""
        previous = wanted.previous
        if previous is None:
            return False
        if previous.ID in found.lost:
            return True
        deployment = self.situation.deployment
        its_own = self.situation.failed and deployment is not None and previous.DeploymentID == deployment.ID
        return wanted.rescheduled and not its_own

    def _budget(self, staying: Allocs, destructive: Allocs, found: Sorted) -> int:
        """How many allocations may be taken down now."""
        if self.update is None or not (destructive or found.migrate):
            return self.group.Count
        deployment = self.situation.deployment
        if deployment is None:
            return self.update.MaxParallel
        if self.situation.paused or self.situation.failed or self.canarying:
            return 0
        mine = [alloc for alloc in staying.values() if alloc.DeploymentID == deployment.ID]
        if any(alloc.Healthy is False for alloc in mine):
            return 0
        return max(0, self.update.MaxParallel - sum(alloc.Healthy is None for alloc in mine))

    def _replacements(self, staying: Allocs, found: Sorted, names: NameIndex) -> list[Wanted]:
        old = self.canarying
        wanted = [
            Wanted(
                name_index=one.NameIndex,
                previous=one,
                canary=one.ID in self.canaries,
                rescheduled=True,
                old_version=old and one.ID not in self.canaries,
            )
            for one in sorted(found.reschedule_now.values(), key=lambda one: (one.NameIndex, one.ID))
        ]
        existing = len(staying) + len(found.migrate) + len(wanted)
        for lost in sorted(found.lost.values(), key=lambda one: (one.NameIndex, one.ID)):
            if existing >= self.group.Count:
                names.release(lost.NameIndex)
                continue
            existing += 1
            wanted.append(Wanted(name_index=lost.NameIndex, previous=lost, old_version=old))
        for index in names.next(max(0, self.group.Count - existing)):
            wanted.append(Wanted(name_index=index, old_version=old))
        return wanted

    def _migrate(self, found: Sorted) -> None:
        for alloc in sorted(found.migrate.values(), key=lambda one: (one.NameIndex, one.ID)):
            follower = Wanted(name_index=alloc.NameIndex, previous=alloc, old_version=self.canarying)
            self.plan.migrate.append((alloc, follower))

    def _join_deployment(self, destructive: Allocs) -> None:
        """The group starts (or joins) a deployment when the version is new here or changes what runs."""
        if self.deploying:
            self.plan.progress = self.progress
            return
        if self.update is None or not self.progress.DesiredTotal:
            return
        ran_before = any(is_current(alloc, self.job) for alloc in self.all.values())
        if ran_before and not destructive and not self.plan.in_place:
            return
        self.plan.progress = self.progress
        self.plan.starts_deployment = True

    def _count(self, found: Sorted) -> None:
        updates, plan = self.plan.updates, self.plan
        updates.Place = len([one for one in plan.place if not one.canary])
        updates.Migrate = len(plan.migrate)
        updates.Stop = len(plan.stop) + sum(one.rescheduled for one in plan.place)
        updates.InPlaceUpdate = len(plan.in_place)
        updates.DestructiveUpdate = len(plan.destructive)
        updates.RescheduleNow = sum(one.rescheduled for one in plan.place)
        updates.RescheduleLater = len(found.reschedule_later)
        plan.reschedule_later = found.reschedule_later
        running = [one for one in found.untainted.values() if not one.terminal()]
        updates.Ignore += max(0, len(running) - len(plan.in_place) - len(plan.destructive))

    def _stop(self, alloc: Alloc, description: str, *, lost: bool = False) -> None:
        if alloc.DesiredStatus == "run":
            own = alloc.Client if lost and alloc.ClientStatus == "lost" else None
            said = own.ClientDescription if own is not None else ""  # its worker gave it back, or it is `description`
            self.plan.stop.append(Stop(alloc=alloc, description=said or description, lost=lost))


def _serves(alloc: Alloc) -> tuple[bool, int, str]:
    """What does not serve now is replaced first: it costs nothing (Nomad takes them by name only)."""
    return (alloc.ClientStatus == "running" and alloc.Healthy is True, alloc.NameIndex, alloc.ID)


def _finished(alloc: Alloc) -> bool:
    """Over for good: nothing to stop. A failed one that waits for its next attempt is not."""
    return alloc.DesiredStatus != "run" or alloc.ClientStatus in {"complete", "lost"}


def _new_progress(update: UpdateStrategy | None) -> DeploymentState:
    if update is None:
        return DeploymentState()
    return DeploymentState(AutoRevert=update.AutoRevert, ProgressDeadline=update.ProgressDeadline)
