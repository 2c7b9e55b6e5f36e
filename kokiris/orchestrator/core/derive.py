"""What follows from stored objects without being stored: a job's status and its summary. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from kokiris.kernel.clock import ZERO_TIME
from kokiris.orchestrator.model.alloc import Alloc
from kokiris.orchestrator.model.evaluation import Evaluation
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.model.summary import JobChildrenSummary, JobSummary, TaskGroupSummary

PENDING, RUNNING, DEAD = "pending", "running", "dead"
OPEN_EVAL = frozenset({"pending", "blocked"})
"""Statuses of an evaluation from which something may still come."""

_COUNTED = {
    "pending": "Starting",
    "running": "Running",
    "complete": "Complete",
    "failed": "Failed",
    "lost": "Lost",
    "unknown": "Unknown",
}


def job_status(job: Job, allocs: Iterable[Alloc], evals: Iterable[Evaluation]) -> str:
    """pending, running or dead, by Nomad's rules.

    System, periodic and parameterized jobs run until they are stopped. Others run while an allocation is neither ended
    nor to be stopped, are pending while an evaluation is open (or nothing has happened yet), and dead otherwise.
    """
    if job.Type == "system" or job.Periodic is not None or job.ParameterizedJob is not None:
        return DEAD if job.Stop else RUNNING
    had_allocs = False
    for alloc in allocs:
        if not alloc.terminal():
            return RUNNING
        had_allocs = True
    had_evals = False
    for evaluation in evals:
        if evaluation.Status in OPEN_EVAL and not (job.Stop and evaluation.WaitUntil != ZERO_TIME):
            return PENDING
        had_evals = True
    return DEAD if had_allocs or had_evals or job.Stop else PENDING


def job_summary(
    job: Job, allocs: Iterable[Alloc], evals: Iterable[Evaluation], children: Iterable[str] = ()
) -> JobSummary:
    """Counts per group of the job's newest version and of groups that still have allocations.

    `children` are the statuses of its child jobs. `Queued` is what the newest evaluation left unplaced; 0 once the
    job is stopped.
    """
    groups = {group.Name: TaskGroupSummary() for group in job.TaskGroups or ()}
    modified = job.ModifyIndex
    for alloc in allocs:
        group = groups.setdefault(alloc.TaskGroup, TaskGroupSummary())
        field = _COUNTED.get(alloc.ClientStatus, "Unknown")
        if field == "Starting" and alloc.DesiredStatus != "run":
            field = "Complete"
        setattr(group, field, getattr(group, field) + 1)
        modified = max(modified, alloc.ModifyIndex)
    newest = max((one for one in evals if one.QueuedAllocations is not None), key=_modified, default=None)
    if newest is not None and newest.QueuedAllocations is not None:
        modified = max(modified, newest.ModifyIndex)
        for name, queued in newest.QueuedAllocations.items():
            if name in groups and not job.Stop:
                groups[name].Queued = queued
    return JobSummary(
        JobID=job.ID,
        Namespace=job.Namespace,
        Summary=groups,
        Children=_children(children),
        CreateIndex=job.CreateIndex,
        ModifyIndex=modified,
    )


def _modified(evaluation: Evaluation) -> int:
    return evaluation.ModifyIndex


def _children(statuses: Iterable[str]) -> JobChildrenSummary:
    counts = JobChildrenSummary()
    for status in statuses:
        name = status.capitalize()
        setattr(counts, name, getattr(counts, name) + 1)
    return counts
