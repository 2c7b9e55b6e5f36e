"""Reads of one job."""

from __future__ import annotations

from typing import Any

import msgspec

from kokiris.kernel.errors import BadInput, NotFound
from kokiris.orchestrator.api.alloc_lists import stubs
from kokiris.orchestrator.api.call import Call
from kokiris.orchestrator.api.derived import job_now, job_topics
from kokiris.orchestrator.api.language import job_diff
from kokiris.orchestrator.api.listing import by_creation
from kokiris.orchestrator.api.responses import (
    JobScaleStatusResponse,
    JobVersionsResponse,
    ServiceRegistration,
    TaskGroupScaleStatus,
)
from kokiris.orchestrator.api.services import registration
from kokiris.orchestrator.model.deployment import Deployment
from kokiris.orchestrator.model.evaluation import Evaluation
from kokiris.orchestrator.model.infra import JobSubmission
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.model.summary import JobSummary

_ENCODE = msgspec.json.Encoder().encode


def found(call: Call) -> Job:
    """The newest version of the job the path names. Raises NotFound ("job not found")."""
    job = call.state.job(call.namespace, call.params["job_id"])
    if job is None:
        raise NotFound("job not found")
    return job


async def job(call: Call) -> bytes:
    """GET /v1/job/:id."""
    name = (call.namespace, call.params["job_id"])
    await call.block(*job_topics(*name))
    now = job_now(call.state, call.context.encodings, found(call))
    body: bytes = call.context.encodings.get(("job json", *name), (now,), lambda: _ENCODE(now.job))
    return body


async def summary(call: Call) -> JobSummary:
    """GET /v1/job/:id/summary."""
    await call.block(*job_topics(call.namespace, call.params["job_id"]))
    return job_now(call.state, call.context.encodings, found(call)).summary


async def allocations(call: Call) -> bytes:
    """GET /v1/job/:id/allocations: newest first; without `all`, only those of the job as it is registered now."""
    name = (call.namespace, call.params["job_id"])
    await call.block(("job_allocs", *name))
    current = call.state.job(*name)
    chosen = [
        alloc
        for alloc in call.state.allocs_of_job(*name)
        if call.flag("all") or current is None or alloc.CreateIndex >= current.CreateIndex
    ]
    return stubs(call, sorted(chosen, key=by_creation, reverse=True))


async def evaluations(call: Call) -> list[Evaluation]:
    """GET /v1/job/:id/evaluations: newest first."""
    name = (call.namespace, call.params["job_id"])
    await call.block(("job_evals", *name))
    return sorted(call.state.evals_of_job(*name), key=by_creation, reverse=True)


async def deployments(call: Call) -> list[Deployment]:
    """GET /v1/job/:id/deployments: newest first."""
    name = (call.namespace, call.params["job_id"])
    await call.block(("job_deployments", *name))
    current = call.state.job(*name)
    return [
        deployment
        for deployment in call.state.deployments_of_job(*name)
        if call.flag("all") or current is None or deployment.JobCreateIndex in {0, current.CreateIndex}
    ]


async def deployment(call: Call) -> Deployment | None:
    """GET /v1/job/:id/deployment: the newest, or JSON null."""
    name = (call.namespace, call.params["job_id"])
    await call.block(("job_deployments", *name))
    return next(iter(call.state.deployments_of_job(*name)), None)


async def versions(call: Call) -> JobVersionsResponse:
    """GET /v1/job/:id/versions: newest first, with `diffs` each against the one before it (or `diff_version`)."""
    name = (call.namespace, call.params["job_id"])
    await call.block(("job_versions", *name), ("job", *name))
    kept = call.state.versions.get(name)
    if not kept:
        raise NotFound("job versions not found")
    newest_first = [kept[version] for version in sorted(kept, reverse=True)]
    diffs = _diffs(call, newest_first) if call.flag("diffs") else None
    shown = [_with_status(call, one) for one in newest_first]
    return JobVersionsResponse(Versions=shown, Diffs=diffs, Index=call.index)


def _with_status(call: Call, version: Job) -> Job:
    """The version that is registered now has the job's status; earlier ones are over."""
    current = call.state.job(version.Namespace, version.ID)
    if current is None or current.Version != version.Version:
        return msgspec.structs.replace(version, Status="dead")
    return msgspec.structs.replace(version, Status=job_now(call.state, call.context.encodings, current).job.Status)


def _diffs(call: Call, newest_first: list[Job]) -> list[Any]:
    against = call.integer("diff_version")
    if call.query("diff_tag"):
        raise BadInput(f'tag "{call.query("diff_tag")}" not found')
    if against is not None:
        base = next((one for one in newest_first if one.Version == against), None)
        if base is None:
            raise BadInput(f"version {against} not found")
        return [job_diff(base, one) for one in newest_first if one.Version != against]
    pairs = zip(newest_first[1:], newest_first[:-1], strict=True)
    return [job_diff(older, newer) for older, newer in pairs]


async def submission(call: Call) -> JobSubmission:
    """GET /v1/job/:id/submission?version=N: the source that version was made from."""
    version = call.integer("version")
    if version is None:
        raise BadInput('Failed to parse value of "version" ("") as a uint64: missing value')
    name = (call.namespace, call.params["job_id"])
    await call.block(("job_versions", *name))
    kept = call.state.submissions.get(name, {}).get(version)
    if kept is None:
        raise NotFound("job source not found")
    return kept


async def scale_status(call: Call) -> JobScaleStatusResponse:
    """GET /v1/job/:id/scale."""
    name = (call.namespace, call.params["job_id"])
    await call.block(("job", *name), ("job_allocs", *name))
    current = found(call)
    groups = {group.Name: TaskGroupScaleStatus(Desired=group.Count) for group in current.TaskGroups or ()}
    for alloc in call.state.allocs_of_job(*name):
        group = groups.get(alloc.TaskGroup)
        if group is None or alloc.terminal():
            continue
        group.Placed += 1
        group.Running += alloc.ClientStatus == "running"
        group.Healthy += alloc.Healthy is True
        group.Unhealthy += alloc.Healthy is False
    return JobScaleStatusResponse(
        JobID=current.ID,
        Namespace=current.Namespace,
        JobCreateIndex=current.CreateIndex,
        JobModifyIndex=current.JobModifyIndex,
        JobStopped=current.Stop,
        TaskGroups=groups,
    )


async def services(call: Call) -> list[ServiceRegistration]:
    """GET /v1/job/:id/services."""
    catalog = call.context.catalog
    await call.block(("instances",), of=catalog.topics)
    job_id = found(call).ID
    mine = (one for one in catalog.all_instances() if one.JobID == job_id and one.Namespace == call.namespace)
    return [registration(call, one) for one in mine if one.Provider == "nomad"]


async def actions(call: Call) -> list[dict[str, str]]:
    """GET /v1/job/:id/actions."""
    return [
        {"Name": action.Name, "TaskName": task.Name, "TaskGroupName": group.Name}
        for group in found(call).TaskGroups or ()
        for task in group.Tasks or ()
        for action in task.Actions or ()
    ]
