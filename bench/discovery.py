"""Discovery: Consul API reads, parked blocking queries, DNS. Each server is one process; the load is beside it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from bench.table import Report, Row, main, median_and_p99
from kokiris.discovery.api.app import make_consul_app
from kokiris.discovery.api.context import AgentFacts
from kokiris.discovery.catalog import Catalog
from kokiris.discovery.dns.responder import Responder
from kokiris.discovery.dns.server import DnsServer
from kokiris.discovery.dns.zone import Zone
from kokiris.discovery.model import CheckState, Keys, KvEntry, NodeEntry, ServiceInstance
from kokiris.discovery.view import view
from kokiris.discovery.writer import CatalogWriter
from kokiris.http.app import asgi
from kokiris.http.serve import HttpServer
from kokiris.http.tokens import Principal
from kokiris.store.follow import Follower
from kokiris.store.sqlite.store import SqliteStore

SERVICES, INSTANCES, KV_ENTRIES = 1000, 3, 1000
WAITING = 2000
LOAD_S = 4
CONNECTIONS = 32
TOKEN = "bench-token"  # noqa: S105 - of a server that lives for seconds
KEYS = Keys("bench", "rec1")
PRINCIPAL = Principal(accessor_id="bench", name="bench", kind="management")


class _Tokens:
    def authenticate(self, secret: str) -> Principal | None:
        return PRINCIPAL if secret == TOKEN else None


def _entries() -> dict[bytes, bytes]:
    """The stored catalog: nodes, services with instances and a check each, keys."""
    encode = msgspec.msgpack.encode
    puts = {
        KEYS.node(f"n{number}"): encode(NodeEntry(Node=f"n{number}", Address=f"10.1.0.{number}"))
        for number in range(10)
    }
    for service in range(SERVICES):
        for number in range(INSTANCES):
            one = ServiceInstance(
                ID=f"s{service}-{number}",
                Service=f"s{service}",
                Node=f"n{service % 10}",
                Address=f"10.{service // 250}.{service % 250}.{number + 1}",
                Port=8080,
                Tags=["blue", "v1"],
                Checks=[CheckState(CheckID=f"c{service}-{number}", Name="alive", Status="passing", Type="http")],
                AllocID="a",
            )
            puts[KEYS.instance(one.ID)] = encode(one)
    for number in range(KV_ENTRIES):
        name = f"config/app{number % 10}/key{number}"
        puts[KEYS.kv(name)] = encode(KvEntry(Key=name, Value=b"x" * 100))
    return puts


# ---- the processes measured ------------------------------------------------------------------------------------------


async def _serve_api() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = await SqliteStore.open(Path(folder))
        await store.commit((), _entries())
        catalog = Catalog(KEYS.root)
        follower = Follower(store, KEYS.root, catalog.load, catalog.apply)
        await follower.start()
        writer = CatalogWriter(store, catalog, KEYS, follower.wait_for)
        await _serve_http(asgi(make_consul_app(catalog, writer, AgentFacts(), _Tokens())))


async def _bare(scope: Any, receive: Any, send: Any) -> None:
    """The least that can be answered."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b"{}"})


async def _serve_http(app: Any) -> None:
    server = HttpServer(app)
    await server.start()
    print(server._server.servers[0].sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


async def _serve_dns() -> None:
    catalog = Catalog(KEYS.root)
    from kokiris.store.contract import KeyValue, Range  # noqa: PLC0415 - of this process only

    catalog.load(Range(1, [KeyValue(key, value, 1, 1) for key, value in sorted(_entries().items())]))
    responder = Responder(stale_after_s=float("inf"))
    responder.set_zone(Zone(view(catalog, 1)))
    server = DnsServer(responder, "127.0.0.1", 0)
    await server.start()
    print(server.port, flush=True)
    await asyncio.Event().wait()


@dataclass(frozen=True, slots=True)
class _Server:
    port: int
    pid: int

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{self.pid}/smaps_rollup").read_text(), re.MULTILINE)
        return int(found[1]) / 1024 if found else 0.0


@contextlib.asynccontextmanager
async def _running(what: str) -> AsyncIterator[_Server]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.discovery", what, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        port = int(await asyncio.wait_for(process.stdout.readline(), 60))
        yield _Server(port, process.pid)
    finally:
        process.kill()
        await process.wait()


# ---- measuring -------------------------------------------------------------------------------------------------------


async def _output_of(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    return (await process.communicate())[0].decode()


async def _requests_per_s(server: _Server, path: str) -> tuple[float, float, float, float]:
    """(requests per second, median ms, p99 ms, CPU µs per request), by wrk."""
    url = f"http://127.0.0.1:{server.port}{path}"
    header = f"X-Consul-Token: {TOKEN}"
    base = ("wrk", "-t1", f"-c{CONNECTIONS}", "--latency", "-H", header)
    await _output_of(*base, "-d1s", url)
    cpu_s = server.cpu_s()
    text = await _output_of(*base, f"-d{LOAD_S}s", url)
    cpu_s = server.cpu_s() - cpu_s
    if "Non-2xx" in text:
        raise RuntimeError(f"{path}: {text}")
    count = int(re.search(r"(\d+) requests in", text)[1])
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
    return rate, _latency_ms(text, "50%"), _latency_ms(text, "99%"), cpu_s * 1e6 / max(1, count)


def _latency_ms(text: str, quantile: str) -> float:
    found = re.search(rf"{quantile}\s+([\d.]+)(us|ms|s)", text)
    assert found is not None, text
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]


async def _measure_reads(report: Report) -> None:
    async with _running("bare") as bare, _running("api") as api:
        bare_rate, median_ms, p99_ms, micros = await _requests_per_s(bare, "/")
        conditions = f"wrk, {CONNECTIONS} connections, {{:.0f}} µs CPU each"
        report.add(
            Row(
                "HTTP, bare ASGI app on uvicorn",
                bare_rate,
                "requests/s",
                1,
                median_ms,
                p99_ms,
                1.0,
                conditions.format(micros),
            )
        )
        for name, path in (
            ("Consul API, health/service?passing, 3 instances", "/v1/health/service/s7?passing=1"),
            ("Consul API, health/service?passing&tag", "/v1/health/service/s7?passing=1&tag=blue"),
            ("Consul API, kv get", "/v1/kv/config/app7/key7"),
            ("Consul API, catalog/services, 1,000 services", "/v1/catalog/services"),
        ):
            rate, median_ms, p99_ms, micros = await _requests_per_s(api, path)
            told = f"{conditions.format(micros)}; ratio to bare"
            report.add(Row(name, rate, "requests/s", 1, median_ms, p99_ms, rate / bare_rate, told))


async def _park(port: int, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Consul-Token: {TOKEN}\r\n\r\n".encode())
    return reader, writer


async def _call(port: int, method: str, path: str, body: bytes = b"") -> tuple[dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nX-Consul-Token: {TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    answer = await _answer(reader)
    writer.close()
    return answer


async def _answer(reader: asyncio.StreamReader) -> tuple[dict[str, str], bytes]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")[1:-2]
    headers = dict(line.split(": ", 1) for line in lines)
    return headers, await reader.readexactly(int(headers["content-length"]))


async def _waiting(port: int) -> int:
    """How many queries are parked in the server."""
    gauges = msgspec.json.decode((await _call(port, "GET", "/v1/agent/metrics"))[1])["Gauges"]
    return next(int(one["Value"]) for one in gauges if one["Name"] == "consul.http.blocking_queries")


async def _measure_waiting(report: Report) -> None:
    async with _running("api") as api:
        await _call(api.port, "PUT", "/v1/agent/service/register", b'{"Name": "watched"}')
        headers, _ = await _call(api.port, "GET", "/v1/health/service/watched")
        path = f"/v1/health/service/watched?index={headers['x-consul-index']}&wait=300s"
        before_mb = api.memory_mb()
        parked = [await _park(api.port, path) for _ in range(WAITING)]
        while (
            int(msgspec.json.decode((await _call(api.port, "GET", "/v1/agent/metrics"))[1])["Gauges"][5]["Value"])
            < WAITING
        ):
            await asyncio.sleep(0.05)
        held_mb = api.memory_mb() - before_mb
        report.add(
            Row(
                "parked blocking queries, memory",
                held_mb,
                "MB",
                WAITING,
                conditions="PSS growth, each on its own connection",
            )
        )
        woken_ms: list[float] = []

        async def wait_for(reader: asyncio.StreamReader) -> None:
            await _answer(reader)
            woken_ms.append((time.perf_counter() - started) * 1000)

        waiting = [asyncio.create_task(wait_for(reader)) for reader, _ in parked]
        await asyncio.sleep(0)
        cpu_s = api.cpu_s()
        started = time.perf_counter()
        await _call(api.port, "PUT", "/v1/agent/service/register", b'{"Name": "watched", "Port": 1}')
        await asyncio.gather(*waiting)
        cpu_s = api.cpu_s() - cpu_s
        median_ms, p99_ms = median_and_p99(woken_ms)
        told = f"from the write's start to the last answer read by one Python client; server CPU {cpu_s * 1000:.0f} ms"
        report.add(
            Row("parked blocking queries, all woken", max(woken_ms), "ms", WAITING, median_ms, p99_ms, None, told)
        )
        for _, writer in parked:
            writer.close()


async def _measure_dns(report: Report) -> None:
    async with _running("dns") as server:
        with tempfile.TemporaryDirectory() as folder:
            for kind in ("A", "SRV"):
                data = Path(folder) / kind
                data.write_text("".join(f"s{number}.service.consul {kind}\n" for number in range(SERVICES)))
                cpu_s = server.cpu_s()
                text = await _output_of(
                    "dnsperf", "-s", "127.0.0.1", "-p", str(server.port), "-d", str(data), "-c", "8", "-T", "1",
                    "-l", str(LOAD_S),
                )  # fmt: skip
                cpu_s = server.cpu_s() - cpu_s
                rate = float(re.search(r"Queries per second:\s+([\d.]+)", text)[1])
                count = int(re.search(r"Queries completed:\s+(\d+)", text)[1])
                average_ms = float(re.search(r"Average Latency \(s\):\s+([\d.]+)", text)[1]) * 1000
                told = f"dnsperf, 8 clients, 1,000 names of 3 instances, {cpu_s * 1e6 / max(1, count):.0f} µs CPU each"
                report.add(
                    Row(f"DNS, {kind} over UDP", rate, "queries/s", count, average_ms, None, None, told + "; mean")
                )


async def run(report: Report) -> None:
    """Reads, parked queries, DNS."""
    await _measure_reads(report)
    await _measure_waiting(report)
    await _measure_dns(report)


def _serve(arguments: Sequence[str]) -> None:
    serving = {"api": _serve_api, "bare": lambda: _serve_http(_bare), "dns": _serve_dns}
    uvloop.run(serving[arguments[0]]())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _serve(sys.argv[1:])
    else:
        main(run)
