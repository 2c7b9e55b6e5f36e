"""Nodes make themselves known and say that they live."""

from __future__ import annotations

import falcon.asgi
import msgspec

from kokiris.http.app import read_json, send_json
from kokiris.kernel.errors import BadInput
from kokiris.orchestrator.internal.ports import OrchestratorCore
from kokiris.orchestrator.model.node import Node


class RegistrationRequest(msgspec.Struct, kw_only=True):
    """`SecretID` proves later calls to come from the same node; only its hash is kept."""

    Node: Node
    SecretID: str


class RegistrationAnswer(msgspec.Struct, kw_only=True):
    """The next heartbeat is due within `HeartbeatTTLSeconds`."""

    HeartbeatTTLSeconds: float
    Index: int


class HeartbeatRequest(msgspec.Struct, kw_only=True):
    """Of a registered node."""

    SecretID: str


class HeartbeatAnswer(msgspec.Struct, kw_only=True):
    """The next heartbeat is due within `HeartbeatTTLSeconds`."""

    HeartbeatTTLSeconds: float


class NodeRegistration:
    """`PUT /internal/v1/node/<id>`."""

    def __init__(self, core: OrchestratorCore) -> None:
        self._core = core

    async def on_put(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, node_id: str) -> None:
        """Registers or updates. Counts as a heartbeat. Raises Unavailable on a server that does not lead."""
        wanted = await read_json(req, RegistrationRequest)
        if node_id != wanted.Node.ID:
            raise BadInput(f"node ID {wanted.Node.ID} is not that of the path, {node_id}")
        self._core.liveness.check_leading()
        result = await self._core.nodes.register(wanted.Node, wanted.SecretID)
        ttl_s = await self._core.liveness.beat(self._core.nodes.check_secret(node_id, wanted.SecretID))
        send_json(req, resp, RegistrationAnswer(HeartbeatTTLSeconds=ttl_s, Index=result.Index))


class Heartbeat:
    """`PUT /internal/v1/node/<id>/heartbeat`."""

    def __init__(self, core: OrchestratorCore) -> None:
        self._core = core

    async def on_put(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, node_id: str) -> None:
        """Raises NotFound for a node that must register (again), Unavailable on a server that does not lead."""
        wanted = await read_json(req, HeartbeatRequest)
        ttl_s = await self._core.liveness.beat(self._core.nodes.check_secret(node_id, wanted.SecretID))
        send_json(req, resp, HeartbeatAnswer(HeartbeatTTLSeconds=ttl_s))
