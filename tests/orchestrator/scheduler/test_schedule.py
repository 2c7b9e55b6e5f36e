"""`schedule`, as users see it: first registration, scaling, stopping, loss, failure."""

from __future__ import annotations

import pytest


@pytest.fixture
def world(box):
    world = box.World()
    world.add_nodes(*(box.node(number) for number in range(3)))
    return world


def test_first_registration_places_count_allocations_with_distinct_names(box, world):
    world.register(box.job(box.group(count=4, dynamic=["http"])))
    decision = world.evaluate()
    assert decision.evaluation.Status == "complete"
    assert decision.evaluation.QueuedAllocations == {"web": 0}
    assert decision.desired_updates["web"].Place == 4
    assert [one.Name for one in world.live()] == [f"site.web[{n}]" for n in range(4)]
    assert all(20_000 <= one.ports()["http"] <= 32_000 for one in world.live())


def test_a_second_evaluation_changes_nothing(box, world):
    world.register(box.job(box.group(count=4)))
    world.evaluate()
    world.settle()
    assert world.evaluate().changes_nothing()


def test_what_does_not_fit_is_explained_and_waits_blocked(box, world):
    world.register(box.job(box.group(count=4, memory=5000)))
    decision = world.evaluate()
    assert len(world.live()) == 3
    assert decision.evaluation.QueuedAllocations == {"web": 1}
    metric = decision.failed["web"]
    assert metric.DimensionExhausted == {"memory": 3}
    expected = "Group 'web' of job 'site': 1 allocation not placed: of 3 nodes, 3 have less than 5000 MB memory free."
    assert decision.evaluation.StatusDescription == expected
    assert decision.blocked is not None
    assert decision.evaluation.BlockedEval == decision.blocked.ID
    again = world.evaluate(world.state.evals[decision.blocked.ID])
    assert again.evaluation.Status == "blocked"
    assert len(again.evaluations) == 1
    world.add_nodes(box.node(9))
    done = world.evaluate(world.state.evals[decision.blocked.ID])
    assert done.evaluation.Status == "complete"
    assert len(world.live()) == 4


def test_scaling_down_stops_the_highest_names(box, world):
    world.register(box.job(box.group(count=4)))
    world.evaluate()
    world.workers()
    world.register(box.job(box.group(count=2)))
    decision = world.evaluate()
    assert [one.NameIndex for one in world.live()] == [0, 1]
    descriptions = {decision.desired[one].DesiredDescription for one in decision.stopped}
    assert descriptions == {"alloc not needed due to job update"}
    assert decision.desired_updates["web"].InPlaceUpdate == 2
    assert {one.JobVersion for one in world.live()} == {1}


def test_stopping_stops_everything_and_restarting_reuses_names(box, world):
    world.register(box.job(box.group(count=2)))
    world.evaluate()
    world.workers()
    world.stop_job()
    decision = world.evaluate(trigger="job-deregister")
    assert len(decision.stopped) == 2
    assert not world.live()
    world.register(box.job(box.group(count=2)))
    world.evaluate()
    assert [one.NameIndex for one in world.live()] == [0, 1]


def test_a_purged_job_is_stopped(box, world):
    world.register(box.job(box.group(count=2)))
    world.evaluate()
    world.commit({}, [box.KEYS.job("default", "site")])
    decision = world.evaluate(trigger="job-deregister")
    assert len(decision.stopped) == 2


def test_allocations_of_a_lost_node_are_replaced_under_their_names(box, world):
    world.register(box.job(box.group(count=3)))
    world.evaluate()
    world.workers()
    victim = world.live()[0].NodeID
    lost = {one.ID for one in world.live() if one.NodeID == victim}
    world.change_node(victim, Status="down")
    decision = world.evaluate(trigger="node-update")
    assert set(decision.clients) == lost
    assert {one.ClientStatus for one in decision.clients.values()} == {"lost"}
    assert [one.NameIndex for one in world.live()] == [0, 1, 2]
    assert {one.PreviousAllocation for one in world.live()} >= lost
    assert world.evaluate().changes_nothing()


def test_a_failed_allocation_is_rescheduled_later_with_back_off(box, world):
    world.register(box.job(box.group(count=1, ReschedulePolicy=box.reschedule)))
    world.evaluate()
    delays = []
    for _ in range(3):
        failed = world.live()[0]
        world.report(failed, "failed")
        decision = world.evaluate(trigger="alloc-failure")
        (follow_up,) = decision.evaluations[1:]
        assert decision.desired[failed.ID].FollowupEvalID == follow_up.ID
        assert world.evaluate(trigger="node-update").changes_nothing()
        delay = 0
        while not world.live():
            delay += 5
            world.now_ns += 5 * box.SECOND
            world.evaluate(trigger="node-update")
        delays.append(delay)
        assert world.live()[0].PreviousAllocation == failed.ID
        assert world.live()[0].NodeID != failed.NodeID
    assert delays == [30, 60, 120]


def test_a_static_port_is_taken_over_by_the_replacement_only(box):
    world = box.World()
    world.add_nodes(box.node(1))
    update = box.update(MaxParallel=1)
    world.register(box.job(box.group(static={"http": 80}, Update=update)))
    world.evaluate()
    world.settle()
    world.register(box.job(box.group(static={"http": 80}, Update=update, image="web:2")))
    decision = world.evaluate()
    assert not decision.failed
    assert world.live()[0].PreviousAllocation in decision.stopped
    world.settle()
    world.stop_job()
    world.evaluate()
    world.register(box.job(box.group("other", static={"http": 80}), ID="other"))
    refused = world.evaluate(job_id="other")
    assert refused.failed["other"].DimensionExhausted == {"network: reserved port collision http=80": 1}
    world.workers()
    assert not world.evaluate(job_id="other").failed


def test_an_impossible_update_leaves_what_runs(box, world):
    world.register(box.job(box.group(count=3, Update=box.update(MaxParallel=1))))
    world.evaluate()
    world.settle()
    world.register(box.job(box.group(count=3, memory=50_000, Update=box.update(MaxParallel=1))))
    decision = world.evaluate()
    assert not decision.stopped
    assert decision.failed["web"].DimensionExhausted == {"memory": 3}
    assert len(world.live()) == 3


def test_a_blocked_evaluation_may_place_more_than_once(box, world):
    """Each time it places under the same evaluation id: nothing may overwrite what it placed before."""
    world.register(box.job(box.group(count=6, memory=5000)))
    blocked = world.evaluate().blocked
    placed = {one.ID for one in world.live()}
    for number in (3, 4, 5):
        world.add_nodes(box.node(number))
        decision = world.evaluate(world.state.evals[blocked.ID])
        assert placed < {one.ID for one in world.live()}
        placed = {one.ID for one in world.live()}
    assert decision.evaluation.Status == "complete"
    assert len(placed) == 6


def test_an_older_blocked_evaluation_gives_way(box, world):
    world.register(box.job(box.group(count=6, memory=5000)))
    first = world.evaluate().blocked
    second = world.evaluate().blocked
    assert world.state.evals[first.ID].Status == "canceled"
    world.register(box.job(box.group(count=1, memory=5000)))
    assert world.evaluate().blocked is None
    assert world.state.evals[second.ID].Status == "canceled"


def test_a_removed_group_is_stopped(box, world):
    world.register(box.job(box.group(), box.group("other")))
    world.evaluate()
    world.register(box.job(box.group()))
    decision = world.evaluate()
    assert [one.TaskGroup for one in world.live()] == ["web"]
    assert decision.desired_updates["other"].Stop == 1


def test_a_dry_run_changes_nothing_and_annotates(box, world):
    world.register(box.job(box.group(count=2)))
    world.evaluate()
    world.workers()
    before = (dict(world.state.allocs), world.cluster.used.tolist())
    job = box.job(box.group(count=3, image="web:2"), Version=1)
    evaluation = world.evaluation(AnnotatePlan=True)
    from kokiris.orchestrator.scheduler.schedule import schedule

    decision = schedule(evaluation, world.state, world.cluster, world.now_ns, job=job)
    updates = decision.evaluation.PlanAnnotations.DesiredTGUpdates["web"]
    assert (updates.Place, updates.DestructiveUpdate) == (1, 2)
    assert (dict(world.state.allocs), world.cluster.used.tolist()) == before


def test_distinct_hosts_counts_all_groups_of_the_job(box, world):
    from kokiris.orchestrator.model.policy import Constraint

    constraint = Constraint(Operand="distinct_hosts", RTarget="true")
    world.register(box.job(box.group(count=2), box.group("other", count=2), Constraints=[constraint]))
    decision = world.evaluate()
    assert len({one.NodeID for one in world.live()}) == len(world.live()) == 3
    assert decision.failed["other"].ConstraintFiltered == {"distinct_hosts": 3}


def test_a_removed_node_and_its_return(box, world):
    """Columns follow a node that is purged with allocations still on it, and comes back."""
    world.register(box.job(box.group(count=3, dynamic=["http"], PreventRescheduleOnLost=True)))
    world.evaluate()
    world.workers()
    node = world.state.nodes[world.live()[0].NodeID]
    world.commit({}, [box.KEYS.node(node.ID)])
    world.check()
    world.add_nodes(node)
    world.check()
    world.stop_job()
    world.evaluate()
    world.workers()
    world.check()
    assert world.cluster.used.sum() == 0
