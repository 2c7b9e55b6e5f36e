"""The Nomad API: reads per second of one process, and 2,000 parked blocking queries.

Against a bare ASGI app on the same web server in the same run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.serving import ALLOCS, TOKEN
from bench.table import Report, Row, main, median_and_p99

ROUNDS = 3
ROUND_S = 2
CONNECTIONS = 32
PARKED = 2000
READS = {"job read": "/v1/job/web", f"allocations list of {ALLOCS}": "/v1/allocations"}
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Server:
    """A server process of `bench.serving`."""

    process: subprocess.Popen[str]
    port: int

    def cpu_s(self) -> float:
        """User and system time it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def memory_bytes(self) -> int:
        """Resident now."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * _PAGE_BYTES

    def change(self) -> None:
        """Changes the job that parked queries wait for."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()


@contextlib.contextmanager
def serving(kind: str) -> Iterator[Server]:
    """A server of its own for this benchmark, ended with it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.serving", kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield Server(process, int(process.stdout.readline()))
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(frozen=True, slots=True)
class Round:
    """One run of the load generator."""

    per_s: float
    p99_ms: float
    cpu_us: float
    """CPU time of the server per request."""


def loaded(server: Server, path: str) -> Round:
    """Reads `path` for `ROUND_S` over kept-alive connections."""
    before = server.cpu_s()
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{ROUND_S}s", "--latency", "-H", f"X-Nomad-Token: {TOKEN}"]
    shown = subprocess.run(
        [*command, f"http://127.0.0.1:{server.port}{path}"], capture_output=True, text=True, check=True
    ).stdout
    requests = re.search(r"(\d+) requests in", shown)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", shown)
    assert requests is not None, shown
    assert p99 is not None, shown
    assert "Non-2xx" not in shown, shown
    scale = {"us": 0.001, "ms": 1.0, "s": 1000.0}[p99[2]]
    count = int(requests[1])
    return Round(count / ROUND_S, float(p99[1]) * scale, (server.cpu_s() - before) * 1e6 / count)


def index_of(server: Server, path: str) -> int:
    """What a blocking query on `path` waits to be exceeded."""
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", headers={"X-Nomad-Token": TOKEN})
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - loopback
        return int(answer.headers["X-Nomad-Index"])


async def parked(server: Server, path: str) -> tuple[float, list[float], float, float]:
    """Parks queries, changes the job, and reads every answer.

    Returns memory in bytes per query, ms until each answer was complete, CPU time of parking and of waking in ms.
    """
    memory, cpu = server.memory_bytes(), server.cpu_s()
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\nX-Nomad-Token: {TOKEN}\r\n\r\n".encode()
    streams = []
    for _ in range(PARKED):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request)
        streams.append((reader, writer))
    still, seen = 0, server.cpu_s()
    while still < 5:  # the server is idle: all of them are parked
        await asyncio.sleep(0.1)
        still, seen = (still + 1, seen) if server.cpu_s() == seen else (0, server.cpu_s())
    per_query, parking_ms = (server.memory_bytes() - memory) / PARKED, (seen - cpu) * 1000
    start = time.perf_counter()
    server.change()
    answered = await asyncio.gather(*(_answer(reader, start) for reader, _ in streams))
    waking_ms = (server.cpu_s() - seen) * 1000
    for _, writer in streams:
        writer.close()
    return per_query, answered, parking_ms, waking_ms


async def _answer(reader: asyncio.StreamReader, start: float) -> float:
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = re.search(rb"content-length: (\d+)", head)
    assert length, head
    await reader.readexactly(int(length[1]))
    return (time.perf_counter() - start) * 1000


async def run(report: Report) -> None:
    """See the module's text."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with serving("bare") as bare, serving("nomad") as nomad:
        reads(report, bare, nomad)
        base = await parked(bare, "/?parked")
        found = await parked(nomad, f"/v1/job/web?index={index_of(nomad, '/v1/job/web')}&wait=10m")
    conditions = f"{PARKED} connections, one event loop client on the same CPUs; ratio: bare ASGI app, same server"
    for what, ours, theirs in (("wake", found, base),):
        median, p99 = median_and_p99(ours[1])
        report.add(
            Row(
                f"Nomad API: {PARKED} parked queries, {what} all",
                max(ours[1]),
                "ms",
                n=PARKED,
                median_ms=median,
                p99_ms=p99,
                ratio=max(ours[1]) / max(theirs[1]),
                conditions=conditions,
            )
        )
    for what, unit, place in (("memory each", "bytes", 0), ("CPU to park all", "ms", 2), ("CPU to wake all", "ms", 3)):
        ours_one, theirs_one = float(found[place]), float(base[place])  # the scalar parts
        report.add(
            Row(
                f"Nomad API: {PARKED} parked queries, {what}",
                ours_one,
                unit,
                n=PARKED,
                ratio=ours_one / theirs_one if theirs_one else None,
                conditions=conditions,
            )
        )


def reads(report: Report, bare: Server, nomad: Server) -> None:
    """Rounds of ours and of the bare app alternate, so that both meet the same disturbances."""
    for what, path in READS.items():
        loaded(nomad, path)  # warm
        base: list[Round] = []
        ours: list[Round] = []
        for _ in range(ROUNDS):
            base.append(loaded(bare, path))
            ours.append(loaded(nomad, path))
        per_s = statistics.median(one.per_s for one in ours)
        cpu_us = statistics.median(one.cpu_us for one in ours)
        bare_us = statistics.median(one.cpu_us for one in base)
        report.add(
            Row(
                f"Nomad API: {what}",
                per_s,
                "requests/s",
                n=ROUNDS,
                p99_ms=statistics.median(one.p99_ms for one in ours),
                ratio=per_s / statistics.median(one.per_s for one in base),
                conditions=f"one process, wrk {CONNECTIONS} connections on the same CPUs, {cpu_us:.0f} µs CPU each "
                f"(bare ASGI app with one job as body: {bare_us:.0f} µs)",
            )
        )


if __name__ == "__main__":
    main(run)
