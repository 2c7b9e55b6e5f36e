"""A real HAProxy on ports of its own, a peer that speaks the servers' rpc API, and small web servers as instances."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from kokiris.access.authority import KeyPair, issue, new_authority, new_key_and_request, utc_now
from kokiris.infra.config import Config, Layout, Ports, save
from kokiris.kernel.files import write_secret
from kokiris.routing.haproxy.command import haproxy_command
from kokiris.routing.haproxy.launch import prepare
from tests.engines.ports import free_port

DEADLINE_S = 60.0


async def eventually(condition: Callable[[], Any] | Callable[[], Awaitable[Any]], what: str) -> Any:
    """Waits until `condition` gives something true."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, f"never happened: {what}"
        await asyncio.sleep(0.02)


class Node:
    """A node's folders, certificates and HAProxy; ports are free ones, the VIP's sockets are handed down."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(folder)
        self.authority = new_authority("test authority", utc_now())
        self._listeners = [self._listen(), self._listen()]
        self.http_port, self.https_port = (one.getsockname()[1] for one in self._listeners)
        self.haproxy: subprocess.Popen[bytes] | None = None
        self.config = Config(
            client="demo",
            infra="rec1",
            data_dir=str(folder),
            ports=Ports(http=self.http_port, https=self.https_port, panel=free_port(), nomad=free_port()),
        )
        self._write_tls()

    @staticmethod
    def _listen() -> socket.socket:
        one = socket.socket()
        one.bind(("127.0.0.1", 0))
        one.listen(4096)
        return one

    def _write_tls(self) -> None:
        key, request = new_key_and_request(["localhost", "127.0.0.1"])
        write_secret(self.layout.tls / "ca.pem", self.authority.certificate_pem)
        write_secret(self.layout.tls / "node.key", key)
        write_secret(
            self.layout.tls / "node.pem", issue(self.authority, request, ["localhost", "127.0.0.1"], utc_now())
        )

    def serve_rpc_at(self, port: int) -> None:
        self.config.servers = [f"127.0.0.1:{port}"]
        save(self.config, self.layout.config)

    def start_haproxy(self, slots: int = 64, threads: int = 2) -> None:
        fds = [one.fileno() for one in self._listeners]
        prepare(self.config, self.layout, bind_fds=fds, slots=slots, threads=threads)
        self.layout.logs.mkdir(exist_ok=True)
        with (self.layout.logs / "haproxy.log").open("ab") as log:
            self.haproxy = subprocess.Popen(haproxy_command(self.layout), pass_fds=fds, stdout=log, stderr=log)

    def kill_haproxy(self) -> None:
        """As hard as can be: the workers go with their master."""
        if self.haproxy is not None and self.haproxy.poll() is None:
            self.haproxy.send_signal(signal.SIGKILL)
            self.haproxy.wait()
        self.haproxy = None

    def stop(self) -> None:
        if self.haproxy is not None and self.haproxy.poll() is None:
            self.haproxy.terminate()
            self.haproxy.wait(10)
        for one in self._listeners:
            one.close()

    def start_edge(self) -> subprocess.Popen[bytes]:
        """The real role, as a process of its own."""
        with (self.layout.logs / "edge.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "kokiris.agent.role", "edge", "--config", str(self.layout.config)],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    def edge_log(self) -> str:
        return (self.layout.logs / "edge.log").read_text()


class Rpc:
    """The servers' side: a catalog with blocking queries, certificates, reports. Mutual TLS, as the real one."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._index = 10
        self._topics: dict[str, int] = {}
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self.declared: dict[str, list[str]] = {}
        self.instances: dict[str, dict[str, dict[str, Any]]] = {}
        self.reports: list[dict[str, Any]] = []
        self.signed: list[list[str]] = []
        self.tokens = {"right-secret": "management"}
        self.port = free_port()

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/v1/catalog/services", self._services)
        app.router.add_get("/v1/health/service/{name}", self._health)
        app.router.add_put("/internal/v1/edge/{node}/report", self._report)
        app.router.add_post("/internal/v1/certificates", self._sign)
        app.router.add_post("/internal/v1/token", self._token)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        tls = self._node.layout.tls
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tls / "ca.pem"))
        context.load_cert_chain(tls / "node.pem", tls / "node.key")
        context.verify_mode = ssl.CERT_REQUIRED
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=context).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def touch(self, *services: str) -> int:
        """Something changed: wakes blocking queries on these services and on the list."""
        self._index += 1
        for topic in ("", *services):
            self._topics[topic] = self._index
        async with self._changed:
            self._changed.notify_all()
        return self._index

    async def put(
        self,
        service: str,
        instance: str,
        port: int,
        tags: list[str],
        *,
        status: str = "passing",
        address: str = "127.0.0.1",
    ) -> int:
        of_service = self.instances.setdefault(service, {})
        created = of_service.get(instance, {}).get("CreateIndex", self._index + 1)
        of_service[instance] = {
            "ID": instance,
            "Service": service,
            "Tags": tags,
            "Address": address,
            "Port": port,
            "CreateIndex": created,
            "Status": status,
        }
        return await self.touch(service)

    async def remove(self, service: str, instance: str) -> int:
        del self.instances[service][instance]
        return await self.touch(service)

    async def _block(self, request: web.Request, topic: str) -> int:
        asked = int(request.query.get("index", "0"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(float(request.query.get("wait", "60s").rstrip("s"))), self._changed:
                await self._changed.wait_for(lambda: self._topics.get(topic, 1) > asked or not asked)
        return self._topics.get(topic, 1)

    async def _services(self, request: web.Request) -> web.Response:
        index = await self._block(request, "")
        tags: dict[str, set[str]] = {name: set(of_name) for name, of_name in self.declared.items()}
        for name, instances in self.instances.items():
            for one in instances.values():
                tags.setdefault(name, set()).update(one["Tags"])
        body = {name: sorted(of_name) for name, of_name in tags.items()}
        return web.json_response(body, headers={"x-consul-index": str(index)})

    async def _health(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        index = await self._block(request, name)
        body = [
            {
                "Node": {"Node": "node1", "Address": "127.0.0.1"},
                "Service": {key: value for key, value in one.items() if key != "Status"},
                "Checks": [{"Status": "passing"}, {"Status": one["Status"]}],
            }
            for one in self.instances.get(name, {}).values()
        ]
        return web.json_response(body, headers={"x-consul-index": str(index)})

    async def _report(self, request: web.Request) -> web.Response:
        self.reports.append(await request.json())
        return web.json_response({})

    async def _sign(self, request: web.Request) -> web.Response:
        asked = await request.json()
        authority = KeyPair(self._node.authority.key_pem, self._node.authority.certificate_pem)
        chain = issue(authority, asked["CSR"].encode(), asked["Names"], utc_now())
        self.signed.append(asked["Names"])
        return web.json_response({"Certificate": chain.decode(), "NotAfter": ""})

    async def _token(self, request: web.Request) -> web.Response:
        kind = self.tokens.get((await request.json())["Secret"])
        if kind is None:
            return web.Response(status=403, text="ACL token not found")
        return web.json_response({"AccessorID": "a", "Name": "n", "Kind": kind, "Policies": []})


class Instance:
    """A web server that says who it is and counts what it is asked. While `open` is not set, it does not answer."""

    def __init__(self, name: str, delay_s: float = 0.0) -> None:
        self.name = name
        self.delay_s = delay_s
        self.served = 0
        self.open = asyncio.Event()
        self.open.set()
        self.port = 0
        self.last_headers: dict[str, str] = {}
        self._runner: web.AppRunner | None = None

    async def start(self) -> Instance:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        server = site._server
        assert isinstance(server, asyncio.Server)
        self.port = server.sockets[0].getsockname()[1]
        return self

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            sock = web.WebSocketResponse()
            await sock.prepare(request)
            async for message in sock:
                await sock.send_str(f"{self.name}:{message.data}")
            return sock
        self.served += 1
        self.last_headers = dict(request.headers)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        await self.open.wait()
        return web.Response(text=f"{self.name} {request.path_qs}")

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None


class Client:
    """Asks through the VIP, by Host."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))

    async def get(self, host: str, path: str = "/", *, https: bool = True, **options: Any) -> tuple[int, str, Any]:
        port = self._node.https_port if https else self._node.http_port
        url = f"{'https' if https else 'http'}://127.0.0.1:{port}{path}"
        context: Any = ssl._create_unverified_context() if https else None  # noqa: S323 - certificates have their own test
        headers = {"Host": host, **options.pop("headers", {})}
        async with self._session.request(
            options.pop("method", "GET"),
            url,
            headers=headers,
            ssl=context if https else True,
            server_hostname=host if https else None,
            allow_redirects=False,
            **options,
        ) as response:
            return response.status, (await response.text()).strip(), response.headers

    async def close(self) -> None:
        await self._session.close()
