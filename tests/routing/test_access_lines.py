"""Access lines of a real HAProxy: one a request, in bursts, over reloads, ends and absences of whoever reads."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from kokiris.logs.collect.access_collector import AccessCollector
from kokiris.logs.collect.access_targets import AccessTargets
from kokiris.logs.collect.shipper import Shipment
from kokiris.logs.model import ACCESS_RING_BYTES
from kokiris.routing.haproxy.config import NOT_FOUND_TEXT
from kokiris.routing.haproxy.driver import HaproxyDriver
from kokiris.routing.haproxy.files import HaproxyFiles
from kokiris.routing.haproxy.live import worker_of
from kokiris.routing.haproxy.ring import RingReader
from kokiris.routing.haproxy.runtime import HaproxyAway, ask_master
from tests.routing.peers import Node

pytestmark = pytest.mark.engine


class Kept:
    """Stands for the index: keeps each identifier once."""

    def __init__(self) -> None:
        self.paths: dict[str, str] = {}
        self.open = asyncio.Event()
        self.open.set()

    async def ship(self, shipments: list[Shipment]) -> None:
        await self.open.wait()
        self.paths |= {one.identifier: str(one.document["path"]) for one in shipments}

    def once(self, asked: set[str]) -> bool:
        counts = collections.Counter(self.paths.values())
        return all(counts[path] == 1 for path in asked)


@contextlib.asynccontextmanager
async def log_search(node: Node, kept: Kept) -> AsyncIterator[tuple[RingReader, AccessCollector]]:
    targets = AccessTargets(node.layout.haproxy / "edge.json", lambda _: None)
    collector = AccessCollector(infra="rec1", node="n1", shipper=kept, targets=targets)
    reader = RingReader(HaproxyFiles.of(node.layout), collector.take)
    task = asyncio.create_task(reader.run())
    try:
        yield reader, collector
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@dataclass
class Vip:
    """A HAProxy with one routed name."""

    node: Node
    driver: HaproxyDriver
    servers: dict[int, dict[str, str]]
    asked: set[str] = field(default_factory=set)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def reload(self, slots: int) -> None:
        await self.driver.apply({number: {} for number in range(1, slots)} | self.servers, MAPS)

    async def ask(self, goes_on: Callable[[], bool], clients: int) -> None:
        """Requests over kept connections, each with a path of its own, as long as `goes_on`."""

        async def one() -> None:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
                while goes_on():
                    path = f"/{next(self.numbers)}"
                    url = f"http://127.0.0.1:{self.node.http_port}{path}"
                    async with session.get(url, headers={"Host": "shop.test"}) as answer:
                        assert answer.status == 200
                    self.asked.add(path)

        await asyncio.gather(*(one() for _ in range(clients)))

    async def ask_times(self, count: int, clients: int = 20) -> None:
        left = iter(range(count))
        await self.ask(lambda: next(left, None) is not None, clients)


async def flood(node: Node, size_bytes: int) -> None:
    """Requests that HAProxy answers itself, until their lines have so many bytes."""
    path = "/" + "x" * 1000
    reader, writer = await asyncio.open_connection("127.0.0.1", node.http_port)
    for _ in range(size_bytes // len(path) // 100 + 1):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: nobody.test\r\n\r\n".encode() * 100)
        for _ in range(100):
            await reader.readuntil(NOT_FOUND_TEXT.encode())
    writer.close()


MAPS = {("web", "host"): {"shop.test": "s00000"}}
WaitFor = Callable[[Callable[[], Any], str], Awaitable[Any]]


@pytest.fixture
async def vip(node: Node, instance: Any, wait_for: WaitFor) -> AsyncIterator[Vip]:
    web = await instance("one")
    node.start_haproxy()
    driver = HaproxyDriver(HaproxyFiles.of(node.layout))

    async def connected() -> bool:
        with contextlib.suppress(HaproxyAway):
            master = await ask_master(HaproxyFiles.of(node.layout).master_socket, "show proc")
            return bool((await driver.live()).slots) and worker_of(master) > 0
        return False

    await wait_for(connected, "HAProxy's sockets")
    one = Vip(node, driver, {0: {"one": f"127.0.0.1:{web.port}"}})
    await driver.apply(one.servers, MAPS)
    yield one
    await driver.close()


async def test_every_request_leaves_its_line_in_bursts_and_over_a_reload(vip: Vip, wait_for: WaitFor) -> None:
    kept = Kept()
    async with log_search(vip.node, kept) as (reader, _):
        await wait_for(lambda: reader.followed, "the ring is read")
        (first,) = reader.followed
        await vip.ask_times(2000, clients=60)  # they, and who takes the lines, share one thread
        reloaded = asyncio.Event()
        load = asyncio.create_task(vip.ask(lambda: not reloaded.is_set(), clients=20))
        await vip.reload(200)
        await wait_for(lambda: reader.followed - {first}, "the new worker's ring is read")
        reloaded.set()
        await load
        await wait_for(lambda: kept.once(vip.asked), "one line a request")
        await wait_for(lambda: first not in reader.followed, "the old worker is let go")


async def test_lines_wait_while_nobody_reads_and_none_is_kept_twice(vip: Vip, wait_for: WaitFor) -> None:
    kept = Kept()
    await vip.ask_times(50)
    for _ in range(2):
        async with log_search(vip.node, kept):
            await vip.ask_times(50)
            await wait_for(lambda: kept.once(vip.asked), "one line a request")
        await vip.ask_times(50)
    async with log_search(vip.node, kept):
        await wait_for(lambda: kept.once(vip.asked), "one line a request")


async def test_requests_do_not_wait_for_an_index_that_hangs(vip: Vip, wait_for: WaitFor) -> None:
    kept = Kept()
    kept.open.clear()
    async with log_search(vip.node, kept) as (reader, collector):
        await wait_for(lambda: reader.followed, "the ring is read")
        await flood(vip.node, 2 * ACCESS_RING_BYTES)
        kept.open.set()

        async def one_more() -> bool:
            await vip.ask_times(1)
            return bool(vip.asked & set(kept.paths.values()))

        await wait_for(one_more, "lines come again")
        assert collector.dropped > 0, "what is missing is counted"


async def test_a_stopping_haproxy_is_not_held_up_and_the_next_one_is_read(vip: Vip, wait_for: WaitFor) -> None:
    kept = Kept()
    async with log_search(vip.node, kept) as (reader, _):
        await wait_for(lambda: reader.followed, "the ring is read")
        await vip.ask_times(50)
        assert vip.node.haproxy is not None
        await vip.driver.close()
        vip.node.haproxy.send_signal(signal.SIGUSR1)
        await wait_for(lambda: vip.node.haproxy.poll() is not None, "HAProxy ends")  # type: ignore[union-attr] # above
        await wait_for(lambda: kept.once(vip.asked), "one line a request")
        for _ in range(2):
            vip.node.start_haproxy()
            await vip.ask_times(50)
            await wait_for(lambda: kept.once(vip.asked), "one line a request")
            vip.node.kill_haproxy()


async def test_a_haproxy_whose_configuration_has_no_ring_is_reloaded(vip: Vip, wait_for: WaitFor) -> None:
    files = HaproxyFiles.of(vip.node.layout)
    text = files.config.read_text()
    files.config.write_text(re.sub(r"(?m)^ring (.*\n)+?$|^ *log ring@.*\n", "", text))
    await ask_master(files.master_socket, "reload")

    async def outdated() -> bool:
        with contextlib.suppress(HaproxyAway):
            await vip.driver.close()  # an open connection stays with the old worker
            return (await vip.driver.live()).outdated
        return False

    await wait_for(outdated, "an older version runs")
    files.config.write_text(text)

    async def reloaded() -> bool:
        with contextlib.suppress(HaproxyAway):  # the master is back some time after its new worker
            await vip.driver.apply(vip.servers, MAPS)
            return not (await vip.driver.live()).outdated
        return False

    await wait_for(reloaded, "HAProxy is reloaded")
    kept = Kept()
    async with log_search(vip.node, kept):
        await vip.ask_times(1)
        await wait_for(lambda: kept.once(vip.asked), "one line a request")
