"""Status and summary of a job follow from its allocations and evaluations."""

from __future__ import annotations

import pytest

from kokiris.kernel.ids import pack_id
from kokiris.orchestrator.core.derive import job_status, job_summary
from kokiris.orchestrator.model.alloc import Alloc, AllocClient, AllocDesired, PlanSegment, pack_int32, rows_of
from kokiris.orchestrator.model.evaluation import Evaluation
from kokiris.orchestrator.model.job import Job, ParameterizedJobConfig, PeriodicConfig, TaskGroup

IDENT = "00000000-0000-0000-0000-000000000001"
JOB = Job(ID="web", TaskGroups=[TaskGroup(Name="site")])


def alloc(client: str, desired: str = "run", group: str = "site") -> Alloc:
    segment = PlanSegment(
        EvalID="e",
        Namespace="default",
        JobID="web",
        JobVersion=0,
        TaskGroup=group,
        AllocIDs=pack_id(IDENT),
        NameIndexes=pack_int32([0]),
        Nodes=["n"],
        NodeRows=pack_int32([0]),
    )
    found = rows_of(segment, 1)[0]
    found.Client = AllocClient(ID=IDENT, ClientStatus=client)
    found.Desired = AllocDesired(DesiredStatus=desired)
    return found


@pytest.mark.parametrize(
    ("job", "allocs", "evals", "status"),
    [
        (JOB, [], [], "pending"),
        (JOB, [], ["pending"], "pending"),
        (JOB, [], ["blocked"], "pending"),
        (JOB, [], ["complete"], "dead"),
        (JOB, [("pending", "run")], ["complete"], "running"),
        (JOB, [("running", "run")], [], "running"),
        (JOB, [("running", "stop")], ["complete"], "dead"),
        (JOB, [("complete", "run")], ["complete"], "dead"),
        (JOB, [("failed", "run")], ["pending"], "pending"),
        (JOB, [("failed", "run"), ("running", "run")], [], "running"),
        (Job(ID="web", Type="system"), [], [], "running"),
        (Job(ID="web", Type="system", Stop=True), [], [], "dead"),
        (Job(ID="web", Periodic=PeriodicConfig()), [], [], "running"),
        (Job(ID="web", ParameterizedJob=ParameterizedJobConfig(), Stop=True), [], [], "dead"),
    ],
)
def test_status(job: Job, allocs: list[tuple[str, str]], evals: list[str], status: str) -> None:
    found = [Evaluation(ID=str(number), Status=one) for number, one in enumerate(evals)]
    assert job_status(job, [alloc(*one) for one in allocs], found) == status


def test_a_delayed_evaluation_does_not_keep_a_stopped_job_pending() -> None:
    late = Evaluation(ID="1", Status="pending", WaitUntil="2030-01-01T00:00:00Z")
    assert job_status(Job(ID="web", Stop=True), [alloc("complete", "stop")], [late]) == "dead"
    assert job_status(JOB, [alloc("failed")], [late]) == "pending"


def test_summary_counts_per_group() -> None:
    allocs = [alloc("running"), alloc("pending"), alloc("pending", "stop"), alloc("failed"), alloc("lost", group="old")]
    evals = [
        Evaluation(ID="1", ModifyIndex=5, QueuedAllocations={"site": 7}),
        Evaluation(ID="2", ModifyIndex=9, QueuedAllocations={"site": 2}),
        Evaluation(ID="3", ModifyIndex=12),
    ]
    summary = job_summary(JOB, allocs, evals, ["running", "dead", "dead"])
    assert summary.Summary is not None
    assert summary.Children is not None
    site = summary.Summary["site"]
    assert (site.Running, site.Starting, site.Complete, site.Failed, site.Queued) == (1, 1, 1, 1, 2)
    assert summary.Summary["old"].Lost == 1
    assert (summary.Children.Running, summary.Children.Dead) == (1, 2)
    assert summary.ModifyIndex == 9


def test_a_stopped_job_queues_nothing() -> None:
    summary = job_summary(
        Job(ID="web", Stop=True, TaskGroups=JOB.TaskGroups), [], [Evaluation(QueuedAllocations={"site": 3})]
    )
    assert summary.Summary is not None
    assert summary.Summary["site"].Queued == 0
