"""Draining, losing and forgetting."""

from __future__ import annotations

import pytest

from kokiris.orchestrator.core.node_changes import drain_ended
from kokiris.orchestrator.model.evaluation import Evaluation
from kokiris.orchestrator.model.policy import MigrateStrategy
from kokiris.orchestrator.scheduler.drain import drain_node, draining
from kokiris.orchestrator.scheduler.garbage import FORCED, collect
from kokiris.orchestrator.scheduler.loss import node_lost


@pytest.fixture
def world(box):
    world = box.World()
    world.add_nodes(box.node(0))
    return world


def look(world, node_id):
    def group_allocs(namespace, job_id, group):
        return [one for one in world.state.allocs_of_job(namespace, job_id) if one.TaskGroup == group]

    node = world.state.nodes[node_id]
    return drain_node(node, world.state.allocs_of_node(node_id), world.state.job_of, group_allocs, world.now_ns)


def start(box, world, deadline=0, **fields):
    node = next(iter(world.state.nodes.values()))
    started = draining(node, deadline, ignore_system_jobs=fields.pop("ignore_system_jobs", False), now_ns=world.now_ns)
    world.commit({box.KEYS.node(node.ID): started})
    return node.ID


def fill(box, world, **kinds):
    for kind, count in kinds.items():
        group = box.group(count=count, Migrate=MigrateStrategy(MaxParallel=1), Update=box.update(MaxParallel=count))
        world.register(box.job(group, ID=kind, Type=kind))
        world.evaluate(job_id=kind)
    for _ in range(2):
        world.workers()
        for kind in kinds:
            world.watch(kind)


def test_service_allocations_leave_one_by_one_as_replacements_become_healthy(box, world):
    fill(box, world, service=3)
    world.add_nodes(box.node(1))
    node_id = start(box, world)
    moved = []
    for _ in range(3):
        decision = look(world, node_id)
        assert len(decision.migrate) == 1
        assert decision.jobs == [("default", "service")]
        moved += decision.migrate
        world.migrate(world.state.allocs[decision.migrate[0]])
        assert not look(world, node_id).migrate, "not before the replacement is healthy"
        world.evaluate(trigger="node-drain", job_id="service")
        assert not look(world, node_id).migrate
        world.workers()
    assert len(set(moved)) == 3
    assert look(world, node_id).done
    world.commit({box.KEYS.node(node_id): drain_ended(world.state.nodes[node_id], world.now_ns, "complete")})
    node = world.state.nodes[node_id]
    assert (node.Drain, node.DrainStrategy, node.SchedulingEligibility) == (False, None, "ineligible")
    assert look(world, node_id).migrate == []


def test_the_platforms_own_stay(box, world):
    fill(box, world, service=1)
    world.register(box.job(box.group(count=1), ID="mariadb", Namespace="platform"))
    fields = {"Namespace": "platform", "JobID": "mariadb", "Type": "service", "TriggeredBy": "job-register"}
    world.evaluate(Evaluation(ID="e", **fields))
    (ours,) = world.state.allocs_of_job("platform", "mariadb")
    node_id = start(box, world, deadline=-1)
    (moved,) = look(world, node_id).migrate
    assert world.state.allocs[moved].JobID == "service"
    world.migrate(world.state.allocs[moved])
    world.evaluate(trigger="node-drain", job_id="service")
    world.workers()
    assert look(world, node_id).done
    assert world.state.allocs[ours.ID].DesiredStatus == "run"


def test_batch_may_finish_and_system_leaves_last(box, world):
    fill(box, world, service=1, batch=1, system=1)
    world.add_nodes(box.node(1))
    node_id = start(box, world, deadline=3600 * box.SECOND)
    decision = look(world, node_id)
    assert [world.state.allocs[one].JobID for one in decision.migrate] == ["service"]
    assert decision.wake_at_ns is not None
    world.migrate(world.state.allocs[decision.migrate[0]])
    world.evaluate(job_id="service")
    world.workers()
    assert look(world, node_id).migrate == []
    world.report(next(one for one in world.live(job_id="batch")), "complete")
    assert [world.state.allocs[one].JobID for one in look(world, node_id).migrate] == ["system"]


def test_the_deadline_moves_everything(box, world):
    fill(box, world, service=3, batch=1)
    node_id = start(box, world, deadline=60 * box.SECOND)
    assert len(look(world, node_id).migrate) == 1
    world.now_ns += 61 * box.SECOND
    assert len(look(world, node_id).migrate) == 4


def test_force_moves_everything_at_once_and_ignore_system_leaves_system(box, world):
    fill(box, world, service=2, system=1)
    node_id = start(box, world, deadline=-1, ignore_system_jobs=True)
    assert {world.state.allocs[one].JobID for one in look(world, node_id).migrate} == {"service"}


def test_without_room_elsewhere_the_drained_allocation_serves_until_the_deadline(box, world):
    fill(box, world, service=1)
    node_id = start(box, world, deadline=60 * box.SECOND)
    (alloc_id,) = look(world, node_id).migrate
    world.migrate(world.state.allocs[alloc_id])
    decision = world.evaluate(job_id="service")
    assert not decision.stopped
    assert decision.blocked
    world.now_ns += 61 * box.SECOND
    decision = world.evaluate(world.state.evals[decision.blocked.ID])
    assert decision.stopped == [alloc_id]


def test_alloc_stop_is_obeyed_even_without_room(box, world):
    fill(box, world, service=1)
    world.change_node(world.live(job_id="service")[0].NodeID, SchedulingEligibility="ineligible")
    world.migrate(world.live(job_id="service")[0])
    decision = world.evaluate(trigger="alloc-stop", job_id="service")
    assert len(decision.stopped) == 1


def test_a_lost_node(box, world):
    fill(box, world, service=2)
    node = next(iter(world.state.nodes.values()))
    world.register(box.job(box.group(PreventRescheduleOnLost=True), ID="pet"))
    world.evaluate(job_id="pet")
    lost = node_lost(node, world.state.allocs_of_node(node.ID), world.state.job_of, world.now_ns)
    assert lost.node.Status == "down"
    assert sorted(one.ClientStatus for one in lost.clients.values()) == ["lost", "lost", "unknown"]
    assert lost.jobs == [("default", "service"), ("default", "pet")]
    clients = {box.KEYS.alloc_client(key): one for key, one in lost.clients.items()}
    world.commit({box.KEYS.node(node.ID): lost.node, **clients})
    world.add_nodes(box.node(1))
    world.evaluate(job_id="service", trigger="node-update")
    assert [one.NameIndex for one in world.live(job_id="service")] == [0, 1]
    assert world.evaluate(job_id="pet", trigger="node-update").changes_nothing()


# ---- garbage ----------------------------------------------------------------------------------------------------


def test_what_runs_is_never_forgotten(box, world):
    fill(box, world, service=2, batch=1)
    for alloc in world.live(job_id="batch"):
        world.report(alloc, "complete")
    world.now_ns += 3600 * box.SECOND
    garbage = collect(world.state, world.now_ns)
    assert not garbage.segments
    assert not garbage.jobs
    assert not garbage.versions
    assert world.state.deployments_of_job("default", "service")


def test_a_stopped_job_is_forgotten_piece_by_piece(box, world):
    fill(box, world, service=2)
    world.stop_job("service")
    world.evaluate(job_id="service")
    assert not collect(world.state, world.now_ns + 10**18).segments, "its worker has not ended them yet"
    world.workers()
    assert not collect(world.state, world.now_ns).segments
    world.now_ns += 3601 * box.SECOND
    garbage = collect(world.state, world.now_ns)
    assert len(garbage.segments) == 1
    assert len(garbage.allocs) == 2
    assert not garbage.jobs
    world.commit({}, garbage.deletes(box.KEYS))
    assert not world.state.allocs
    world.now_ns += 4 * 3600 * box.SECOND
    garbage = collect(world.state, world.now_ns)
    assert garbage.jobs == [("default", "service")]
    world.commit({}, garbage.deletes(box.KEYS))
    assert (world.state.jobs, world.state.versions, world.state.evals) == ({}, {}, {})


def test_a_finished_batch_job_stays_finished_until_it_goes_as_a_whole(box, world):
    fill(box, world, batch=1)
    world.report(world.live(job_id="batch")[0], "complete")
    world.now_ns += 25 * 3600 * box.SECOND
    garbage = collect(world.state, world.now_ns)
    assert garbage.jobs == [("default", "batch")]
    world.commit({}, garbage.deletes(box.KEYS))
    assert not world.state.jobs


def test_forced_collection_and_old_versions_and_nodes(box, world):
    for number in range(9):
        world.register(box.job(box.group(image=f"web:{number}")))
    world.evaluate()
    garbage = collect(world.state, world.now_ns, FORCED)
    assert [version for _, _, version in garbage.versions] == [0, 1, 2]
    world.change_node(world.live()[0].NodeID, Status="down", StatusUpdatedAt=world.now_ns // box.SECOND)
    assert not collect(world.state, world.now_ns, FORCED).nodes, "it still has an allocation"
    world.evaluate()
    assert collect(world.state, world.now_ns, FORCED).nodes
    assert not collect(world.state, world.now_ns).nodes
