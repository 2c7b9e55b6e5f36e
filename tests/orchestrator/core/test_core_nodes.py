"""Nodes through a whole core: registration, silence and return, drain, purge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from kokiris.kernel.errors import Conflict, Forbidden, NotFound
from kokiris.orchestrator.core import heartbeats, liveness
from kokiris.orchestrator.core.refusal import Refused
from kokiris.orchestrator.model.node import DrainRequestSpec
from tests.orchestrator.core.bed import Bed, Worker, bed_in, job_spec, node_spec, until, worker_on

replace = msgspec.structs.replace
HOUR_NS = 3600 * 1_000_000_000


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence of half a second is enough to be given up."""
    monkeypatch.setattr(heartbeats, "MIN_TTL_S", 0.2)
    monkeypatch.setattr(heartbeats, "GRACE_S", 0.3)
    monkeypatch.setattr(heartbeats, "FAILOVER_TTL_S", 0.5)
    monkeypatch.setattr(heartbeats, "STALL_S", 0.2)  # a busy machine is not taken for silent nodes
    monkeypatch.setattr(liveness, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(Worker, "beat_every_s", 0.1)


def running(bed: Bed, node_id: str = "") -> list[Any]:
    found = bed.allocs("web", ClientStatus="running", DesiredStatus="run")
    return [alloc for alloc in found if not node_id or alloc.NodeID == node_id]


async def test_registration(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed:
        node = node_spec(Attributes={"unique.network.ip-address": "10.9.8.7"})
        result = await bed.core.nodes.register(node, "secret")
        assert result.Index == bed.state.nodes[node.ID].CreateIndex
        assert bed.state.nodes[node.ID].Status == "ready"
        entry = bed.catalog.nodes["node1"]
        assert (entry.Address, entry.Status, entry.ModifyIndex) == ("10.9.8.7", "passing", result.Index)
        assert b"secret" not in b"".join(item.value for item in (await bed.store.range(b"/")).items)
        again = await bed.core.nodes.register(node, "secret")
        assert again.NodeModifyIndex == result.Index  # nothing new, nothing written
        with pytest.raises(Forbidden):
            await bed.core.nodes.register(node, "other")
        with pytest.raises(Conflict, match='node name "node1" is taken'):
            await bed.core.nodes.register(node_spec(), "secret")
        with pytest.raises(NotFound):
            bed.core.nodes.check_secret("nobody", "secret")
        changed = replace(node, Attributes={"unique.network.ip-address": "10.9.8.8"}, Status="down", Drain=True)
        await bed.core.nodes.register(changed, "secret")
        stored = bed.state.nodes[node.ID]
        assert (stored.Status, stored.Drain) == ("ready", False)  # not the node's to say
        assert bed.catalog.nodes["node1"].Address == "10.9.8.8"


async def test_a_moved_node_moves_its_instances(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed, worker_on(bed) as worker:
        await bed.core.register_job(job_spec())
        await until(lambda: len(bed.catalog.instances_of("web")) == 2)
        moved = replace(
            worker.node, Attributes={**(worker.node.Attributes or {}), "unique.network.ip-address": "10.1.1.1"}
        )
        await bed.core.nodes.register(moved, worker.secret)
        assert {one.Address for one in bed.catalog.instances_of("web")} == {"10.1.1.1"}


@pytest.mark.usefixtures("impatient")
async def test_a_silent_node_is_replaced(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed, worker_on(bed, node_spec("a")) as a, worker_on(bed, node_spec("b")) as b:
        await bed.core.register_job(job_spec(count=4))
        await until(lambda: len(running(bed)) == 4)
        before = {alloc.ID for alloc in running(bed, a.node.ID)}
        await a.stop()
        await until(lambda: bed.state.nodes[a.node.ID].Status == "down")
        assert bed.catalog.nodes["a"].Status == "critical"
        assert not [one for one in bed.catalog.instances_of("web") if one.Node == "a"]
        await until(lambda: len(running(bed, b.node.ID)) == 4)
        assert {bed.state.allocs[one].ClientStatus for one in before} == {"lost"}
        assert {bed.state.allocs[one].DesiredStatus for one in before} == {"stop"}
        await a.start()
        await until(lambda: bed.state.nodes[a.node.ID].Status == "ready")
        assert bed.catalog.nodes["a"].Status == "passing"
        await until(lambda: all(bed.state.allocs[one].ClientStatus == "complete" for one in before))
        assert len(running(bed)) == 4


@pytest.mark.usefixtures("impatient")
async def test_a_node_back_before_its_loss_is_planned_keeps_its_instances(tmp_path: Path) -> None:
    """`disconnect { replace = false }`: allocations are unknown meanwhile, and found again."""
    from kokiris.orchestrator.model.policy import DisconnectStrategy

    job = job_spec()
    assert job.TaskGroups is not None
    waiting = replace(job.TaskGroups[0], Disconnect=DisconnectStrategy(LostAfter=HOUR_NS, Replace=False))
    async with bed_in(tmp_path) as bed, worker_on(bed, node_spec("a")) as a:
        await bed.core.register_job(replace(job, TaskGroups=[waiting]))
        await until(lambda: len(bed.catalog.instances_of("web")) == 2)
        ids = {alloc.ID for alloc in running(bed)}
        await a.stop()
        await until(lambda: bed.state.nodes[a.node.ID].Status == "down")
        await until(lambda: not bed.catalog.instances_of("web"))
        await a.start()  # it has nothing new to say
        await until(lambda: len(running(bed)) == 2)
        assert {alloc.ID for alloc in running(bed)} == ids
        assert len(bed.catalog.instances_of("web")) == 2


async def test_drain_moves_everything_and_ends(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed, worker_on(bed, node_spec("a")) as a:
        await bed.core.register_job(job_spec(count=3))
        await until(lambda: len(running(bed, a.node.ID)) == 3)
        async with worker_on(bed, node_spec("b")) as b:
            fewest = 3

            class Watch:
                def alloc_changed(self, before: object, after: object) -> None:
                    nonlocal fewest
                    fewest = min(fewest, len([one for one in bed.allocs("web") if not one.terminal() and one.Healthy]))

                def node_changed(self, before: object, after: object) -> None: ...

            bed.state.observers.append(Watch())
            result = await bed.core.drain_node(a.node.ID, DrainRequestSpec(Deadline=HOUR_NS), meta={"why": "disk"})
            node = bed.state.nodes[a.node.ID]
            assert (node.SchedulingEligibility, result.NodeModifyIndex) == ("ineligible", result.Index)
            with pytest.raises(
                Refused, match="can not set node's scheduling eligibility to eligible while it is draining"
            ):
                await bed.core.set_node_eligibility(a.node.ID, True)
            await until(lambda: len(running(bed, b.node.ID)) == 3)
            await until(lambda: bed.state.nodes[a.node.ID].DrainStrategy is None)
            node = bed.state.nodes[a.node.ID]
            assert node.SchedulingEligibility == "ineligible"
            assert node.LastDrain is not None
            assert (node.LastDrain.Status, node.LastDrain.Meta) == ("complete", {"why": "disk"})
            assert fewest >= 2
            result = await bed.core.set_node_eligibility(a.node.ID, True)
            assert bed.state.nodes[a.node.ID].SchedulingEligibility == "eligible"


async def test_a_drain_can_be_cancelled(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed, worker_on(bed) as worker:
        await bed.core.register_job(job_spec(count=1, Type="batch"))
        await until(lambda: running(bed))
        await bed.core.drain_node(worker.node.ID, DrainRequestSpec())
        await bed.core.drain_node(worker.node.ID, None, mark_eligible=True)
        node = bed.state.nodes[worker.node.ID]
        assert (node.DrainStrategy, node.SchedulingEligibility) == (None, "eligible")
        assert node.LastDrain is not None
        assert node.LastDrain.Status == "canceled"
        assert len(running(bed)) == 1


async def test_purge_removes_every_trace(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed:
        async with worker_on(bed) as worker:
            await bed.core.register_job(job_spec())
            await until(lambda: len(bed.catalog.instances_of("web")) == 2)
        result = await bed.core.purge_node(worker.node.ID)
        assert len(result.EvalIDs) == 1
        assert not bed.catalog.instances_of("web")
        assert "node1" not in bed.catalog.nodes
        assert not bed.state.node_secrets
        await until(lambda: not running(bed))
        with pytest.raises(NotFound, match="node not found"):
            await bed.core.purge_node(worker.node.ID)


async def test_system_jobs_follow_the_nodes(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed, worker_on(bed, node_spec("a")):
        await bed.core.register_job(job_spec(Type="system"))
        await until(lambda: len(running(bed)) == 1)
        async with worker_on(bed, node_spec("b")):
            await until(lambda: len(running(bed)) == 2)


async def test_garbage_is_collected_and_nothing_else(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed, worker_on(bed):
        await bed.core.register_job(job_spec())
        await bed.core.register_job(job_spec("other", count=1))
        await until(lambda: len(bed.catalog.instances_of("web")) == 3)
        await bed.core.deregister_job("default", "web")
        await until(lambda: len(bed.allocs("web", ClientStatus="complete")) == 2)
        await until(lambda: not bed.state.open_evals)
        await bed.core.collect_garbage()
        assert bed.state.job("default", "web") is None
        assert not bed.allocs("web")
        assert ("default", "web") not in bed.state.versions
        assert len(bed.allocs("other", ClientStatus="running")) == 1
        left = [item.key for item in (await bed.store.range(bed.state.root)).items if b"/web" in item.key]
        assert not left
        assert not bed.state.orphans()
