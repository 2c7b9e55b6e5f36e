"""The worker of a node, put together."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

from kokiris.http.app import asgi
from kokiris.http.serve import HttpServer
from kokiris.http.tls import TlsFiles
from kokiris.infra.config import Config, Layout
from kokiris.infra.labels import infra_label
from kokiris.kernel.errors import KokirisError
from kokiris.orchestrator.model.node import Node
from kokiris.worker.allocations import Allocations
from kokiris.worker.allocs.kept import Keeper
from kokiris.worker.allocs.network import PauseContainers
from kokiris.worker.checks.probe import Prober
from kokiris.worker.client import Servers
from kokiris.worker.drivers.contract import Driver
from kokiris.worker.drivers.docker import DockerDriver, NodeAuth
from kokiris.worker.drivers.engine import Engine, registry_of
from kokiris.worker.drivers.published_ports import PublishedPorts
from kokiris.worker.drivers.raw_exec import RawExecDriver
from kokiris.worker.identity import load_identity
from kokiris.worker.node_api.app import make_node_app
from kokiris.worker.outbox import Outbox
from kokiris.worker.registration import Registration
from kokiris.worker.surroundings import Surroundings
from kokiris.worker.templates.services import ServiceWatcher

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
CERTIFICATE_CHECK_S = 30.0
FLUSH_S = 2.0
ENGINE_RETRY_S = 0.5
ENGINE_WAIT_S = 20.0


class Worker:
    """`run` is its whole life. `client_tls` makes a context of the present certificates (None: plain, for tests)."""

    def __init__(
        self,
        config: Config,
        layout: Layout,
        client_tls: Callable[[], ssl.SSLContext] | None,
        listener_tls: TlsFiles | None,
    ) -> None:
        self._config, self._layout = config, layout
        self._client_tls = client_tls
        self._listener_tls = listener_tls
        self._label = infra_label(config)
        self._engine = Engine(config.docker.socket)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; containers run on. Raises HostError when its own door cannot be opened."""
        layout, config = self._layout, self._config
        layout.worker.mkdir(parents=True, exist_ok=True, mode=0o700)
        identity = load_identity(layout)
        servers = Servers(config.servers, self._client_tls, identity.NodeID, identity.SecretID)
        outbox = Outbox(servers.report)
        address = await self._advertised()
        ports = PublishedPorts(self._engine, self._label)
        await ports.begin()
        drivers: dict[str, Driver] = {
            "docker": DockerDriver(self._engine, self._label, ports, self._registry_auth(servers)),
            "raw_exec": RawExecDriver(),
        }
        around = Surroundings(
            layout=layout,
            node=Node(ID=identity.NodeID),
            node_address=address,
            servers=servers,
            drivers=drivers,
            pauses=PauseContainers(self._engine, self._label, ports),
            ports=ports,
            prober=Prober(),
            keeper=Keeper(layout),
            services=ServiceWatcher(servers),
            report=outbox.put,
        )

        def fingerprinted(node: Node) -> None:
            around.node = node

        registration = Registration(
            config,
            layout,
            servers,
            drivers=drivers,
            node_id=identity.NodeID,
            address=address,
            changed=fingerprinted,
        )
        await registration.fingerprint()
        allocations = Allocations(around, self._engine, self._label)
        door = HttpServer(
            asgi(make_node_app(allocations, around)),
            host=config.bind_address,
            port=config.ports.node,
            tls=self._listener_tls,
        )
        await door.start()
        allocations.restore()
        loops = [
            self._loop(registration.keep_alive()),
            self._loop(registration.watch_fingerprint()),
            self._loop(self._follow(registration, allocations, outbox)),
            self._loop(allocations.collect()),
            self._loop(ports.run()),
            self._loop(self._renew(door, servers)),
        ]
        log.info("worker %s of %s: services at %s", identity.NodeID, config.name, address)
        try:
            await stop.wait()
        finally:
            await outbox.flushed(FLUSH_S)
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            await allocations.close()
            around.services.close()
            await door.stop()
            await around.prober.close()
            await servers.close()
            await self._engine.close()

    @staticmethod
    def _loop(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A part that must never end: if it does by a defect, the process ends, and the agent starts a new one."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and task.exception() is not None:
                log.critical("defect in %s", task.get_name(), exc_info=task.exception())
                os._exit(70)

        task = asyncio.create_task(work, name=getattr(work, "__qualname__", "worker loop"))
        task.add_done_callback(ended)
        return task

    async def _follow(self, registration: Registration, allocations: Allocations, outbox: Outbox) -> None:
        """News goes out, and wishes come in, only once the servers know the node."""
        await registration.registered()
        async with asyncio.TaskGroup() as group:
            group.create_task(outbox.run())
            group.create_task(allocations.follow())
            group.create_task(self._sweep(allocations))

    @staticmethod
    async def _sweep(allocations: Allocations) -> None:
        """After the first assignments are known: what belongs to none of them goes."""
        await allocations.known.wait()
        await allocations.sweep()

    async def _advertised(self) -> str:
        """The configured address, else that of docker's bridge; waits a little for an engine that is coming up."""
        if self._config.advertise_address:
            return self._config.advertise_address
        loop = asyncio.get_running_loop()
        deadline = loop.time() + ENGINE_WAIT_S
        while loop.time() < deadline:
            try:
                gateway = await self._engine.bridge_gateway()
            except KokirisError:
                await asyncio.sleep(ENGINE_RETRY_S)
                continue
            if gateway:
                return gateway
            break
        log.warning("docker's bridge has no address: services of this node are reached at %s", LOOPBACK)
        return LOOPBACK

    def _registry_auth(self, servers: Servers) -> NodeAuth:
        """Servers are asked only for images of the client's own registry."""
        own = self._config.registry_server

        async def auth(image: str) -> dict[str, str] | None:
            return await servers.registry_auth(image) if registry_of(image) == own else None

        return auth

    async def _renew(self, door: HttpServer, servers: Servers) -> None:
        """New connections use renewed certificates."""
        if self._listener_tls is None:
            return
        seen = self._listener_tls.cert_file.stat().st_mtime_ns
        while True:
            await asyncio.sleep(CERTIFICATE_CHECK_S)
            now = self._listener_tls.cert_file.stat().st_mtime_ns
            if now != seen:
                seen = now
                door.reload_certificate()
                await servers.renew_connections()
