"""Discovery's doors for the infra's own nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import msgspec
import pytest

from kokiris.discovery.api.app import make_consul_app
from kokiris.discovery.api.internal import add_discovery_routes
from kokiris.discovery.model import NodeEntry, ServiceInstance
from kokiris.discovery.release import EDGE_SILENCE_S, ReleaseLedger
from kokiris.discovery.view import CatalogView
from kokiris.http.app import asgi, make_app
from kokiris.http.serve import HttpServer
from tests.discovery.conftest import Discovery, port_of


@dataclass
class Doors:
    discovery: Discovery
    ledger: ReleaseLedger
    internal: str
    reads: str
    http: aiohttp.ClientSession


@pytest.fixture
async def doors(discovery: Discovery) -> AsyncIterator[Doors]:
    ledger = ReleaseLedger(discovery.catalog)
    ledger._started_at_s -= EDGE_SILENCE_S
    app = make_app()
    add_discovery_routes(app, discovery.catalog, ledger)
    reads = make_consul_app(discovery.catalog, discovery.writer, discovery.facts, None)
    servers = [HttpServer(asgi(app), grace_s=1), HttpServer(asgi(reads), grace_s=1)]
    for server in servers:
        await server.start()
    first, second = (f"http://127.0.0.1:{port_of(server)}" for server in servers)
    async with aiohttp.ClientSession() as http:
        yield Doors(discovery, ledger, first, second, http)
    for server in servers:
        await server.stop()


async def test_nodes_read_without_a_token_and_write_nothing(doors: Doors) -> None:
    async with doors.http.get(f"{doors.reads}/v1/catalog/services") as answer:
        assert (answer.status, await answer.text()) == (200, "{}")
    async with doors.http.put(f"{doors.reads}/v1/kv/x", data=b"1") as answer:
        assert answer.status == 403
        assert "nodes may only read" in await answer.text()
    async with doors.http.get(f"{doors.reads}/ui/") as answer:
        assert answer.status == 404
    assert not doors.discovery.catalog.kv.entries


async def test_reports_release(doors: Doors) -> None:
    discovery = doors.discovery
    one = msgspec.msgpack.encode(ServiceInstance(ID="i1", Service="web", Node="n1"))
    await discovery.put({discovery.keys.instance("i1"): one})
    deleted = await discovery.put({}, (discovery.keys.instance("i1"),))
    report = {"Applied": {"web": deleted - 1}, "Draining": []}
    async with doors.http.put(f"{doors.internal}/internal/v1/edge/e1/report", json=report) as answer:
        assert answer.status == 200
    url = f"{doors.internal}/internal/v1/released?instance=i1&wait=50ms"
    async with doors.http.get(url) as answer:
        assert await answer.json() == {"Released": False, "Unreleased": ["i1"]}
    report["Applied"] = {"web": deleted}
    async with doors.http.put(f"{doors.internal}/internal/v1/edge/e1/report", json=report) as answer:
        assert answer.status == 200
    async with doors.http.get(url) as answer:
        assert await answer.json() == {"Released": True, "Unreleased": []}
    async with doors.http.get(f"{doors.internal}/internal/v1/released?wait=soon") as answer:
        assert answer.status == 400


async def test_the_whole_catalog(doors: Doors) -> None:
    discovery = doors.discovery
    encode = msgspec.msgpack.encode
    await discovery.put(
        {
            discovery.keys.node("n1"): encode(NodeEntry(Node="n1", Address="10.0.0.1", Status="critical")),
            discovery.keys.instance("i1"): encode(ServiceInstance(ID="i1", Service="web", Node="n1", Port=80)),
        }
    )
    async with doors.http.get(f"{doors.internal}/internal/v1/catalog") as answer:
        found = msgspec.json.decode(await answer.read(), type=CatalogView)
    assert [(one.Service, one.Port, one.Status) for one in found.Instances] == [("web", 80, "critical")]
    assert [(one.Node, one.Address) for one in found.Nodes] == [("n1", "10.0.0.1")]
    async with doors.http.get(f"{doors.internal}/internal/v1/catalog?index={found.Index}&wait=50ms") as answer:
        assert msgspec.json.decode(await answer.read(), type=CatalogView).Index == found.Index
