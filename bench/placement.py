"""Allocations per second: placed on 5,000 simulated nodes and durably stored."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from pathlib import Path

import msgspec

from bench.table import Report, Row, main, median_and_p99
from kokiris.kernel.ids import new_id, new_ids
from kokiris.orchestrator.keys import Keys
from kokiris.orchestrator.model.evaluation import Evaluation
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.node import Node, NodeCapacity, NodeCpuResources, NodeDiskResources, NodeMemoryResources
from kokiris.orchestrator.model.policy import Affinity, Constraint, Spread, SpreadTargetSpec
from kokiris.orchestrator.model.resources import EphemeralDiskSpec, NetworkResource, Port, TaskResources
from kokiris.orchestrator.model.task import Task
from kokiris.orchestrator.scheduler.columns import Cluster
from kokiris.orchestrator.scheduler.decision import plan_key
from kokiris.orchestrator.scheduler.draft import Draft
from kokiris.orchestrator.scheduler.outcome import Outcome, Placed
from kokiris.orchestrator.scheduler.placement import Request, place
from kokiris.orchestrator.scheduler.reconcile import Wanted
from kokiris.orchestrator.scheduler.schedule import schedule
from kokiris.orchestrator.state import State
from kokiris.store.contract import Event, Store
from kokiris.store.opening import open_store

NODES = 5_000
JOBS = int(os.environ.get("BENCH_PLACEMENT_JOBS", "1000"))
COUNT = 1_000
WHOLE_JOBS = max(1, JOBS // 10)
"""Jobs of the second measurement, which keeps every allocation as an object as a server does."""
IN_FLIGHT = 32
NODES_A_COMMIT = 1_000
KEYS = Keys("bench", "rec1")
CONDITIONS = f"{NODES:,} nodes, {COUNT:,} a job; bin-packing, affinity, spread over 3 datacenters, 1 dynamic port each"


async def run(report: Report) -> None:
    """Writes to a folder of the present directory's disk."""
    folder = Path(tempfile.mkdtemp(prefix=".bench-placement-", dir=Path.cwd()))
    try:
        for name, measure in (("columns", _place_and_store), ("whole", _whole_path)):
            store = await open_store("sqlite", path=folder / name)
            try:
                await measure(report, store)
            finally:
                await store.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _place_and_store(report: Report, store: Store) -> None:
    cluster = Cluster(lambda _alloc: None)
    for number in range(NODES):
        cluster.node_changed(None, simulated_node(number))
    baseline = _one_by_one(cluster)
    draft, now_ns = Draft(cluster), time.time_ns()
    commits: set[asyncio.Task[None]] = set()
    took: list[float] = []
    begun = time.perf_counter()
    for number in range(JOBS):
        job_begun = time.perf_counter()
        job, group = simulated_job(number)
        placement = place(draft, job, group, [Request(name_index=index) for index in range(COUNT)])
        assert -1 not in placement.rows
        outcome = Outcome(Evaluation(ID=new_id(), Namespace=job.Namespace, JobID=job.ID), now_ns, new_ids)
        nodes = [cluster.nodes[row] for row in placement.rows]
        placed = [
            Placed(Wanted(name_index=index), node.ID, ports)
            for index, (node, ports) in enumerate(zip(nodes, placement.ports, strict=True))
            if node is not None
        ]
        outcome.place(job, group, placed, metric=placement.metric)
        took.append(1000 * (time.perf_counter() - job_begun))
        puts = {plan_key(KEYS, segment): msgspec.msgpack.encode(segment) for segment in outcome.segments}
        commits.add(asyncio.create_task(_commit(store, puts)))
        await asyncio.sleep(0)
        if len(commits) >= IN_FLIGHT:
            done, commits = await asyncio.wait(commits, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        if number % 100 == 99:
            report.progress(f"{(number + 1) * COUNT:,} allocations")
    await asyncio.gather(*commits)
    rate = JOBS * COUNT / (time.perf_counter() - begun)
    median, p99 = median_and_p99(took)
    assert (draft.used <= draft.capacity).all()
    report.add(
        Row(
            name=f"{JOBS * COUNT:,} allocations placed and durably stored (SQLite)",
            value=rate,
            unit="/s",
            n=JOBS * COUNT,
            median_ms=median,
            p99_ms=p99,
            ratio=rate / baseline,
            conditions=f"{CONDITIONS}; times per job; ratio to scoring all nodes for each allocation",
        )
    )


def _one_by_one(cluster: Cluster) -> float:
    """Allocations per second when every node is scored anew for every allocation (and nothing is stored)."""
    draft = Draft(cluster)
    job, group = simulated_job(0)
    begun = time.perf_counter()
    for index in range(COUNT):
        place(draft, job, group, [Request(name_index=index)])
    return COUNT / (time.perf_counter() - begun)


async def _whole_path(report: Report, store: Store) -> None:
    """Evaluation → `schedule` → commit → state and columns up to date, one job after the other as a server does it."""
    state = State(KEYS.root)
    cluster = Cluster.following(state)
    for first in range(0, NODES, NODES_A_COMMIT):
        nodes = map(simulated_node, range(first, min(NODES, first + NODES_A_COMMIT)))
        await _store_and_apply(store, state, {KEYS.node(node.ID): msgspec.msgpack.encode(node) for node in nodes})
    took: list[float] = []
    for number in range(WHOLE_JOBS):
        job, _ = simulated_job(number)
        encoded = msgspec.msgpack.encode(job)
        keys = (KEYS.job(job.Namespace, job.ID), KEYS.job_version(job.Namespace, job.ID, 0))
        await _store_and_apply(store, state, dict.fromkeys(keys, encoded))
        begun = time.perf_counter()
        evaluation = Evaluation(ID=new_id(), Namespace=job.Namespace, JobID=job.ID, TriggeredBy="job-register")
        decision = schedule(evaluation, state, cluster, time.time_ns())
        await _store_and_apply(store, state, decision.puts(KEYS))
        took.append(1000 * (time.perf_counter() - begun))
    median, p99 = median_and_p99(took)
    assert len(state.allocs) == WHOLE_JOBS * COUNT
    report.add(
        Row(
            name=f"{WHOLE_JOBS * COUNT:,} allocations: evaluation → plan → SQLite → state, one job at a time",
            value=WHOLE_JOBS * COUNT / (sum(took) / 1000),
            unit="/s",
            n=WHOLE_JOBS * COUNT,
            median_ms=median,
            p99_ms=p99,
            conditions=f"{CONDITIONS}; times per job of {COUNT:,}",
        )
    )


async def _commit(store: Store, puts: dict[bytes, bytes]) -> None:
    assert (await store.commit(puts=puts)).succeeded


async def _store_and_apply(store: Store, state: State, puts: dict[bytes, bytes]) -> None:
    result = await store.commit(puts=puts)
    assert result.succeeded
    revision = result.revision
    state.apply(revision, [Event(key, value, revision, revision) for key, value in sorted(puts.items())])


def simulated_node(number: int) -> Node:
    """Nodes of a few sizes in three datacenters; every fourth has an SSD."""
    return Node(
        ID=f"{number:08x}-0000-4000-8000-000000000000",
        Name=f"node-{number}",
        Datacenter=f"dc{number % 3}",
        Status="ready",
        Attributes={"driver.docker": "1", "kernel.name": "linux", "disk": "ssd" if number % 4 == 0 else "hdd"},
        NodeResources=NodeCapacity(
            Cpu=NodeCpuResources(CpuShares=32_000 + number % 5 * 8_000),
            Memory=NodeMemoryResources(MemoryMB=65_536 + number % 7 * 8_192),
            Disk=NodeDiskResources(DiskMB=1_000_000),
        ),
    )


def simulated_job(number: int) -> tuple[Job, TaskGroup]:
    """A job of one group with `COUNT` allocations."""
    targets = [SpreadTargetSpec(Value="dc0", Percent=50), SpreadTargetSpec(Value="dc1", Percent=30)]
    group = TaskGroup(
        Name="web",
        Count=COUNT,
        Tasks=[Task(Name="main", Driver="docker", Resources=TaskResources(CPU=100, MemoryMB=200))],
        Networks=[NetworkResource(Mode="bridge", DynamicPorts=[Port(Label="http")])],
        EphemeralDisk=EphemeralDiskSpec(SizeMB=100),
        Affinities=[Affinity(LTarget="${attr.disk}", Operand="=", RTarget="ssd", Weight=50)],
        Spreads=[Spread(Attribute="${node.datacenter}", Weight=50, SpreadTarget=targets)],
    )
    constraint = Constraint(LTarget="${attr.kernel.name}", Operand="=", RTarget="linux")
    job = Job(ID=f"job-{number}", Name=f"job-{number}", Datacenters=["*"], Constraints=[constraint], TaskGroups=[group])
    return job, group


if __name__ == "__main__":
    main(run)
