"""Registering, stopping, evaluating and planning jobs."""

from __future__ import annotations

import msgspec

from kokiris.kernel.errors import Forbidden
from kokiris.orchestrator.commands import JobResult, PlanResult
from kokiris.orchestrator.core.context import Context
from kokiris.orchestrator.core.desires import changed_desire
from kokiris.orchestrator.core.draft import Draft
from kokiris.orchestrator.core.evaluations import evaluation_of
from kokiris.orchestrator.core.instances import draft_nothing_declared
from kokiris.orchestrator.core.refusal import Refused
from kokiris.orchestrator.core.specification import (
    check_enforced_index,
    check_update,
    next_version,
    same_specification,
    with_counts_of,
)
from kokiris.orchestrator.core.versions import draft_version, known_job, versions_in_use
from kokiris.orchestrator.model.alloc import AllocDesired
from kokiris.orchestrator.model.allocwire import Transition
from kokiris.orchestrator.model.evaluation import Annotations
from kokiris.orchestrator.model.infra import JobSubmission
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.scheduler.columns import Cluster
from kokiris.orchestrator.scheduler.schedule import schedule

MARKS_PER_COMMIT = 2000
"""How many allocations one command marks: a commit has a limit."""
BUILT_IN_NAMESPACES = frozenset({"default", "platform"})


class Jobs:
    """The job commands of `commands.Commands`; see there."""

    def __init__(self, context: Context, cluster: Cluster) -> None:
        self._context = context
        self._cluster = cluster

    async def register(
        self,
        job: Job,
        *,
        submission: JobSubmission | None = None,
        enforce_index: int | None = None,
        preserve_counts: bool = False,
        eval_priority: int = 0,
    ) -> JobResult:
        def decide() -> tuple[Draft, JobResult]:
            current = self._admit(job, enforce_index)
            wanted = with_counts_of(job, current) if preserve_counts and current is not None else job
            return self.draft_registration(wanted, "job-register", submission=submission, eval_priority=eval_priority)

        return finished(self._context, *await self._context.commits.write(decide))

    def draft_registration(
        self, job: Job, triggered_by: str, *, submission: JobSubmission | None = None, eval_priority: int = 0
    ) -> tuple[Draft, JobResult]:
        """A new version if the specification differs, and an evaluation (none for periodic and parameterized jobs)."""
        draft = Draft()
        current = self._context.state.job(job.Namespace, job.ID)
        if current is not None and same_specification(current, job):
            version, changed = current, False
            draft.expect(self._context.keys.job(job.Namespace, job.ID), current.ModifyIndex)
        else:
            version, changed = draft_version(self._context, draft, job, submission), True
        result = JobResult(JobModifyIndex=0 if changed else version.JobModifyIndex)
        if version.Periodic is None and version.ParameterizedJob is None:
            now_ns = self._context.now_ns()
            evaluation = evaluation_of(version, triggered_by, now_ns, priority=eval_priority, changed=changed)
            draft.put(self._context.keys.evaluation(evaluation.ID), evaluation)
            result.EvalID = evaluation.ID
        return draft, result

    def _admit(self, job: Job, enforce_index: int | None) -> Job | None:
        """The job as it is registered now. Raises when `job` may not replace it."""
        state = self._context.state
        if state.scheduler_config.RejectJobRegistration:
            raise Forbidden(
                "Job registration, dispatch, and scale are disabled by the scheduler configuration",
                next_step="Set RejectJobRegistration to false in the scheduler configuration.",
            )
        if job.Namespace not in BUILT_IN_NAMESPACES and job.Namespace not in state.namespaces:
            raise Refused(f'nonexistent namespace "{job.Namespace}"', next_step="Create the namespace first.")
        current = state.job(job.Namespace, job.ID)
        check_enforced_index(current, enforce_index)
        if current is not None:
            check_update(current, job)
        return current

    async def plan(self, job: Job) -> PlanResult:
        state = self._context.state
        current = self._admit(job, None)
        now_ns = self._context.now_ns()
        if current is not None and same_specification(current, job):
            version = current
        else:
            version = next_version(job, state.versions.get((job.Namespace, job.ID), {}), now_ns)
            version = msgspec.structs.replace(
                version, JobModifyIndex=state.revision + 1, CreateIndex=current.CreateIndex if current else 0
            )
        evaluation = evaluation_of(version, "job-register", now_ns)
        evaluation.AnnotatePlan = True
        decision = schedule(evaluation, state, self._cluster, now_ns, job=version)
        return PlanResult(
            JobModifyIndex=current.JobModifyIndex if current is not None else 0,
            Annotations_=Annotations(DesiredTGUpdates=decision.desired_updates),
            FailedTGAllocs=decision.failed,
            Index=state.revision,
        )

    async def deregister(
        self,
        namespace: str,
        job_id: str,
        *,
        purge: bool = False,
        eval_priority: int = 0,
        no_shutdown_delay: bool = False,
    ) -> JobResult:
        def decide() -> tuple[Draft, JobResult]:
            draft, result = Draft(), JobResult()
            job = known_job(self._context, namespace, job_id)
            if purge:
                self._draft_purge(draft, job)
            elif job.Stop:
                result.JobModifyIndex = job.JobModifyIndex
                draft.expect(self._context.keys.job(namespace, job_id), job.ModifyIndex)
            else:
                draft_version(self._context, draft, msgspec.structs.replace(job, Stop=True))
            if no_shutdown_delay:
                self._draft_hurry(draft, namespace, job_id)
            if job.Periodic is None and job.ParameterizedJob is None:
                evaluation = evaluation_of(
                    job, "job-deregister", self._context.now_ns(), priority=eval_priority, changed=True
                )
                draft.put(self._context.keys.evaluation(evaluation.ID), evaluation)
                result.EvalID = evaluation.ID
            return draft, result

        return finished(self._context, *await self._context.commits.write(decide))

    def _draft_purge(self, draft: Draft, job: Job) -> None:
        keys, name = self._context.keys, (job.Namespace, job.ID)
        draft.expect(keys.job(*name), job.ModifyIndex)
        draft.delete(keys.job(*name))
        in_use = versions_in_use(self._context, *name)
        for version in self._context.state.versions.get(name, {}):
            draft.delete(keys.submission(*name, version))
            if version not in in_use:  # workers still need it to end what runs; garbage collection takes it later
                draft.delete(keys.job_version(*name, version))
        draft_nothing_declared(self._context, draft, job)

    def _draft_hurry(self, draft: Draft, namespace: str, job_id: str) -> None:
        living = [alloc for alloc in self._context.state.allocs_of_job(namespace, job_id) if not alloc.terminal()]
        for alloc in living[:MARKS_PER_COMMIT]:
            transition = Transition(NoShutdownDelay=True)
            changed_desire(self._context, draft, alloc, AllocDesired(DesiredTransition=transition))

    def _draft_force(self, draft: Draft, namespace: str, job_id: str) -> None:
        allocs = self._context.state.allocs_of_job(namespace, job_id)
        failed = [alloc for alloc in allocs if alloc.ClientStatus == "failed" and alloc.DesiredStatus == "run"]
        waiting = [alloc for alloc in failed if alloc.Desired is None or not alloc.Desired.NextAllocation]
        for alloc in waiting[:MARKS_PER_COMMIT]:
            transition = Transition(ForceReschedule=True)
            changed_desire(self._context, draft, alloc, AllocDesired(DesiredTransition=transition))

    async def evaluate(self, namespace: str, job_id: str, *, force_reschedule: bool = False) -> JobResult:
        def decide() -> tuple[Draft, JobResult]:
            draft = Draft()
            job = known_job(self._context, namespace, job_id)
            if job.Periodic is not None:
                raise Refused("can't evaluate periodic job")
            if job.ParameterizedJob is not None:
                raise Refused("can't evaluate parameterized job")
            if force_reschedule:
                self._draft_force(draft, namespace, job_id)
            evaluation = evaluation_of(job, "job-register", self._context.now_ns())
            draft.put(self._context.keys.evaluation(evaluation.ID), evaluation)
            return draft, JobResult(EvalID=evaluation.ID, JobModifyIndex=job.JobModifyIndex)

        return finished(self._context, *await self._context.commits.write(decide))


def finished(context: Context, revision: int, result: JobResult) -> JobResult:
    """`result` with the indexes of its commit (revision 0: nothing had to be written)."""
    result.Index = revision or context.state.revision
    result.EvalCreateIndex = revision if result.EvalID else 0
    result.JobModifyIndex = result.JobModifyIndex or revision
    return result
