"""What the worker reads of the catalog, from the Consul API that the servers really serve."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from kokiris.discovery.api.app import make_consul_app
from kokiris.discovery.model import ServiceInstance
from kokiris.http.app import asgi
from kokiris.http.serve import HttpServer
from kokiris.worker.client import Servers
from tests.discovery.conftest import Discovery, open_discovery, port_of


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[tuple[Discovery, Servers]]:
    """A catalog behind its API, and the worker's view of it."""
    opened = await open_discovery(tmp_path / "store")
    http = HttpServer(asgi(make_consul_app(opened.catalog, opened.writer, opened.facts, None)), grace_s=1)
    await http.start()
    servers = Servers([f"127.0.0.1:{port_of(http)}"], node_id="node", secret_id="secret", tls=None)
    yield opened, servers
    await servers.close()
    await http.stop()
    await opened.follower.stop()
    await opened.store.close()


async def test_a_blocking_query_waits_for_the_next_change(catalog: tuple[Discovery, Servers]) -> None:
    """With an index that is not understood, every query would answer at once, and the worker would ask for ever."""
    opened, servers = catalog
    index, found = await servers.healthy_instances("web", 0, 60)
    assert (index > 0, found) == (True, [])
    asked = asyncio.create_task(servers.healthy_instances("web", index, 60))
    done, _ = await asyncio.wait([asked], timeout=0.5)
    assert not done, "it is parked"
    instance = ServiceInstance(ID="i1", Node="node1", Service="web", Address="10.0.0.1", Port=80)
    await opened.put({opened.keys.instance("i1"): msgspec.msgpack.encode(instance)})
    later, _ = await asyncio.wait_for(asked, 60)
    assert later > index
