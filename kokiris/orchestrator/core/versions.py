"""A new version of a job, as part of a commit."""

from __future__ import annotations

from kokiris.kernel.errors import NotFound
from kokiris.orchestrator.core.context import Context
from kokiris.orchestrator.core.draft import Draft
from kokiris.orchestrator.core.instances import draft_declared
from kokiris.orchestrator.core.specification import next_version, versions_to_drop
from kokiris.orchestrator.model.infra import JobSubmission
from kokiris.orchestrator.model.job import Job


def draft_version(context: Context, draft: Draft, job: Job, submission: JobSubmission | None = None) -> Job:
    """Stores `job` as a new version and returns that: versions no longer tracked go, declared services follow.

    Conditional on the newest version being still the one in memory.
    """
    namespace, job_id, keys = job.Namespace, job.ID, context.keys
    current = context.state.job(namespace, job_id)
    kept = context.state.versions.get((namespace, job_id), {})
    version = next_version(job, kept, context.now_ns())
    draft.expect(keys.job(namespace, job_id), current.ModifyIndex if current is not None else 0)
    draft.put(keys.job(namespace, job_id), version)
    draft.put(keys.job_version(namespace, job_id, version.Version), version)
    if submission is not None:
        source = JobSubmission(
            Source=submission.Source,
            Format=submission.Format,
            VariableFlags=submission.VariableFlags,
            Variables=submission.Variables,
            JobID=job_id,
            Namespace=namespace,
            Version=version.Version,
        )
        draft.put(keys.submission(namespace, job_id, version.Version), source)
    for old in versions_to_drop(kept, version.Version, versions_in_use(context, namespace, job_id)):
        draft.delete(keys.job_version(namespace, job_id, old))
        draft.delete(keys.submission(namespace, job_id, old))
    draft_declared(context, draft, version, current)
    return version


def versions_in_use(context: Context, namespace: str, job_id: str) -> set[int]:
    """The versions that an allocation runs, or was placed for."""
    allocs = context.state.allocs_of_job(namespace, job_id)
    return {alloc.JobVersion for alloc in allocs} | {alloc.Segment.JobVersion for alloc in allocs}


def known_job(context: Context, namespace: str, job_id: str) -> Job:
    """The newest version. Raises NotFound with the text clients know."""
    job = context.state.job(namespace, job_id)
    if job is None:
        raise NotFound("job not found", next_step=f'No job "{job_id}" in namespace "{namespace}"; list them first.')
    return job
