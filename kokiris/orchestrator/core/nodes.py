"""Nodes: registration, life and death, drain, eligibility, purge."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence

import msgspec

from kokiris.kernel.clock import rfc3339
from kokiris.kernel.errors import BadInput, Conflict, Forbidden, NotFound
from kokiris.kernel.ids import is_id
from kokiris.kernel.units import SECOND_NS
from kokiris.orchestrator.commands import NodeResult
from kokiris.orchestrator.core.context import Context
from kokiris.orchestrator.core.draft import Draft
from kokiris.orchestrator.core.evaluations import evaluations_of_node
from kokiris.orchestrator.core.instances import draft_instances, draft_node_entry, draft_withdrawal
from kokiris.orchestrator.core.refusal import Refused
from kokiris.orchestrator.model.node import (
    DrainMetadata,
    DrainRequestSpec,
    DrainStrategySpec,
    Node,
    NodeEvent,
)
from kokiris.store.contract import Condition

KEPT_EVENTS = 10


class Nodes:
    """The node commands of `commands.Commands`, and what the internal API asks for."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def register(self, node: Node, secret: str) -> NodeResult:
        """A node's own word on what it is: makes it ready. Nothing is written when nothing changed.

        Raises Forbidden when the node is known with another secret, Conflict when its name is taken by a living node.
        """
        if not is_id(node.ID) or not node.Name or not secret:
            raise BadInput("a node needs an ID (a UUID), a Name and a secret")
        digest = hashlib.sha256(secret.encode()).hexdigest()

        def decide() -> tuple[Draft, NodeResult]:
            self._check_name(node)
            known = self._context.state.node_secrets.get(node.ID)
            if known is not None and not hmac.compare_digest(known, digest):
                raise Forbidden(f"node {node.ID} is registered with another secret")
            draft = Draft()
            if known is None:
                draft.put_raw(self._context.keys.node_secret(node.ID), digest.encode())
                draft.expect(self._context.keys.node_secret(node.ID), 0)
            before = self._context.state.nodes.get(node.ID)
            after = merged(node, before, self._context.now_ns())
            if before is not None and after == before:
                return draft, NodeResult(NodeModifyIndex=before.ModifyIndex)
            message = "Node registered" if before is None else "Node re-registered"
            returned = before is None or before.Status != "ready"
            self._draft_node(draft, _noted(after, message, self._context.now_ns()) if returned else after)
            evaluations = self._draft_evaluations(draft, after, "node-update") if returned else []
            if returned and before is not None:
                self._draft_return(draft, after)
            return draft, NodeResult(EvalIDs=evaluations)

        return await self._write(decide)

    def _check_name(self, node: Node) -> None:
        for other in self._context.state.nodes.values():
            if other.Name == node.Name and other.ID != node.ID and other.Status != "down":
                raise Conflict(
                    f'node name "{node.Name}" is taken by node {other.ID}, which is {other.Status}',
                    next_step="Give the node another node_name, or stop the other one first.",
                )

    def check_secret(self, node_id: str, secret: str) -> Node:
        """The node. Raises NotFound for an unknown one (it must register), Forbidden for a wrong secret."""
        node, known = self._context.state.nodes.get(node_id), self._context.state.node_secrets.get(node_id)
        if node is None or known is None:
            raise NotFound("node not found", next_step="Register the node first.")
        if not hmac.compare_digest(known, hashlib.sha256(secret.encode()).hexdigest()):
            raise Forbidden(f"node {node_id}: wrong secret")
        return node

    async def set_status(self, node_id: str, status: str, message: str, fence: Condition | None = None) -> NodeResult:
        """down, disconnected or ready, by the leader's judgement. The catalog follows in the same commit."""

        def decide() -> tuple[Draft, NodeResult]:
            draft = Draft()
            before = self._context.state.nodes.get(node_id)
            if before is None or before.Status == status:
                return draft, NodeResult(NodeModifyIndex=before.ModifyIndex if before is not None else 0)
            now_ns = self._context.now_ns()
            after = msgspec.structs.replace(before, Status=status, StatusUpdatedAt=now_ns // SECOND_NS)
            self._draft_node(draft, _noted(after, message, now_ns))
            if status == "ready":
                self._draft_return(draft, after)
            else:
                for alloc in self._context.state.allocs_of_node(node_id):
                    draft_withdrawal(self._context, draft, alloc)
            return draft, NodeResult(EvalIDs=self._draft_evaluations(draft, after, "node-update"))

        return await self._write(decide, fence)

    def _draft_return(self, draft: Draft, node: Node) -> None:
        """Its allocations that still run are found again in the catalog."""
        for alloc in self._context.state.allocs_of_node(node.ID):
            if not alloc.terminal():
                draft_instances(self._context, draft, alloc, alloc.Client, node)

    async def set_eligibility(self, node_id: str, eligible: bool) -> NodeResult:
        def decide() -> tuple[Draft, NodeResult]:
            draft, before = Draft(), self._known(node_id)
            if eligible and before.DrainStrategy is not None:
                raise Refused("can not set node's scheduling eligibility to eligible while it is draining")
            wanted = "eligible" if eligible else "ineligible"
            if before.SchedulingEligibility == wanted:
                return draft, NodeResult(NodeModifyIndex=before.ModifyIndex)
            after = msgspec.structs.replace(before, SchedulingEligibility=wanted)
            note = f"Node marked as {wanted} for scheduling"
            self._draft_node(draft, _noted(after, note, self._context.now_ns()))
            return draft, NodeResult(EvalIDs=self._draft_evaluations(draft, after, "node-update") if eligible else [])

        return await self._write(decide)

    async def drain(
        self,
        node_id: str,
        spec: DrainRequestSpec | None,
        *,
        mark_eligible: bool = False,
        meta: dict[str, str] | None = None,
    ) -> NodeResult:
        def decide() -> tuple[Draft, NodeResult]:
            draft, before = Draft(), self._known(node_id)
            now_ns = self._context.now_ns()
            if spec is None:
                if before.DrainStrategy is None and not mark_eligible:
                    return draft, NodeResult(NodeModifyIndex=before.ModifyIndex)
                after = drain_ended(before, now_ns, "canceled", eligible=mark_eligible, meta=meta)
                evaluations = self._draft_evaluations(draft, after, "node-update") if mark_eligible else []
            else:
                after, evaluations = _draining(before, spec, meta, now_ns), []
            self._draft_node(draft, after)
            return draft, NodeResult(EvalIDs=evaluations)

        return await self._write(decide)

    async def evaluate(self, node_id: str) -> NodeResult:
        def decide() -> tuple[Draft, NodeResult]:
            draft, node = Draft(), self._known(node_id)
            evaluations = self._draft_evaluations(draft, node, "node-update")
            return draft, NodeResult(EvalIDs=evaluations, NodeModifyIndex=node.ModifyIndex)

        return await self._write(decide)

    async def purge(self, node_id: str) -> NodeResult:
        def decide() -> tuple[Draft, NodeResult]:
            draft, node = Draft(), self._known(node_id)
            evaluations = self._draft_evaluations(draft, node, "node-update")
            draft_removal(self._context, draft, node)
            return draft, NodeResult(EvalIDs=evaluations)

        return await self._write(decide)

    def _known(self, node_id: str) -> Node:
        node = self._context.state.nodes.get(node_id)
        if node is None:
            raise NotFound("node not found", next_step="List the nodes: `kokiris node status`.")
        return node

    def _draft_node(self, draft: Draft, node: Node) -> None:
        draft.expect(self._context.keys.node(node.ID), node.ModifyIndex)
        draft.put(self._context.keys.node(node.ID), node)
        draft_node_entry(self._context, draft, node)

    def _draft_evaluations(self, draft: Draft, node: Node, triggered_by: str) -> list[str]:
        evaluations = evaluations_of_node(self._context.state, node.ID, triggered_by, self._context.now_ns())
        for evaluation in evaluations:
            draft.put(self._context.keys.evaluation(evaluation.ID), evaluation)
        return [evaluation.ID for evaluation in evaluations]

    async def _write(
        self, decide: Callable[[], tuple[Draft, NodeResult]], fence: Condition | None = None
    ) -> NodeResult:
        revision, result = await self._context.commits.write(decide, fence)
        result.Index = revision or self._context.state.revision
        result.EvalCreateIndex = revision if result.EvalIDs else 0
        result.NodeModifyIndex = result.NodeModifyIndex or revision
        return result


def merged(node: Node, before: Node | None, now_ns: int) -> Node:
    """What a node says of itself, with what the servers know of it (drain, eligibility, history) kept."""
    if before is None:
        before = Node(ID=node.ID)
    return msgspec.structs.replace(
        node,
        Status="ready",
        StatusDescription="",
        StatusUpdatedAt=before.StatusUpdatedAt if before.Status == "ready" else now_ns // SECOND_NS,
        SchedulingEligibility=before.SchedulingEligibility,
        Drain=before.Drain,
        DrainStrategy=before.DrainStrategy,
        LastDrain=before.LastDrain,
        Events=before.Events,
        CreateIndex=before.CreateIndex,
        ModifyIndex=before.ModifyIndex,
    )


def _noted(node: Node, message: str, now_ns: int, subsystem: str = "Cluster") -> Node:
    event = NodeEvent(Message=message, Subsystem=subsystem, Timestamp=rfc3339(now_ns))
    events: Sequence[NodeEvent] = [*(node.Events or ()), event][-KEPT_EVENTS:]
    return msgspec.structs.replace(node, Events=list(events))


def _draining(node: Node, spec: DrainRequestSpec, meta: dict[str, str] | None, now_ns: int) -> Node:
    strategy = DrainStrategySpec(
        Deadline=spec.Deadline,
        IgnoreSystemJobs=spec.IgnoreSystemJobs,
        ForceDeadline=rfc3339(now_ns + spec.Deadline) if spec.Deadline > 0 else rfc3339(0),
        StartedAt=rfc3339(now_ns),
    )
    last = DrainMetadata(StartedAt=rfc3339(now_ns), UpdatedAt=rfc3339(now_ns), Status="draining", Meta=meta)
    after = msgspec.structs.replace(
        node, Drain=True, DrainStrategy=strategy, SchedulingEligibility="ineligible", LastDrain=last
    )
    return _noted(after, "Node drain strategy set", now_ns, "Drain")


def drain_ended(
    node: Node, now_ns: int, status: str, *, eligible: bool = False, meta: dict[str, str] | None = None
) -> Node:
    """`node` without its drain; `status` is complete or canceled. It stays ineligible unless told otherwise."""
    last = node.LastDrain
    if last is not None and node.DrainStrategy is not None:
        last = msgspec.structs.replace(last, Status=status, UpdatedAt=rfc3339(now_ns), Meta=meta or last.Meta)
    after = msgspec.structs.replace(
        node,
        Drain=False,
        DrainStrategy=None,
        LastDrain=last,
        SchedulingEligibility="eligible" if eligible else node.SchedulingEligibility,
    )
    return _noted(after, f"Node drain {status}", now_ns, "Drain")


def draft_removal(context: Context, draft: Draft, node: Node) -> None:
    """Everything of the node goes: its record, its secret, its entry and instances in the catalog."""
    draft.expect(context.keys.node(node.ID), node.ModifyIndex)
    draft.delete(context.keys.node(node.ID))
    draft.delete(context.keys.node_secret(node.ID))
    entry = context.catalog.nodes.get(node.Name)
    if entry is not None and entry.ID == node.ID:
        draft.delete(context.catalog_keys.node(node.Name))
    for alloc in context.state.allocs_of_node(node.ID):
        draft_withdrawal(context, draft, alloc)
