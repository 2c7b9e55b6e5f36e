"""An operator's decisions on deployments, and how a decision on one becomes part of a commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from kokiris.kernel.clock import rfc3339
from kokiris.orchestrator.commands import DeploymentResult
from kokiris.orchestrator.core.context import Context
from kokiris.orchestrator.core.desires import changed_desire
from kokiris.orchestrator.core.draft import Draft
from kokiris.orchestrator.core.evaluations import evaluation_of
from kokiris.orchestrator.core.job_changes import draft_stable
from kokiris.orchestrator.core.jobs import Jobs
from kokiris.orchestrator.core.refusal import Refused
from kokiris.orchestrator.model.alloc import AllocDesired
from kokiris.orchestrator.model.allocwire import Transition
from kokiris.orchestrator.model.deployment import Deployment, DeploymentState
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.scheduler.deployments import PAUSED, DeploymentDecision, fail_by_user, running_description
from kokiris.orchestrator.state import OPEN_DEPLOYMENTS

TRIGGER = "deployment-watcher"


class Deployments:
    """The deployment commands of `commands.Commands`; see there."""

    def __init__(self, context: Context, jobs: Jobs) -> None:
        self._context = context
        self._jobs = jobs

    async def promote(self, deployment_id: str, groups: list[str] | None) -> DeploymentResult:
        def change(deployment: Deployment, job: Job) -> Deployment:
            after = promoted(deployment, groups, self._context.now_ns())
            return msgspec.structs.replace(after, StatusDescription=running_description(after, job))

        return await self._change(deployment_id, "promote", change, evaluate=True)

    async def pause(self, deployment_id: str, pause: bool) -> DeploymentResult:
        def change(deployment: Deployment, job: Job) -> Deployment:
            if pause:
                return msgspec.structs.replace(deployment, Status="paused", StatusDescription=PAUSED)
            after = msgspec.structs.replace(deployment, Status="running")
            after.TaskGroups = {
                name: _clock_restarted(one, self._context.now_ns()) for name, one in (after.TaskGroups or {}).items()
            }
            return msgspec.structs.replace(after, StatusDescription=running_description(after, job))

        return await self._change(deployment_id, "pause" if pause else "resume", change, evaluate=not pause)

    async def fail(self, deployment_id: str) -> DeploymentResult:
        def decide() -> tuple[Draft, DeploymentResult]:
            deployment, job = self._open(deployment_id, "can't fail terminal deployment")
            versions = self._context.state.versions.get((job.Namespace, job.ID), {})
            decision = fail_by_user(deployment, job, self._context.now_ns(), versions)
            draft, eval_id = Draft(), ""
            eval_id = draft_watched(self._context, self._jobs, draft, deployment, decision)
            return draft, DeploymentResult(EvalID=eval_id, RevertedJobVersion=decision.revert_to)

        return await self._write(decide)

    async def set_health(
        self, deployment_id: str, healthy: Sequence[str], unhealthy: Sequence[str]
    ) -> DeploymentResult:
        def decide() -> tuple[Draft, DeploymentResult]:
            deployment, job = self._open(deployment_id, "can't set health of allocations for a terminal deployment")
            draft = Draft()
            for alloc_id in (*healthy, *unhealthy):
                alloc = self._context.state.allocs.get(alloc_id)
                if alloc is None:
                    raise Refused(f'unknown alloc "{alloc_id}"')
                if alloc.DeploymentID != deployment.ID:
                    raise Refused(f'alloc "{alloc_id}" is not part of deployment "{deployment.ID}"')
                changed_desire(self._context, draft, alloc, AllocDesired(Healthy=alloc_id in healthy))
            draft.expect(self._context.keys.deployment(deployment.ID), deployment.ModifyIndex)
            eval_id = _draft_evaluation(self._context, draft, job, deployment)
            return draft, DeploymentResult(EvalID=eval_id)

        return await self._write(decide)

    async def _change(
        self, deployment_id: str, verb: str, change: Callable[[Deployment, Job], Deployment], *, evaluate: bool
    ) -> DeploymentResult:
        def decide() -> tuple[Draft, DeploymentResult]:
            deployment, job = self._open(deployment_id, f"can't {verb} terminal deployment")
            after = change(deployment, job)
            after.ModifyTime = self._context.now_ns()
            draft = Draft()
            draft.expect(self._context.keys.deployment(deployment.ID), deployment.ModifyIndex)
            draft.put(self._context.keys.deployment(deployment.ID), after)
            eval_id = _draft_evaluation(self._context, draft, job, deployment) if evaluate else ""
            return draft, DeploymentResult(EvalID=eval_id)

        return await self._write(decide)

    def _open(self, deployment_id: str, ended: str) -> tuple[Deployment, Job]:
        deployment = self._context.state.deployments.get(deployment_id)
        job = (
            self._context.state.job_version(deployment.Namespace, deployment.JobID, deployment.JobVersion)
            if deployment
            else None
        )
        if deployment is None or job is None:
            raise Refused("deployment not found", next_step="List the job's deployments first.")
        if deployment.Status not in OPEN_DEPLOYMENTS:
            raise Refused(ended, next_step=f"The deployment is {deployment.Status}; register the job again instead.")
        return deployment, job

    async def _write(self, decide: Callable[[], tuple[Draft, DeploymentResult]]) -> DeploymentResult:
        revision, result = await self._context.commits.write(decide)
        result.Index = result.DeploymentModifyIndex = revision
        result.EvalCreateIndex = revision if result.EvalID else 0
        return result


def promoted(deployment: Deployment, names: Sequence[str] | None, now_ns: int) -> Deployment:
    """The deployment with the canaries of `names` (None: all groups) promoted.

    Raises Refused when there is nothing to promote, or canaries are not healthy yet.
    """
    groups = dict(deployment.TaskGroups or {})
    unknown = [name for name in names or () if name not in groups]
    if unknown:
        raise Refused(f'task group "{unknown[0]}" is not part of the deployment')
    wanted = [name for name, one in groups.items() if one.DesiredCanaries and not one.Promoted]
    if names is not None:
        wanted = [name for name in wanted if name in names]
    if not wanted:
        raise Refused("no canaries to promote")
    lacking = [name for name in wanted if groups[name].HealthyAllocs < groups[name].DesiredCanaries]
    if lacking:
        texts = [
            f'Task group "{name}" has {groups[name].HealthyAllocs}/{groups[name].DesiredCanaries} healthy allocations'
            for name in lacking
        ]
        raise Refused("\n".join(texts), next_step="Wait until the canaries are healthy, or fail the deployment.")
    for name in wanted:
        groups[name] = _clock_restarted(msgspec.structs.replace(groups[name], Promoted=True), now_ns)
    return msgspec.structs.replace(deployment, TaskGroups=groups)


def _clock_restarted(progress: DeploymentState, now_ns: int) -> DeploymentState:
    if not progress.ProgressDeadline:
        return progress
    return msgspec.structs.replace(progress, RequireProgressBy=rfc3339(now_ns + progress.ProgressDeadline))


def draft_watched(
    context: Context, jobs: Jobs, draft: Draft, deployment: Deployment, decision: DeploymentDecision
) -> str:
    """Everything a decision on a deployment brings about, conditional on the deployment as it was; the id of the
    evaluation it leads to, or ""."""
    key = context.keys.deployment(deployment.ID)
    draft.expect(key, deployment.ModifyIndex)
    if decision.changed:
        draft.put(key, decision.deployment)
    name = (deployment.Namespace, deployment.JobID)
    version = context.state.job_version(*name, deployment.JobVersion)
    if decision.stable and version is not None:
        draft_stable(context, draft, version, True)
    for alloc_id in decision.reschedule:
        alloc = context.state.allocs.get(alloc_id)
        if alloc is not None:
            change = AllocDesired(DesiredTransition=Transition(Reschedule=True))
            changed_desire(context, draft, alloc, change)
    target = context.state.job_version(*name, decision.revert_to) if decision.revert_to is not None else None
    current = context.state.job(*name)
    if target is not None and current is not None and current.Version == deployment.JobVersion:
        registration, result = jobs.draft_registration(msgspec.structs.replace(target, Stop=False), TRIGGER)
        draft.absorb(registration)
        return result.EvalID
    return _draft_evaluation(context, draft, current, deployment) if decision.evaluate and current is not None else ""


def _draft_evaluation(context: Context, draft: Draft, job: Job, deployment: Deployment) -> str:
    current = context.state.job(job.Namespace, job.ID) or job
    evaluation = evaluation_of(current, TRIGGER, context.now_ns(), deployment_id=deployment.ID)
    draft.put(context.keys.evaluation(evaluation.ID), evaluation)
    return evaluation.ID
