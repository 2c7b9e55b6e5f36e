"""Two servers on one etcd: either takes commands, one leads, the other takes over."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from kokiris.kernel.ids import new_id
from kokiris.store.etcd.store import EtcdStore
from tests.engines.etcd import Etcd
from tests.orchestrator.core.bed import Bed, bed_in, job_spec, node_spec, open_bed, until, worker_on

pytestmark = pytest.mark.engine

replace = msgspec.structs.replace


@contextlib.asynccontextmanager
async def pair(etcd: Etcd, folder: Path) -> AsyncIterator[tuple[Bed, Bed]]:
    """Two servers of the same infra."""
    client = f"c{new_id()[:8]}"
    beds: list[Bed] = []
    try:
        for name in ("s1", "s2"):
            store = await EtcdStore.open(etcd.endpoints, tls=etcd.tls)
            beds.append(await open_bed(folder, client=client, store=store, name=name))
            if name == "s1":
                await until(lambda: beds[0].core.is_leader)
        await until(lambda: all("default" in bed.state.namespaces for bed in beds))
        yield beds[0], beds[1]
    finally:
        for bed in beds:
            await bed.close()


async def test_the_spine_on_etcd(etcd: Etcd, tmp_path: Path) -> None:
    store = await EtcdStore.open(etcd.endpoints, tls=etcd.tls)
    async with bed_in(tmp_path, client=f"c{new_id()[:8]}", store=store) as bed, worker_on(bed):
        await bed.core.register_job(job_spec())
        await until(lambda: len(bed.catalog.instances_of("web")) == 2)
        await bed.level()
        for one in bed.catalog.instances_of("web"):
            assert one.ModifyIndex == bed.state.allocs[one.AllocID].ModifyIndex
        await until(lambda: bed.state.jobs["default", "web"].Stable)
        await bed.core.deregister_job("default", "web")
        assert await until(lambda: len(bed.allocs("web", ClientStatus="complete")) == 2)
        await bed.level()
        assert not bed.catalog.instances_of("web")


async def test_commands_on_the_server_that_does_not_lead(etcd: Etcd, tmp_path: Path) -> None:
    async with pair(etcd, tmp_path) as (leader, other), worker_on(leader):
        assert not other.core.is_leader
        result = await other.core.register_job(job_spec())
        assert other.state.evals[result.EvalID].CreateIndex == result.EvalCreateIndex
        await until(lambda: len(other.catalog.instances_of("web")) == 2)
        await other.level()
        await until(lambda: other.state.job("default", "web") == leader.state.job("default", "web"))
        victim = other.allocs("web")[0]
        await other.core.stop_alloc(victim.ID)
        await until(lambda: other.state.allocs[victim.ID].ClientStatus == "complete")


async def test_concurrent_changes_on_both_are_all_made(etcd: Etcd, tmp_path: Path) -> None:
    async with pair(etcd, tmp_path) as (one, other):
        await one.core.register_job(job_spec(count=0))
        metas = [str(number) for number in range(10)]
        await asyncio.gather(
            *((one, other)[int(meta) % 2].core.register_job(job_spec(count=0, Meta={"n": meta})) for meta in metas)
        )
        await until(lambda: one.state.revision == other.state.revision)
        assert one.state.jobs["default", "web"].Version == 10
        kept = one.state.versions["default", "web"]
        assert sorted(kept) == [5, 6, 7, 8, 9, 10]
        assert len({(job.Meta or {})["n"] for job in kept.values()}) == 6  # nobody's change was lost to another's


async def test_another_takes_over(etcd: Etcd, tmp_path: Path) -> None:
    async with pair(etcd, tmp_path) as (first, second):
        node = node_spec()
        async with worker_on(first, node) as worker:
            await first.core.register_job(job_spec())
            await until(lambda: len(second.catalog.instances_of("web")) == 2)
        await first.leadership.stop()
        await until(lambda: second.core.is_leader)
        async with worker_on(second, node, seen=worker.seen):
            assert second.state.nodes[node.ID].Status == "ready"
            await second.core.register_job(job_spec("more", count=1))
            await until(lambda: second.allocs("more", ClientStatus="running"))
            await second.level()
            assert len(second.allocs("web", ClientStatus="running")) == 2
            assert len(second.allocs("web")) == 2
