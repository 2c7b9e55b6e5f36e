"""The leader's evaluation loop: open evaluations in, decisions out, few commits."""

from __future__ import annotations

import logging
import time

from kokiris.kernel.errors import TooLarge
from kokiris.kernel.units import SECOND_NS
from kokiris.orchestrator.core.broker import Work, failed, queue_of
from kokiris.orchestrator.core.context import Context
from kokiris.orchestrator.core.draft import Draft
from kokiris.orchestrator.core.plans import draft_basis, draft_decision, early_slices, is_large
from kokiris.orchestrator.model.alloc import Alloc, rows_of
from kokiris.orchestrator.model.node import Node
from kokiris.orchestrator.scheduler.columns import Cluster
from kokiris.orchestrator.scheduler.decision import Decision
from kokiris.orchestrator.scheduler.schedule import schedule
from kokiris.store.contract import Condition

log = logging.getLogger(__name__)

WORK_PER_COMMIT = 64
"""Jobs whose decisions share a commit."""
SLICE_S = 0.05
"""Deciding stops after this long to commit what there is, so that the event loop serves others."""
BLOCKED_EVERY_S = 0.25
"""Blocked evaluations are tried again no more often than this, however often capacity appears."""
BLOCKED_SHARE = 0.2
"""Nor may trying them take more than about this share of the time."""
RETRY_S = 0.005
IDLE_S = 60.0


class Capacity:
    """Notices when something that did not fit might fit now; an `AllocObserver` of the state."""

    def __init__(self) -> None:
        self.appeared = False

    def alloc_changed(self, before: Alloc | None, after: Alloc | None) -> None:
        if before is None:
            return
        resources = not before.terminal() and (after is None or after.terminal())
        ports = not before.client_terminal() and (after is None or after.client_terminal())
        if resources or ports:
            self.appeared = True

    def node_changed(self, before: Node | None, after: Node | None) -> None:
        if after is not None and after.Status == "ready" and after.SchedulingEligibility == "eligible":
            self.appeared = True


class Planning:
    """Runs while this server leads; at most one per infra (each commit is fenced)."""

    def __init__(self, context: Context, cluster: Cluster, capacity: Capacity) -> None:
        self._context = context
        self._cluster = cluster
        self._capacity = capacity
        self._per_commit = WORK_PER_COMMIT
        self._blocked_again_s = 0.0
        """When blocked evaluations may be tried again (monotonic)."""

    async def run(self, fence: Condition) -> None:
        """Until cancelled. An evaluation whose decision fails is ended as failed; the loop goes on."""
        self._capacity.appeared = True
        topics = self._context.state.topics
        watched = (("evals",), ("nodes",), ("allocs",))
        while True:
            seen = topics.index(*watched)
            wait_s = await self._round(fence)
            if wait_s > 0:
                await topics.wait(watched, seen, wait_s)

    async def _round(self, fence: Condition) -> float:
        """One pass over what is due; returns how long there is nothing to do unless something changes (s)."""
        state, now_ns = self._context.state, self._context.now_ns()
        if state.scheduler_config.PauseEvalBroker:
            return IDLE_S
        now_s = time.monotonic()
        with_blocked = self._capacity.appeared and now_s >= self._blocked_again_s
        if with_blocked:
            self._capacity.appeared = False
        queue = queue_of(state.open_evals.values(), now_ns, with_blocked=with_blocked)
        due = queue.due
        while due:
            done = await self._commit_some(due[: self._per_commit], fence)
            due = due[done:]
            if done == 0:
                self._capacity.appeared |= with_blocked
                return RETRY_S
        if with_blocked:
            ended_s = time.monotonic()
            self._blocked_again_s = ended_s + max(BLOCKED_EVERY_S, (ended_s - now_s) / BLOCKED_SHARE)
        if self._capacity.appeared:
            return max(RETRY_S, self._blocked_again_s - time.monotonic())
        return min(IDLE_S, (queue.next_ns - now_ns) / SECOND_NS + 0.001) if queue.next_ns else IDLE_S

    async def _commit_some(self, works: list[Work], fence: Condition) -> int:
        """Decides and commits the first few of `works` together; returns how many, 0 when they must be tried again."""
        draft, count = Draft(), 0
        booked: list[Alloc] = []
        unbooked: Decision | None = None
        until_s = time.monotonic() + SLICE_S
        try:
            for work in works:
                self._book(unbooked, booked)
                decision, unbooked = self._decide(work), None
                if decision is not None and is_large(decision):
                    if draft:
                        break
                    if not await self._commit_early(work, decision, fence):
                        return 0
                count += 1
                if decision is not None and still_blocked(work, decision):
                    continue  # it still waits; storing that again would only wake everyone
                draft.absorb(self._draft(work, decision))
                unbooked = decision
                if time.monotonic() >= until_s or len(draft.puts) > WORK_PER_COMMIT * 8:
                    break
        finally:
            for alloc in booked:
                self._cluster.alloc_changed(alloc, None)
        return count if await self._commit(draft, works[:count], fence) else 0

    async def _commit(self, draft: Draft, works: list[Work], fence: Condition) -> bool:
        """False: other writers were faster, or it was too much at once; less is tried next time."""
        try:
            done = not draft or await self._context.commits.attempt(draft, fence) is not None
        except TooLarge as error:
            if len(works) > 1:
                self._per_commit = 1
                return False
            log.error("evaluation %s of job %s: %s", works[0].evaluation.ID, works[0].evaluation.JobID, error.message)
            own = Draft()
            draft_failure(self._context, own, works[0], error.message)
            done = await self._context.commits.attempt(own, fence) is not None
        self._per_commit = min(WORK_PER_COMMIT, self._per_commit * 2) if done else max(1, self._per_commit // 4)
        return done

    def _decide(self, work: Work) -> Decision | None:
        """None when the scheduler failed on it: a defect, which must not stop the other jobs."""
        try:
            return schedule(work.evaluation, self._context.state, self._cluster, self._context.now_ns())
        except Exception:
            log.exception("evaluation %s of job %s failed", work.evaluation.ID, work.evaluation.JobID)
            return None

    def _draft(self, work: Work, decision: Decision | None) -> Draft:
        draft = Draft()
        try:
            if decision is not None:
                draft_decision(self._context, draft, work, decision)
                return draft
        except Exception:
            log.exception("the decision on job %s cannot be stored", work.evaluation.JobID)
            draft = Draft()
        draft_failure(self._context, draft, work, "the scheduler failed on this job; see the server's log")
        return draft

    def _book(self, decision: Decision | None, booked: list[Alloc]) -> None:
        """Counts placements that are not committed yet, so that the next decision of the same commit sees them."""
        for segment in decision.segments if decision is not None else ():
            for alloc in rows_of(segment, 0):
                self._cluster.alloc_changed(None, alloc)
                booked.append(alloc)

    async def _commit_early(self, work: Work, decision: Decision, fence: Condition) -> bool:
        for draft, alloc_ids in early_slices(self._context, work, decision):
            if await self._context.commits.attempt(draft, fence) is None:
                return False
            for alloc_id in alloc_ids:
                decision.desired.pop(alloc_id, None)
                decision.clients.pop(alloc_id, None)
        return True


def still_blocked(work: Work, decision: Decision) -> bool:
    """Whether trying a blocked evaluation again led nowhere."""
    same = work.evaluation.Status == decision.evaluation.Status == "blocked" and len(decision.evaluations) == 1
    return same and not (decision.segments or decision.desired or decision.clients or decision.deployments)


def draft_failure(context: Context, draft: Draft, work: Work, reason: str) -> None:
    """The evaluations of `work` end as failed; the reason is theirs to show."""
    draft_basis(context, draft, work)
    for one in (work.evaluation, *work.covered):
        ended = failed(one, reason, context.now_ns())
        draft.expect(context.keys.evaluation(one.ID), one.ModifyIndex)
        draft.put(context.keys.evaluation(one.ID), ended)
