"""`/v1/allocations`, `/v1/allocation/:id`, and lists of allocations of other resources."""

from __future__ import annotations

from kokiris.kernel.errors import NotFound, NotSupported
from kokiris.kernel.names import PLATFORM
from kokiris.orchestrator.api.alloc_lists import full, stubs
from kokiris.orchestrator.api.call import Call
from kokiris.orchestrator.api.listing import by_creation, full_uuid, page, uuid_prefix
from kokiris.orchestrator.api.responses import AllocStopResponse, ServiceRegistration
from kokiris.orchestrator.api.services import registration
from kokiris.orchestrator.model.alloc import Alloc
from kokiris.orchestrator.model.allocwire import Allocation, AllocCheckStatus

KEPT_WHOLE = 10_000
"""Up to so many allocations the whole list is kept encoded until something changes: a few megabytes."""


async def list_allocations(call: Call) -> bytes:
    """GET /v1/allocations: oldest first, with what they hold (`resources`) and `task_states`."""
    resources, task_states = call.flag("resources"), call.flag("task_states", default=True)
    prefix = uuid_prefix(call)
    await call.block(("allocs",))
    chosen = any(call.query(name) for name in ("prefix", "filter", "per_page", "next_token", "reverse"))
    if chosen or len(call.state.allocs) > KEPT_WHOLE:
        return stubs(call, _page(call, prefix), resources=resources, task_states=task_states)
    topics = call.state.topics
    sources = (call.index, topics.index(("nodes",)), topics.index(("jobs",)))
    body: bytes = call.context.encodings.get(
        ("allocations", call.namespace, call.hides(PLATFORM), resources, task_states),
        sources,
        lambda: stubs(call, _page(call, ""), resources=resources, task_states=task_states),
    )
    return body


def _page(call: Call, prefix: str) -> list[Alloc]:
    found = [
        alloc for alloc in call.state.allocs.values() if alloc.ID.startswith(prefix) and call.sees(alloc.Namespace)
    ]
    return page(call, found, by_creation, lambda alloc: full(call, alloc))


def found_alloc(call: Call, text: str = "alloc not found") -> Alloc:
    """The allocation the path names. Raises NotFound with `text`."""
    alloc = call.state.allocs.get(full_uuid(call.params["alloc_id"], "alloc"))
    if alloc is None:
        raise NotFound(text)
    return alloc


async def read_allocation(call: Call) -> Allocation:
    """GET /v1/allocation/:id."""
    alloc_id = full_uuid(call.params["alloc_id"], "alloc")
    await call.block(("alloc", alloc_id))
    return full(call, found_alloc(call))


async def stop_allocation(call: Call) -> AllocStopResponse:
    """POST or PUT /v1/allocation/:id/stop: it is stopped and replaced."""
    alloc = found_alloc(call)
    if call.flag("reschedule"):
        raise NotSupported(
            f'allocation "{alloc.ID}": "reschedule" is not acted on',
            next_step="Leave it out: a stop replaces it at once.",
        )
    result = await call.context.commands.stop_alloc(alloc.ID, no_shutdown_delay=call.flag("no_shutdown_delay"))
    call.index = result.Index
    return AllocStopResponse(EvalID=result.EvalID, Index=result.Index)


async def allocation_services(call: Call) -> list[ServiceRegistration]:
    """GET /v1/allocation/:id/services."""
    catalog = call.context.catalog
    await call.block(("instances",), of=catalog.topics)
    alloc = found_alloc(call)
    mine = (one for one in catalog.all_instances() if one.AllocID == alloc.ID)
    return [registration(call, one) for one in mine if one.Provider == "nomad"]


async def allocation_checks(call: Call) -> dict[str, AllocCheckStatus]:
    """GET /v1/allocation/:id/checks and /v1/client/allocation/:id/checks: the newest results, from the state."""
    alloc = found_alloc(call, f'Unknown allocation "{call.params["alloc_id"]}"')
    return (alloc.Client.Checks if alloc.Client else None) or {}
