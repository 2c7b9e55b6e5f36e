"""The edge role: wires routing to the servers' rpc listener, to HAProxy and to the panel's door."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiohttp

from kokiris.access.authority import due, new_key_and_request
from kokiris.access.tls import client_context
from kokiris.http.pages import Frame
from kokiris.http.serve import HttpServer
from kokiris.http.tokens import Principal
from kokiris.infra.config import Config, Layout
from kokiris.routing.api.app import Panel, panel_app
from kokiris.routing.certificates import Authority, CertificateStore
from kokiris.routing.edge import Edge
from kokiris.routing.feed import Caller, Feed
from kokiris.routing.gate import Gate
from kokiris.routing.haproxy.driver import HaproxyDriver
from kokiris.routing.haproxy.files import HaproxyFiles
from kokiris.routing.platform import platform_of
from kokiris.routing.servers import Servers

RENEW_CONTEXT_S = 3600.0
"""How often connections are made anew, so that they use the node's certificate as it is on disk."""


async def run(config: Config, layout: Layout, stop: asyncio.Event) -> None:
    """Runs until `stop` is set. HAProxy goes on as it is."""
    caller = Caller(config.servers, lambda: _session(layout), "https")
    servers = Servers(caller, config.node_name)
    files = HaproxyFiles.of(layout)
    platform = platform_of(config.addresses)
    certificates = CertificateStore(
        files, Authority(key_and_request=_key_and_request, sign=servers.sign, due=due), platform.hosts
    )
    wake = asyncio.Event()
    feed = Feed(caller, wake.set)
    edge = Edge(
        files=files,
        wake=wake,
        driver=HaproxyDriver(files),
        platform=platform,
        view=lambda: feed.view,
        certificates=certificates,
        send_report=servers.report,
    )
    certificates.on_ready = wake.set
    panel = Panel(
        frame=Frame.of(config.addresses, config.ports.https),
        entry_points={"web": f":{config.ports.http}", "websecure": f":{config.ports.https}"},
        status=lambda: edge.status,
        certificates=certificates,
        verify=lambda secret: _manager(servers, secret),
        gate=Gate(files.gate, files.socket),
        gate_verify=lambda secret: _known(servers, secret),
    )
    door = HttpServer(panel_app(panel), host=config.bind_address, port=config.ports.panel)
    await door.start()
    tasks = [
        asyncio.create_task(work, name=name)
        for name, work in (
            ("feed", feed.run()),
            ("edge", edge.run()),
            ("certificates", certificates.run()),
            ("connections", _renew_connections(caller)),
        )
    ]
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopping}:
            task.result()  # a defect ends the process with its traceback in the log; the agent starts it again
    finally:
        for task in (*tasks, stopping):
            task.cancel()
        await asyncio.gather(*tasks, stopping, return_exceptions=True)
        await door.stop()
        await caller.close()


async def _manager(servers: Servers, secret: str) -> Principal | None:
    """The panel shows every tenant's routes: it is for the management token."""
    owner = await _known(servers, secret)
    return owner if owner is not None and owner.is_management else None


async def _known(servers: Servers, secret: str) -> Principal | None:
    """phpMyAdmin asks for the database's own account next: any token of the infra opens the way to it."""
    owner = await servers.who(secret)
    return None if owner is None else Principal(owner.accessor_id, owner.name, owner.kind)


def _key_and_request(names: Sequence[str]) -> tuple[bytes, bytes]:
    return new_key_and_request(names)


def _session(layout: Layout) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(ssl=client_context(layout), limit=0, keepalive_timeout=60)
    return aiohttp.ClientSession(connector=connector)


async def _renew_connections(caller: Caller) -> None:
    while True:
        await asyncio.sleep(RENEW_CONTEXT_S)
        await caller.renew()
