"""The one door: an evaluation and the state in, a decision out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import structs

from kokiris.kernel import ids
from kokiris.orchestrator.jobspec.change import is_destructive
from kokiris.orchestrator.model.alloc import Alloc
from kokiris.orchestrator.model.deployment import Deployment
from kokiris.orchestrator.model.evaluation import Annotations, DesiredUpdates, Evaluation
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.metric import AllocationMetric
from kokiris.orchestrator.scheduler.ask import ask_of
from kokiris.orchestrator.scheduler.columns import Cluster
from kokiris.orchestrator.scheduler.constraints import Mask
from kokiris.orchestrator.scheduler.decision import Decision
from kokiris.orchestrator.scheduler.deployments import CANCELLED_NEWER, CANCELLED_STOPPED, running_description
from kokiris.orchestrator.scheduler.draft import Draft
from kokiris.orchestrator.scheduler.explain import explain
from kokiris.orchestrator.scheduler.feasibility import suitable_nodes
from kokiris.orchestrator.scheduler.outcome import Outcome
from kokiris.orchestrator.scheduler.reconcile import GroupPlan, Situation, reconcile_group, stop_group
from kokiris.orchestrator.scheduler.rollout import Rollout
from kokiris.orchestrator.scheduler.sorting import ACTIVE, older_incarnation
from kokiris.orchestrator.scheduler.system import SystemPlan, carry_out_system, reconcile_system
from kokiris.orchestrator.state import State


def schedule(
    evaluation: Evaluation,
    state: State,
    cluster: Cluster,
    now_ns: int,
    *,
    job: Job | None = None,
    new_ids: Callable[[int], bytes] = ids.new_ids,
) -> Decision:
    """Decides what the evaluation's job needs now.

    Looks at the job named by the evaluation (`job`, when given, stands in for it: the dry run of `plan`; give it the
    version it would get). `cluster` must have followed the same state. Nothing is mutated; the same input (ids and
    `now_ns` included) gives the same decision. A job that is gone counts as stopped. What cannot be placed is not an
    error: it is in `Decision.failed`, with a blocked evaluation (the same one again, if a blocked one is processed).
    """
    return _Evaluating(evaluation, state, cluster, Outcome(evaluation, now_ns, new_ids), job).run()


class _Evaluating:
    """One evaluation from start to end."""

    def __init__(
        self, evaluation: Evaluation, state: State, cluster: Cluster, outcome: Outcome, job: Job | None
    ) -> None:
        self.evaluation, self.state, self.cluster, self.outcome = evaluation, state, cluster, outcome
        found = job if job is not None else state.job(evaluation.Namespace, evaluation.JobID)
        self.job = found if found is not None else _gone(evaluation)
        self.allocs = state.allocs_of_job(evaluation.Namespace, evaluation.JobID)
        self.deployments: dict[str, Deployment] = {}
        """Changed ones, by id."""
        self.updates: dict[str, DesiredUpdates] = {}
        self._destructive: dict[tuple[str, int], bool] = {}
        self._suitable: dict[str, Mask] = {}
        self._system: dict[str, SystemPlan] = {}

    def run(self) -> Decision:
        situation = self._situation()
        draft = Draft(self.cluster)
        plans = self._plans(situation)
        stopping = {stop.alloc.ID for plan in plans.values() for stop in plan.stop}
        for plan in plans.values():
            for stop in plan.stop:
                self.outcome.stop(stop.alloc, stop.description, lost=stop.lost)
                draft.release(stop.alloc)
        rollout = Rollout(
            outcome=self.outcome,
            draft=draft,
            job=self.job,
            nodes=self.state.nodes,
            staying=[alloc for alloc in self.allocs if not alloc.terminal() and alloc.ID not in stopping],
            version_of=lambda version: self.state.job_version(self.job.Namespace, self.job.ID, version),
            algorithm=self.state.scheduler_config.SchedulerAlgorithm,
            deployment=self._deployment(situation, plans),
        )
        by_id = {alloc.ID: alloc for alloc in self.allocs}
        for group in self._wanted_groups():
            plan = plans[group.Name]
            if group.Name in self._system:
                carry_out_system(rollout, group, self._system[group.Name])
            else:
                rollout.carry_out(group, plan)
            due = [(by_id[alloc_id], at_ns) for alloc_id, at_ns in plan.reschedule_later.items()]
            self.outcome.reschedule_later(due, self.job)
        return self._decide(rollout, plans)

    # ---- reading -----------------------------------------------------------------------------------------------

    def _wanted_groups(self) -> Sequence[TaskGroup]:
        """The groups that should run. A periodic or parameterized job runs only through its children."""
        if self.job.Stop or self.job.Periodic is not None:
            return ()
        if self.job.ParameterizedJob is not None and not self.job.Dispatched:
            return ()
        return self.job.TaskGroups or ()

    def _situation(self) -> Situation:
        """Also cancels deployments that a stop or a newer version has overtaken."""
        current = abandoned = None
        for number, one in enumerate(self.state.deployments_of_job(self.job.Namespace, self.job.ID)):
            same = one.JobVersion == self.job.Version and one.JobCreateIndex in {0, self.job.CreateIndex}
            if one.Status in ACTIVE and (self.job.Stop or not same or number):
                text = CANCELLED_STOPPED if self.job.Stop else CANCELLED_NEWER
                self._changed(structs.replace(one, Status="cancelled", StatusDescription=text))
            if number == 0 and same and one.Status not in {"successful", "cancelled"} and not self.job.Stop:
                current = one
            elif number == 0:
                abandoned = one
        return Situation(
            job=self.job,
            nodes=self.state.nodes,
            eval_id=self.evaluation.ID,
            now_ns=self.outcome.now_ns,
            pending_evals={one.ID for one in self._evals() if one.Status == "pending"},
            needs_replacement=self._needs_replacement,
            deployment=current,
            abandoned=abandoned,
        )

    def _evals(self) -> Sequence[Evaluation]:
        return self.state.evals_of_job(self.evaluation.Namespace, self.evaluation.JobID)

    def _needs_replacement(self, alloc: Alloc, group: TaskGroup) -> bool:
        key = (group.Name, alloc.JobVersion)
        if key not in self._destructive:
            old = self.state.job_of(alloc)
            self._destructive[key] = old is None or is_destructive(old, self.job, group.Name)
        if self._destructive[key] or older_incarnation(alloc, self.job):
            return True
        if group.Name not in self._suitable:
            self._suitable[group.Name] = suitable_nodes(self.cluster, self.job, group, ask_of(group))
        row = self.cluster.row_of.get(alloc.NodeID)
        return row is None or not bool(self._suitable[group.Name][row])

    def _plans(self, situation: Situation) -> dict[str, GroupPlan]:
        wanted = {group.Name: group for group in self._wanted_groups()}
        by_group: dict[str, list[Alloc]] = {name: [] for name in wanted}
        for alloc in self.allocs:
            by_group.setdefault(alloc.TaskGroup, []).append(alloc)
        plans: dict[str, GroupPlan] = {}
        for name, allocs in by_group.items():
            if name not in wanted:
                plans[name] = stop_group(name, allocs, self.state.nodes)
            elif self.job.Type in {"system", "sysbatch"}:
                failed_too = self.evaluation.TriggeredBy != "alloc-failure"
                self._system[name] = reconcile_system(
                    situation, self.cluster, wanted[name], allocs, failed_too=failed_too
                )
                plans[name] = self._system[name].group
            else:
                plans[name] = reconcile_group(situation, wanted[name], allocs)
            self.updates[name] = plans[name].updates
        return plans

    # ---- deployment --------------------------------------------------------------------------------------------

    def _deployment(self, situation: Situation, plans: dict[str, GroupPlan]) -> Deployment | None:
        """A copy of the running deployment with the groups' new progress, or a new one; None: none."""
        progress = {name: plan.progress for name, plan in plans.items() if plan.progress is not None}
        current = situation.deployment
        if current is not None:
            groups = {name: structs.replace(one) for name, one in (current.TaskGroups or {}).items()} | progress
            return structs.replace(current, TaskGroups=groups)
        if not any(plan.starts_deployment for plan in plans.values()):
            return None
        return Deployment(
            ID=self.outcome.new_id(),
            Namespace=self.job.Namespace,
            JobID=self.job.ID,
            JobVersion=self.job.Version,
            JobModifyIndex=self.job.ModifyIndex,
            JobSpecModifyIndex=self.job.JobModifyIndex,
            JobCreateIndex=self.job.CreateIndex,
            TaskGroups=progress,
            CreateTime=self.outcome.now_ns,
        )

    def _changed(self, deployment: Deployment) -> None:
        self.deployments[deployment.ID] = structs.replace(deployment, ModifyTime=self.outcome.now_ns)

    def _close_deployment(self, deployment: Deployment | None) -> None:
        if deployment is None:
            return
        if deployment.Status == "running":
            deployment.StatusDescription = running_description(deployment, self.job)
        if deployment != self.state.deployments.get(deployment.ID):
            self._changed(deployment)

    # ---- outcome -----------------------------------------------------------------------------------------------

    def _decide(self, rollout: Rollout, plans: dict[str, GroupPlan]) -> Decision:
        self._close_deployment(rollout.deployment)
        processed = structs.replace(
            self.evaluation,
            Status="complete",
            StatusDescription=self._explanation(rollout.failed),
            DeploymentID=rollout.deployment.ID if rollout.deployment is not None else self.evaluation.DeploymentID,
            FailedTGAllocs=rollout.failed or None,
            QueuedAllocations=dict.fromkeys(plans, 0) | rollout.queued,
            BlockedEval="",
            SnapshotIndex=self.state.revision,
            ModifyTime=self.outcome.now_ns,
        )
        if self.evaluation.AnnotatePlan:
            processed.PlanAnnotations = Annotations(DesiredTGUpdates=self.updates)
        others = self._blocked(processed, failed=bool(rollout.failed))
        return Decision(
            evaluation=processed,
            segments=self.outcome.segments,
            desired=self.outcome.desired,
            clients=self.outcome.clients,
            deployments=list(self.deployments.values()),
            evaluations=[processed, *others, *self.outcome.follow_ups],
            desired_updates=self.updates,
            failed=rollout.failed,
            metrics=rollout.metrics,
        )

    def _explanation(self, failed: Mapping[str, AllocationMetric]) -> str:
        """In words, what was not placed and why; "" when everything was."""
        groups = {group.Name: group for group in self.job.TaskGroups or ()}
        return " ".join(explain(metric, groups[name], self.job) for name, metric in failed.items())

    def _blocked(self, processed: Evaluation, *, failed: bool) -> list[Evaluation]:
        """Leaves exactly one blocked evaluation of the job when something was not placed, else none."""
        changed: list[Evaluation] = []
        reason = f"evaluation {processed.ID!r} successful"
        if failed and self.evaluation.Status == "blocked":
            processed.Status = "blocked"
        elif failed:
            blocked = self.outcome.child("queued-allocs", "created to place remaining allocations")
            blocked.Status = "blocked"
            blocked.FailedTGAllocs, blocked.QueuedAllocations = processed.FailedTGAllocs, processed.QueuedAllocations
            processed.BlockedEval = blocked.ID
            changed.append(blocked)
        if failed:
            reason = "existing blocked evaluation exists for job"
        for one in self._evals():
            if one.Status == "blocked" and one.ID != self.evaluation.ID:
                changed.append(
                    structs.replace(one, Status="canceled", StatusDescription=reason, ModifyTime=self.outcome.now_ns)
                )
        return changed


def _gone(evaluation: Evaluation) -> Job:
    """Stands for a purged job: nothing of it is wanted."""
    return Job(Namespace=evaluation.Namespace, ID=evaluation.JobID, Type=evaluation.Type or "service", Stop=True)
