"""From decisions to commits: everything a decision changes, and what the catalog must show once it holds. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from kokiris.orchestrator.core.broker import Work, ended_with
from kokiris.orchestrator.core.context import Context
from kokiris.orchestrator.core.draft import Draft
from kokiris.orchestrator.core.instances import draft_instances, draft_withdrawal, shown_instances
from kokiris.orchestrator.core.registrations import instance_ids
from kokiris.orchestrator.model.alloc import Alloc, AllocDesired
from kokiris.orchestrator.scheduler.decision import Decision, plan_key

ALLOCS_PER_COMMIT = 500
"""Stops and updates beyond this are committed ahead of the rest, in slices: a commit has a limit (`store.limits`)."""


def draft_decision(context: Context, draft: Draft, work: Work, decision: Decision) -> None:
    """Stores the decision and ends the evaluations of `work`.

    Conditional on the job, the evaluations, the deployments and the allocations' desired parts it was made from.
    """
    keys, state = context.keys, context.state
    draft_basis(context, draft, work)
    for one in work.covered:
        draft.expect(keys.evaluation(one.ID), one.ModifyIndex)
        draft.put(keys.evaluation(one.ID), ended_with(one, decision.evaluation))
    for evaluation in decision.evaluations:
        known = state.evals.get(evaluation.ID)
        draft.expect(keys.evaluation(evaluation.ID), known.ModifyIndex if known is not None else 0)
        draft.put(keys.evaluation(evaluation.ID), evaluation)
    for segment in decision.segments:
        draft.put(plan_key(keys, segment), segment)
    for deployment in decision.deployments:
        known_deployment = state.deployments.get(deployment.ID)
        draft.expect(keys.deployment(deployment.ID), known_deployment.ModifyIndex if known_deployment else 0)
        draft.put(keys.deployment(deployment.ID), deployment)
    draft_allocs(context, draft, decision, [*{**decision.desired, **decision.clients}])


def draft_basis(context: Context, draft: Draft, work: Work) -> None:
    """What any part of the decision rests on: the job as it is, the evaluation not yet processed by another."""
    evaluation = work.evaluation
    job = context.state.job(evaluation.Namespace, evaluation.JobID)
    draft.expect(context.keys.job(evaluation.Namespace, evaluation.JobID), job.ModifyIndex if job is not None else 0)
    draft.expect(context.keys.evaluation(evaluation.ID), evaluation.ModifyIndex)


def is_large(decision: Decision) -> bool:
    """Whether it needs `early_slices`."""
    return len(decision.desired) + len(decision.clients) > ALLOCS_PER_COMMIT


def early_slices(context: Context, work: Work, decision: Decision) -> Iterator[tuple[Draft, list[str]]]:
    """Commits to make before the decision's own, when it changes more allocations than one commit may hold.

    Each stands for itself: should the next one fail, the evaluation is still open and looks at the state again.
    """
    alloc_ids = [*{**decision.desired, **decision.clients}]
    for start in range(0, max(0, len(alloc_ids) - ALLOCS_PER_COMMIT), ALLOCS_PER_COMMIT):
        draft, these = Draft(), alloc_ids[start : start + ALLOCS_PER_COMMIT]
        draft_basis(context, draft, work)
        draft_allocs(context, draft, decision, these)
        yield draft, these


def draft_allocs(context: Context, draft: Draft, decision: Decision, alloc_ids: list[str]) -> None:
    """The desired and lost parts of these allocations, and their instances."""
    keys, state = context.keys, context.state
    for alloc_id in alloc_ids:
        alloc, desired, client = (
            state.allocs.get(alloc_id),
            decision.desired.get(alloc_id),
            decision.clients.get(alloc_id),
        )
        if alloc is None:
            continue
        if client is not None:
            draft.put(keys.alloc_client(alloc_id), client)
        if desired is not None:
            draft.expect(keys.alloc_desired(alloc_id), alloc.DesiredIndex)
            draft.put(keys.alloc_desired(alloc_id), desired)
        if client is not None or (desired is not None and desired.DesiredStatus != "run"):
            draft_withdrawal(context, draft, alloc)
        elif desired is not None and (desired.JobVersion or alloc.JobVersion) != alloc.JobVersion:
            draft_in_place(context, draft, alloc, desired)


def draft_in_place(context: Context, draft: Draft, alloc: Alloc, desired: AllocDesired) -> None:
    """The allocation goes on with another version of its job: its services are now those of that version."""
    node, before = context.state.nodes.get(alloc.NodeID), context.state.job_of(alloc)
    after = msgspec.structs.replace(alloc, Desired=desired)
    job = context.state.job_of(after)
    if node is None or job is None:
        return
    if before is not None:
        for ident in shown_instances(context, alloc, before).keys() - set(instance_ids(after, job)):
            draft.delete(context.catalog_keys.instance(ident))
    draft_instances(context, draft, after, alloc.Client, node)
