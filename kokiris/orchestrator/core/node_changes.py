"""What a node becomes: registration, drain, history. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kokiris.kernel.clock import rfc3339
from kokiris.kernel.units import SECOND_NS
from kokiris.orchestrator.core.registrations import node_address
from kokiris.orchestrator.model.alloc import AllocClient
from kokiris.orchestrator.model.node import DrainMetadata, DrainRequestSpec, DrainStrategySpec, Node, NodeEvent

KEPT_EVENTS = 10


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


def noted(node: Node, message: str, now_ns: int, subsystem: str = "Cluster") -> Node:
    event = NodeEvent(Message=message, Subsystem=subsystem, Timestamp=rfc3339(now_ns))
    events: Sequence[NodeEvent] = [*(node.Events or ()), event][-KEPT_EVENTS:]
    return msgspec.structs.replace(node, Events=list(events))


def drain_begun(node: Node, spec: DrainRequestSpec, meta: dict[str, str] | None, now_ns: int) -> Node:
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
    return noted(after, "Node drain strategy set", now_ns, "Drain")


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
    return noted(after, f"Node drain {status}", now_ns, "Drain")


def moved(before: Node, after: Node) -> bool:
    """Whether its services are reached elsewhere than before."""
    return (before.Name, node_address(before)) != (after.Name, node_address(after))


def drivers_of(node: Node) -> set[str]:
    """The drivers that work there."""
    return {name for name, info in (node.Drivers or {}).items() if info.Detected and info.Healthy}


def known_again(client: AllocClient, now_ns: int) -> AllocClient:
    """An allocation whose node was silent for a while and is back: as its worker last said. Should something have
    happened meanwhile, the worker still has that to say."""
    runs = any(state.State == "running" for state in (client.TaskStates or {}).values())
    status = "running" if runs else "pending"
    return msgspec.structs.replace(client, ClientStatus=status, ClientDescription="", ModifyTime=now_ns)
