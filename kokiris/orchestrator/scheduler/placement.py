"""Placing the allocations of a group: the best node for each, one after the other, for a whole group at once.

`place` is exact: each request gets the node that scoring every node anew would give it (lowest row wins a tie).
Requests that differ in nothing but their name go through `buckets`, which finds the same nodes ~40 times faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from kokiris.orchestrator.model.alloc import Alloc
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.metric import AllocationMetric
from kokiris.orchestrator.scheduler import buckets
from kokiris.orchestrator.scheduler.ask import ask_of
from kokiris.orchestrator.scheduler.candidates import Candidates
from kokiris.orchestrator.scheduler.constraints import Mask
from kokiris.orchestrator.scheduler.draft import Draft
from kokiris.orchestrator.scheduler.explain import failure_metric, placement_metric
from kokiris.orchestrator.scheduler.feasibility import feasible_nodes


@dataclass(slots=True, kw_only=True)
class Request:
    """One allocation wanted."""

    name_index: int = 0
    previous: Alloc | None = None
    """The allocation it follows."""
    replaces: Alloc | None = None
    """An allocation this plan stops only if this request is placed; its room counts as free, and its ports too on its
    own node, since the new one starts after it has ended."""
    avoid: frozenset[str] = frozenset()
    """Node ids where it failed before: a penalty, not a ban."""
    prefer: str = ""
    """Node id to take if it is at all possible (sticky disks)."""
    canary: bool = False

    @property
    def plain(self) -> bool:
        """Nothing but its name tells it from its neighbours."""
        return self.replaces is None and not self.avoid and not self.prefer


@dataclass(slots=True)
class Placement:
    """Where the requests went, in their order. A row of -1: nowhere."""

    rows: list[int] = field(default_factory=list)
    ports: list[list[int]] = field(default_factory=list)
    """Host ports in the order of `Ask.labels`; [] when not placed."""
    metric: AllocationMetric | None = None
    """Of the first request placed."""
    failure: AllocationMetric | None = None
    """Why the first one that was not placed was not; `CoalescedFailures` counts the others."""


def place(
    draft: Draft,
    job: Job,
    group: TaskGroup,
    requests: Sequence[Request],
    *,
    staying: Sequence[Alloc] = (),
    placed_before: Sequence[tuple[int, str]] = (),
    algorithm: str = "binpack",
) -> Placement:
    """Places `requests` in order and books them in `draft`.

    `staying`: all allocations of the job (any group) that the plan leaves running; those that a request `replaces` are
    among them. `placed_before`: (row, group) of what the same plan has placed for the job already. A request that fits
    nowhere is left out and the rest goes on.
    """
    ask = ask_of(group)
    feasible = feasible_nodes(draft.cluster, job, group, ask)
    candidates = Candidates(
        draft,
        job,
        group,
        ask=ask,
        feasible=feasible,
        staying=staying,
        placed_before=placed_before,
        spread_algorithm=algorithm == "spread",
    )
    placement = Placement()
    position = 0
    while position < len(requests):
        end = position
        while end < len(requests) and requests[end].plain:
            end += 1
        if end - position >= buckets.WORTHWHILE and buckets.applicable(candidates):
            _place_plain(candidates, end - position, placement)
            position = end
        else:
            _place_one(candidates, requests[position], placement)
            position += 1
    return placement


def _place_plain(candidates: Candidates, count: int, placement: Placement) -> None:
    fits = candidates.fitting()
    _note_first(candidates, fits, placement)
    chosen = buckets.choose(candidates, fits, count)
    for row, ports in chosen:
        placement.rows.append(row)
        placement.ports.append(ports)
    for _ in range(count - len(chosen)):
        _note_failure(candidates, Request(), placement)


def _place_one(candidates: Candidates, request: Request, placement: Placement) -> None:
    if request.replaces is not None:
        candidates.leave(request.replaces)
    inherited = candidates.inherited(request.replaces)
    fits = candidates.fitting(inherited)
    row = best_row(candidates, request, fits)
    if row < 0:
        _note_failure(candidates, request, placement)
        if request.replaces is not None:
            candidates.stay(request.replaces)
        return
    _note_first(candidates, fits, placement)
    placement.rows.append(row)
    placement.ports.append(candidates.book(row, inherited.get(row, ())))


def best_row(candidates: Candidates, request: Request, fits: Mask) -> int:
    """The best of the nodes in `fits`, or -1."""
    preferred = candidates.draft.cluster.row_of.get(request.prefer, -1)
    if preferred >= 0 and fits[preferred]:
        return preferred
    if not fits.any():
        return -1
    averages = candidates.averages(request.avoid)
    averages[~fits] = np.iinfo(np.int64).min
    return int(averages.argmax())


def _note_first(candidates: Candidates, fits: Mask, placement: Placement) -> None:
    if placement.metric is None and fits.any():
        placement.metric = placement_metric(candidates, fits)


def _note_failure(candidates: Candidates, request: Request, placement: Placement) -> None:
    placement.rows.append(-1)
    placement.ports.append([])
    if placement.failure is None:
        placement.failure = failure_metric(candidates, candidates.inherited(request.replaces))
    else:
        placement.failure.CoalescedFailures += 1
