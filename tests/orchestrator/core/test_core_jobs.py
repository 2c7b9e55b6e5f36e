"""Jobs through a whole core on a real store, with a simulated worker."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kokiris.kernel.errors import Forbidden, NotFound
from kokiris.orchestrator.core.refusal import Refused
from kokiris.orchestrator.model.infra import Namespace, SchedulerConfig
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.model.policy import UpdateStrategy
from tests.orchestrator.core.bed import SECOND_NS, Bed, bed_in, job_spec, node_spec, until, worker_on

replace = msgspec.structs.replace


def image(job: Job, name: str) -> Job:
    assert job.TaskGroups is not None
    group = job.TaskGroups[0]
    assert group.Tasks is not None
    return replace(job, TaskGroups=[replace(group, Tasks=[replace(group.Tasks[0], Config={"image": name})])])


def healthy(bed: Bed, job_id: str, version: int) -> int:
    """How many allocations of this version run and are healthy."""
    return len(bed.allocs(job_id, JobVersion=version, ClientStatus="running", DesiredStatus="run", Healthy=True))


async def test_registered_placed_running_and_found(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed, worker_on(bed):
        result = await bed.core.register_job(job_spec())
        assert result.EvalID
        assert result.JobModifyIndex == result.EvalCreateIndex == result.Index
        assert bed.state.job("default", "web") is not None  # what is answered is visible
        assert ("default", "web", "web") in bed.catalog.declared
        await until(lambda: healthy(bed, "web", 0) == 2)
        instances = bed.catalog.instances_of("web")
        assert {one.status() for one in instances} == {"passing"}
        for one in instances:
            alloc = bed.state.allocs[one.AllocID]
            assert one.Port == alloc.ports()["http"]
            assert one.ModifyIndex == alloc.ModifyIndex  # healthy and found: one revision
        evaluation = bed.state.evals[result.EvalID]
        assert evaluation.Status == "complete"
        await until(lambda: bed.state.deployments_of_job("default", "web")[0].Status == "successful")
        job = await until(lambda: bed.state.jobs["default", "web"])
        await until(lambda: bed.state.jobs["default", "web"].Stable)
        assert bed.state.jobs["default", "web"].JobModifyIndex == job.JobModifyIndex == result.Index


async def test_stop_takes_instances_away_in_the_same_revision(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed, worker_on(bed) as worker:
        await bed.core.register_job(job_spec())
        await until(lambda: len(bed.catalog.instances_of("web")) == 2)
        gone: dict[str, int] = {}
        original = bed.catalog.apply

        def spy(revision: int, events: object) -> None:
            before = {one.AllocID for one in bed.catalog.instances_of("web")}
            original(revision, events)
            for alloc_id in before - {one.AllocID for one in bed.catalog.instances_of("web")}:
                gone[alloc_id] = revision

        bed.followers[1]._apply = spy
        await bed.core.deregister_job("default", "web")
        await until(lambda: len(bed.allocs("web", ClientStatus="complete")) == 2)
        for alloc in bed.allocs("web"):
            assert alloc.DesiredStatus == "stop"
            assert gone[alloc.ID] == alloc.DesiredIndex
        job = bed.state.jobs["default", "web"]
        assert (job.Stop, job.Version) == (True, 1)
        assert not bed.catalog.declared
        assert len(worker.started) == 2


async def test_an_unchanged_job_makes_an_evaluation_only(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed, worker_on(bed):
        first = await bed.core.register_job(job_spec())
        await until(lambda: healthy(bed, "web", 0) == 2)
        again = await bed.core.register_job(job_spec())
        assert again.EvalID != first.EvalID
        assert again.JobModifyIndex == first.JobModifyIndex
        await until(lambda: bed.state.evals[again.EvalID].Status == "complete")
        assert bed.state.jobs["default", "web"].Version == 0
        assert len(bed.allocs("web")) == 2


async def test_rolling_update_replaces_one_after_the_other(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed, worker_on(bed) as worker:
        fewest = 3
        await bed.core.register_job(job_spec(count=3))
        await until(lambda: healthy(bed, "web", 0) == 3)

        class Watch:
            def alloc_changed(self, before: object, after: object) -> None:
                nonlocal fewest
                wanted = [alloc for alloc in bed.allocs("web") if not alloc.terminal() and alloc.Healthy]
                fewest = min(fewest, len(wanted))

            def node_changed(self, before: object, after: object) -> None: ...

        bed.state.observers.append(Watch())
        await bed.core.register_job(image(job_spec(count=3), "site:2"))
        await until(lambda: healthy(bed, "web", 1) == 3)
        await until(lambda: bed.state.deployments_of_job("default", "web")[0].Status == "successful")
        assert fewest == 2
        assert len(worker.started) == 6
        assert {one.JobVersion for one in bed.catalog.instances_of("web")} == {1}
        await until(lambda: bed.state.jobs["default", "web"].Stable)


async def test_a_failing_update_goes_back(tmp_path: Path) -> None:
    update = UpdateStrategy(
        MaxParallel=1, MinHealthyTime=0, HealthyDeadline=SECOND_NS, ProgressDeadline=0, AutoRevert=True
    )

    def judge(alloc: object) -> str:
        job = alloc.Job
        return "unhealthy" if job.TaskGroups[0].Tasks[0].Config["image"] == "broken" else "healthy"

    async with bed_in(tmp_path) as bed, worker_on(bed, judge=judge):
        await bed.core.register_job(job_spec(update=update))
        await until(lambda: bed.state.jobs["default", "web"].Stable)
        await bed.core.register_job(image(job_spec(update=update), "broken"))
        await until(lambda: bed.state.jobs["default", "web"].Version == 2)
        await until(lambda: len([one for one in bed.allocs("web") if not one.terminal() and one.Healthy]) == 2)
        failed = next(one for one in bed.state.deployments.values() if one.JobVersion == 1)
        assert failed.Status == "failed"
        assert failed.StatusDescription == "Failed due to unhealthy allocations - rolling back to job version 0"
        job = bed.state.jobs["default", "web"]
        assert job.TaskGroups is not None
        assert (job.TaskGroups[0].Tasks or [])[0].Config == {"image": "site:1"}


async def test_scale_down_and_up(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed, worker_on(bed):
        await bed.core.register_job(job_spec(count=3))
        await until(lambda: bed.state.jobs["default", "web"].Stable)
        await bed.core.scale_job("default", "web", "site", 1)
        await until(lambda: len(bed.catalog.instances_of("web")) == 1)
        await until(lambda: bed.state.jobs["default", "web"].Stable)
        await bed.core.scale_job("default", "web", "site", 4)
        await until(lambda: len(bed.catalog.instances_of("web")) == 4)
        assert bed.state.jobs["default", "web"].Version == 2
        with pytest.raises(NotFound):
            await bed.core.scale_job("default", "none", "site", 4)


async def test_versions_revert_and_stable(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed:
        for number in range(9):
            await bed.core.register_job(image(job_spec(count=0), f"site:{number}"))
        assert sorted(bed.state.versions["default", "web"]) == [3, 4, 5, 6, 7, 8]
        with pytest.raises(Refused, match="can't revert to current version"):
            await bed.core.revert_job("default", "web", 8)
        with pytest.raises(Refused, match='job "web" in namespace "default" at version 1 not found'):
            await bed.core.revert_job("default", "web", 1)
        with pytest.raises(Refused, match="Current job has version 8; enforcing version 7"):
            await bed.core.revert_job("default", "web", 4, enforce_prior_version=7)
        await bed.core.revert_job("default", "web", 4)
        job = bed.state.jobs["default", "web"]
        assert job.TaskGroups is not None
        assert (job.Version, (job.TaskGroups[0].Tasks or [])[0].Config) == (9, {"image": "site:4"})
        index = await bed.core.set_job_stable("default", "web", 9, True)
        assert bed.state.jobs["default", "web"].Stable
        assert bed.state.versions["default", "web"][9].ModifyIndex == index


async def test_purge_and_again(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed, worker_on(bed):
        await bed.core.register_job(job_spec())
        await until(lambda: healthy(bed, "web", 0) == 2)
        await bed.core.deregister_job("default", "web", purge=True)
        assert bed.state.job("default", "web") is None
        await until(lambda: len(bed.allocs("web", ClientStatus="complete")) == 2)
        assert not bed.catalog.instances_of("web")
        await bed.core.register_job(job_spec())
        version = bed.state.jobs["default", "web"].Version
        assert version == 1  # version 0 is still what the old allocations ran
        await until(lambda: healthy(bed, "web", version) == 2)
        with pytest.raises(NotFound, match="job not found"):
            await bed.core.deregister_job("default", "none")


async def test_concurrent_registrations_all_count(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed, worker_on(bed):
        await asyncio.gather(*(bed.core.register_job(image(job_spec(), f"site:{n}")) for n in range(10)))
        await asyncio.gather(*(bed.core.register_job(job_spec(f"job-{n}", count=1)) for n in range(30)))
        assert bed.state.jobs["default", "web"].Version == 9
        await until(lambda: all(healthy(bed, f"job-{n}", 0) == 1 for n in range(30)))
        await until(lambda: len([one for one in bed.allocs("web") if not one.terminal() and one.Healthy]) == 2)
        ports = [(one.Node, one.Port) for one in bed.catalog.all_instances()]
        assert len(ports) == len(set(ports)) == 32


async def test_in_place_updates_keep_the_allocation_and_change_its_services(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed, worker_on(bed):
        await bed.core.register_job(job_spec())
        await until(lambda: bed.state.jobs["default", "web"].Stable)
        before = {alloc.ID for alloc in bed.allocs("web")}
        job = job_spec()
        assert job.TaskGroups is not None
        group = job.TaskGroups[0]
        assert group.Services is not None
        renamed = replace(group, Services=[replace(group.Services[0], Name="renamed", Tags=["v2"])])
        await bed.core.register_job(replace(job, TaskGroups=[renamed]))
        await until(lambda: len(bed.catalog.instances_of("renamed")) == 2)
        assert not bed.catalog.instances_of("web")
        assert {alloc.ID for alloc in bed.allocs("web")} == before
        assert [one.Service for one in bed.catalog.declared.values()] == ["renamed"]


async def test_blocked_until_capacity_appears(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed:
        result = await bed.core.register_job(job_spec())
        await until(lambda: bed.state.evals[result.EvalID].Status == "complete")
        assert [one.Status for one in bed.state.open_evals.values()] == ["blocked"]
        assert bed.state.evals[result.EvalID].FailedTGAllocs
        async with worker_on(bed):
            await until(lambda: healthy(bed, "web", 0) == 2)
            await until(lambda: not bed.state.open_evals)


async def test_blocked_work_that_is_no_longer_wanted_ends(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed:
        await bed.core.register_job(job_spec())
        await until(lambda: [one.Status for one in bed.state.open_evals.values()] == ["blocked"])
        await bed.core.register_job(job_spec(count=0))
        await until(lambda: not bed.state.open_evals)
        await bed.core.register_job(job_spec("other"))
        await until(lambda: [one.Status for one in bed.state.open_evals.values()] == ["blocked"])
        await bed.core.deregister_job("default", "other")
        await until(lambda: not bed.state.open_evals)


async def test_stopping_an_allocation_replaces_it(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed, worker_on(bed):
        await bed.core.register_job(job_spec())
        await until(lambda: healthy(bed, "web", 0) == 2)
        victim = bed.allocs("web")[0]
        result = await bed.core.stop_alloc(victim.ID)
        assert result.EvalID
        await until(lambda: bed.state.allocs[victim.ID].ClientStatus == "complete")
        await until(lambda: healthy(bed, "web", 0) == 2)
        with pytest.raises(NotFound, match="alloc not found"):
            await bed.core.stop_alloc("00000000-0000-0000-0000-000000000000")


async def test_plan_writes_nothing(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed, worker_on(bed):
        plan = await bed.core.plan_job(job_spec())
        assert plan.JobModifyIndex == 0
        assert plan.Annotations_.DesiredTGUpdates is not None
        assert plan.Annotations_.DesiredTGUpdates["site"].Place == 2
        assert bed.state.job("default", "web") is None
        result = await bed.core.register_job(job_spec(), enforce_index=0)
        await until(lambda: healthy(bed, "web", 0) == 2)
        plan = await bed.core.plan_job(image(job_spec(), "site:2"))
        assert plan.JobModifyIndex == result.JobModifyIndex
        assert plan.Annotations_.DesiredTGUpdates is not None
        assert plan.Annotations_.DesiredTGUpdates["site"].DestructiveUpdate == 1
        with pytest.raises(Refused, match="job already exists"):
            await bed.core.register_job(job_spec(), enforce_index=0)


async def test_failed_allocations_are_rescheduled(tmp_path: Path) -> None:
    outcomes = iter(["failed"])
    async with (
        bed_in(tmp_path) as bed,
        worker_on(bed, node_spec("a"), judge=lambda _alloc: next(outcomes, "healthy")),
    ):
        await bed.core.register_job(job_spec(count=1, Type="batch"))
        await until(lambda: bed.allocs("web", ClientStatus="running"))
        failed = bed.allocs("web", ClientStatus="failed")[0]
        assert failed.Desired is not None
        assert failed.Desired.NextAllocation == bed.allocs("web", ClientStatus="running")[0].ID


@pytest.mark.parametrize("kind", ["service", "batch", "system"])
async def test_what_a_worker_gives_back_is_placed_anew_at_once_with_another_port(tmp_path: Path, kind: str) -> None:
    """Its port is somebody else's on that node. No back-off, and no attempt of the policy is used up."""
    outcomes = iter(["lost", "lost"])
    async with (
        bed_in(tmp_path) as bed,
        worker_on(bed, node_spec("a"), judge=lambda _alloc: next(outcomes, "healthy")),
    ):
        await bed.core.register_job(job_spec(count=1, Type=kind))
        await until(lambda: bed.allocs("web", ClientStatus="running"))
        [running] = bed.allocs("web", ClientStatus="running")
        given_back = bed.allocs("web", ClientStatus="lost")
        assert len({one.ports()["http"] for one in [running, *given_back]}) == 3
        assert bed.state.nodes[running.NodeID].Status == "ready"
        assert running.Segment.Histories.get(running.Row) is None
        assert {one.Desired.DesiredDescription for one in given_back if one.Desired} <= {"the worker says lost"}


async def test_a_decision_larger_than_a_commit(tmp_path: Path) -> None:
    node = node_spec("big")
    assert node.NodeResources is not None
    assert node.NodeResources.Cpu is not None
    assert node.NodeResources.Memory is not None
    assert node.NodeResources.Disk is not None
    node.NodeResources.Cpu.CpuShares = node.NodeResources.Memory.MemoryMB = node.NodeResources.Disk.DiskMB = 10**9
    job = job_spec(count=1300, Type="batch")
    assert job.TaskGroups is not None
    job = replace(job, TaskGroups=[replace(job.TaskGroups[0], Networks=None, Services=None)])
    async with bed_in(tmp_path) as bed:
        await bed.core.nodes.register(node, "secret")
        await bed.core.register_job(job)
        await until(lambda: len(bed.allocs("web")) == 1300)
        result = await bed.core.deregister_job("default", "web")
        await until(lambda: bed.state.evals[result.EvalID].Status == "complete")
        assert len(bed.allocs("web", DesiredStatus="stop")) == 1300
        assert len({alloc.DesiredIndex for alloc in bed.allocs("web")}) == 3


async def test_a_failing_scheduler_harms_one_job_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kokiris.orchestrator.core import planning

    original = planning.schedule

    def schedule(evaluation: Any, *rest: Any, **named: Any) -> Any:
        if evaluation.JobID == "cursed":
            raise ZeroDivisionError
        return original(evaluation, *rest, **named)

    monkeypatch.setattr(planning, "schedule", schedule)
    async with bed_in(tmp_path) as bed, worker_on(bed):
        cursed, fine = await asyncio.gather(
            bed.core.register_job(job_spec("cursed")), bed.core.register_job(job_spec("fine"))
        )
        await until(lambda: healthy(bed, "fine", 0) == 2)
        await until(lambda: bed.state.evals[cursed.EvalID].Status == "failed")
        assert bed.state.evals[fine.EvalID].Status == "complete"


async def test_settings(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed:
        index = await bed.core.put_namespace(Namespace(Name="team"))
        assert bed.state.namespaces["team"].ModifyIndex == index
        await bed.core.register_job(job_spec(Namespace="team"))
        with pytest.raises(Refused, match='namespace "team" has non-terminal jobs: web'):
            await bed.core.delete_namespace("team")
        with pytest.raises(Refused, match="can not delete default namespace"):
            await bed.core.delete_namespace("default")
        with pytest.raises(Refused, match='nonexistent namespace "none"'):
            await bed.core.register_job(job_spec(Namespace="none"))
        updated, index = await bed.core.put_scheduler_config(SchedulerConfig(SchedulerAlgorithm="spread"))
        assert (updated, bed.state.scheduler_config.ModifyIndex) == (True, index)
        updated, _ = await bed.core.put_scheduler_config(SchedulerConfig(), cas=index - 1)
        assert not updated
        await bed.core.put_scheduler_config(SchedulerConfig(RejectJobRegistration=True), cas=index)
        with pytest.raises(Forbidden, match="disabled by the scheduler configuration"):
            await bed.core.register_job(job_spec("other"))
