"""Nodes that fall silent and nodes that come back: what becomes of their allocations, and which jobs look again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from msgspec import structs

from kokiris.orchestrator.model.alloc import Alloc, AllocClient
from kokiris.orchestrator.model.job import Job, replaced_when_lost
from kokiris.orchestrator.model.node import Node
from kokiris.orchestrator.scheduler.reconcile import LOST

DISCONNECTED = "alloc is unknown since its node is disconnected"


@dataclass(slots=True, kw_only=True)
class LossDecision:
    """What is to be stored at once when a node is given up; delete the discovery instances of `clients` with it."""

    node: Node
    clients: dict[str, AllocClient] = field(default_factory=dict)
    """Allocation id → client part: "lost", or "unknown" where the group asks not to be replaced."""
    jobs: list[tuple[str, str]] = field(default_factory=list)
    """(namespace, job id) to be evaluated (trigger "node-update")."""


def node_lost(node: Node, allocs: Sequence[Alloc], job_of: Callable[[Alloc], Job | None], now_ns: int) -> LossDecision:
    """The node has missed its heartbeats: it is down, and so is what ran there.

    Its allocations keep desired status "run" here; the evaluations stop and replace them (`schedule`).
    """
    down = structs.replace(
        node, Status="down", StatusDescription="heartbeat missed", StatusUpdatedAt=now_ns // 1_000_000_000
    )
    decision = LossDecision(node=down)
    living = [alloc for alloc in allocs if not alloc.client_terminal()]
    for alloc in living:
        status, text = ("lost", LOST) if _replaced(alloc, job_of) else ("unknown", DISCONNECTED)
        client = alloc.Client if alloc.Client is not None else AllocClient(ID=alloc.ID)
        decision.clients[alloc.ID] = structs.replace(
            client, ClientStatus=status, ClientDescription=text, ModifyTime=now_ns
        )
    decision.jobs = list(dict.fromkeys((alloc.Namespace, alloc.JobID) for alloc in living))
    return decision


def _replaced(alloc: Alloc, job_of: Callable[[Alloc], Job | None]) -> bool:
    job = job_of(alloc)
    group = next((one for one in (job.TaskGroups or () if job else ()) if one.Name == alloc.TaskGroup), None)
    return group is None or replaced_when_lost(group)
