"""`/v1/evaluations` and `/v1/evaluation/:id`."""

from __future__ import annotations

import msgspec

from kokiris.kernel.errors import BadInput, NotFound, NotSupported
from kokiris.orchestrator.api.alloc_lists import stubs
from kokiris.orchestrator.api.call import Call
from kokiris.orchestrator.api.listing import by_creation, full_uuid, page, uuid_prefix
from kokiris.orchestrator.model.evaluation import Evaluation, EvaluationStub


async def list_evaluations(call: Call) -> list[Evaluation]:
    """GET /v1/evaluations: oldest first; by `status`, by `job`, or by `filter`."""
    status, job_id = call.query("status"), call.query("job")
    if call.query("filter") and (status or job_id):
        raise BadInput("Filter expression cannot be used with other filter parameters")
    prefix = uuid_prefix(call)
    await call.block(("evals",))
    return page(call, _found(call, prefix, status, job_id), by_creation)


def _found(call: Call, prefix: str, status: str, job_id: str) -> list[Evaluation]:
    return [
        one
        for one in call.state.evals.values()
        if one.ID.startswith(prefix)
        and call.sees(one.Namespace)
        and status in {"", one.Status}
        and job_id in {"", one.JobID}
    ]


async def count_evaluations(call: Call) -> dict[str, int]:
    """GET /v1/evaluations/count."""
    prefix = uuid_prefix(call)
    await call.block(("evals",))
    return {"Count": len(page(call, _found(call, prefix, "", ""), by_creation)), "Index": call.index}


async def delete_evaluations(call: Call) -> None:
    """DELETE /v1/evaluations: they are collected with their job."""
    raise NotSupported(
        "evaluations are not deleted by hand", next_step="They go with the garbage collection: PUT /v1/system/gc."
    )


async def read_evaluation(call: Call) -> Evaluation:
    """GET /v1/evaluation/:id; `related` adds stubs of those it led to and came from."""
    eval_id = full_uuid(call.params["eval_id"], "eval")
    await call.block(("eval", eval_id))
    found = call.state.evals.get(eval_id)
    if found is None:
        raise NotFound("eval not found")
    if call.flag("related"):
        return msgspec.structs.replace(found, RelatedEvals=_related(call, found))
    return found


def _related(call: Call, start: Evaluation) -> list[EvaluationStub]:
    """Everything reached from `start` by next, previous and blocked evaluations, oldest first."""
    seen: dict[str, Evaluation] = {start.ID: start}
    open_ids = _neighbours(start)
    while open_ids:
        one = call.state.evals.get(open_ids.pop())
        if one is not None and one.ID not in seen:
            seen[one.ID] = one
            open_ids |= _neighbours(one)
    del seen[start.ID]
    return [_stub(one) for one in sorted(seen.values(), key=by_creation)]


def _neighbours(one: Evaluation) -> set[str]:
    return {eval_id for eval_id in (one.NextEval, one.PreviousEval, one.BlockedEval) if eval_id}


def _stub(one: Evaluation) -> EvaluationStub:
    return EvaluationStub(**{name: getattr(one, name) for name in EvaluationStub.__struct_fields__})


async def evaluation_allocations(call: Call) -> bytes:
    """GET /v1/evaluation/:id/allocations: those it placed."""
    eval_id = full_uuid(call.params["eval_id"], "eval")
    await call.block(("eval_allocs", eval_id))
    found = call.state.evals.get(eval_id)
    allocs = call.state.allocs_of_job(found.Namespace, found.JobID) if found else ()
    return stubs(call, [alloc for alloc in allocs if alloc.EvalID == eval_id])
