"""A protocol peer of the worker: the internal API's part it calls, with the assignments a test wants."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from kokiris.http.tls import TlsFiles
from kokiris.kernel.ids import new_id
from kokiris.orchestrator.model.alloc import AllocClient
from kokiris.orchestrator.model.allocwire import (
    AllocatedSharedResources,
    Allocation,
    AllocResources,
    PortMapping,
)
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.model.node import Node


class InternalApi:
    """Remembers what the worker says: `node`, `clients` (newest word per allocation), `history` of each."""

    def __init__(self, tls: TlsFiles | None = None) -> None:
        self.node: Node | None = None
        self.secret = ""
        self.clients: dict[str, AllocClient] = {}
        self.history: dict[str, list[AllocClient]] = {}
        self.calls: list[str] = []
        self.released: asyncio.Event = asyncio.Event()
        self.released.set()
        self.released_asked: list[list[str]] = []
        self.instances: dict[str, list[dict[str, Any]]] = {}
        self.port = 0
        self._tls = tls
        self._allocs: dict[str, tuple[Allocation, int]] = {}
        self._index = 1
        self._news = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> None:
        """Returns once it listens on `port`."""
        app = web.Application()
        app.router.add_put("/internal/v1/node/{id}", self._register)
        app.router.add_put("/internal/v1/node/{id}/heartbeat", self._heartbeat)
        app.router.add_get("/internal/v1/node/{id}/assignments", self._assignments)
        app.router.add_post("/internal/v1/assignments", self._fetch)
        app.router.add_put("/internal/v1/node/{id}/allocs", self._report)
        app.router.add_get("/internal/v1/released", self._released)
        app.router.add_get("/v1/health/service/{name}", self._health)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        context = None
        if self._tls is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self._tls.ca_file))
            context.load_cert_chain(self._tls.cert_file, self._tls.key_file)
            context.verify_mode = ssl.CERT_REQUIRED
        site = web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=context, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Goes away, as a server that is killed; what it knows stays for a later `start`."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def assign(self, job: Job, *, ports: dict[str, tuple[int, int]] | None = None, **changes: Any) -> str:
        """An allocation of the job's first group for the worker; ports: label → (host port, inside port)."""
        group = (job.TaskGroups or [])[0]
        address = self.node_address()
        mappings = [
            PortMapping(Label=label, Value=value, To=to, HostIP=address) for label, (value, to) in (ports or {}).items()
        ]
        fields: dict[str, Any] = {
            "ID": new_id(),
            "Name": f"{job.ID}.{group.Name}[0]",
            "Namespace": "default",
            "JobID": job.ID,
            "Job": job,
            "TaskGroup": group.Name,
            "DesiredStatus": "run",
            "ClientStatus": "pending",
            "AllocatedResources": AllocResources(Tasks={}, Shared=AllocatedSharedResources(Ports=mappings)),
        }
        alloc = Allocation(**{**fields, **changes})
        await self.put(alloc)
        return alloc.ID

    def node_address(self) -> str:
        """Where the registered node says its services are."""
        assert self.node is not None
        return (self.node.Attributes or {})["unique.network.ip-address"]

    async def put(self, alloc: Allocation) -> None:
        """A new or changed allocation."""
        self._index += 1
        self._allocs[alloc.ID] = (alloc, self._index)
        async with self._news:
            self._news.notify_all()

    def alloc(self, alloc_id: str) -> Allocation:
        """As assigned."""
        return self._allocs[alloc_id][0]

    async def stop_alloc(self, alloc_id: str) -> None:
        """Desired status: stop."""
        await self.put(msgspec.structs.replace(self.alloc(alloc_id), DesiredStatus="stop"))

    async def forget(self, alloc_id: str) -> None:
        """As after garbage collection."""
        self._index += 1
        del self._allocs[alloc_id]
        async with self._news:
            self._news.notify_all()

    async def until(self, alloc_id: str, holds: Callable[[AllocClient], object], deadline_s: float = 60) -> AllocClient:
        """The first word on the allocation for which `holds`; raises AssertionError with the newest one otherwise."""
        try:
            async with asyncio.timeout(deadline_s):
                while True:
                    client = self.clients.get(alloc_id)
                    if client is not None and holds(client):
                        return client
                    await asyncio.sleep(0.02)
        except TimeoutError:
            shown = msgspec.json.format(msgspec.json.encode(self.clients.get(alloc_id))).decode()
            raise AssertionError(f"not reached within {deadline_s} s; the newest word is\n{shown}") from None

    async def until_status(self, alloc_id: str, status: str, deadline_s: float = 60) -> AllocClient:
        """As `until`, for a client status."""
        return await self.until(alloc_id, lambda client: client.ClientStatus == status, deadline_s)

    async def _register(self, request: web.Request) -> web.Response:
        body = msgspec.json.decode(await request.read())
        self.node = msgspec.convert(body["Node"], Node)
        self.secret = body["SecretID"]
        self.calls.append("register")
        return web.json_response({"HeartbeatTTLSeconds": 2.0, "Index": self._index})

    async def _heartbeat(self, request: web.Request) -> web.Response:
        self.calls.append("heartbeat")
        if self.node is None:
            return web.Response(status=404, text="node not found")
        return web.json_response({"HeartbeatTTLSeconds": 2.0})

    async def _assignments(self, request: web.Request) -> web.Response:
        if request.headers.get("X-Node-Secret") != self.secret:
            return web.Response(status=403, text="node secret does not match")
        seen = int(request.query.get("index", "0"))
        if seen >= self._index:
            async with self._news:
                try:
                    async with asyncio.timeout(30):
                        await self._news.wait_for(lambda: self._index > seen)
                except TimeoutError:
                    pass
        listed = [{"AllocID": one, "AllocModifyIndex": index} for one, (_, index) in self._allocs.items()]
        return web.json_response({"Index": self._index, "Assignments": listed})

    async def _fetch(self, request: web.Request) -> web.Response:
        wanted = msgspec.json.decode(await request.read())["AllocIDs"]
        found = [
            {"Allocation": self._allocs[one][0], "AllocModifyIndex": self._allocs[one][1]}
            for one in wanted
            if one in self._allocs
        ]
        return web.Response(body=msgspec.json.encode(found), content_type="application/json")

    async def _report(self, request: web.Request) -> web.Response:
        for raw in msgspec.json.decode(await request.read())["Updates"]:
            client = msgspec.convert(raw, AllocClient)
            self.clients[client.ID] = client
            self.history.setdefault(client.ID, []).append(client)
        return web.json_response({"Index": self._index})

    async def _released(self, request: web.Request) -> web.Response:
        self.released_asked.append(request.query.getall("instance"))
        await self.released.wait()
        return web.json_response({})

    async def _health(self, request: web.Request) -> web.Response:
        name, seen = request.match_info["name"], int(request.query.get("index", "0"))
        if seen >= self._index:
            async with self._news:
                try:
                    async with asyncio.timeout(20):
                        await self._news.wait_for(lambda: self._index > seen)
                except TimeoutError:
                    pass
        found = [
            {"Node": {"Node": "n1", "Address": "10.0.0.1"}, "Service": {"ID": f"{name}-{i}", "Service": name, **one}}
            for i, one in enumerate(self.instances.get(name, []))
        ]
        return web.json_response(found, headers={"x-consul-index": str(self._index)})

    async def set_instances(self, service: str, instances: list[dict[str, Any]]) -> None:
        """What the catalog answers: [{"Address": …, "Port": …}]."""
        self.instances[service] = instances
        self._index += 1
        async with self._news:
            self._news.notify_all()
