"""Rolling updates, canaries, failure and reversal, played to the end with workers that obey."""

from __future__ import annotations

import pytest


@pytest.fixture
def world(box):
    world = box.World()
    world.add_nodes(*(box.node(number) for number in range(3)))
    return world


def deploy(world, box, count=4, image="web:1", **update):
    strategy = box.update(**({"MaxParallel": 1} | update))
    job = world.register(box.job(box.group(count=count, image=image, dynamic=["http"], Update=strategy)))
    world.evaluate()
    return job


def versions(world):
    return [one.JobVersion for one in world.live()]


def test_the_first_deployment_succeeds_and_marks_the_version_stable(box, world):
    deploy(world, box)
    deployment = world.deployment()
    assert (deployment.Status, deployment.StatusDescription) == ("running", "Deployment is running")
    assert deployment.TaskGroups["web"].DesiredTotal == 4
    assert deployment.TaskGroups["web"].PlacedAllocs == 4
    world.settle()
    deployment = world.deployment()
    assert (deployment.Status, deployment.StatusDescription) == ("successful", "Deployment completed successfully")
    assert deployment.TaskGroups["web"].HealthyAllocs == 4
    assert world.state.job_version("default", "site", 0).Stable
    assert world.evaluate().changes_nothing()


@pytest.mark.parametrize("max_parallel", [1, 2, 3])
def test_a_rolling_update_takes_down_at_most_max_parallel_at_once(box, world, max_parallel):
    deploy(world, box, MaxParallel=max_parallel)
    world.settle()
    deploy(world, box, image="web:2", MaxParallel=max_parallel)
    for _ in range(60):
        serving = [one for one in world.live() if one.Healthy]
        assert len(serving) >= 4 - max_parallel
        if not world.workers(limit=1) and not world.watch():
            break
        world.watch()
    assert versions(world) == [1, 1, 1, 1]
    assert world.deployment().Status == "successful"
    assert [one.NameIndex for one in world.live()] == [0, 1, 2, 3]


def test_nothing_goes_on_while_a_new_allocation_is_not_healthy(box, world):
    deploy(world, box)
    world.settle()
    deploy(world, box, image="web:2")
    world.settle(healthy=lambda _alloc: None)
    assert sorted(versions(world)) == [0, 0, 0, 1]
    world.now_ns += 601 * box.SECOND
    world.settle()
    assert world.deployment().Status == "failed"
    assert world.deployment().StatusDescription == "Failed due to progress deadline"
    assert sorted(versions(world)) == [0, 0, 0, 1]


def test_each_healthy_allocation_moves_the_progress_deadline(box, world):
    deploy(world, box)
    world.settle()
    deploy(world, box, image="web:2")
    for _ in range(4):
        world.now_ns += 400 * box.SECOND
        world.workers()
        world.watch()
    world.settle()
    assert world.deployment().Status == "successful"


def test_without_a_progress_deadline_the_first_unhealthy_allocation_fails_it(box, world):
    deploy(world, box)
    world.settle()
    deploy(world, box, image="web:2", ProgressDeadline=0)
    world.settle(healthy=lambda _alloc: False)
    assert world.deployment().StatusDescription == "Failed due to unhealthy allocations"
    assert versions(world).count(0) == 3


def test_auto_revert_goes_back_to_the_stable_version(box, world):
    deploy(world, box, AutoRevert=True)
    world.settle()
    deploy(world, box, image="web:2", AutoRevert=True, ProgressDeadline=0)
    world.settle(healthy=lambda alloc: alloc.JobVersion != 1)
    failed = world.state.deployments_of_job("default", "site")[1]
    assert failed.StatusDescription == "Failed due to unhealthy allocations - rolling back to job version 0"
    assert world.deployment().JobVersion == 2
    assert world.deployment().Status == "successful"
    images = {world.state.job_of(one).TaskGroups[0].Tasks[0].Config["image"] for one in world.live()}
    assert images == {"web:1"}
    assert len(world.live()) == 4


def test_auto_revert_without_a_stable_version_says_so(box, world):
    deploy(world, box, AutoRevert=True, ProgressDeadline=0)
    world.settle(healthy=lambda _alloc: False)
    expected = "Failed due to unhealthy allocations - no stable job version to auto revert to"
    assert world.deployment().StatusDescription == expected


def test_a_newer_version_cancels_the_deployment(box, world):
    deploy(world, box)
    world.settle()
    deploy(world, box, image="web:2")
    world.workers()
    deploy(world, box, image="web:3")
    older = world.state.deployments_of_job("default", "site")[1]
    assert (older.Status, older.StatusDescription) == ("cancelled", "Cancelled due to newer version of job")
    world.settle()
    assert versions(world) == [2, 2, 2, 2]


def test_stopping_the_job_cancels_its_deployment(box, world):
    deploy(world, box)
    world.stop_job()
    world.evaluate()
    deployment = world.deployment()
    assert (deployment.Status, deployment.StatusDescription) == ("cancelled", "Cancelled because job is stopped")


def test_max_parallel_zero_replaces_everything_at_once_without_deployment(box, world):
    deploy(world, box, MaxParallel=0)
    assert not world.state.deployments
    world.workers()
    deploy(world, box, image="web:2", MaxParallel=0)
    assert versions(world) == [1, 1, 1, 1]
    assert not world.state.deployments


def test_in_place_updates_keep_the_allocations(box, world):
    deploy(world, box)
    world.settle()
    before = [one.ID for one in world.live()]
    deploy(world, box, MinHealthyTime=1)
    world.settle()
    assert [one.ID for one in world.live()] == before
    assert versions(world) == [1, 1, 1, 1]
    assert world.deployment().Status == "successful"


# ---- canaries -------------------------------------------------------------------------------------------------


def test_canaries_wait_for_promotion_and_then_the_rest_follows(box, world):
    deploy(world, box)
    world.settle()
    deploy(world, box, image="web:2", Canary=2)
    assert sorted(versions(world)) == [0, 0, 0, 0, 1, 1]
    canaries = [one for one in world.live() if one.Canary]
    assert [one.NameIndex for one in canaries] == [0, 1]
    deployment = world.deployment()
    assert deployment.StatusDescription == "Deployment is running but requires manual promotion"
    assert deployment.TaskGroups["web"].PlacedCanaries == [one.ID for one in sorted(canaries, key=lambda a: a.Row)]
    world.settle()
    world.now_ns += 3600 * box.SECOND
    world.settle()
    assert world.deployment().Status == "running", "waiting for promotion is no lack of progress"
    from kokiris.orchestrator.scheduler.deployments import promote

    promoted = promote(world.deployment(), None, world.now_ns)
    world.commit({box.KEYS.deployment(promoted.ID): promoted})
    world.evaluate(trigger="deployment-watcher")
    world.settle()
    assert versions(world) == [1, 1, 1, 1]
    assert [one.NameIndex for one in world.live()] == [0, 1, 2, 3]
    assert {one.ID for one in canaries} <= {one.ID for one in world.live()}
    assert world.deployment().Status == "successful"
    assert world.evaluate().changes_nothing()


def test_auto_promote(box, world):
    deploy(world, box)
    world.settle()
    deploy(world, box, image="web:2", Canary=4, AutoPromote=True, MaxParallel=4)
    assert world.deployment().StatusDescription == "Deployment is running pending automatic promotion"
    world.settle()
    assert versions(world) == [1, 1, 1, 1]
    assert world.deployment().Status == "successful"


def test_canaries_of_a_superseded_version_are_replaced(box, world):
    deploy(world, box)
    world.settle()
    deploy(world, box, image="web:2", Canary=1)
    world.settle()
    deploy(world, box, image="web:3", Canary=1)
    world.settle()
    assert sorted(versions(world)) == [0, 0, 0, 0, 2]


def test_an_old_allocation_lost_beside_canaries_comes_back_as_old(box, world):
    deploy(world, box)
    world.settle()
    deploy(world, box, image="web:2", Canary=1)
    world.settle()
    victim = next(one for one in world.live() if one.JobVersion == 0)
    on_node = [one for one in world.live() if one.NodeID == victim.NodeID]
    world.change_node(victim.NodeID, Status="down")
    world.evaluate(trigger="node-update")
    assert on_node
    assert sorted(versions(world)) == [0, 0, 0, 0, 1]
    world.settle()
    assert sorted(versions(world)) == [0, 0, 0, 0, 1]


def test_canaries_of_a_failed_deployment_go_and_the_old_ones_stay(box, world):
    deploy(world, box)
    world.settle()
    deploy(world, box, image="web:2", Canary=1, ProgressDeadline=0)
    world.settle(healthy=lambda alloc: not alloc.Canary)
    assert world.deployment().Status == "failed"
    assert versions(world) == [0, 0, 0, 0]
    assert world.evaluate().changes_nothing()


def test_a_paused_deployment_places_nothing(box, world):
    from kokiris.orchestrator.scheduler.deployments import paused

    deploy(world, box)
    world.settle()
    job = deploy(world, box, image="web:2")
    held = paused(world.deployment(), job, world.now_ns, pause=True)
    world.commit({box.KEYS.deployment(held.ID): held})
    world.settle()
    assert sorted(versions(world)) == [0, 0, 0, 1]
    on = paused(world.deployment(), job, world.now_ns, pause=False)
    world.commit({box.KEYS.deployment(on.ID): on})
    world.evaluate(trigger="deployment-watcher")
    world.settle()
    assert versions(world) == [1, 1, 1, 1]


def test_failed_allocations_of_a_deployment_are_tried_again(box, world):
    strategy = box.update(MaxParallel=1)
    group = box.group(count=2, Update=strategy, ReschedulePolicy=box.reschedule)
    world.register(box.job(group))
    world.evaluate()
    broken = {one.ID for one in world.live()}
    world.workers(healthy=lambda alloc: alloc.ID not in broken)
    assert world.watch()
    later = [one for one in world.state.evals.values() if one.Status == "pending"]
    assert len(later) == 1
    world.now_ns += 31 * box.SECOND
    world.evaluate(later[0])
    world.settle()
    assert world.deployment().Status == "successful"
    assert {one.PreviousAllocation for one in world.live()} == broken


def test_an_update_goes_on_although_one_allocation_can_never_be_placed(box):
    world = box.World()
    world.add_nodes(box.node(0), box.node(1))
    for image in ("web:1", "web:2"):
        update = box.update(MaxParallel=1)
        world.register(box.job(box.group(count=3, image=image, static={"http": 80}, Update=update)))
        world.evaluate()
        world.settle()
    assert versions(world) == [1, 1]
