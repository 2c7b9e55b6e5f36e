"""Stopping allocations, and what workers report of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from kokiris.kernel.errors import NotFound
from kokiris.kernel.units import MINUTE_NS
from kokiris.orchestrator.commands import JobResult
from kokiris.orchestrator.core.context import Context
from kokiris.orchestrator.core.desires import changed_desire
from kokiris.orchestrator.core.draft import Draft
from kokiris.orchestrator.core.evaluations import evaluation_of
from kokiris.orchestrator.core.instances import draft_instances_safely
from kokiris.orchestrator.core.jobs import finished
from kokiris.orchestrator.core.plans import ALLOCS_PER_COMMIT
from kokiris.orchestrator.model.alloc import TERMINAL_CLIENT, Alloc, AllocClient, AllocDesired
from kokiris.orchestrator.model.allocwire import Transition
from kokiris.orchestrator.model.job import Job

OUTPUT_EVERY_NS = 2 * MINUTE_NS
"""What checks print is kept no more often than this, unless something else changes with it."""


class Allocs:
    """Commands on allocations. Reports that arrive while a commit is under way share the next one."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._reports: dict[str, AllocClient] = {}
        self._next: asyncio.Future[int] | None = None
        self._writing: asyncio.Task[None] | None = None

    async def stop(self, alloc_id: str, *, no_shutdown_delay: bool = False) -> JobResult:
        def decide() -> tuple[Draft, JobResult]:
            draft = Draft()
            alloc = self._context.state.allocs.get(alloc_id)
            if alloc is None:
                raise NotFound("alloc not found", next_step="List the allocations of the job first.")
            job = self._context.state.job(alloc.Namespace, alloc.JobID) or self._context.state.job_of(alloc)
            if job is None:
                raise NotFound("job not found")
            transition = Transition(Migrate=True, NoShutdownDelay=no_shutdown_delay)
            if not alloc.terminal():
                changed_desire(self._context, draft, alloc, AllocDesired(DesiredTransition=transition))
            evaluation = evaluation_of(job, "alloc-stop", self._context.now_ns())
            draft.put(self._context.keys.evaluation(evaluation.ID), evaluation)
            return draft, JobResult(EvalID=evaluation.ID, JobModifyIndex=job.JobModifyIndex)

        return finished(self._context, *await self._context.commits.write(decide))

    async def report(self, node_id: str, updates: Sequence[AllocClient]) -> int:
        """Stores what the worker of `node_id` says; returns the index. Allocations of other nodes are ignored.

        The same commit brings the catalog up to date and, for an allocation that failed or was given back ("lost"), an
        evaluation of its job.
        """
        state = self._context.state
        for update in updates:
            alloc = state.allocs.get(update.ID)
            if alloc is not None and alloc.NodeID == node_id:
                self._reports[update.ID] = update
        if not self._reports:
            return state.revision
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        written = self._next
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_reports(), name="allocation reports")
        return await asyncio.shield(written)

    async def _write_reports(self) -> None:
        while self._next is not None:
            reports, self._reports = list(self._reports.values()), {}
            done, self._next = self._next, None
            try:
                revision = 0
                for start in range(0, len(reports), ALLOCS_PER_COMMIT):
                    revision = max(revision, await self._write_some(reports[start : start + ALLOCS_PER_COMMIT]))
                done.set_result(revision or self._context.state.revision)
            except Exception as error:  # whatever it is belongs to those who reported
                done.set_exception(error)
                done.exception()

    async def _write_some(self, reports: Sequence[AllocClient]) -> int:
        revision, _ = await self._context.commits.write(lambda: (draft_reports(self._context, reports), None))
        return revision


def draft_reports(context: Context, reports: Sequence[AllocClient]) -> Draft:
    """Client parts, catalog changes and follow-up evaluations."""
    draft, failed = Draft(), dict[tuple[str, str], Job]()
    state, now_ns = context.state, context.now_ns()
    for report in reports:
        alloc = state.allocs.get(report.ID)
        if alloc is None or not worth_storing(alloc.Client, report, now_ns):
            continue
        client = msgspec.structs.replace(report, ModifyTime=now_ns)
        draft.put(context.keys.alloc_client(alloc.ID), client)
        node = state.nodes.get(alloc.NodeID)
        if node is not None:
            draft_instances_safely(context, draft, alloc, client, node)
        job = state.job(alloc.Namespace, alloc.JobID)
        if job is not None and needs_evaluation(alloc, client, job):
            failed[alloc.Namespace, alloc.JobID] = job
    for job in failed.values():
        evaluation = evaluation_of(job, "alloc-failure", now_ns)
        draft.put(context.keys.evaluation(evaluation.ID), evaluation)
    return draft


def worth_storing(before: AllocClient | None, report: AllocClient, now_ns: int) -> bool:
    """False for news that is none: the same again, the return of what has ended, or only other words of a check."""
    if before is None:
        return True
    if before.ClientStatus in TERMINAL_CLIENT and report.ClientStatus not in TERMINAL_CLIENT:
        return False
    if _without_times(before) == _without_times(report):
        return False
    return _quiet(before) != _quiet(report) or now_ns - before.ModifyTime >= OUTPUT_EVERY_NS


def _without_times(client: AllocClient) -> AllocClient:
    checks = {key: msgspec.structs.replace(one, Timestamp=0) for key, one in (client.Checks or {}).items()}
    return msgspec.structs.replace(client, ModifyTime=0, Checks=checks)


def _quiet(client: AllocClient) -> AllocClient:
    checks = {key: msgspec.structs.replace(one, Timestamp=0, Output="") for key, one in (client.Checks or {}).items()}
    return msgspec.structs.replace(client, ModifyTime=0, Checks=checks)


def needs_evaluation(alloc: Alloc, client: AllocClient, job: Job) -> bool:
    """Whether the job must be looked at again: an allocation that should run has just failed, has come back, or was
    given back by its worker.

    Failures of system jobs wait for the next evaluation: they are not rescheduled, and would only fail again at once.
    """
    if alloc.DesiredStatus != "run":
        return False
    came_back = alloc.ClientStatus == "unknown" and client.ClientStatus == "running"
    failed_now = client.ClientStatus == "failed" and alloc.ClientStatus != "failed"
    given_back = client.ClientStatus == "lost" and alloc.ClientStatus != "lost"
    return came_back or given_back or (failed_now and job.Type in {"service", "batch"})
