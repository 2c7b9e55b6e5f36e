"""Writes on one job."""

from __future__ import annotations

from typing import Any

from kokiris.kernel.errors import BadInput, NotFound
from kokiris.orchestrator.api.call import Call
from kokiris.orchestrator.api.job_reads import found
from kokiris.orchestrator.api.jobs import registered, submitted
from kokiris.orchestrator.api.language import annotated_diff
from kokiris.orchestrator.api.registration import checked_job, multi_warning
from kokiris.orchestrator.api.requests import (
    JobEvaluateRequest,
    JobPlanRequest,
    JobRevertRequest,
    JobStabilityRequest,
    ScalingRequest,
)
from kokiris.orchestrator.api.responses import (
    IndexOnly,
    JobDeregisterResponse,
    JobPlanResponse,
    JobRegisterResponse,
)
from kokiris.orchestrator.core.refusal import Refused


async def plan(call: Call) -> JobPlanResponse:
    """POST or PUT /v1/job/:id/plan: what registering would do. Nothing is written."""
    request = await call.body(JobPlanRequest)
    job, warnings = checked_job(call, submitted(call, request.Job, request.Namespace))
    result = await call.context.commands.plan_job(job)
    call.index = result.Index
    return JobPlanResponse(
        Annotations=result.Annotations_,
        FailedTGAllocs=result.FailedTGAllocs or None,
        JobModifyIndex=result.JobModifyIndex,
        Diff=annotated_diff(call.state.job(job.Namespace, job.ID), job, result.Annotations_) if request.Diff else None,
        Warnings="\n\n".join(text for text in (result.Warnings, warnings) if text),
        Index=result.Index,
    )


async def deregister(call: Call) -> JobDeregisterResponse:
    """DELETE /v1/job/:id: stop, or with `purge` forget."""
    priority = call.integer("eval_priority") or 0
    if priority and not 1 <= priority <= 100:
        raise BadInput("Eval priority must be between 1 and 100 inclusively")
    call.flag("global")
    result = await call.context.commands.deregister_job(
        call.namespace,
        call.params["job_id"],
        purge=call.flag("purge"),
        eval_priority=priority,
        no_shutdown_delay=call.flag("no_shutdown_delay"),
    )
    call.index = result.Index
    return JobDeregisterResponse(
        EvalID=result.EvalID,
        EvalCreateIndex=result.EvalCreateIndex,
        JobModifyIndex=result.JobModifyIndex,
        Index=result.Index,
    )


async def revert(call: Call) -> JobRegisterResponse:
    """POST or PUT /v1/job/:id/revert: an earlier version becomes the next one."""
    request = await call.body(JobRevertRequest)
    _same_job(call, request.JobID, required=True)
    if request.TaggedVersion:
        raise Refused(
            f'tag "{request.TaggedVersion}" not found', next_step="Name the version by its number (JobVersion)."
        )
    result = await call.context.commands.revert_job(
        call.namespace, call.params["job_id"], request.JobVersion, enforce_prior_version=request.EnforcePriorVersion
    )
    return registered(call, result)


async def stable(call: Call) -> IndexOnly:
    """POST or PUT /v1/job/:id/stable."""
    request = await call.body(JobStabilityRequest)
    _same_job(call, request.JobID, required=True)
    call.index = await call.context.commands.set_job_stable(
        call.namespace, call.params["job_id"], request.JobVersion, request.Stable
    )
    return IndexOnly(Index=call.index)


async def evaluate(call: Call) -> JobRegisterResponse:
    """POST or PUT /v1/job/:id/evaluate; the body may be empty."""
    request = await call.optional_body(JobEvaluateRequest)
    _same_job(call, request.JobID)
    force = request.EvalOptions is not None and request.EvalOptions.ForceReschedule
    result = await call.context.commands.evaluate_job(call.namespace, call.params["job_id"], force_reschedule=force)
    return registered(call, result)


async def scale(call: Call) -> JobRegisterResponse:
    """POST or PUT /v1/job/:id/scale: another count for one group."""
    request = await call.body(ScalingRequest)
    target = request.Target or {}
    _same_job(call, target.get("Job", ""))
    group = target.get("Group", "")
    if not group:
        raise BadInput("missing task group name for scaling action", next_step='Send {"Target": {"Group": "…"}}.')
    if request.Count is not None and not 0 <= request.Count < 2**31:
        raise BadInput("scaling action count can't be negative" if request.Count < 0 else "scaling count is too large")
    if request.Count is not None and request.Error:
        raise BadInput("scaling action should not contain count if error is true")
    job = found(call)
    if request.EnforceIndex and request.JobModifyIndex != job.JobModifyIndex:
        raise Refused(
            f"Enforcing job modify index {request.JobModifyIndex}: job exists with conflicting job modify index: "
            f"{job.JobModifyIndex}"
        )
    chosen = next((one for one in job.TaskGroups or () if one.Name == group), None)
    if chosen is None:
        raise BadInput(
            f'task group "{group}" specified for scaling does not exist in job',
            next_step="Its groups are: " + ", ".join(one.Name for one in job.TaskGroups or ()) + ".",
        )
    _within_bounds(chosen.Scaling, request.Count)
    result = await call.context.commands.scale_job(
        call.namespace, job.ID, group, request.Count, message=request.Message, error=request.Error
    )
    return registered(call, result, multi_warning([]))


def _within_bounds(scaling: Any, count: int | None) -> None:
    if scaling is None or count is None:
        return
    if count < scaling.Min:
        raise BadInput(f"group count was less than scaling policy minimum: {count} < {scaling.Min}")
    if scaling.Max and count > scaling.Max:
        raise BadInput(f"group count was greater than scaling policy maximum: {count} > {scaling.Max}")


def _same_job(call: Call, job_id: str, *, required: bool = False) -> None:
    if required and not job_id:
        raise BadInput("Job ID must be specified", next_step='Send the job\'s id as "JobID".')
    if job_id and job_id != call.params["job_id"]:
        raise BadInput("Job ID does not match")
    if call.state.job(call.namespace, call.params["job_id"]) is None:
        raise NotFound("job not found")
