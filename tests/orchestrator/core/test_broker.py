"""Which evaluations are due, in which order, and what ends with them."""

from __future__ import annotations

from kokiris.kernel.clock import rfc3339
from kokiris.orchestrator.core.broker import ended_with, queue_of
from kokiris.orchestrator.model.evaluation import Evaluation

NOW_NS = 1_700_000_000_000_000_000


def evaluation(ident: str, job: str = "web", status: str = "pending", wait_s: int = 0, **more: int) -> Evaluation:
    wait_until = rfc3339(NOW_NS + wait_s * 1_000_000_000) if wait_s else rfc3339(0)
    return Evaluation(ID=ident, Namespace="default", JobID=job, Status=status, WaitUntil=wait_until, **more)


def test_by_priority_then_age() -> None:
    found = [
        evaluation("c", "c", CreateIndex=3, Priority=50),
        evaluation("a", "a", CreateIndex=9, Priority=80),
        evaluation("b", "b", CreateIndex=2, Priority=50),
    ]
    queue = queue_of(found, NOW_NS, with_blocked=False)
    assert [work.evaluation.ID for work in queue.due] == ["a", "b", "c"]
    assert queue.next_ns == 0


def test_one_of_a_job_stands_for_all() -> None:
    found = [evaluation("old", CreateIndex=1), evaluation("new", CreateIndex=5), evaluation("mid", CreateIndex=3)]
    (work,) = queue_of(found, NOW_NS, with_blocked=False).due
    assert work.evaluation.ID == "new"
    assert {one.ID for one in work.covered} == {"old", "mid"}


def test_the_future_waits() -> None:
    found = [evaluation("late", wait_s=30), evaluation("later", "b", wait_s=60), evaluation("past", "c", wait_s=-5)]
    queue = queue_of(found, NOW_NS, with_blocked=True)
    assert [work.evaluation.ID for work in queue.due] == ["past"]
    assert queue.next_ns == NOW_NS + 30_000_000_000


def test_blocked_only_when_capacity_appeared() -> None:
    found = [evaluation("blocked", status="blocked")]
    assert queue_of(found, NOW_NS, with_blocked=False).due == []
    assert [work.evaluation.ID for work in queue_of(found, NOW_NS, with_blocked=True).due] == ["blocked"]
    both = [*found, evaluation("pending", CreateIndex=4)]
    (work,) = queue_of(both, NOW_NS, with_blocked=True).due
    assert work.evaluation.ID == "pending"
    assert work.covered == []  # what becomes of the blocked one is the scheduler's decision


def test_the_covered_share_the_outcome() -> None:
    processed = Evaluation(ID="p", Status="complete", DeploymentID="d", BlockedEval="b", QueuedAllocations={"site": 1})
    ended = ended_with(evaluation("old", CreateIndex=1), processed)
    assert (ended.ID, ended.Status, ended.DeploymentID, ended.BlockedEval) == ("old", "complete", "d", "b")
    assert ended.QueuedAllocations == {"site": 1}
