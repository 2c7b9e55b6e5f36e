"""Workers learn what to run, and report what became of it."""

from __future__ import annotations

import falcon.asgi
import msgspec

from kokiris.http.app import read_json, send_json
from kokiris.http.blocking import block
from kokiris.orchestrator.internal.ports import OrchestratorCore
from kokiris.orchestrator.model.alloc import AllocClient
from kokiris.orchestrator.model.allocwire import Allocation
from kokiris.orchestrator.model.node import Node
from kokiris.orchestrator.shapes import wire_alloc

SECRET_HEADER = "X-Node-Secret"  # noqa: S105 - the header's name, not a secret
REPORT_LIMIT_BYTES = 16 * 1024 * 1024


class Assignment(msgspec.Struct, kw_only=True):
    """An allocation of the node; to be fetched when `AllocModifyIndex` is new to the worker."""

    AllocID: str
    AllocModifyIndex: int


class AssignmentsAnswer(msgspec.Struct, kw_only=True):
    """All allocations of the node that are not collected yet. One that is missing can be forgotten."""

    Index: int
    Assignments: list[Assignment]


class AllocationsRequest(msgspec.Struct, kw_only=True):
    """Which allocations to send in full."""

    NodeID: str
    AllocIDs: list[str]


class AssignedAllocation(msgspec.Struct, kw_only=True):
    """An allocation with its job (the version it runs) and ports."""

    Allocation: Allocation
    AllocModifyIndex: int


class ReportRequest(msgspec.Struct, kw_only=True):
    """The newest word on each allocation that changed, whole."""

    Updates: list[AllocClient]


class IndexAnswer(msgspec.Struct, kw_only=True):
    """Stored at `Index`."""

    Index: int


def node_of(req: falcon.asgi.Request, core: OrchestratorCore, node_id: str) -> Node:
    """The calling node. Raises NotFound when it is not registered, Forbidden when its secret is wrong."""
    return core.nodes.check_secret(node_id, req.get_header(SECRET_HEADER) or "")


class Assignments:
    """`GET /internal/v1/node/<id>/assignments?index=N&wait=…`."""

    def __init__(self, core: OrchestratorCore) -> None:
        self._core = core

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, node_id: str) -> None:
        node_of(req, self._core, node_id)
        state = self._core.state
        index = await block(req, state.topics, [("node_assignments", node_id)])
        assignments = [
            Assignment(AllocID=alloc.ID, AllocModifyIndex=alloc.AllocModifyIndex)
            for alloc in state.allocs_of_node(node_id)
        ]
        send_json(req, resp, AssignmentsAnswer(Index=index, Assignments=assignments))


class AssignedAllocations:
    """`POST /internal/v1/assignments`."""

    def __init__(self, core: OrchestratorCore) -> None:
        self._core = core

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Allocations that are gone, or of other nodes, are left out."""
        wanted = await read_json(req, AllocationsRequest)
        node = node_of(req, self._core, wanted.NodeID)
        state = self._core.state
        found = [state.allocs[one] for one in wanted.AllocIDs if one in state.allocs]
        answer = [
            AssignedAllocation(
                Allocation=wire_alloc(alloc, state.job_of(alloc), node), AllocModifyIndex=alloc.AllocModifyIndex
            )
            for alloc in found
            if alloc.NodeID == node.ID
        ]
        send_json(req, resp, answer)


class AllocReports:
    """`PUT /internal/v1/node/<id>/allocs`."""

    def __init__(self, core: OrchestratorCore) -> None:
        self._core = core

    async def on_put(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, node_id: str) -> None:
        """Answers once the reports are durable and the catalog shows them."""
        node = node_of(req, self._core, node_id)
        report = await read_json(req, ReportRequest, REPORT_LIMIT_BYTES)
        index = await self._core.allocs.report(node.ID, report.Updates)
        send_json(req, resp, IndexAnswer(Index=index))
