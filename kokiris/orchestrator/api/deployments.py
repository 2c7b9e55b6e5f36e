"""`/v1/deployments` and `/v1/deployment/…`."""

from __future__ import annotations

from kokiris.kernel.errors import BadInput, NotFound, NotSupported
from kokiris.orchestrator.api.alloc_lists import stubs
from kokiris.orchestrator.api.call import Call
from kokiris.orchestrator.api.listing import by_creation, full_uuid, page, uuid_prefix
from kokiris.orchestrator.api.requests import DeploymentRequest
from kokiris.orchestrator.api.responses import DeploymentUpdateResponse
from kokiris.orchestrator.commands import DeploymentResult
from kokiris.orchestrator.core.refusal import Refused
from kokiris.orchestrator.model.deployment import Deployment


async def list_deployments(call: Call) -> list[Deployment]:
    """GET /v1/deployments: oldest first."""
    prefix = uuid_prefix(call)
    await call.block(("deployments",))
    all_of_them = call.state.deployments.values()
    found = (one for one in all_of_them if one.ID.startswith(prefix) and call.sees(one.Namespace))
    return page(call, found, by_creation)


async def read_deployment(call: Call) -> Deployment:
    """GET /v1/deployment/:id."""
    deployment_id = full_uuid(call.params["deployment_id"], "deployment")
    await call.block(("deployment", deployment_id))
    found = call.state.deployments.get(deployment_id)
    if found is None:
        raise NotFound("deployment not found")
    return found


async def deployment_allocations(call: Call) -> bytes:
    """GET /v1/deployment/allocations/:id."""
    deployment_id = full_uuid(call.params["deployment_id"], "deployment")
    await call.block(("deployment_allocs", deployment_id))
    found = call.state.deployments.get(deployment_id)
    allocs = call.state.allocs_of_job(found.Namespace, found.JobID) if found else ()
    return stubs(call, [alloc for alloc in allocs if alloc.DeploymentID == deployment_id])


async def _request(call: Call, *, optional: bool = False) -> tuple[str, DeploymentRequest]:
    """The id and body of a write. Raises BadInput when they disagree, Refused (500, as Nomad) for an unknown id."""
    request = await (call.optional_body if optional else call.body)(DeploymentRequest)
    deployment_id = call.params["deployment_id"]
    if not request.DeploymentID and not optional:
        raise BadInput("DeploymentID must be specified")
    if request.DeploymentID and request.DeploymentID != deployment_id:
        raise BadInput("Deployment ID does not match")
    deployment_id = full_uuid(deployment_id, "deployment")
    if deployment_id not in call.state.deployments:
        raise Refused("deployment not found", next_step="The list of deployments shows what exists.")
    return deployment_id, request


def _updated(call: Call, result: DeploymentResult) -> DeploymentUpdateResponse:
    call.index = result.Index
    return DeploymentUpdateResponse(
        EvalID=result.EvalID,
        EvalCreateIndex=result.EvalCreateIndex,
        DeploymentModifyIndex=result.DeploymentModifyIndex,
        RevertedJobVersion=result.RevertedJobVersion,
        Index=result.Index,
    )


async def fail(call: Call) -> DeploymentUpdateResponse:
    """POST or PUT /v1/deployment/fail/:id; the body may be empty."""
    deployment_id, _ = await _request(call, optional=True)
    return _updated(call, await call.context.commands.fail_deployment(deployment_id))


async def pause(call: Call) -> DeploymentUpdateResponse:
    """POST or PUT /v1/deployment/pause/:id: pauses, or resumes with `Pause` false."""
    deployment_id, request = await _request(call)
    return _updated(call, await call.context.commands.pause_deployment(deployment_id, request.Pause))


async def promote(call: Call) -> DeploymentUpdateResponse:
    """POST or PUT /v1/deployment/promote/:id: `All` groups, or those of `Groups`."""
    deployment_id, request = await _request(call)
    if request.All and request.Groups:
        raise BadInput("Can't promote all groups and specific groups", next_step="Send All or Groups, not both.")
    if not request.All and not request.Groups:
        raise BadInput("must specify groups to promote", next_step="Send All or Groups.")
    groups = None if request.All else request.Groups
    return _updated(call, await call.context.commands.promote_deployment(deployment_id, groups))


async def set_health(call: Call) -> DeploymentUpdateResponse:
    """POST or PUT /v1/deployment/allocation-health/:id."""
    deployment_id, request = await _request(call)
    healthy, unhealthy = request.HealthyAllocationIDs or [], request.UnhealthyAllocationIDs or []
    if not healthy and not unhealthy:
        raise BadInput("must specify at least one healthy or unhealthy allocation")
    both = set(healthy) & set(unhealthy)
    if both:
        raise BadInput(f"same allocation as healthy and unhealthy: {', '.join(sorted(both))}")
    return _updated(call, await call.context.commands.set_alloc_health(deployment_id, healthy, unhealthy))


async def unblock(call: Call) -> None:
    """POST or PUT /v1/deployment/unblock/:id: only deployments over several regions are ever blocked."""
    raise NotSupported("deployments over several regions do not exist here; there is nothing to unblock")
