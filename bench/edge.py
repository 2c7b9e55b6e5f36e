"""The VIP with 10,000 host names against a bare HAProxy with one, and how fast a change of the catalog arrives."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.table import Report, Row, main, median_and_p99
from kokiris.routing.configuration import Configuration, configure
from kokiris.routing.haproxy.driver import HaproxyDriver
from kokiris.routing.haproxy.files import HaproxyFiles
from kokiris.routing.haproxy.runtime import HaproxyAway
from kokiris.routing.model import CatalogService, Instance
from kokiris.routing.plan import Compiler, maps_of
from kokiris.routing.platform import platform_of
from tests.routing.peers import Client, Node, Rpc, eventually, free_port
from tests.routing.peers import Instance as WebServer

HOSTS = 10_000
SERVICES = (1, 100)
"""10,000 names of one service show what finding the route costs; of 100 services, also what 100 instances cost."""
ROUNDS = 5
ROUND_S = 3
CONNECTIONS = 64
CHANGES = 100

_LUA = """
local count = {count}
local requests = {{}}
init = function(args)
  math.randomseed(42)
  for i = 1, 4096 do
    requests[i] = wrk.format("GET", "/", {{["Host"] = "h" .. math.random(0, count - 1) .. ".bench.test"}})
  end
end
local i = 0
request = function() i = i % 4096 + 1; return requests[i] end
"""

_PLAIN = """
global
  nbthread 1
defaults
  mode http
  timeout connect 3s
  timeout client 60s
  timeout server 60s
  http-reuse safe
frontend instance
  bind 127.0.0.1:{instance}
  http-request return status 200 content-type text/plain string "ok"
frontend bare
  bind 127.0.0.1:{bare}
  default_backend one
backend one
  balance roundrobin
  server one 127.0.0.1:{instance}
"""


async def run(report: Report) -> None:
    """Needs HAProxy and wrk. Everything on this machine: client, proxies and instance share its processors."""
    folder = Path(tempfile.mkdtemp(prefix="kk-bench-"))
    try:
        await _throughput(report, folder)
        await _propagation(report, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _plain_haproxy(folder: Path, name: str, text: str) -> Iterator[int]:
    file = folder / f"{name}.cfg"
    file.write_text(text)
    process = subprocess.Popen(["haproxy", "-db", "-q", "-f", str(file)])
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(10)


def catalog_of(hosts: int, services: int, port: int) -> dict[str, CatalogService]:
    """`hosts` names over `services` services, one instance each, in clear on `web`."""
    catalog = {}
    for number in range(services):
        tags = ["traefik.enable=true", f"traefik.http.services.s{number}.loadbalancer.server.port={port}"]
        for host in range(number, hosts, services):
            router = f"traefik.http.routers.r{host}"
            tags += [f"{router}.rule=Host(`h{host}.bench.test`)", f"{router}.entrypoints=web"]
        one = Instance(f"i{number}", "127.0.0.1", port, tuple(tags), healthy=True)
        catalog[f"s{number}"] = CatalogService(f"s{number}", tuple(tags), (one,))
    return catalog


async def _throughput(report: Report, folder: Path) -> None:
    instance, bare = free_port(), free_port()
    lua = folder / "hosts.lua"
    lua.write_text(_LUA.format(count=HOSTS))
    # Instance and bare proxy are processes of their own, so that neither proxy answers from inside.
    text = _PLAIN.format(instance=instance, bare=bare)
    instance_text = text[: text.index("frontend bare")]
    bare_text = text[: text.index("frontend instance")] + text[text.index("frontend bare") :]
    with (
        _plain_haproxy(folder, "instance", instance_text),
        _plain_haproxy(folder, "bare", bare_text) as bare_pid,
    ):
        node = Node(folder / "node")
        try:
            node.serve_rpc_at(free_port())
            node.start_haproxy(slots=256, threads=1)
            driver = HaproxyDriver(HaproxyFiles.of(node.layout))
            await eventually(lambda: _connected(driver), "HAProxy's socket")
            for services in SERVICES:
                catalog = catalog_of(HOSTS, services, instance)
                await _load(report, node, driver, catalog, services)
                vip_pid = (await driver.live()).pid
                _compare(report, lua, (bare, bare_pid), (node.http_port, vip_pid), services)
            await _one_more(report, node, driver, catalog)
            await driver.close()
        finally:
            node.stop()


async def _connected(driver: HaproxyDriver) -> bool:
    with contextlib.suppress(HaproxyAway):
        await driver.live()
        return True
    return False


async def _load(
    report: Report, node: Node, driver: HaproxyDriver, catalog: dict[str, CatalogService], services: int
) -> None:
    begun = time.perf_counter()
    plan = Compiler().plan(configure(catalog, platform_of(node.config.addresses), Configuration()), {})
    compiled = time.perf_counter()
    await driver.apply(plan.servers, maps_of(plan))
    done = time.perf_counter()
    report.add(
        Row(
            f"edge: {HOSTS:,} routers from nothing, {services} service(s)",
            1000 * (done - begun),
            "ms",
            conditions=f"tags read and compiled {1000 * (compiled - begun):.0f} ms, files and HAProxy the rest",
        )
    )


async def _one_more(report: Report, node: Node, driver: HaproxyDriver, catalog: dict[str, CatalogService]) -> None:
    """One more router among all the others, from catalog to HAProxy's acknowledgement."""
    platform, compiler = platform_of(node.config.addresses), Compiler()
    configuration = configure(catalog, platform, Configuration())
    slots, took = compiler.plan(configuration, {}).slots, []
    for number in range(50):
        tags = ("traefik.enable=true", f"traefik.http.routers.x{number}.rule=Host(`x{number}.bench.test`)")
        one = Instance(f"ix{number}", "127.0.0.1", 9, tags, healthy=True)
        catalog[f"x{number}"] = CatalogService(f"x{number}", tags, (one,))
        begun = time.perf_counter()
        configuration = configure(catalog, platform, configuration)
        plan = compiler.plan(configuration, slots)
        await driver.apply(plan.servers, maps_of(plan))
        took.append(1000 * (time.perf_counter() - begun))
        slots = plan.slots
    median, p99 = median_and_p99(took)
    report.add(
        Row("edge: one more router", median, "ms", n=len(took), median_ms=median, p99_ms=p99,
            conditions=f"among {HOSTS:,} host names: configured, compiled, files written, applied")
    )  # fmt: skip


def _wrk(lua: Path, port: int) -> tuple[float, float]:
    """Requests per second and p99 in ms."""
    output = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{ROUND_S}s", "--latency", "-s", str(lua), f"http://127.0.0.1:{port}/"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert "Non-2xx" not in output, output
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])  # type: ignore[index]
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", output).groups()  # type: ignore[union-attr]
    return rate, float(value) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def _cpu_s(pid: int) -> float:
    """What a process (of one thread) has spent."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _round(lua: Path, port: int, pid: int) -> tuple[float, float, float]:
    """Requests per second, p99 in ms, CPU of the proxy per request in µs."""
    before = _cpu_s(pid)
    rate, p99_ms = _wrk(lua, port)
    return rate, p99_ms, 1e6 * (_cpu_s(pid) - before) / (rate * ROUND_S)


def _compare(report: Report, lua: Path, bare: tuple[int, int], vip: tuple[int, int], services: int) -> None:
    """Rounds take turns, so that other load on the machine hits both alike."""
    _wrk(lua, vip[0]), _wrk(lua, bare[0])  # warm-up
    pairs = [(_round(lua, *bare), _round(lua, *vip)) for _ in range(ROUNDS)]
    for name, column in (("bare HAProxy, one host", 0), (f"VIP, {HOSTS:,} hosts, {services} service(s)", 1)):
        cpu_us = statistics.median(pair[column][2] for pair in pairs)
        report.add(
            Row(
                name,
                statistics.median(pair[column][0] for pair in pairs),
                "requests/s",
                n=ROUNDS,
                p99_ms=statistics.median(pair[column][1] for pair in pairs),
                ratio=statistics.median(pair[column][0] / pair[0][0] for pair in pairs),
                conditions=f"{cpu_us:.1f} us of proxy CPU a request; wrk, {CONNECTIONS} keep-alive connections, HTTP, "
                f"1 proxy thread, {os.cpu_count()} CPUs shared by all",
            )
        )


async def _propagation(report: Report, folder: Path) -> None:
    """With the real edge role: the catalog's change to the first answer by it."""
    node = Node(folder / "second")
    rpc = Rpc(node)
    node.serve_rpc_at(rpc.port)
    await rpc.start()
    node.start_haproxy()
    edge = node.start_edge()
    client = Client(node)
    web = await WebServer("one").start()
    tags = [
        "traefik.enable=true",
        "traefik.http.routers.w.rule=Host(`w.test`)",
        "traefik.http.routers.w.entrypoints=web",
    ]
    routed, stopped = [], []
    try:
        rpc.declared["w"] = tags
        await rpc.touch()

        async def known() -> bool:
            return bool((await client.get("w.test", https=False))[0] == 503)

        await eventually(known, "the route")
        for number in range(CHANGES):
            begun = time.perf_counter()
            await rpc.put("w", f"i{number}", web.port, tags)
            while (await client.get("w.test", https=False))[0] != 200:
                pass
            routed.append(1000 * (time.perf_counter() - begun))
            begun = time.perf_counter()
            await rpc.remove("w", f"i{number}")
            while (await client.get("w.test", https=False))[0] != 503:
                pass
            stopped.append(1000 * (time.perf_counter() - begun))
    finally:
        await client.close()
        await web.stop()
        edge.terminate()
        edge.wait(10)
        await rpc.stop()
        node.stop()
    for name, took in (("instance healthy → routed", routed), ("instance stopped → no new request", stopped)):
        median, p99 = median_and_p99(took)
        report.add(
            Row(f"edge: {name}", median, "ms", n=len(took), median_ms=median, p99_ms=p99,
                conditions="catalog's change to HAProxy's answer, asked in a loop; edge role, mutual TLS")
        )  # fmt: skip


if __name__ == "__main__":
    main(run)
