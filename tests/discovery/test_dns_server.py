"""The dns server on real sockets, fed by the internal API, asked by dig and dnspython."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import dns.asyncquery
import dns.message
import msgspec
import pytest

from kokiris.discovery.dns.responder import STALE_AFTER_S, Responder
from kokiris.discovery.dns.server import DnsServer
from kokiris.discovery.model import NodeEntry
from kokiris.kernel.errors import HostError
from tests.discovery.conftest import KEYS, eventually
from tests.engines.dns import NODE, DnsBed, dig, instance, serve_dns


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[DnsBed]:
    async with serve_dns(tmp_path / "store") as bed:
        yield bed


async def test_dig_sees_what_is_healthy(served: DnsBed) -> None:
    discovery, server = served.discovery, served.dns
    await discovery.put(NODE | instance("a", "web", port=1) | instance("b", "web", "critical", port=2))

    async def one() -> bool:
        return await dig(server.port, "+short", "web.service.consul") == "10.9.0.1"

    await eventually(one)
    assert await dig(server.port, "+short", "+tcp", "web.service.consul") == "10.9.0.1"
    assert await dig(server.port, "+short", "web.service.consul", "SRV") == "1 1 1 0a090001.addr.dc1.consul."
    assert await dig(server.port, "+short", "-x", "10.9.9.9") == "n1.node.dc1.consul."
    assert "NXDOMAIN" in await dig(server.port, "none.service.consul")
    await discovery.put(instance("a", "web", "critical", port=1) | instance("b", "web", port=2))

    async def other() -> bool:
        return await dig(server.port, "+short", "web.service.consul") == "10.9.0.2"

    await eventually(other)
    await discovery.put({}, (KEYS.instance("b"),))

    async def none() -> bool:
        return "NXDOMAIN" in await dig(server.port, "web.service.consul")

    await eventually(none)


async def test_a_failed_node_takes_its_instances_along(served: DnsBed) -> None:
    discovery, server = served.discovery, served.dns
    await discovery.put(NODE | instance("a", "web", port=1))

    async def there() -> bool:
        return await dig(server.port, "+short", "web.service.consul") == "10.9.0.1"

    await eventually(there)
    failed = NodeEntry(Node="n1", Address="10.9.9.9", Status="critical")
    await discovery.put({KEYS.node("n1"): msgspec.msgpack.encode(failed)})

    async def gone() -> bool:
        return "NXDOMAIN" in await dig(server.port, "web.service.consul")

    await eventually(gone)
    assert await dig(server.port, "+short", "n1.node.consul") == "10.9.9.9"


async def test_large_answers_come_whole_over_tcp(served: DnsBed) -> None:
    discovery, server = served.discovery, served.dns
    for number in range(1, 201):
        await discovery.put(instance(f"i{number}", "many", port=number))
    query = dns.message.make_query("many.service.consul", "A")

    async def whole() -> bool:
        answer, over_tcp = await dns.asyncquery.udp_with_fallback(query, "127.0.0.1", port=server.port, timeout=5)
        return over_tcp and sum(len(rrset) for rrset in answer.answer) == 200

    await eventually(whole)


async def test_without_servers_it_goes_on_and_then_gives_up(served: DnsBed) -> None:
    discovery, server, http = served.discovery, served.dns, served.http
    await discovery.put(NODE | instance("a", "web", port=1))

    async def there() -> bool:
        return await dig(server.port, "+short", "web.service.consul") == "10.9.0.1"

    await eventually(there)
    await http.stop()
    assert await there()
    served.ahead_s = STALE_AFTER_S + 1
    assert "SERVFAIL" in await dig(server.port, "web.service.consul")


async def test_tcp_garbage_and_pipelining(served: DnsBed) -> None:
    server = served.dns
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"\x00\x03abc")
    assert await reader.read() == b""
    writer.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    wire = dns.message.make_query("x.consul", "A").to_wire()
    writer.write((struct.pack("!H", len(wire)) + wire) * 3)
    for _ in range(3):
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        assert dns.message.from_wire(await reader.readexactly(length)).question
    writer.close()


async def test_a_taken_port_is_named(served: DnsBed) -> None:
    server = served.dns
    with pytest.raises(HostError, match=str(server.port)):
        await DnsServer(Responder(), "127.0.0.1", server.port).start()
