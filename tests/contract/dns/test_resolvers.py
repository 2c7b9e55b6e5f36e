"""Resolvers as people put before Consul's DNS, unchanged: unbound, dnsmasq, and HAProxy's `server-template`."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.discovery.conftest import KEYS, eventually
from tests.engines.dns import NODE, DnsBed, dig, instance, serve_dns
from tests.engines.resolvers import dnsmasq, haproxy_of, unbound

pytestmark = pytest.mark.engine


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[DnsBed]:
    async with serve_dns(tmp_path / "store") as made:
        yield made


Start = Callable[[Path, int], AbstractAsyncContextManager[int]]


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(lambda folder, port: unbound(folder, port, "stub"), id="unbound-stub"),
        pytest.param(lambda folder, port: unbound(folder, port, "forward"), id="unbound-forward"),
        pytest.param(dnsmasq, id="dnsmasq"),
    ],
)
async def test_a_caching_resolver_follows_at_once(bed: DnsBed, tmp_path: Path, start: Start) -> None:
    async with start(tmp_path / "resolver", bed.dns.port) as port:
        await bed.discovery.put(NODE | instance("a", "web", port=1))

        async def answers(wanted: str, *words: str) -> bool:
            return wanted in await dig(port, *words)

        # each is asked again while the resolver has had no answer in time: SERVFAIL then
        await eventually(lambda: answers("10.9.0.1", "+short", "web.service.consul"))
        for wanted, *words in (
            ("1 1 1 0a090001.addr.dc1.consul.", "+short", "web.service.consul", "SRV"),
            ("10.9.0.1", "+short", "0a090001.addr.dc1.consul"),
            ("1 1 1 0a090001.addr.dc1.consul.", "+short", "_web._tcp.service.consul", "SRV"),
            ("status: NOERROR", "web.service.consul", "AAAA"),
            # neither an answer (TTL 0) nor its absence (SOA minimum 0) may be kept
            ("status: NXDOMAIN", "late.service.consul"),
        ):
            await eventually(functools.partial(answers, wanted, *words))
        await bed.discovery.put(instance("b", "late", port=2) | instance("a", "web", port=3))
        await eventually(lambda: answers("10.9.0.2", "+short", "late.service.consul"))
        await eventually(lambda: answers("10.9.0.3", "+short", "web.service.consul"))
        await bed.discovery.put({}, (KEYS.instance("b"),))
        await eventually(lambda: answers("status: NXDOMAIN", "late.service.consul"))
        # more than a datagram holds: the resolver asks again over TCP, and so does dig
        for number in range(1, 121):
            await bed.discovery.put(instance(f"m{number}", "many", port=number))

        async def whole() -> bool:
            lines = (await dig(port, "+short", "_many._tcp.service.consul", "SRV")).splitlines()
            return len([line for line in lines if line.startswith("1 1 ")]) == 120

        await eventually(whole)


@asynccontextmanager
async def _site(name: str) -> AsyncIterator[int]:
    """A web server that says its name; its port."""

    async def say(request: web.Request) -> web.Response:
        del request
        return web.Response(text=name)

    app = web.Application()
    app.router.add_get("/", say)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield int(runner.addresses[0][1])
    await runner.cleanup()


async def test_haproxy_fills_its_servers(bed: DnsBed, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(_site(name)) for name in ("one", "two")]
        port, haproxy = await stack.enter_async_context(haproxy_of(tmp_path / "haproxy", bed.dns.port, "shop"))
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def seen() -> set[str]:
            found = set()
            for _ in range(4):
                try:
                    async with session.get(f"http://127.0.0.1:{port}/") as answer:
                        found.add(await answer.text() if answer.status == 200 else str(answer.status))
                except aiohttp.ClientError as error:
                    haproxy.assert_runs()
                    found.add(type(error).__name__)
            return found

        async def sees(*names: str) -> bool:
            return await seen() == set(names)

        async def put(status_of_two: str) -> None:
            await bed.discovery.put(
                NODE
                | instance("i1", "shop", port=ports[0], address="127.0.0.1")
                | instance("i2", "shop", status_of_two, port=ports[1], address="127.0.0.1")
            )

        await eventually(lambda: sees("503"))
        await put("passing")
        await eventually(lambda: sees("one", "two"))
        await put("critical")
        await eventually(lambda: sees("one"))
        await put("passing")
        await eventually(lambda: sees("one", "two"))
        await bed.discovery.put({}, (KEYS.instance("i1"), KEYS.instance("i2")))
        await eventually(lambda: sees("503"))
