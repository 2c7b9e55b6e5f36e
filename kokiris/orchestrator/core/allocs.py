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
from kokiris.orchestrator.core.instances import draft_instances
from kokiris.orchestrator.core.jobs import finished
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

        The same commit brings the catalog up to date and, for an allocation that failed, an evaluation of its job.
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
            reports, self._reports = self._reports, {}
            done, self._next = self._next, None

            def decide(reports: dict[str, AllocClient] = reports) -> tuple[Draft, None]:
                return draft_reports(self._context, reports), None

            try:
                revision, _ = await self._context.commits.write(decide)
                done.set_result(revision or self._context.state.revision)
            except Exception as error:
                done.set_exception(error)
                done.exception()


def draft_reports(context: Context, reports: dict[str, AllocClient]) -> Draft:
    """Client parts, catalog changes and follow-up evaluations of `reports` (allocation id → report)."""
    draft, failed = Draft(), dict[tuple[str, str], Job]()
    state, now_ns = context.state, context.now_ns()
    for alloc_id, report in reports.items():
        alloc = state.allocs.get(alloc_id)
        if alloc is None or not worth_storing(alloc.Client, report, now_ns):
            continue
        client = msgspec.structs.replace(report, ModifyTime=now_ns)
        draft.put(context.keys.alloc_client(alloc_id), client)
        node = state.nodes.get(alloc.NodeID)
        if node is not None:
            draft_instances(context, draft, alloc, client, node)
        job = state.job(alloc.Namespace, alloc.JobID)
        if job is not None and needs_evaluation(alloc, client):
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


def needs_evaluation(alloc: Alloc, client: AllocClient) -> bool:
    """Whether the job must be looked at again: an allocation that should run has just failed, or has come back."""
    if alloc.DesiredStatus != "run":
        return False
    came_back = alloc.ClientStatus == "unknown" and client.ClientStatus == "running"
    return came_back or (client.ClientStatus == "failed" and alloc.ClientStatus != "failed")
