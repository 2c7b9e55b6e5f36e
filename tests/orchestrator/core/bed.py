"""A whole server core on a real store, and simulated workers that speak the internal API. For tests."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import msgspec

from kokiris.discovery.catalog import Catalog
from kokiris.discovery.model import Keys as CatalogKeys
from kokiris.discovery.model import check_id, instance_id
from kokiris.http.app import asgi
from kokiris.http.serve import HttpServer
from kokiris.kernel.clock import rfc3339, wall_ns
from kokiris.kernel.ids import new_id
from kokiris.kernel.keys import key
from kokiris.orchestrator.core.core import Core
from kokiris.orchestrator.internal.app import make_internal_app
from kokiris.orchestrator.keys import Keys
from kokiris.orchestrator.model.alloc import Alloc, AllocClient
from kokiris.orchestrator.model.allocwire import Allocation, AllocCheckStatus, TaskState
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.node import (
    DriverInfo,
    Node,
    NodeCapacity,
    NodeCpuResources,
    NodeDiskResources,
    NodeMemoryResources,
)
from kokiris.orchestrator.model.policy import (
    MigrateStrategy,
    ReschedulePolicySpec,
    RestartPolicySpec,
    UpdateStrategy,
)
from kokiris.orchestrator.model.resources import EphemeralDiskSpec, NetworkResource, Port, TaskResources
from kokiris.orchestrator.model.service import Service, ServiceCheck
from kokiris.orchestrator.model.task import LogConfigSpec, Task
from kokiris.orchestrator.state import State
from kokiris.store.contract import Store
from kokiris.store.election import Leadership
from kokiris.store.follow import Follower
from kokiris.store.opening import open_store

DEADLINE_S = 60.0
SECOND_NS = 1_000_000_000


async def until(condition: Callable[[], Any], what: str = "", deadline_s: float = DEADLINE_S) -> Any:
    """What `condition` gives once it is true."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_s
    while not (found := condition()):
        assert loop.time() < end, f"not in {deadline_s} s: {what or condition}"
        await asyncio.sleep(0.01)
    return found


@dataclass
class Bed:
    """One server process' worth of core."""

    store: Store
    state: State
    catalog: Catalog
    core: Core
    followers: tuple[Follower, Follower]
    leadership: Leadership
    socket: Path
    server: HttpServer
    keys: Keys
    catalog_keys: CatalogKeys

    def allocs(self, job_id: str, **wanted: object) -> list[Alloc]:
        """Allocations of a job with these attributes."""
        return [
            alloc
            for alloc in self.state.allocs_of_job("default", job_id)
            if all(getattr(alloc, name) == value for name, value in wanted.items())
        ]

    async def level(self) -> None:
        """Waits until both views have all that the store has by now: on etcd each comes by a stream of its own."""
        present = (await self.store.range(b"/none/")).revision
        for follower in self.followers:
            await follower.wait_for(present)

    async def close(self) -> None:
        await self.server.stop()
        await self.leadership.stop()
        for follower in self.followers:
            await follower.stop()
        await self.store.close()


async def open_bed(folder: Path, *, client: str = "demo", store: Store | None = None, name: str = "s1") -> Bed:
    store = store or await open_store("sqlite", path=folder / "store")
    keys, catalog_keys = Keys(client, "rec1"), CatalogKeys(client, "rec1")
    state, catalog = State(keys.root), Catalog(catalog_keys.root)
    followers = (
        Follower(store, state.root, state.load, state.apply),
        Follower(store, catalog.root, catalog.load, catalog.apply),
    )
    leadership = Leadership(store, key(client, "rec1", "leader"), name, 10.0)
    core = Core(
        store,
        state,
        catalog,
        followers=followers,
        keys=keys,
        catalog_keys=catalog_keys,
        leader=leadership,
    )
    for follower in followers:
        await follower.start()
    leadership.start(core.lead, core.follow)
    socket = folder / f"{name}.sock"
    server = HttpServer(asgi(make_internal_app(core)), uds=str(socket), grace_s=1)
    await server.start()
    return Bed(store, state, catalog, core, followers, leadership, socket, server, keys, catalog_keys)


@contextlib.asynccontextmanager
async def bed_in(folder: Path, **options: Any) -> AsyncIterator[Bed]:
    bed = await open_bed(folder, **options)
    try:
        await until(lambda: "default" in bed.state.namespaces, "leadership")
        yield bed
    finally:
        await bed.close()


def node_spec(name: str = "node1", **changes: Any) -> Node:
    node = Node(
        ID=new_id(),
        Name=name,
        Datacenter="dc1",
        Attributes={
            "unique.network.ip-address": "10.0.0.1",
            "kernel.name": "linux",
            "driver.docker": "1",
            "driver.raw_exec": "1",
        },
        NodeResources=NodeCapacity(
            Cpu=NodeCpuResources(CpuShares=8000, TotalCpuCores=4),
            Memory=NodeMemoryResources(MemoryMB=16000),
            Disk=NodeDiskResources(DiskMB=100000),
            MinDynamicPort=20000,
            MaxDynamicPort=32000,
        ),
        Drivers={name: DriverInfo(Detected=True, Healthy=True) for name in ("docker", "raw_exec")},
    )
    return msgspec.structs.replace(node, **changes)


def job_spec(
    job_id: str = "web", *, count: int = 2, image: str = "site:1", update: UpdateStrategy | None = None, **changes: Any
) -> Job:
    """A canonical service job with one group, a port, a service and a check."""
    task = Task(
        Name="server",
        Driver="docker",
        Config={"image": image},
        Resources=TaskResources(CPU=100, MemoryMB=64),
        RestartPolicy=RestartPolicySpec(Interval=1800 * SECOND_NS, Attempts=2, Delay=15 * SECOND_NS, Mode="fail"),
        LogConfig=LogConfigSpec(),
    )
    service = Service(
        Name="web",
        PortLabel="http",
        Tags=["v1", "traefik.enable=true"],
        Checks=[ServiceCheck(Name="alive", Type="http", Path="/", Interval=SECOND_NS, Timeout=SECOND_NS)],
    )
    group = TaskGroup(
        Name="site",
        Count=count,
        Tasks=[task],
        Networks=[NetworkResource(Mode="bridge", DynamicPorts=[Port(Label="http", To=80)])],
        Services=[service],
        EphemeralDisk=EphemeralDiskSpec(),
        RestartPolicy=task.RestartPolicy,
        ReschedulePolicy=ReschedulePolicySpec(
            Delay=5 * SECOND_NS, DelayFunction="constant", MaxDelay=3600 * SECOND_NS, Unlimited=True
        ),
        Update=update
        or UpdateStrategy(MaxParallel=1, MinHealthyTime=0, HealthyDeadline=5 * SECOND_NS, ProgressDeadline=0),
        Migrate=MigrateStrategy(MinHealthyTime=0),
    )
    job = Job(ID=job_id, Name=job_id, Datacenters=["*"], TaskGroups=[group])
    return msgspec.structs.replace(job, **changes)


@dataclass
class Worker:
    """A node whose tasks are imaginary. `judge` says what becomes of an allocation: healthy, unhealthy, failed,
    lost."""

    socket: Path | None
    node: Node
    secret: str = "s3cret"
    base: str = "http://core"
    """With a TLS context and no socket: the rpc listener of a real server."""
    tls: ssl.SSLContext | None = None
    judge: Callable[[Allocation], str] = lambda _alloc: "healthy"
    seen: dict[str, int] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)
    unsaid: dict[str, AllocClient] = field(default_factory=dict)
    patient: bool = False
    beat_every_s: ClassVar[float] = 1.0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _session: aiohttp.ClientSession | None = None

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        assert self._session is not None
        headers = {"X-Node-Secret": self.secret}
        data = msgspec.json.encode(body) if body is not None else None
        async with self._session.request(method, f"{self.base}/internal/v1{path}", data=data, headers=headers) as resp:
            text = await resp.text()
            assert resp.status == 200, (path, resp.status, text)
            return msgspec.json.decode(text)

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(path=str(self.socket))
            if self.socket is not None
            else aiohttp.TCPConnector(ssl=self.tls if self.tls is not None else True)
        )
        await self._register()
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._beat())]

    async def _register(self) -> None:
        """A patient worker asks again until the server leads."""
        end = asyncio.get_running_loop().time() + DEADLINE_S
        while True:
            try:
                await self.call("PUT", f"/node/{self.node.ID}", {"Node": self.node, "SecretID": self.secret})
                return
            except (aiohttp.ClientError, TimeoutError, OSError, AssertionError):
                if not self.patient or asyncio.get_running_loop().time() > end:
                    raise
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Falls silent, like a node that lost its power."""
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
        for result in results:
            if isinstance(result, AssertionError):
                raise result

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.beat_every_s)
            with self._patience():
                await self.call("PUT", f"/node/{self.node.ID}/heartbeat", {"SecretID": self.secret})

    async def _follow(self) -> None:
        index = 0
        while True:
            with self._patience():
                index = await self._step(index)
            await asyncio.sleep(0 if not self.patient else 0.05)

    @contextlib.contextmanager
    def _patience(self) -> Iterator[None]:
        """A patient worker outlives its server."""
        try:
            yield
        except (aiohttp.ClientError, TimeoutError, OSError, AssertionError):
            if not self.patient:
                raise

    async def _step(self, index: int) -> int:
        found = await self.call("GET", f"/node/{self.node.ID}/assignments?index={index}&wait=10s")
        news = [one for one in found["Assignments"] if self.seen.get(one["AllocID"], 0) < one["AllocModifyIndex"]]
        if news:
            request = {"NodeID": self.node.ID, "AllocIDs": [one["AllocID"] for one in news]}
            answer = await self.call("POST", "/assignments", request)
            for one in answer:
                alloc = msgspec.convert(one["Allocation"], Allocation)
                update = self._act(alloc)
                if update is not None:
                    self.unsaid[alloc.ID] = update
        if self.unsaid:
            await self.report(list(self.unsaid.values()))
            self.unsaid.clear()
        self.seen.update({one["AllocID"]: one["AllocModifyIndex"] for one in news})
        return int(found["Index"])

    async def report(self, updates: list[AllocClient]) -> int:
        answer = await self.call("PUT", f"/node/{self.node.ID}/allocs", {"Updates": updates})
        return int(answer["Index"])

    def _act(self, alloc: Allocation) -> AllocClient | None:
        if alloc.ID in self.ended:
            return None
        if alloc.DesiredStatus != "run":
            self.ended.add(alloc.ID)
            return self.word(alloc, "complete", None)
        if alloc.ID not in self.started:
            self.started.append(alloc.ID)
        outcome = self.judge(alloc)
        if outcome in {"failed", "lost"}:
            self.ended.add(alloc.ID)
            return self.word(alloc, outcome, False if outcome == "failed" else None)
        return self.word(alloc, "running", {"healthy": True, "unhealthy": False}.get(outcome))

    def word(self, alloc: Allocation, status: str, healthy: bool | None) -> AllocClient:
        assert alloc.Job is not None
        group = next(one for one in alloc.Job.TaskGroups or () if one.Name == alloc.TaskGroup)
        state = TaskState(
            State="running" if status == "running" else "dead", Failed=status == "failed", StartedAt=rfc3339(wall_ns())
        )
        return AllocClient(
            ID=alloc.ID,
            ClientStatus=status,
            ClientDescription=f"the worker says {status}",
            TaskStates={task.Name: state for task in group.Tasks or ()},
            Healthy=healthy,
            HealthyAt=wall_ns() if healthy is not None else 0,
            Checks=self.checks(alloc, group, healthy is True),
        )

    def checks(self, alloc: Allocation, group: TaskGroup, passing: bool) -> dict[str, AllocCheckStatus]:
        found: dict[str, AllocCheckStatus] = {}
        for service in group.Services or ():
            ident = instance_id(alloc.ID, f"group-{group.Name}", service.Name, service.PortLabel)
            for check in service.Checks or ():
                found[check_id(ident, check.Name)] = AllocCheckStatus(
                    ID=check_id(ident, check.Name), Check=check.Name, Status="success" if passing else "failure"
                )
        return found


@contextlib.asynccontextmanager
async def worker_on(bed: Bed, node: Node | None = None, **options: Any) -> AsyncIterator[Worker]:
    worker = Worker(bed.socket, node or node_spec(), **options)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop()
