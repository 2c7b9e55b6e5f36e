"""A dockerd of the run's own, a worker with certificates of its own, and the servers' side of the internal API."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from kokiris.access.authority import new_authority, utc_now
from kokiris.access.node_certificate import renew
from kokiris.access.tls import client_context, listener_files
from kokiris.infra.config import Config, DockerConfig, Layout, Ports, save
from kokiris.infra.labels import INFRA_LABEL, infra_label
from kokiris.kernel.files import write_atomic, write_secret
from kokiris.worker.drivers import cgroups
from kokiris.worker.worker import Worker
from tests.engines.dockerd import Dockerd
from tests.engines.internal_api import InternalApi
from tests.engines.ports import free_port


@pytest.fixture(scope="session")
def dockerd() -> Iterator[Dockerd]:
    """Shared by the run; tests touch only containers of their own label."""
    engine = Dockerd()
    try:
        engine.start()
        yield engine
    finally:
        engine.stop()


class Bed:
    """One node under test: configuration, certificates, servers' side, worker."""

    def __init__(self, config: Config, layout: Layout, dockerd: Dockerd, api: InternalApi) -> None:
        self.config, self.layout, self.dockerd, self.api = config, layout, dockerd, api
        self._stop = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def labels(self) -> dict[str, str]:
        return {INFRA_LABEL: infra_label(self.config)}

    async def start_worker(self) -> None:
        """In this process; returns once it is registered."""
        self._stop = asyncio.Event()
        worker = Worker(self.config, self.layout, lambda: client_context(self.layout), listener_files(self.layout))
        self.api.node = None
        self._worker = asyncio.create_task(worker.run(self._stop))
        await self._registered()

    async def stop_worker(self) -> None:
        """In order: containers run on."""
        if self._worker is not None:
            self._stop.set()
            await self._worker
            self._worker = None

    async def start_process(self) -> None:
        """As a real role process, for `kill -9`."""
        path = Path(self.config.data_dir) / "config.toml"
        save(self.config, path)
        self.api.node = None
        with (Path(self.config.data_dir) / "worker.log").open("ab") as log_file:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - returns at once
                [sys.executable, "-m", "kokiris.agent.role", "worker", "--config", str(path)],
                stdout=log_file,
                stderr=log_file,
                start_new_session=True,
            )
        await self._registered()

    def kill_process(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def port(self) -> int:
        """A free host port for a task."""
        return free_port()

    async def node_get(self, path: str, /, **params: str) -> tuple[int, str]:
        """The node API, as a server calls it: (status, body)."""
        url = f"https://127.0.0.1:{self.config.ports.node}{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, params=params, ssl=client_context(self.layout)) as answer,
        ):
            return answer.status, await answer.text()

    async def logs(self, alloc_id: str, task: str = "web", stream: str = "stdout") -> str:
        """All that the task has put out so far."""
        _, text = await self.node_get(f"/v1/client/fs/logs/{alloc_id}", task=task, type=stream, plain="true")
        return text

    async def until_logged(self, alloc_id: str, wanted: str, task: str = "web", stream: str = "stdout") -> str:
        """Waits until the task's output contains `wanted`."""
        text = ""
        try:
            async with asyncio.timeout(60):
                while wanted not in (text := await self.logs(alloc_id, task, stream)):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{wanted!r} is not in {text!r}") from None
        return text

    async def _registered(self) -> None:
        async with asyncio.timeout(60):
            while self.api.node is None:
                if self._worker is not None and self._worker.done():
                    await self._worker
                if self._process is not None and self._process.poll() is not None:
                    raise AssertionError((Path(self.config.data_dir) / "worker.log").read_text()[-3000:])
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        with contextlib.suppress(Exception):
            await self.stop_worker()
        self.kill_process()
        self._kill_tasks()
        self.dockerd.remove_containers(self.labels)
        await self.api.stop()

    def _kill_tasks(self) -> None:
        """Guards of raw_exec attempts, by the pids in their folders."""
        for file in Path(self.config.data_dir).glob("worker/allocs/*/*/attempt-*/wrapper"):
            with contextlib.suppress(OSError, ValueError):
                pid = int(file.read_text())
                if str(file.parent).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.killpg(pid, signal.SIGKILL)
            name = f"{file.parents[2].name}-{file.parents[1].name}"
            cgroups.kill_all(cgroups.ROOT, name, but=0)
            cgroups.remove(cgroups.ROOT, name)


@pytest.fixture
async def bed(tmp_path: Path, dockerd: Dockerd) -> AsyncIterator[Bed]:
    """Not started yet: `await bed.start_worker()` or `await bed.start_process()`."""
    config = Config(
        client="demo",
        infra="rec1",
        data_dir=str(tmp_path / "node"),
        node_name="node1",
        servers=[],
        advertise_address=dockerd.gateway or "127.0.0.1",
        ports=Ports(node=free_port()),
        docker=DockerConfig(socket=dockerd.socket),
        hosts_file="",
    )
    layout = Layout(config.data_dir)
    layout.tls.mkdir(parents=True)
    authority = new_authority("test", utc_now())
    write_secret(layout.tls / "ca.key", authority.key_pem)
    write_atomic(layout.tls / "ca.pem", authority.certificate_pem)
    renew(config, layout)
    api = InternalApi(listener_files(layout))
    await api.start()
    config.servers = [f"127.0.0.1:{api.port}"]
    made = Bed(config, layout, dockerd, api)
    try:
        yield made
    finally:
        await made.close()
