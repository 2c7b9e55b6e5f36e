"""`/v1/nodes`, `/v1/node/:id…`, `/v1/node/pools`."""

from __future__ import annotations

from kokiris.kernel.errors import BadInput, Forbidden, NotFound, NotSupported
from kokiris.kernel.names import PLATFORM
from kokiris.orchestrator.api.alloc_lists import full
from kokiris.orchestrator.api.call import Call
from kokiris.orchestrator.api.jobs import jobs_where
from kokiris.orchestrator.api.listing import by_id, full_uuid, page, uuid_prefix
from kokiris.orchestrator.api.requests import NodeUpdateDrainRequest, NodeUpdateEligibilityRequest
from kokiris.orchestrator.api.responses import JobListStub, NodePool, NodeUpdateResponse
from kokiris.orchestrator.commands import NodeResult
from kokiris.orchestrator.model.alloc import Alloc
from kokiris.orchestrator.model.allocwire import Allocation
from kokiris.orchestrator.model.node import DrainRequestSpec, Node, NodeListStub
from kokiris.orchestrator.shapes import node_ip

FORCED_NS = -1_000_000_000
"""Deadline of a drain that does not wait."""
BUILT_IN_POOLS = {"all": "Node pool with all nodes in the cluster.", "default": "Default node pool."}


async def list_nodes(call: Call) -> list[NodeListStub]:
    """GET /v1/nodes; `resources` adds what they have, `os` their operating system."""
    resources, with_os = call.flag("resources"), call.flag("os")
    prefix = uuid_prefix(call)
    await call.block(("nodes",))
    found = (node for node in call.state.nodes.values() if node.ID.startswith(prefix))
    return [_stub(node, resources, with_os) for node in page(call, found, by_id)]


def _stub(node: Node, resources: bool = False, with_os: bool = False) -> NodeListStub:
    return NodeListStub(
        Address=node_ip(node),
        ID=node.ID,
        Attributes={"os.name": (node.Attributes or {}).get("os.name", "")} if with_os else None,
        Datacenter=node.Datacenter,
        Name=node.Name,
        NodeClass=node.NodeClass,
        NodePool=node.NodePool,
        Version=(node.Attributes or {}).get("nomad.version", ""),
        Drain=node.DrainStrategy is not None or node.Drain,
        SchedulingEligibility=node.SchedulingEligibility,
        Status=node.Status,
        StatusDescription=node.StatusDescription,
        Drivers=node.Drivers,
        NodeResources=node.NodeResources if resources else None,
        ReservedResources=node.ReservedResources if resources else None,
        LastDrain=node.LastDrain,
        CreateIndex=node.CreateIndex,
        ModifyIndex=node.ModifyIndex,
    )


def found_node(call: Call) -> Node:
    """The node the path names. Raises NotFound ("node not found")."""
    node = call.state.nodes.get(full_uuid(call.params["node_id"], "node"))
    if node is None:
        raise NotFound("node not found")
    return node


async def read_node(call: Call) -> Node:
    """GET /v1/node/:id; its secret is not part of it."""
    await call.block(("node", full_uuid(call.params["node_id"], "node")))
    return found_node(call)


async def node_allocations(call: Call) -> list[Allocation]:
    """GET /v1/node/:id/allocations: in full."""
    node_id = full_uuid(call.params["node_id"], "node")
    await call.block(("node_allocs", node_id))
    return [full(call, alloc) for alloc in sorted(call.state.allocs_of_node(node_id), key=_age)]


def _age(alloc: Alloc) -> tuple[int, str]:
    return (alloc.CreateIndex, alloc.ID)


def _updated(call: Call, result: NodeResult) -> NodeUpdateResponse:
    call.index = result.Index
    return NodeUpdateResponse(
        EvalIDs=result.EvalIDs,
        EvalCreateIndex=result.EvalCreateIndex,
        NodeModifyIndex=result.NodeModifyIndex,
        Index=result.Index,
    )


async def evaluate_node(call: Call) -> NodeUpdateResponse:
    """POST or PUT /v1/node/:id/evaluate."""
    return _updated(call, await call.context.commands.evaluate_node(found_node(call).ID))


async def drain_node(call: Call) -> NodeUpdateResponse:
    """POST or PUT /v1/node/:id/drain; `DrainSpec` null ends a drain. Old clients say `?enable=` instead of a body."""
    node = found_node(call)
    if call.query("enable"):
        forced = DrainRequestSpec(Deadline=FORCED_NS) if call.flag("enable") else None
        request = NodeUpdateDrainRequest(DrainSpec=forced, MarkEligible=forced is None)
    else:
        request = await call.body(NodeUpdateDrainRequest)
    if request.NodeID and request.NodeID != node.ID:
        raise BadInput("Node ID does not match")
    result = await call.context.commands.drain_node(
        node.ID, request.DrainSpec, mark_eligible=request.MarkEligible, meta=request.Meta
    )
    return _updated(call, result)


async def set_eligibility(call: Call) -> NodeUpdateResponse:
    """POST or PUT /v1/node/:id/eligibility."""
    request = await call.body(NodeUpdateEligibilityRequest)
    node = found_node(call)
    if request.NodeID and request.NodeID != node.ID:
        raise BadInput("Node ID does not match")
    if request.Eligibility not in {"eligible", "ineligible"}:
        raise BadInput(f'invalid scheduling eligibility "{request.Eligibility}"')
    result = await call.context.commands.set_node_eligibility(node.ID, request.Eligibility == "eligible")
    return _updated(call, result)


async def purge_node(call: Call) -> NodeUpdateResponse:
    """POST or PUT /v1/node/:id/purge. The operator alone forgets a node that is alive and runs the platform's jobs."""
    node = found_node(call)
    allocs = call.context.state.allocs_of_node(node.ID)
    used = any(alloc.Namespace == PLATFORM and not alloc.terminal() for alloc in allocs)
    if used and node.Status == "ready" and not (call.principal is not None and call.principal.is_operator):
        raise Forbidden(
            f'Permission denied: node "{node.Name}" is ready and runs the add-ons of the infra',
            next_step="Stop it first: `kokiris down` on the node.",
        )
    return _updated(call, await call.context.commands.purge_node(node.ID))


# ---- pools ---------------------------------------------------------------------------------------------------------


def _pools(call: Call) -> dict[str, NodePool]:
    """The built-in ones, and every pool a node says it is in (as in Nomad, registering makes it)."""
    found = {name: NodePool(Name=name, Description=text) for name, text in BUILT_IN_POOLS.items()}
    for node in call.state.nodes.values():
        found.setdefault(node.NodePool, NodePool(Name=node.NodePool, CreateIndex=node.CreateIndex))
    return found


def _pool(call: Call) -> NodePool:
    found = _pools(call).get(call.params["name"])
    if found is None:
        raise NotFound("node pool not found")
    return found


async def list_pools(call: Call) -> list[NodePool]:
    """GET /v1/node/pools."""
    prefix = call.query("prefix")
    await call.block(("nodes",))
    found = (pool for pool in _pools(call).values() if pool.Name.startswith(prefix))
    return page(call, found, lambda pool: (pool.Name,))


async def read_pool(call: Call) -> NodePool:
    """GET /v1/node/pool/:name."""
    await call.block(("nodes",))
    return _pool(call)


async def pool_nodes(call: Call) -> list[NodeListStub]:
    """GET /v1/node/pool/:name/nodes."""
    _no_prefix(call)
    await call.block(("nodes",))
    name = _pool(call).Name
    found = (node for node in call.state.nodes.values() if name in {"all", node.NodePool})
    return [_stub(node) for node in page(call, found, by_id)]


async def pool_jobs(call: Call) -> list[JobListStub]:
    """GET /v1/node/pool/:name/jobs."""
    _no_prefix(call)
    name = _pool(call).Name
    return await jobs_where(call, lambda job: name in {"all", job.NodePool})


def _no_prefix(call: Call) -> None:
    if call.query("prefix"):
        raise BadInput("prefix argument not allowed")


async def refuse_pool_change(call: Call) -> None:
    """Pools exist by the nodes that are in them."""
    raise NotSupported(
        "node pools are made by the nodes that say they are in one",
        next_step="Set the pool in the node's configuration.",
    )
