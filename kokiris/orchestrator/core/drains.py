"""The leader's watch over draining nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kokiris.kernel.units import SECOND_NS
from kokiris.orchestrator.core.context import Context
from kokiris.orchestrator.core.desires import changed_desire
from kokiris.orchestrator.core.draft import Draft
from kokiris.orchestrator.core.evaluations import evaluation_of
from kokiris.orchestrator.core.instances import draft_node_entry
from kokiris.orchestrator.core.node_changes import drain_ended
from kokiris.orchestrator.core.plans import ALLOCS_PER_COMMIT
from kokiris.orchestrator.model.alloc import Alloc, AllocDesired
from kokiris.orchestrator.model.allocwire import Transition
from kokiris.orchestrator.model.node import Node
from kokiris.orchestrator.scheduler.drain import DrainDecision, drain_node
from kokiris.store.contract import Condition

IDLE_S = 60.0
SETTLE_S = 0.05
"""Changes of allocations come in crowds: a drain looks at them together."""
RETRY_S = 0.005


class Drains:
    """Tells allocations of draining nodes to migrate, at the pace of their groups, and ends the drain."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def run(self, fence: Condition) -> None:
        """Until cancelled."""
        topics = self._context.state.topics
        while True:
            draining = [node for node in self._context.state.nodes.values() if node.DrainStrategy is not None]
            watched = (("nodes",), ("allocs",)) if draining else (("nodes",),)
            seen = topics.index(*watched)
            waits_s = [await self._look(node, fence) for node in draining]
            await topics.wait(watched, seen, min(waits_s, default=IDLE_S))
            await asyncio.sleep(SETTLE_S if draining else 0)

    async def _look(self, node: Node, fence: Condition) -> float:
        """One step of one drain; how long it can be left alone unless something changes (s)."""
        state, now_ns = self._context.state, self._context.now_ns()
        decision = drain_node(node, state.allocs_of_node(node.ID), state.job_of, self._group_allocs, now_ns)
        draft = Draft()
        if decision.done:
            after = drain_ended(node, now_ns, "complete")
            draft.expect(self._context.keys.node(node.ID), node.ModifyIndex)
            draft.put(self._context.keys.node(node.ID), after)
            draft_node_entry(self._context, draft, after)
        else:
            self._draft_moves(draft, decision, now_ns)
        if draft and await self._context.commits.attempt(draft, fence) is None:
            return RETRY_S
        if len(decision.migrate) > ALLOCS_PER_COMMIT:
            return RETRY_S
        if decision.wake_at_ns is None:
            return IDLE_S
        return max(RETRY_S, (decision.wake_at_ns - now_ns) / SECOND_NS)

    def _group_allocs(self, namespace: str, job_id: str, group: str) -> Sequence[Alloc]:
        return [one for one in self._context.state.allocs_of_job(namespace, job_id) if one.TaskGroup == group]

    def _draft_moves(self, draft: Draft, decision: DrainDecision, now_ns: int) -> None:
        state = self._context.state
        chosen = [state.allocs[one] for one in decision.migrate[:ALLOCS_PER_COMMIT] if one in state.allocs]
        for alloc in chosen:
            change = AllocDesired(DesiredTransition=Transition(Migrate=True))
            changed_desire(self._context, draft, alloc, change)
        for name in dict.fromkeys((alloc.Namespace, alloc.JobID) for alloc in chosen):
            job = state.job(*name)
            if job is not None:
                evaluation = evaluation_of(job, "node-drain", now_ns)
                draft.put(self._context.keys.evaluation(evaluation.ID), evaluation)
