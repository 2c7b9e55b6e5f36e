"""Nodes: registration, life and death, drain, eligibility, purge."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

import msgspec

from kokiris.kernel.errors import BadInput, Conflict, Forbidden, NotFound
from kokiris.kernel.ids import is_id
from kokiris.kernel.units import SECOND_NS
from kokiris.orchestrator.commands import NodeResult
from kokiris.orchestrator.core.context import Context
from kokiris.orchestrator.core.draft import Draft
from kokiris.orchestrator.core.evaluations import evaluations_of_node
from kokiris.orchestrator.core.instances import draft_instances_safely, draft_node_entry, draft_withdrawal
from kokiris.orchestrator.core.node_changes import (
    drain_begun,
    drain_ended,
    drivers_of,
    known_again,
    merged,
    moved,
    noted,
)
from kokiris.orchestrator.core.plans import ALLOCS_PER_COMMIT
from kokiris.orchestrator.core.refusal import Refused
from kokiris.orchestrator.model.node import DrainRequestSpec, Node
from kokiris.orchestrator.scheduler.loss import node_lost
from kokiris.store.contract import Condition


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
            self._draft_node(draft, noted(after, message, self._context.now_ns()) if returned else after)
            if before is not None and (returned or moved(before, after)):
                self._draft_return(draft, after)
                self._draft_renamed(draft, before, after)
            evaluate = returned or before is None or drivers_of(before) != drivers_of(after)
            evaluations = self._draft_evaluations(draft, after, "node-update") if evaluate else []
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

    async def mark_down(self, node_id: str, fence: Condition) -> None:
        """The leader has given the node up: it is down, its allocations are lost (or unknown, where their group wants
        to wait), their instances gone and their jobs evaluated, in one commit (in slices for very many allocations)."""
        more = True
        while more:
            more = (await self._context.commits.write(lambda: self._draft_down(node_id), fence))[1]

    def _draft_down(self, node_id: str) -> tuple[Draft, bool]:
        """(a commit, whether another has to follow)."""
        draft, state, now_ns = Draft(), self._context.state, self._context.now_ns()
        before = state.nodes.get(node_id)
        if before is None or before.Status == "down":
            return draft, False
        loss = node_lost(before, state.allocs_of_node(node_id), state.job_of, now_ns)
        new = [one for one in loss.clients if state.allocs[one].ClientStatus != loss.clients[one].ClientStatus]
        for alloc_id in new[:ALLOCS_PER_COMMIT]:
            draft.put(self._context.keys.alloc_client(alloc_id), loss.clients[alloc_id])
            draft_withdrawal(self._context, draft, state.allocs[alloc_id])
        if len(new) > ALLOCS_PER_COMMIT:
            draft.expect(self._context.keys.node(node_id), before.ModifyIndex)
            return draft, True
        self._draft_node(draft, noted(loss.node, "Node heartbeat missed", now_ns))
        self._draft_evaluations(draft, loss.node, "node-update")
        return draft, False

    async def mark_ready(self, node_id: str) -> NodeResult:
        """A node that was given up lives: what still runs there is found again in the catalog."""

        def decide() -> tuple[Draft, NodeResult]:
            draft = Draft()
            before = self._context.state.nodes.get(node_id)
            if before is None or before.Status == "ready":
                return draft, NodeResult(NodeModifyIndex=before.ModifyIndex if before is not None else 0)
            now_ns = self._context.now_ns()
            after = msgspec.structs.replace(
                before, Status="ready", StatusDescription="", StatusUpdatedAt=now_ns // SECOND_NS
            )
            self._draft_node(draft, noted(after, "Node reregistered by heartbeat", now_ns))
            self._draft_return(draft, after)
            return draft, NodeResult(EvalIDs=self._draft_evaluations(draft, after, "node-update"))

        return await self._write(decide)

    def _draft_renamed(self, draft: Draft, before: Node, after: Node) -> None:
        entry = self._context.catalog.nodes.get(before.Name)
        if before.Name != after.Name and entry is not None and entry.ID == after.ID:
            draft.delete(self._context.catalog_keys.node(before.Name))

    def _draft_return(self, draft: Draft, node: Node) -> None:
        """Its allocations that still run are found again in the catalog (beyond a commit's limit, by the audit)."""
        living = [alloc for alloc in self._context.state.allocs_of_node(node.ID) if not alloc.terminal()]
        for alloc in living[:ALLOCS_PER_COMMIT]:
            client = alloc.Client
            if client is not None and client.ClientStatus == "unknown":
                client = known_again(client, self._context.now_ns())
                draft.put(self._context.keys.alloc_client(alloc.ID), client)
            draft_instances_safely(self._context, draft, alloc, client, node)

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
            self._draft_node(draft, noted(after, note, self._context.now_ns()))
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
                after, evaluations = drain_begun(before, spec, meta, now_ns), []
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

    async def _write(self, decide: Callable[[], tuple[Draft, NodeResult]]) -> NodeResult:
        revision, result = await self._context.commits.write(decide)
        result.Index = revision or self._context.state.revision
        result.EvalCreateIndex = revision if result.EvalIDs else 0
        result.NodeModifyIndex = result.NodeModifyIndex or revision
        return result


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
