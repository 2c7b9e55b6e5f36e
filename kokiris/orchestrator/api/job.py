"""`/v1/job/:id[/verb]`. A job's id may hold "/", so the verb is told by the path's end, as Nomad does."""

from __future__ import annotations

from typing import Any, NoReturn

from kokiris.kernel.errors import BadInput, NotFound, NotSupported
from kokiris.orchestrator.api import job_reads, job_writes
from kokiris.orchestrator.api.call import Call, Handler, invalid_method
from kokiris.orchestrator.api.jobs import register_job

_READS: dict[str, Handler] = {
    "allocations": job_reads.allocations,
    "evaluations": job_reads.evaluations,
    "deployments": job_reads.deployments,
    "deployment": job_reads.deployment,
    "summary": job_reads.summary,
    "versions": job_reads.versions,
    "submission": job_reads.submission,
    "scale": job_reads.scale_status,
    "services": job_reads.services,
    "actions": job_reads.actions,
}
_WRITES: dict[str, Handler] = {
    "plan": job_writes.plan,
    "revert": job_writes.revert,
    "stable": job_writes.stable,
    "evaluate": job_writes.evaluate,
    "scale": job_writes.scale,
}


async def _refuse_dispatch(call: Call) -> NoReturn:
    raise NotSupported(
        f'job "{call.params["job_id"]}": parameterized jobs are not dispatched by this version',
        next_step="Submit it as a batch job of its own.",
    )


async def _refuse_periodic(call: Call) -> NoReturn:
    raise NotSupported(
        f'job "{call.params["job_id"]}": periodic jobs are not launched by this version',
        next_step="Submit it as a batch job of its own.",
    )


async def _refuse_tag(call: Call) -> NoReturn:
    raise NotSupported(
        f'job "{call.params["job_id"]}": versions are not tagged by this version',
        next_step="Name the version by its number.",
    )


async def _refuse_action(call: Call) -> NoReturn:
    raise NotSupported(
        f'job "{call.params["job_id"]}": actions are not run by this version',
        next_step="Run the command with `alloc exec`.",
    )


_READS["action"] = _refuse_action
_WRITES["dispatch"] = _WRITES["dispatch/payload"] = _refuse_dispatch
_WRITES["periodic/force"] = _refuse_periodic
_WRITES["action"] = _refuse_action


def _split(path: str, verbs: dict[str, Handler]) -> tuple[str, str]:
    """(job id, verb); the verb is "" for the job itself."""
    for depth in (2, 1):
        head, *tail = path.rsplit("/", depth)
        verb = "/".join(tail)
        if verb in verbs:
            return head, verb
    return path, ""


async def _dispatch(call: Call, verbs: dict[str, Handler], others: dict[str, Handler], itself: Handler) -> Any:
    path = call.params.pop("path")
    job_id, verb = _split(path, verbs)
    if not verb and _split(path, others)[1]:
        raise invalid_method("GET" if verbs is _WRITES else "POST", "PUT")
    if not job_id:
        raise BadInput("Job ID hasn't been provided")
    call.params["job_id"] = job_id
    if not verb and _is_tag(job_id):
        call.params["job_id"] = job_id.rsplit("/", 3)[0]
        return await _refuse_tag(call)
    return await (verbs[verb] if verb else itself)(call)


def _is_tag(path: str) -> bool:
    pieces = path.rsplit("/", 3)
    return len(pieces) == 4 and pieces[1] == "versions" and pieces[3] == "tag"


async def get(call: Call) -> Any:
    """GET /v1/job/:id and its reads."""
    return await _dispatch(call, _READS, _WRITES, job_reads.job)


async def write(call: Call) -> Any:
    """POST or PUT /v1/job/:id and its writes."""
    return await _dispatch(call, _WRITES, _READS, register_job)


async def delete(call: Call) -> Any:
    """DELETE /v1/job/:id."""
    path = call.params["path"]
    if _is_tag(path):
        call.params["job_id"] = path.rsplit("/", 3)[0]
        return await _refuse_tag(call)
    if _split(path, _READS)[1] or _split(path, _WRITES)[1]:
        raise invalid_method("GET", "POST", "PUT")
    if not path:
        raise NotFound("job not found")
    call.params["job_id"] = path
    return await job_writes.deregister(call)
