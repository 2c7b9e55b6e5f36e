"""The DNS door on real sockets, fed by the internal API over a real store, and dig to ask it, or whoever stands
before it."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from kokiris.discovery.api.internal import add_discovery_routes
from kokiris.discovery.dns.feed import Feed
from kokiris.discovery.dns.responder import Responder
from kokiris.discovery.dns.server import DnsServer
from kokiris.discovery.dns.zone import Zone
from kokiris.discovery.model import CheckState, NodeEntry, ServiceInstance
from kokiris.discovery.release import ReleaseLedger
from kokiris.http.app import asgi, make_app
from kokiris.http.serve import HttpServer
from tests.discovery.conftest import KEYS, Discovery, open_discovery

NODE = {KEYS.node("n1"): msgspec.msgpack.encode(NodeEntry(Node="n1", Address="10.9.9.9"))}


@dataclass
class DnsBed:
    """What is put into `discovery` is answered by `dns` a moment later."""

    discovery: Discovery
    dns: DnsServer
    http: HttpServer
    ahead_s: float = 0.0
    """How far the clock of `dns` is set forward."""


@contextlib.asynccontextmanager
async def serve_dns(folder: Path) -> AsyncIterator[DnsBed]:
    """Answers SERVFAIL when it has not heard from its server for STALE_AFTER_S."""
    discovery = await open_discovery(folder)
    app = make_app()
    add_discovery_routes(app, discovery.catalog, ReleaseLedger(discovery.catalog))
    http = HttpServer(asgi(app), grace_s=1)
    await http.start()
    responder = Responder(clock_s=lambda: time.monotonic() + bed.ahead_s)
    server = DnsServer(responder, "127.0.0.1", 0)
    bed = DnsBed(discovery, server, http)
    await server.start()
    feed = asyncio.create_task(Feed([f"127.0.0.1:{http.port}"], responder, Zone, lambda: None, wait_s=1).run())
    try:
        yield bed
    finally:
        feed.cancel()
        await asyncio.gather(feed, return_exceptions=True)
        await server.stop()
        await http.stop()
        await discovery.follower.stop()
        await discovery.store.close()


def instance(
    name: str, service: str, status: str = "passing", *, port: int = 80, address: str = ""
) -> dict[bytes, bytes]:
    """An instance on node n1; without an address of its own it has one by its port."""
    stored = ServiceInstance(
        ID=name,
        Service=service,
        Node="n1",
        Address=address or f"10.9.0.{port % 250}",
        Port=port,
        Checks=[CheckState(CheckID=f"c-{name}", Status=status)],
        AllocID="a",
    )
    return {KEYS.instance(name): msgspec.msgpack.encode(stored)}


async def dig(port: int, *words: str) -> str:
    """What dig prints."""
    process = await asyncio.create_subprocess_exec(
        "dig", "@127.0.0.1", "-p", str(port), "+tries=1", "+time=20", *words, stdout=subprocess.PIPE
    )
    return (await process.communicate())[0].decode().strip()
