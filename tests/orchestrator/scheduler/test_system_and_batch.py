"""System, sysbatch and batch jobs."""

from __future__ import annotations

import pytest

from kokiris.orchestrator.model.policy import Constraint, ReschedulePolicySpec


@pytest.fixture
def world(box):
    world = box.World()
    world.add_nodes(*(box.node(number) for number in range(3)))
    return world


def nodes_of(world):
    return sorted(one.NodeID[:8] for one in world.live())


def test_a_system_job_runs_once_on_every_feasible_node(box, world):
    world.register(box.job(box.group(static={"http": 80}), Type="system"))
    assert not world.evaluate().failed
    assert nodes_of(world) == ["00000000", "00000001", "00000002"]
    world.workers()
    assert world.evaluate().changes_nothing()
    world.add_nodes(box.node(3), box.node(4, attributes={"driver.docker": ""}))
    world.evaluate(trigger="node-update")
    assert nodes_of(world) == ["00000000", "00000001", "00000002", "00000003"]


def test_an_ineligible_node_keeps_its_system_allocation_and_gets_no_new_one(box, world):
    world.register(box.job(box.group(), Type="system"))
    world.evaluate()
    world.workers()
    node_id = world.live()[0].NodeID
    world.change_node(node_id, SchedulingEligibility="ineligible")
    assert world.evaluate(trigger="node-update").changes_nothing()
    world.register(box.job(box.group(image="web:2"), Type="system"))
    world.evaluate()
    assert [one.JobVersion for one in world.live() if one.NodeID == node_id] == [0]


def test_a_system_job_that_fits_nowhere_says_why(box, world):
    constraint = Constraint(LTarget="${attr.kernel.name}", Operand="=", RTarget="plan9")
    world.register(box.job(box.group(), Type="system", Constraints=[constraint]))
    decision = world.evaluate()
    assert decision.failed["web"].ConstraintFiltered == {"${attr.kernel.name} = plan9": 3}
    assert decision.blocked


def test_a_system_update_goes_max_parallel_per_stagger(box, world):
    update = box.update(MaxParallel=1, Stagger=30 * box.SECOND)
    world.register(box.job(box.group(static={"http": 80}, Update=update), Type="system"))
    world.evaluate()
    world.workers()
    world.register(box.job(box.group(static={"http": 80}, image="web:2", Update=update), Type="system"))
    decision = world.evaluate()
    for replaced in (1, 2, 3):
        assert [one.JobVersion for one in world.live()].count(1) == replaced
        world.workers()
        later = [one for one in decision.evaluations[1:] if one.TriggeredBy == "rolling-update"]
        if replaced < 3:
            decision = world.evaluate(later[0])
    assert later == []


def test_a_failed_system_allocation_is_not_tried_again_for_its_own_failure(box, world):
    world.register(box.job(box.group(), Type="system"))
    world.evaluate()
    world.report(world.live()[0], "failed")
    assert world.evaluate(trigger="alloc-failure").changes_nothing()
    world.evaluate(trigger="node-update")
    assert len(world.live()) == 3


def test_sysbatch_runs_once_per_node(box, world):
    world.register(box.job(box.group(), Type="sysbatch"))
    world.evaluate()
    for alloc in world.live():
        world.report(alloc, "complete")
    assert world.evaluate().changes_nothing()


def test_a_batch_job_that_has_finished_is_not_run_again(box, world):
    world.register(box.job(box.group(count=2), Type="batch"))
    world.evaluate()
    done, other = world.live()
    world.report(done, "complete")
    world.report(other, "running")
    assert world.evaluate(trigger="node-update").changes_nothing()
    world.change_node(other.NodeID, Status="down")
    world.evaluate(trigger="node-update")
    assert [one.Name for one in world.live()] == [other.Name]


def test_a_failed_batch_allocation_is_tried_as_often_as_its_policy_says(box, world):
    policy = ReschedulePolicySpec(
        Attempts=1, Interval=24 * 3600 * box.SECOND, Delay=5 * box.SECOND, DelayFunction="constant"
    )
    world.register(box.job(box.group(ReschedulePolicy=policy), Type="batch"))
    world.evaluate()
    world.report(world.live()[0], "failed")
    world.now_ns += 6 * box.SECOND
    world.evaluate(trigger="alloc-failure")
    (second,) = world.live()
    history = second.Segment.Histories[second.Row]
    assert [event.Delay for event in history.Events] == [5 * box.SECOND]
    world.report(second, "failed")
    world.now_ns += 600 * box.SECOND
    assert world.evaluate(trigger="alloc-failure").changes_nothing()


def test_a_new_version_of_a_finished_batch_job_runs(box, world):
    world.register(box.job(box.group(), Type="batch"))
    world.evaluate()
    world.report(world.live()[0], "complete")
    world.register(box.job(box.group(image="web:2"), Type="batch"))
    world.evaluate()
    assert [one.JobVersion for one in world.live()] == [1]


def test_periodic_and_parameterized_jobs_have_no_allocations_of_their_own(box, world):
    from kokiris.orchestrator.model.job import ParameterizedJobConfig, PeriodicConfig

    for number, fields in enumerate(({"Periodic": PeriodicConfig()}, {"ParameterizedJob": ParameterizedJobConfig()})):
        world.register(box.job(box.group(), Type="batch", ID=f"job{number}", **fields))
        assert world.evaluate(job_id=f"job{number}").changes_nothing()
