"""Evaluations: how they are made. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from kokiris.kernel.clock import ZERO_TIME, rfc3339
from kokiris.kernel.ids import new_id
from kokiris.orchestrator.model.evaluation import Evaluation
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.state import State


def evaluation_of(
    job: Job,
    triggered_by: str,
    now_ns: int,
    *,
    priority: int = 0,
    deployment_id: str = "",
    previous: str = "",
    wait_until_ns: int = 0,
    changed: bool = False,
) -> Evaluation:
    """A pending evaluation of `job`. `priority` 0: the job's. `changed`: made by the commit that changes the job."""
    return Evaluation(
        ID=new_id(),
        Priority=priority or job.Priority,
        Type=job.Type,
        TriggeredBy=triggered_by,
        Namespace=job.Namespace,
        JobID=job.ID,
        JobModifyIndex=0 if changed else job.JobModifyIndex,
        DeploymentID=deployment_id,
        PreviousEval=previous,
        WaitUntil=rfc3339(wait_until_ns) if wait_until_ns else ZERO_TIME,
        CreateTime=now_ns,
        ModifyTime=now_ns,
    )


def evaluations_of_node(
    state: State, node_id: str, triggered_by: str, now_ns: int, *, node_modify_index: int = 0
) -> list[Evaluation]:
    """One evaluation for every job that has allocations on the node, and for every running system job."""
    jobs = {(job.Namespace, job.ID): job for job in _affected(state, node_id)}
    evaluations = [evaluation_of(job, triggered_by, now_ns) for job in jobs.values()]
    for evaluation in evaluations:
        evaluation.NodeID, evaluation.NodeModifyIndex = node_id, node_modify_index
    return evaluations


def _affected(state: State, node_id: str) -> Iterable[Job]:
    for alloc in state.allocs_of_node(node_id):
        wanted = alloc.DesiredStatus == "run" and alloc.ClientStatus != "complete"
        if wanted or not alloc.client_terminal():
            job = state.job(alloc.Namespace, alloc.JobID) or state.job_of(alloc)
            if job is not None:
                yield job
    for job in state.jobs.values():
        if job.Type in {"system", "sysbatch"} and not job.Stop:
            yield job
