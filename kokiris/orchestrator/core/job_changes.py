"""Scaling, reverting and marking versions of jobs."""

from __future__ import annotations

import msgspec

from kokiris.kernel.errors import BadInput
from kokiris.orchestrator.commands import JobResult
from kokiris.orchestrator.core.context import Context
from kokiris.orchestrator.core.draft import Draft
from kokiris.orchestrator.core.jobs import Jobs, finished
from kokiris.orchestrator.core.refusal import Refused
from kokiris.orchestrator.core.specification import scaled
from kokiris.orchestrator.core.versions import known_job
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.state import OPEN_DEPLOYMENTS


class JobChanges:
    """Commands that make a new version from one that is known; see `commands.Commands`."""

    def __init__(self, context: Context, jobs: Jobs) -> None:
        self._context = context
        self._jobs = jobs

    async def scale(
        self, namespace: str, job_id: str, group: str, count: int | None, *, message: str = "", error: bool = False
    ) -> JobResult:
        def decide() -> tuple[Draft, JobResult]:
            job = known_job(self._context, namespace, job_id)
            if count is None:  # an autoscaler's remark: nothing is to change
                return Draft(), JobResult(JobModifyIndex=job.JobModifyIndex)
            if error:
                raise BadInput("scaling action should not contain count if error is true")
            wanted = scaled(job, group, count)
            newest = next(iter(self._context.state.deployments_of_job(namespace, job_id)), None)
            if newest is not None and newest.Status in OPEN_DEPLOYMENTS and newest.JobCreateIndex == job.CreateIndex:
                raise BadInput(
                    "job scaling blocked due to active deployment",
                    next_step="Wait for the deployment to end, promote it or fail it.",
                )
            return self._jobs.draft_registration(wanted, "job-scaling")

        del message  # part of the API; scaling events are not kept
        return finished(self._context, *await self._context.commits.write(decide))

    async def revert(
        self, namespace: str, job_id: str, version: int, *, enforce_prior_version: int | None = None
    ) -> JobResult:
        def decide() -> tuple[Draft, JobResult]:
            current = known_job(self._context, namespace, job_id)
            if version == current.Version:
                raise Refused("can't revert to current version")
            if enforce_prior_version is not None and enforce_prior_version != current.Version:
                raise Refused(f"Current job has version {current.Version}; enforcing version {enforce_prior_version}")
            wanted = self._version(namespace, job_id, version)
            return self._jobs.draft_registration(msgspec.structs.replace(wanted, Stop=False), "job-register")

        return finished(self._context, *await self._context.commits.write(decide))

    async def set_stable(self, namespace: str, job_id: str, version: int, stable: bool) -> int:
        def decide() -> tuple[Draft, None]:
            draft = Draft()
            draft_stable(self._context, draft, self._version(namespace, job_id, version), stable)
            return draft, None

        revision, _ = await self._context.commits.write(decide)
        return revision or self._context.state.revision

    def _version(self, namespace: str, job_id: str, version: int) -> Job:
        found = self._context.state.job_version(namespace, job_id, version)
        if found is None:
            raise Refused(
                f'job "{job_id}" in namespace "{namespace}" at version {version} not found',
                next_step="List the versions that are kept: `kokiris job history`.",
            )
        return found


def draft_stable(context: Context, draft: Draft, version: Job, stable: bool) -> None:
    """Marks a version (stable: its deployment completed), in its own key and, if newest, in the job's."""
    if version.Stable == stable:
        return
    name, keys = (version.Namespace, version.ID), context.keys
    marked = msgspec.structs.replace(version, Stable=stable)
    draft.expect(keys.job_version(*name, version.Version), version.ModifyIndex)
    draft.put(keys.job_version(*name, version.Version), marked)
    current = context.state.job(*name)
    if current is not None and current.Version == version.Version:
        draft.expect(keys.job(*name), current.ModifyIndex)
        draft.put(keys.job(*name), msgspec.structs.replace(current, Stable=stable))
