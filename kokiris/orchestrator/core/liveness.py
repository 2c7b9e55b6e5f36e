"""The leader's watch over heartbeats."""

from __future__ import annotations

import asyncio
import time

from kokiris.kernel.errors import Unavailable
from kokiris.orchestrator.core.context import Context
from kokiris.orchestrator.core.heartbeats import Heartbeats
from kokiris.orchestrator.core.nodes import Nodes
from kokiris.orchestrator.model.node import Node
from kokiris.store.contract import Condition

LOOK_EVERY_S = 1.0


class Liveness:
    """Takes heartbeats and marks nodes whose heartbeat stays away as down."""

    def __init__(self, context: Context, nodes: Nodes) -> None:
        self._context = context
        self._nodes = nodes
        self._heartbeats = Heartbeats()
        self._leading = False

    async def beat(self, node: Node) -> float:
        """A sign of life of a registered node; returns the TTL in seconds. A node that was given up is ready again.

        Raises Unavailable on a server that does not lead: only the leader counts.
        """
        self.check_leading()
        ttl_s = self._heartbeats.beat(node.ID, time.monotonic())
        if node.Status != "ready":
            await self._nodes.mark_ready(node.ID)
        return ttl_s

    def check_leading(self) -> None:
        """Raises Unavailable on a server that does not lead."""
        if not self._leading:
            raise Unavailable("this server is not the leader", next_step="Send the heartbeat to another server.")

    async def run(self, fence: Condition) -> None:
        """Until cancelled."""
        living = [node.ID for node in self._context.state.nodes.values() if node.Status != "down"]
        self._heartbeats.begin(living, time.monotonic())
        self._leading = True
        try:
            while True:
                await asyncio.sleep(LOOK_EVERY_S)
                for node_id in self._heartbeats.overdue(time.monotonic()):
                    self._heartbeats.forget(node_id)
                    await self._nodes.mark_down(node_id, fence)
        finally:
            self._leading = False
