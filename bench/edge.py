"""The VIP with 10,000 host names against a bare HAProxy with one, and how fast a change of the catalog arrives."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import statistics
import subprocess
import sys
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
from tests.engines.ports import free_port
from tests.routing.peers import Client, Node, Rpc, eventually
from tests.routing.peers import Instance as WebServer

HOSTS = 10_000
SETTINGS = ((1, False), (1, True), (100, True))
"""(services, whether access lines are taken, as on a real node). 10,000 names of one service show what finding the
route costs; of 100 services, also what 100 instances cost."""
ROUNDS = 10
ROUND_S = 1
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
"""
_INSTANCE = """
frontend instance
  bind 127.0.0.1:{instance}
  http-request return status 200 content-type text/plain string "ok"
"""
_BARE = """
frontend bare
  bind 127.0.0.1:{bare}
  default_backend one
backend one
  balance roundrobin
  server one 127.0.0.1:{instance}
"""
_LIKE = """
frontend like
  bind 127.0.0.1:{like}
  log {syslog} local0
  option httplog
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Real-Ip %[src]
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Port 80
  http-request set-header X-Forwarded-Host %[req.fhdr(host)]
  default_backend one
backend one
  balance roundrobin
  server one 127.0.0.1:{instance}
"""
"""What of the VIP's work any proxy on its place would do: forwarded headers and an access log."""

_SYSLOG = """
import socket, sys
one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
one.bind(sys.argv[1])
while True:
    one.recv(65536)
"""
_LOG_SEARCH = """
import asyncio, pathlib, sys
from kokiris.infra.config import Layout
from kokiris.logs.collect.access_collector import AccessCollector
from kokiris.logs.collect.access_targets import AccessTargets
from kokiris.routing.haproxy.files import HaproxyFiles
from kokiris.routing.haproxy.ring import RingReader
class Index:
    async def ship(self, shipments): pass
async def run():
    layout = Layout(pathlib.Path(sys.argv[1]))
    targets = AccessTargets(layout.haproxy / "edge.json", lambda alloc: None)
    collector = AccessCollector(infra="rec1", node="n1", shipper=Index(), targets=targets)
    reader = RingReader(HaproxyFiles.of(layout), collector.take)
    task = asyncio.create_task(reader.run())
    while not reader.followed:
        await asyncio.sleep(0.01)
    print("reading", flush=True)
    await task
asyncio.run(run())
"""
"""The log search's side: lines are read and understood, not indexed."""


async def run(report: Report) -> None:
    """Needs HAProxy and wrk. Everything on this machine: client, proxies and instance share its processors."""
    folder = Path(tempfile.mkdtemp(prefix="kk-bench-"))
    try:
        await _throughput(report, folder)
        await _propagation(report, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _process(command: list[str]) -> Iterator[int]:
    process = subprocess.Popen(command)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(10)


def _haproxy(folder: Path, name: str, text: str) -> contextlib.AbstractContextManager[int]:
    file = folder / f"{name}.cfg"
    file.write_text(text)
    return _process(["haproxy", "-db", "-q", "-f", str(file)])


@contextlib.contextmanager
def _syslog(socket: Path) -> Iterator[None]:
    with _process([sys.executable, "-c", _SYSLOG, str(socket)]):
        while not socket.exists():
            time.sleep(0.02)
        yield


@contextlib.contextmanager
def _log_search(node: Node) -> Iterator[None]:
    command = [sys.executable, "-c", _LOG_SEARCH, str(node.layout.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield
        finally:
            process.terminate()


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
    ports = {name: free_port() for name in ("instance", "bare", "like")}
    lua, syslog = folder / "hosts.lua", folder / "syslog.sock"
    lua.write_text(_LUA.format(count=HOSTS))
    # Instance and bare proxies are processes of their own, so that no proxy answers from inside.
    instance, bare, like = (_PLAIN + text.format(**ports, syslog=syslog) for text in (_INSTANCE, _BARE, _LIKE))
    with (
        _syslog(syslog),
        _haproxy(folder, "instance", instance),
        _haproxy(folder, "bare", bare) as bare_pid,
        _haproxy(folder, "like", like) as like_pid,
    ):
        node = Node(folder / "node")
        try:
            node.serve_rpc_at(free_port())
            node.start_haproxy(slots=256, threads=1)
            driver = HaproxyDriver(HaproxyFiles.of(node.layout))
            await eventually(lambda: _connected(driver), "HAProxy's socket")
            loaded = 0
            for services, read in SETTINGS:
                if services != loaded:
                    catalog = catalog_of(HOSTS, services, ports["instance"])
                    await _load(report, node, driver, catalog, services)
                    loaded = services
                with _log_search(node) if read else contextlib.nullcontext():
                    proxies = {
                        "bare HAProxy, one host": (ports["bare"], bare_pid),
                        "bare HAProxy, one host, same headers, access log": (ports["like"], like_pid),
                        f"VIP, {HOSTS:,} hosts, {services} service(s), lines {'taken' if read else 'not taken'}": (
                            node.http_port,
                            (await driver.live()).pid,
                        ),
                    }
                    _compare(report, lua, proxies)
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
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", output).groups()
    return rate, float(value) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def _cpu_s(pid: int) -> float:
    """What a process (of one thread) has spent."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _round(lua: Path, port: int, pid: int) -> tuple[float, float, float]:
    """Requests per second, p99 in ms, CPU of the proxy per request in µs."""
    before = _cpu_s(pid)
    rate, p99_ms = _wrk(lua, port)
    return rate, p99_ms, 1e6 * (_cpu_s(pid) - before) / (rate * ROUND_S)


def _compare(report: Report, lua: Path, proxies: dict[str, tuple[int, int]]) -> None:
    """`proxies`: name → (port, pid); ratios are to the first. Rounds take turns, so that other load on the machine hits
    all alike."""
    for port, _ in proxies.values():
        _wrk(lua, port)  # warm-up
    rounds = [{name: _round(lua, *where) for name, where in proxies.items()} for _ in range(ROUNDS)]
    first, second, *_ = proxies
    for name in proxies:
        cpu_us = min(one[name][2] for one in rounds)  # other load on the machine only ever adds
        to_second = statistics.median(one[name][0] / one[second][0] for one in rounds)
        report.add(
            Row(
                name,
                statistics.median(one[name][0] for one in rounds),
                "requests/s",
                n=ROUNDS,
                p99_ms=statistics.median(one[name][1] for one in rounds),
                ratio=statistics.median(one[name][0] / one[first][0] for one in rounds),
                conditions=f"{to_second:.2f} of the one with headers and log; "
                f"at best {cpu_us:.1f} us of proxy CPU a request; wrk, {CONNECTIONS} keep-alive connections, HTTP, "
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
