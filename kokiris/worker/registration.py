"""Makes the node known, keeps it alive in the servers' eyes, and tells them when its fingerprint changes."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping

from kokiris.infra.config import Config, Layout
from kokiris.kernel.errors import Forbidden, KokirisError, NotFound
from kokiris.orchestrator.model.node import Node
from kokiris.worker.client import Servers
from kokiris.worker.drivers.contract import Driver, DriverHealth
from kokiris.worker.fingerprint import make_node, read_host, same_but_measures

log = logging.getLogger(__name__)

RETRY_S = 1.0
HEARTBEAT_SHARE = 0.5
"""Of the time to live: one lost heartbeat must not cost the node."""
FINGERPRINT_EVERY_S = 10.0


class Registration:
    """`node` is the newest fingerprint; `changed` is called with each new one."""

    def __init__(
        self,
        config: Config,
        layout: Layout,
        servers: Servers,
        *,
        drivers: Mapping[str, Driver],
        node_id: str,
        address: str,
        changed: Callable[[Node], None],
    ) -> None:
        self._config, self._layout = config, layout
        self._servers = servers
        self._drivers = drivers
        self._node_id = node_id
        self._address = address
        self._changed = changed
        self._registered = asyncio.Event()
        self._new_fingerprint = asyncio.Event()
        self.node = Node(ID=node_id)

    async def fingerprint(self) -> None:
        """Once."""
        health: dict[str, DriverHealth] = {name: await driver.health() for name, driver in self._drivers.items()}
        host = await asyncio.to_thread(read_host, self._layout)
        node = make_node(self._config, host, self._node_id, self._address, health)
        if not same_but_measures(node, self.node):
            self.node = node
            self._changed(node)
            self._new_fingerprint.set()

    async def watch_fingerprint(self) -> None:
        """For ever: drivers come and go."""
        while True:
            await asyncio.sleep(FINGERPRINT_EVERY_S)
            await self.fingerprint()

    async def registered(self) -> None:
        """Returns once the servers know the node."""
        await self._registered.wait()

    async def keep_alive(self) -> None:
        """Registers, then sends heartbeats, for ever; registers anew when the servers ask for it."""
        while True:
            try:
                self._new_fingerprint.clear()
                ttl_s = await self._servers.register(self.node)
                self._registered.set()
                await self._beat(ttl_s)
            except Forbidden as error:
                log.error("the servers refuse this node: %s", error.message)
                await asyncio.sleep(5 * RETRY_S)
            except NotFound:
                log.info("the servers do not know this node (any more): registering")
                await asyncio.sleep(RETRY_S * random.random())  # noqa: S311 - spreads load
            except KokirisError as error:
                log.info("not registered: %s; trying again", error.message)
                await asyncio.sleep(RETRY_S)

    async def _beat(self, ttl_s: float) -> None:
        """Returns when there is a new fingerprint to register. Raises NotFound when the node is to register anew."""
        while True:
            pause_s = max(0.05, ttl_s * HEARTBEAT_SHARE * random.uniform(0.8, 1.0))  # noqa: S311 - spreads load
            try:
                await asyncio.wait_for(self._new_fingerprint.wait(), pause_s)
            except TimeoutError:
                ttl_s = await self._beat_once(ttl_s)
            else:
                return

    async def _beat_once(self, ttl_s: float) -> float:
        while True:
            try:
                return await self._servers.heartbeat()
            except (NotFound, Forbidden):
                raise
            except KokirisError as error:
                log.info("heartbeat not taken: %s; trying again", error.message)
                await asyncio.sleep(min(RETRY_S, ttl_s / 4))
