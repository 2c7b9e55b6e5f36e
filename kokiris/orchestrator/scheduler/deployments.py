"""Watching a deployment: how far it is, whether it has succeeded or failed, and what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import structs

from kokiris.kernel.clock import ZERO_TIME, parse_rfc3339_ns, rfc3339
from kokiris.kernel.errors import BadInput
from kokiris.orchestrator.jobspec.change import is_destructive
from kokiris.orchestrator.model.alloc import Alloc
from kokiris.orchestrator.model.deployment import Deployment, DeploymentState
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.model.policy import UpdateStrategy

RUNNING = "Deployment is running"
RUNNING_NEEDS_PROMOTION = "Deployment is running but requires manual promotion"
RUNNING_AUTO_PROMOTION = "Deployment is running pending automatic promotion"
PAUSED = "Deployment is paused"
SUCCESSFUL = "Deployment completed successfully"
CANCELLED_STOPPED = "Cancelled because job is stopped"
CANCELLED_NEWER = "Cancelled due to newer version of job"
FAILED_UNHEALTHY = "Failed due to unhealthy allocations"
FAILED_DEADLINE = "Failed due to progress deadline"
FAILED_BY_USER = "Deployment marked as failed"

WATCHED = frozenset({"running", "paused"})
"""Statuses in which a deployment is worth watching."""


@dataclass(slots=True, kw_only=True)
class DeploymentDecision:
    """What is to be done about a deployment now."""

    deployment: Deployment
    """With counts, status and description brought up to date."""
    changed: bool = False
    """Whether it differs from what was given, so that it must be stored."""
    stable: bool = False
    """The job version has proved itself: mark it stable."""
    revert_to: int | None = None
    """Register this version again (`auto_revert`)."""
    reschedule: list[str] = field(default_factory=list)
    """Failed allocations of the deployment that may be replaced: set `DesiredTransition.Reschedule`."""
    evaluate: bool = False
    """The job needs an evaluation (trigger "deployment-watcher")."""
    wake_at_ns: int | None = None
    """When to look again even if nothing happens; None: only on a change."""


def running_description(deployment: Deployment, job: Job) -> str:
    """The description of a deployment under way."""
    waiting = [name for name, one in (deployment.TaskGroups or {}).items() if one.DesiredCanaries and not one.Promoted]
    if not waiting:
        return RUNNING
    return RUNNING_AUTO_PROMOTION if auto_promotes(deployment, job) else RUNNING_NEEDS_PROMOTION


def auto_promotes(deployment: Deployment, job: Job) -> bool:
    """Whether every group with canaries asks to be promoted automatically."""
    canarying = [name for name, one in (deployment.TaskGroups or {}).items() if one.DesiredCanaries]
    return bool(canarying) and all(_update_of(job, name).AutoPromote for name in canarying)


def revert_target(job: Job, versions: Mapping[int, Job]) -> Job | None:
    """The version `auto_revert` goes back to: the newest stable one before `job`'s; None: there is none."""
    stable = [one for one in versions.values() if one.Stable and one.Version < job.Version]
    return max(stable, key=lambda one: one.Version, default=None)


def _update_of(job: Job, group: str) -> UpdateStrategy:
    found = next((one for one in job.TaskGroups or () if one.Name == group), None)
    return (found.Update if found is not None else None) or job.Update or UpdateStrategy()


def watch_deployment(
    deployment: Deployment, job: Job, allocs: Sequence[Alloc], now_ns: int, versions: Mapping[int, Job] | None = None
) -> DeploymentDecision:
    """Looks at a deployment that is running or paused (any other comes back unchanged).

    `allocs`: the job's (others than the deployment's are ignored); `job`: the version being deployed; `versions`: the
    kept versions by number, needed to find what to revert to. Nothing is mutated.
    """
    if deployment.Status not in WATCHED:
        return DeploymentDecision(deployment=deployment)
    mine = [alloc for alloc in allocs if alloc.DeploymentID == deployment.ID]
    groups = {
        name: _count(one, [alloc for alloc in mine if alloc.TaskGroup == name])
        for name, one in (deployment.TaskGroups or {}).items()
    }
    counted = structs.replace(deployment, TaskGroups=groups)
    decision = DeploymentDecision(deployment=counted)
    reason = _failure(counted, now_ns)
    if reason is not None:
        _fail(decision, job, reason, versions or {})
    elif all(_complete(one) for one in groups.values()):
        counted.Status, counted.StatusDescription = "successful", SUCCESSFUL
        decision.stable = True
    else:
        _progress(decision, job, mine, deployment)
    decision.changed = decision.deployment != deployment
    if decision.changed:
        counted.ModifyTime = now_ns
    return decision


def _count(progress: DeploymentState, allocs: Sequence[Alloc]) -> DeploymentState:
    """The group's counts anew; each newly healthy allocation moves the progress deadline."""
    healthy = [alloc for alloc in allocs if alloc.Healthy is True and not alloc.terminal()]
    counted = structs.replace(
        progress,
        PlacedAllocs=len(allocs),
        HealthyAllocs=len(healthy),
        UnhealthyAllocs=sum(_unhealthy(alloc) for alloc in allocs),
    )
    if progress.ProgressDeadline and healthy:
        newest_ns = max(_healthy_at_ns(alloc) for alloc in healthy)
        require_ns = max(parse_rfc3339_ns(progress.RequireProgressBy), newest_ns + progress.ProgressDeadline)
        counted.RequireProgressBy = rfc3339(require_ns)
    return counted


def _unhealthy(alloc: Alloc) -> bool:
    return alloc.Healthy is False or (alloc.Healthy is not True and alloc.ClientStatus == "failed")


def _healthy_at_ns(alloc: Alloc) -> int:
    return max(alloc.Client.HealthyAt if alloc.Client is not None else 0, alloc.Segment.CreateTime)


def _complete(progress: DeploymentState) -> bool:
    promoted = progress.Promoted or not progress.DesiredCanaries
    return promoted and progress.HealthyAllocs >= max(progress.DesiredTotal, progress.DesiredCanaries)


def _awaits_promotion(progress: DeploymentState) -> bool:
    """All canaries are healthy: the clock stands still until somebody decides."""
    return 0 < progress.DesiredCanaries <= progress.HealthyAllocs and not progress.Promoted


def _failure(deployment: Deployment, now_ns: int) -> str | None:
    for progress in (deployment.TaskGroups or {}).values():
        if _complete(progress):
            continue
        if not progress.ProgressDeadline:
            if progress.UnhealthyAllocs:
                return FAILED_UNHEALTHY
            continue
        if deployment.Status == "running" and not _awaits_promotion(progress):
            require_ns = parse_rfc3339_ns(progress.RequireProgressBy)
            if 0 < require_ns <= now_ns:
                return FAILED_DEADLINE
    return None


def _fail(decision: DeploymentDecision, job: Job, reason: str, versions: Mapping[int, Job]) -> None:
    deployment = decision.deployment
    deployment.Status, deployment.StatusDescription = "failed", reason
    decision.evaluate = True
    if any(one.AutoRevert for one in (deployment.TaskGroups or {}).values()):
        decision.revert_to, suffix = _revert(job, versions)
        deployment.StatusDescription += suffix


def fail_by_user(deployment: Deployment, job: Job, now_ns: int, versions: Mapping[int, Job]) -> DeploymentDecision:
    """`deployment fail`: the same consequences as a failure of its own."""
    decision = DeploymentDecision(deployment=structs.replace(deployment, ModifyTime=now_ns), changed=True)
    _fail(decision, job, FAILED_BY_USER, versions)
    return decision


def promote(deployment: Deployment, groups: Sequence[str] | None, now_ns: int) -> Deployment:
    """With the canaries of `groups` (None: all) accepted; the progress clock starts anew.

    Raises BadInput when a named group has no canaries, or they are not all healthy yet.
    """
    states = deployment.TaskGroups or {}
    names = list(groups) if groups is not None else [name for name, one in states.items() if one.DesiredCanaries]
    if not names:
        raise BadInput(f"deployment {deployment.ID!r} has no canaries to promote")
    promoted = {name: structs.replace(one) for name, one in states.items()}
    for name in names:
        one = promoted.get(name)
        if one is None or not one.DesiredCanaries:
            raise BadInput(f"group {name!r} of deployment {deployment.ID!r} has no canaries to promote")
        if one.HealthyAllocs < one.DesiredCanaries and not one.Promoted:
            raise BadInput(
                f"Task group {name!r} has {one.HealthyAllocs}/{one.DesiredCanaries} healthy allocations",
                next_step="Wait until all canaries are healthy, or fail the deployment.",
            )
        one.Promoted = True
        if one.ProgressDeadline:
            one.RequireProgressBy = rfc3339(now_ns + one.ProgressDeadline)
    changed = structs.replace(deployment, TaskGroups=promoted, ModifyTime=now_ns)
    waiting = any(one.DesiredCanaries and not one.Promoted for one in promoted.values())
    if changed.Status == "running":
        changed.StatusDescription = RUNNING_NEEDS_PROMOTION if waiting else RUNNING
    return changed


def paused(deployment: Deployment, job: Job, now_ns: int, *, pause: bool) -> Deployment:
    """The deployment held, or going on; its progress clock starts anew when it goes on."""
    changed = structs.replace(deployment, ModifyTime=now_ns, Status="paused" if pause else "running")
    changed.StatusDescription = PAUSED if pause else running_description(changed, job)
    if not pause:
        changed.TaskGroups = {
            name: structs.replace(one, RequireProgressBy=rfc3339(now_ns + one.ProgressDeadline))
            if one.ProgressDeadline and one.RequireProgressBy != ZERO_TIME
            else one
            for name, one in (deployment.TaskGroups or {}).items()
        }
    return changed


def _revert(job: Job, versions: Mapping[int, Job]) -> tuple[int | None, str]:
    target = revert_target(job, versions)
    if target is None:
        return None, " - no stable job version to auto revert to"
    if _same_specification(target, job):
        text = f" - not rolling back to stable job version {target.Version} as current job has same specification"
        return None, text
    return target.Version, f" - rolling back to job version {target.Version}"


def _same_specification(one: Job, other: Job) -> bool:
    names = [group.Name for group in one.TaskGroups or ()]
    if names != [group.Name for group in other.TaskGroups or ()]:
        return False
    if any(is_destructive(one, other, name) for name in names):
        return False
    return [group.Count for group in one.TaskGroups or ()] == [group.Count for group in other.TaskGroups or ()]


def _progress(decision: DeploymentDecision, job: Job, mine: Sequence[Alloc], before: Deployment) -> None:
    deployment = decision.deployment
    groups = deployment.TaskGroups or {}
    if deployment.Status == "running" and auto_promotes(deployment, job):
        waiting = [one for one in groups.values() if one.DesiredCanaries and not one.Promoted]
        if waiting and all(_awaits_promotion(one) for one in waiting):
            for one in waiting:
                one.Promoted = True
            decision.evaluate = True
    was_healthy = sum(one.HealthyAllocs for one in (before.TaskGroups or {}).values())
    decision.evaluate |= sum(one.HealthyAllocs for one in groups.values()) > was_healthy
    for alloc in mine:
        transition = alloc.Desired.DesiredTransition if alloc.Desired is not None else None
        marked = transition is not None and transition.Reschedule
        deadline = groups[alloc.TaskGroup].ProgressDeadline if alloc.TaskGroup in groups else 0
        if alloc.ClientStatus == "failed" and alloc.DesiredStatus == "run" and deadline and not marked:
            decision.reschedule.append(alloc.ID)
    decision.evaluate |= bool(decision.reschedule)
    deployment.StatusDescription = PAUSED if deployment.Status == "paused" else running_description(deployment, job)
    decision.wake_at_ns = _wake_at_ns(deployment)


def _wake_at_ns(deployment: Deployment) -> int | None:
    if deployment.Status != "running":
        return None
    times = [
        parse_rfc3339_ns(one.RequireProgressBy)
        for one in (deployment.TaskGroups or {}).values()
        if one.RequireProgressBy != ZERO_TIME and not _complete(one) and not _awaits_promotion(one)
    ]
    return min(times, default=None)
