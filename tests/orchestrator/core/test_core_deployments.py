"""An operator's decisions on deployments, through a whole core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from kokiris.orchestrator.core.refusal import Refused
from kokiris.orchestrator.model.deployment import Deployment
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.model.policy import UpdateStrategy
from tests.orchestrator.core.bed import SECOND_NS, Bed, bed_in, job_spec, until, worker_on

replace = msgspec.structs.replace
CANARY = UpdateStrategy(MinHealthyTime=0, HealthyDeadline=5 * SECOND_NS, ProgressDeadline=600 * SECOND_NS, Canary=1)


def second(job: Job) -> Job:
    """The next version, with another image."""
    assert job.TaskGroups is not None
    group = job.TaskGroups[0]
    assert group.Tasks is not None
    return replace(job, TaskGroups=[replace(group, Tasks=[replace(group.Tasks[0], Config={"image": "site:2"})])])


def newest(bed: Bed) -> Deployment:
    return bed.state.deployments_of_job("default", "web")[0]


def healthy(bed: Bed, version: int) -> list[Any]:
    return [one for one in bed.allocs("web", JobVersion=version) if not one.terminal() and one.Healthy]


async def canaried(bed: Bed, update: UpdateStrategy = CANARY) -> Deployment:
    """A deployment that waits for promotion."""
    await bed.core.register_job(job_spec(update=update))
    await until(lambda: bed.state.jobs["default", "web"].Stable)
    await bed.core.register_job(second(job_spec(update=update)))
    await until(lambda: len(healthy(bed, 1)) == 1)
    await until(lambda: newest(bed).TaskGroups["site"].HealthyAllocs == 1)
    return newest(bed)


async def test_promotion(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed, worker_on(bed):
        deployment = await canaried(bed)
        assert deployment.StatusDescription == "Deployment is running but requires manual promotion"
        assert len(healthy(bed, 0)) == 2
        result = await bed.core.promote_deployment(deployment.ID, None)
        assert result.EvalID
        assert bed.state.deployments[deployment.ID].ModifyIndex >= result.DeploymentModifyIndex
        await until(lambda: newest(bed).Status == "successful")
        assert len(healthy(bed, 1)) == 2
        assert not healthy(bed, 0)
        with pytest.raises(Refused, match="can't promote terminal deployment"):
            await bed.core.promote_deployment(deployment.ID, None)


async def test_canaries_must_be_healthy_to_be_promoted(tmp_path: Path) -> None:
    def judge(alloc: Any) -> str:
        return "healthy" if alloc.Job.Version == 0 else "pending"

    async with bed_in(tmp_path) as bed, worker_on(bed, judge=judge):
        await bed.core.register_job(job_spec(update=CANARY))
        await until(lambda: bed.state.jobs["default", "web"].Stable)
        await bed.core.register_job(second(job_spec(update=CANARY)))
        await until(lambda: len(bed.allocs("web", JobVersion=1, ClientStatus="running")) == 1)
        with pytest.raises(Refused, match='Task group "site" has 0/1 healthy allocations'):
            await bed.core.promote_deployment(newest(bed).ID, ["site"])
        with pytest.raises(Refused, match="deployment not found"):
            await bed.core.promote_deployment("none", None)
        canary = bed.allocs("web", JobVersion=1)[0]
        with pytest.raises(Refused, match='alloc "'):
            await bed.core.set_alloc_health(newest(bed).ID, [bed.allocs("web", JobVersion=0)[0].ID], [])
        await bed.core.set_alloc_health(newest(bed).ID, [canary.ID], [])
        await until(lambda: newest(bed).TaskGroups["site"].HealthyAllocs == 1)
        await bed.core.promote_deployment(newest(bed).ID, ["site"])


async def test_failing_a_deployment_goes_back(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed, worker_on(bed):
        deployment = await canaried(bed, replace(CANARY, AutoRevert=True))
        result = await bed.core.fail_deployment(deployment.ID)
        assert result.RevertedJobVersion == 0
        failed = bed.state.deployments[deployment.ID]
        assert failed.StatusDescription == "Deployment marked as failed - rolling back to job version 0"
        assert bed.state.jobs["default", "web"].Version == 2
        await until(lambda: not healthy(bed, 1))
        await until(lambda: len([one for one in bed.allocs("web") if not one.terminal() and one.Healthy]) == 2)
        with pytest.raises(Refused, match="can't fail terminal deployment"):
            await bed.core.fail_deployment(deployment.ID)


async def test_pause_and_resume(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed, worker_on(bed):
        deployment = await canaried(bed)
        await bed.core.pause_deployment(deployment.ID, True)
        assert newest(bed).Status == "paused"
        assert newest(bed).StatusDescription == "Deployment is paused"
        result = await bed.core.pause_deployment(deployment.ID, False)
        assert result.EvalID
        assert newest(bed).Status == "running"


async def test_a_newer_version_cancels(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed, worker_on(bed):
        deployment = await canaried(bed)
        third = replace(second(job_spec(update=CANARY)), Priority=60, Meta={"n": "3"})
        await bed.core.register_job(third)
        await until(lambda: bed.state.deployments[deployment.ID].Status == "cancelled")
        assert bed.state.deployments[deployment.ID].StatusDescription == "Cancelled due to newer version of job"
