"""Orderly and disorderly ends: nothing acknowledged is lost, nothing is placed twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from kokiris.access.authority import new_authority, utc_now
from kokiris.access.bootstrap import make_management_token
from kokiris.access.node_certificate import renew
from kokiris.access.tls import client_context
from kokiris.infra.config import Config, Layout, Ports, save
from kokiris.kernel.files import write_secret
from kokiris.variables.sealing import make_keyring
from tests.engines.ports import free_ports
from tests.orchestrator.core.bed import (
    DEADLINE_S,
    Worker,
    bed_in,
    job_spec,
    node_spec,
    open_bed,
    until,
    worker_on,
)

JOBS = 6


async def test_a_reopened_core_is_the_same(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed:
        async with worker_on(bed) as worker:
            await bed.core.register_job(job_spec())
            await until(lambda: bed.state.jobs["default", "web"].Stable)
            await until(lambda: not bed.state.open_evals)
        before = {
            name: vars(bed.state)[name] for name in ("jobs", "versions", "evals", "allocs", "deployments", "nodes")
        }
        catalog = dict(bed.catalog.instances)
        index = bed.state.topics.index(("allocs",))
    again = await open_bed(tmp_path)
    try:
        assert before == {name: vars(again.state)[name] for name in before}
        assert again.catalog.instances == catalog
        assert again.state.topics.index(("allocs",)) >= index
        await until(lambda: again.core.is_leader)
        async with worker_on(again, worker.node, seen=worker.seen) as same:
            await again.core.evaluate_job("default", "web")
            await until(lambda: not again.state.open_evals)
            assert set(again.state.allocs) == set(before["allocs"])
            assert not same.started
    finally:
        await again.close()


@dataclass
class ServerProcess:
    """A server role as `kokiris agent` runs it."""

    layout: Layout
    config: Config
    token: str
    process: subprocess.Popen[bytes] | None = None
    starts: list[float] = field(default_factory=list)

    def start(self) -> None:
        command = [sys.executable, "-m", "kokiris.agent.role", "server", "--config", str(self.layout.config)]
        with (self.layout.root / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def kill(self, number: int = signal.SIGKILL) -> int:
        assert self.process is not None
        os.kill(self.process.pid, number)
        return self.process.wait(60)

    async def api(self, method: str, path: str, body: Any = None, *, door: str = "nomad") -> Any:
        """A call of the public API, repeated until the server answers."""
        url = f"http://127.0.0.1:{getattr(self.config.ports, door)}{path}"
        data = msgspec.json.encode(body) if body is not None else None
        end = time.monotonic() + DEADLINE_S
        async with aiohttp.ClientSession(headers={"X-Nomad-Token": self.token}) as session:
            while True:
                try:
                    async with session.request(method, url, data=data) as answer:
                        text = await answer.read()
                        assert answer.status == 200, (path, answer.status, text)
                        return msgspec.json.decode(text)
                except (aiohttp.ClientError, OSError):
                    assert time.monotonic() < end, (self.layout.root / "server.log").read_text()
                    await asyncio.sleep(0.05)


@contextlib.contextmanager
def server_process(folder: Path) -> Iterator[ServerProcess]:
    nomad, consul, rpc = free_ports(3)
    layout = Layout(folder)
    config = Config(
        client="demo",
        infra="rec1",
        data_dir=str(folder),
        ports=Ports(nomad=nomad, consul=consul, rpc=rpc),
        servers=[f"127.0.0.1:{rpc}"],
        hosts_file="",
    )
    authority = new_authority("test", utc_now())
    for name, content in (("ca.key", authority.key_pem), ("ca.pem", authority.certificate_pem)):
        write_secret(layout.tls / name, content)
    renew(config, layout)
    token = make_management_token(config, layout, time.time_ns())
    make_keyring(layout.variables_key)
    assert token is not None
    save(config, layout.config)
    server = ServerProcess(layout, config, token)
    server.start()
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()


async def test_killed_again_and_again(tmp_path: Path) -> None:
    with server_process(tmp_path) as server:
        await server.api("GET", "/v1/jobs")
        base = f"https://127.0.0.1:{server.config.ports.rpc}"
        worker = Worker(None, node_spec(), base=base, tls=client_context(server.layout), patient=True)
        await worker.start()
        acknowledged: dict[str, int] = {}
        try:
            for number in range(JOBS):
                job = job_spec(f"job-{number}", count=2)
                answer = await server.api("PUT", "/v1/jobs", {"Job": job})
                acknowledged[job.ID] = answer["JobModifyIndex"]
                if number % 3 == 2:
                    await asyncio.sleep(0.02 * (number % 5))
                    server.kill()
                    server.start()
            deadline = time.monotonic() + DEADLINE_S
            while True:
                allocs = await server.api("GET", "/v1/allocations")
                running = [one for one in allocs if one["ClientStatus"] == "running" and one["DesiredStatus"] == "run"]
                if len(running) == 2 * JOBS:
                    break
                assert time.monotonic() < deadline, (len(running), (tmp_path / "server.log").read_text()[-3000:])
                await asyncio.sleep(0.1)
            assert len(allocs) == 2 * JOBS, "something was placed twice"
            assert sorted(one["Name"] for one in allocs) == sorted(
                f"job-{number}.site[{index}]" for number in range(JOBS) for index in range(2)
            )
            jobs = {one["ID"]: one["JobModifyIndex"] for one in await server.api("GET", "/v1/jobs")}
            assert jobs == acknowledged
            assert sorted(worker.started) == sorted(one["ID"] for one in allocs)
            found = await server.api("GET", "/v1/health/service/web?passing=1", door="consul")
            assert len({one["Service"]["ID"] for one in found}) == 2 * JOBS
        finally:
            await worker.stop()
        assert server.kill(signal.SIGTERM) == 0
        assert server.token not in (tmp_path / "server.log").read_text()
