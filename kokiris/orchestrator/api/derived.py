"""A job's status and summary for reads: derived from allocations and evaluations, kept until those change."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from kokiris.kernel.topics import Topic
from kokiris.orchestrator.api.cache import Encodings
from kokiris.orchestrator.api.tenancy import Reads
from kokiris.orchestrator.core.derive import job_status, job_summary
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.model.summary import JobSummary


class JobNow(NamedTuple):
    """A job as it stands: `job` has its present status."""

    job: Job
    summary: JobSummary


def job_topics(namespace: str, job_id: str) -> tuple[Topic, ...]:
    """What a read of a job with its status waits on."""
    return (("job", namespace, job_id), ("job_allocs", namespace, job_id), ("job_evals", namespace, job_id))


def job_now(state: Reads, kept: Encodings, job: Job) -> JobNow:
    """`job` (the newest version) with status and summary."""
    name = (job.Namespace, job.ID)
    children = state.topics.index(("jobs",)) if job.Periodic or job.ParameterizedJob else 0
    indexes = (state.topics.index(("job_allocs", *name)), state.topics.index(("job_evals", *name)), children)
    found: JobNow = kept.get(("job", *name), (job, *indexes), lambda: _derive(state, job))
    return found


def _derive(state: Reads, job: Job) -> JobNow:
    allocs, evals = state.allocs_of_job(job.Namespace, job.ID), state.evals_of_job(job.Namespace, job.ID)
    children = children_of(state, job)
    summary = job_summary(job, allocs, evals, [status_of(state, child) for child in children])
    return JobNow(msgspec.structs.replace(job, Status=job_status(job, allocs, evals)), summary)


def status_of(state: Reads, job: Job) -> str:
    """pending, running or dead."""
    return job_status(job, state.allocs_of_job(job.Namespace, job.ID), state.evals_of_job(job.Namespace, job.ID))


def children_of(state: Reads, job: Job) -> list[Job]:
    """The jobs a periodic or parameterized job has launched."""
    if job.Periodic is None and job.ParameterizedJob is None:
        return []
    return [one for one in state.jobs.values() if one.ParentID == job.ID and one.Namespace == job.Namespace]
