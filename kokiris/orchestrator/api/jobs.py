"""`/v1/jobs`: list, register, parse, validate, statuses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from kokiris.kernel.errors import BadInput, NotSupported, TooLarge
from kokiris.orchestrator.api.call import Call
from kokiris.orchestrator.api.derived import children_of, job_now, status_of
from kokiris.orchestrator.api.language import canonical, parse
from kokiris.orchestrator.api.listing import by_creation, by_namespace, page
from kokiris.orchestrator.api.registration import checked_job, findings
from kokiris.orchestrator.api.requests import (
    JobPlanRequest,
    JobRegisterRequest,
    JobsParseRequest,
    JobStatusesRequest,
)
from kokiris.orchestrator.api.responses import (
    JobListStub,
    JobRegisterResponse,
    JobStatusAlloc,
    JobStatusDeployment,
    JobStatusesJob,
    JobValidateResponse,
)
from kokiris.orchestrator.commands import JobResult
from kokiris.orchestrator.jobspec import multi_error
from kokiris.orchestrator.model.deployment import Deployment
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.shapes import deployment_status

SOURCE_LIMIT_BYTES = 1024 * 1024
ACTIVE_DEPLOYMENT = frozenset({"running", "paused", "pending", "blocked", "unblocking", "initializing"})


async def list_jobs(call: Call) -> list[JobListStub]:
    """GET /v1/jobs."""
    return await jobs_where(call, lambda _: True)


async def jobs_where(call: Call, wanted: Callable[[Job], bool]) -> list[JobListStub]:
    """The page asked for of the jobs that are `wanted`."""
    await call.block(("jobs",), ("allocs",), ("evals",))
    prefix, with_meta = call.query("prefix"), call.flag("meta")
    found = (
        job
        for (namespace, job_id), job in call.state.jobs.items()
        if call.sees(namespace) and job_id.startswith(prefix) and wanted(job)
    )
    chosen = page(call, found, by_namespace, lambda job: job_now(call.state, call.context.encodings, job).job)
    return [_stub(call, job, with_meta) for job in chosen]


def _stub(call: Call, job: Job, with_meta: bool) -> JobListStub:
    now = job_now(call.state, call.context.encodings, job)
    return JobListStub(
        ID=job.ID,
        ParentID=job.ParentID,
        Name=job.Name,
        Namespace=job.Namespace,
        Datacenters=job.Datacenters,
        Type=job.Type,
        Priority=job.Priority,
        Periodic=job.Periodic is not None,
        ParameterizedJob=job.ParameterizedJob is not None,
        Stop=job.Stop,
        Status=now.job.Status,
        StatusDescription=job.StatusDescription,
        JobSummary=now.summary,
        CreateIndex=job.CreateIndex,
        ModifyIndex=job.ModifyIndex,
        JobModifyIndex=job.JobModifyIndex,
        SubmitTime=job.SubmitTime,
        Meta=job.Meta if with_meta else msgspec.UNSET,
    )


async def register_job(call: Call) -> JobRegisterResponse:
    """POST or PUT /v1/jobs, and /v1/job/:id, whose id must then match."""
    request = await call.body(JobRegisterRequest)
    if request.EvalPriority and not 1 <= request.EvalPriority <= 100:
        raise BadInput("Eval priority must be between 1 and 100 inclusively")
    if request.PreserveResources:
        raise NotSupported("PreserveResources is not acted on", next_step="Send the resources the tasks shall have.")
    if request.Submission is not None:
        _check_size(request.Submission.Source)
    job, warnings = checked_job(call, submitted(call, request.Job, request.Namespace))
    result = await call.context.commands.register_job(
        job,
        submission=request.Submission,
        enforce_index=request.JobModifyIndex if request.EnforceIndex else None,
        preserve_counts=request.PreserveCounts,
        eval_priority=request.EvalPriority,
    )
    return registered(call, result, warnings)


def registered(call: Call, result: JobResult, warnings: str = "") -> JobRegisterResponse:
    """The answer of every write that registers a version or makes an evaluation."""
    call.index = result.Index
    return JobRegisterResponse(
        EvalID=result.EvalID,
        EvalCreateIndex=result.EvalCreateIndex,
        JobModifyIndex=result.JobModifyIndex,
        Warnings="\n\n".join(text for text in (result.Warnings, warnings) if text),
        Index=result.Index,
    )


def submitted(call: Call, raw: Mapping[str, Any] | None, of_request: str) -> Job:
    """The canonical form of a job as it was sent; its namespace: of the query, else of the request, else its own.

    Raises BadInput when it is missing, has no id, or has another id than the path; Forbidden for another's namespace.
    """
    if raw is None:
        raise BadInput("Job must be specified")
    job = canonical(raw, call.query("namespace") or of_request)
    if not job.ID:
        raise BadInput("Job must have a valid ID")
    if call.params.get("job_id", job.ID) != job.ID:
        raise BadInput("Job ID does not match")
    call.refuse_hidden(job.Namespace)
    return job


def _check_size(source: str) -> None:
    if len(source.encode()) > SOURCE_LIMIT_BYTES:
        raise TooLarge(f"job source is over the limit of {SOURCE_LIMIT_BYTES} bytes")


async def parse_job(call: Call) -> Any:
    """POST or PUT /v1/jobs/parse: HCL in, JSON out."""
    request = await call.body(JobsParseRequest)
    if not request.JobHCL:
        raise BadInput("Job spec is empty", next_step='Send the job file\'s text as "JobHCL".')
    _check_size(request.JobHCL)
    try:
        raw = parse(request.JobHCL, request.Variables)
        return canonical(raw, call.query("namespace")) if request.Canonicalize else raw
    except BadInput as error:
        raise BadInput(f"Failed to parse job: {error.message}", next_step=error.next_step) from error


async def validate_job(call: Call) -> JobValidateResponse:
    """POST or PUT /v1/validate/job: what registering would refuse, without trying."""
    request = await call.body(JobPlanRequest)
    found = findings(call, submitted(call, request.Job, request.Namespace))
    errors = [f"not supported by this version: {one}" for one in found.unsupported] + found.errors
    return JobValidateResponse(
        ValidationErrors=errors or None,
        Error=multi_error(errors) if errors else "",
        Warnings=found.warnings,
    )


async def job_statuses(call: Call) -> list[JobStatusesJob]:
    """GET or POST /v1/jobs/statuses: what a page of jobs shows, newest first."""
    wanted: set[tuple[str, str]] | None = None
    if call.req.method == "GET":
        await call.block(("jobs",), ("allocs",), ("deployments",))
        with_children = call.flag("include_children")
    else:
        request = await call.optional_body(JobStatusesRequest)
        with_children = request.IncludeChildren
        if request.Jobs:
            wanted = {(one.Namespace, one.ID) for one in request.Jobs}
        call.index = call.state.topics.index(("jobs",), ("allocs",), ("deployments",))
    found = [job for job in call.state.jobs.values() if _is_wanted(call, job, wanted, with_children)]
    return [_status(call, job) for job in reversed(page(call, found, by_creation))]


def _is_wanted(call: Call, job: Job, wanted: set[tuple[str, str]] | None, with_children: bool) -> bool:
    if wanted is not None:
        return (job.Namespace, job.ID) in wanted or (with_children and (job.Namespace, job.ParentID) in wanted)
    return call.sees(job.Namespace) and (with_children or not job.ParentID)


def _status(call: Call, job: Job) -> JobStatusesJob:
    state = call.state
    allocs = state.allocs_of_job(job.Namespace, job.ID)
    deployments = state.deployments_of_job(job.Namespace, job.ID)
    return JobStatusesJob(
        ID=job.ID,
        Namespace=job.Namespace,
        Name=job.Name,
        Type=job.Type,
        NodePool=job.NodePool,
        Datacenters=job.Datacenters,
        Priority=job.Priority,
        Version=job.Version,
        SubmitTime=job.SubmitTime,
        ModifyIndex=job.ModifyIndex,
        Allocs=[
            JobStatusAlloc(
                ID=alloc.ID,
                Group=alloc.TaskGroup,
                ClientStatus=alloc.ClientStatus,
                NodeID=alloc.NodeID,
                DeploymentStatus=deployment_status(alloc),
                JobVersion=alloc.JobVersion,
                FollowupEvalID=alloc.Desired.FollowupEvalID if alloc.Desired else "",
            )
            for alloc in allocs
        ],
        GroupCountSum=sum(group.Count for group in job.TaskGroups or ()),
        ChildStatuses=_child_statuses(call, job),
        ParentID=job.ParentID,
        LatestDeployment=_latest(deployments),
        Stop=job.Stop,
        IsPack="pack.name" in (job.Meta or {}),
        Status=status_of(state, job),
    )


def _child_statuses(call: Call, job: Job) -> list[str] | None:
    if job.Periodic is None and job.ParameterizedJob is None:
        return None
    return [status_of(call.state, child) for child in children_of(call.state, job)]


def _latest(deployments: Iterable[Deployment]) -> JobStatusDeployment | None:
    newest = next(iter(deployments), None)
    if newest is None:
        return None
    groups = (newest.TaskGroups or {}).values()
    return JobStatusDeployment(
        ID=newest.ID,
        IsActive=newest.Status in ACTIVE_DEPLOYMENT,
        JobVersion=newest.JobVersion,
        Status=newest.Status,
        StatusDescription=newest.StatusDescription,
        AllAutoPromote="automatic promotion" in newest.StatusDescription,
        RequiresPromotion=any(group.DesiredCanaries > 0 and not group.Promoted for group in groups),
    )
