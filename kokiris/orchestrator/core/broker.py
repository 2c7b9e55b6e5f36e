"""Which evaluations are to be looked at now. Pure.

Evaluations are served by priority, then age. Those of one job are served together: the newest is processed, and since
it looks at everything the job needs, the others end with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from kokiris.kernel.clock import parse_rfc3339_ns
from kokiris.orchestrator.model.evaluation import Evaluation


@dataclass(frozen=True, slots=True)
class Work:
    """All that is due of one job."""

    evaluation: Evaluation
    """The one to process."""
    covered: list[Evaluation]
    """Those that end with it."""


@dataclass(frozen=True, slots=True)
class Queue:
    """What to do now, in order, and when to look again (unix ns; 0: only when something changes)."""

    due: list[Work]
    next_ns: int


def queue_of(evaluations: Iterable[Evaluation], now_ns: int, *, with_blocked: bool) -> Queue:
    """The queue among open evaluations. `with_blocked`: capacity may have appeared, so blocked ones are due as well."""
    of_job: dict[tuple[str, str], list[Evaluation]] = {}
    next_ns = 0
    for one in evaluations:
        if one.Status == "blocked":
            if not with_blocked:
                continue
        elif one.Status == "pending":
            wait_until_ns = parse_rfc3339_ns(one.WaitUntil)
            if wait_until_ns > now_ns:
                next_ns = min(next_ns or wait_until_ns, wait_until_ns)
                continue
        else:
            continue
        of_job.setdefault((one.Namespace, one.JobID), []).append(one)
    due = [_work(of_this) for of_this in of_job.values()]
    due.sort(key=lambda work: (-work.evaluation.Priority, work.evaluation.CreateIndex))
    return Queue(due, next_ns)


def _work(evaluations: list[Evaluation]) -> Work:
    pending = [one for one in evaluations if one.Status == "pending"]
    newest = max(pending or evaluations, key=lambda one: (one.Priority, one.CreateIndex))
    return Work(newest, [one for one in pending if one.ID != newest.ID])


def ended_with(covered: Evaluation, processed: Evaluation) -> Evaluation:
    """`covered` as stored once `processed` has done its work."""
    return msgspec.structs.replace(
        covered,
        Status=processed.Status,
        StatusDescription=processed.StatusDescription,
        DeploymentID=processed.DeploymentID or covered.DeploymentID,
        BlockedEval=processed.BlockedEval,
        FailedTGAllocs=processed.FailedTGAllocs,
        QueuedAllocations=processed.QueuedAllocations,
        SnapshotIndex=processed.SnapshotIndex,
        ModifyTime=processed.ModifyTime,
    )


def failed(evaluation: Evaluation, reason: str, now_ns: int) -> Evaluation:
    """`evaluation` ended without a decision."""
    return msgspec.structs.replace(evaluation, Status="failed", StatusDescription=reason, ModifyTime=now_ns)
