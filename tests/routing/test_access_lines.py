"""Access lines of a real HAProxy: one for every request, in bursts and after a reload."""

from __future__ import annotations

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from kokiris.logs.collect.access_socket import AccessSocket
from kokiris.logs.collect.access_targets import AccessTargets
from kokiris.logs.collect.shipper import Shipment
from kokiris.routing.haproxy.driver import HaproxyDriver
from kokiris.routing.haproxy.files import HaproxyFiles
from kokiris.routing.haproxy.runtime import HaproxyAway
from tests.routing.peers import Node

pytestmark = pytest.mark.engine


class Kept:
    """Stands for the index: keeps what it is given."""

    def __init__(self) -> None:
        self.paths: collections.Counter[str] = collections.Counter()

    async def ship(self, shipments: list[Shipment]) -> None:
        self.paths.update(str(one.document["path"]) for one in shipments)


@contextlib.asynccontextmanager
async def log_search(node: Node, kept: Kept) -> AsyncIterator[None]:
    targets = AccessTargets(node.layout.haproxy / "edge.json", lambda _: None)
    path = node.layout.run / "access.sock"
    socket = AccessSocket(path, infra="rec1", node="n1", shipper=kept, targets=targets)  # type: ignore[arg-type] # a part
    task = asyncio.create_task(socket.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ask(node: Node, name: str, count: int, clients: int = 20) -> set[str]:
    """`count` requests over kept connections, each with a path of its own."""
    left = [f"/{name}/{number}" for number in range(count)]
    asked = set(left)

    async def one() -> None:
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(connector=connector) as session:
            while left:
                url = f"http://127.0.0.1:{node.http_port}{left.pop()}"
                async with session.get(url, headers={"Host": "shop.test"}) as answer:
                    assert answer.status == 200

    await asyncio.gather(*(one() for _ in range(clients)))
    return asked


async def test_every_request_leaves_its_line(node: Node, instance: Any, wait_for: Any) -> None:
    web = await instance("one")
    node.start_haproxy(slots=1)
    driver = HaproxyDriver(HaproxyFiles.of(node.layout))

    async def connected() -> bool:
        with contextlib.suppress(HaproxyAway):
            return bool((await driver.live()).slots)
        return False

    await wait_for(connected, "HAProxy's socket")
    maps = {("web", "host"): {"shop.test": "s00000"}}
    await driver.apply({0: {"one": f"127.0.0.1:{web.port}"}}, maps)
    kept = Kept()

    async def all_of(asked: set[str]) -> None:
        await wait_for(lambda: asked <= set(kept.paths), "all lines")

    path = node.layout.run / "access.sock"
    async with log_search(node, kept):
        await wait_for(path.exists, "the socket")
        asked = await ask(node, "burst", 2000, clients=60)  # they, and who takes the lines, share one thread
        await all_of(asked)
        servers = {number: {} for number in range(1, 200)} | {0: {"one": f"127.0.0.1:{web.port}"}}
        await driver.apply(servers, maps)
        asked |= await ask(node, "reloaded", 100)
        await all_of(asked)
    assert set(kept.paths.values()) == {1}
    await driver.close()
