"""What the internal API needs of the core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kokiris.orchestrator.commands import NodeResult
from kokiris.orchestrator.model.alloc import AllocClient
from kokiris.orchestrator.model.node import Node
from kokiris.orchestrator.state import State


class NodeDuties(Protocol):
    """`core.nodes.Nodes`."""

    async def register(self, node: Node, secret: str) -> NodeResult: ...

    def check_secret(self, node_id: str, secret: str) -> Node: ...


class AllocDuties(Protocol):
    """`core.allocs.Allocs`."""

    async def report(self, node_id: str, updates: Sequence[AllocClient]) -> int: ...


class LivenessDuties(Protocol):
    """`core.liveness.Liveness`."""

    async def beat(self, node: Node) -> float: ...

    def check_leading(self) -> None: ...


class OrchestratorCore(Protocol):
    """`core.core.Core`."""

    @property
    def state(self) -> State: ...

    @property
    def nodes(self) -> NodeDuties: ...

    @property
    def allocs(self) -> AllocDuties: ...

    @property
    def liveness(self) -> LivenessDuties: ...
