"""The rules of an infra: how many nodes, how many servers. Pure; what breaks one is refused with its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kokiris.kernel.errors import RuleBroken
from kokiris.kernel.names import InfraName, Kind

MINIMUM_NODES = 3


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """A node as the operator wants it."""

    name: str
    server: bool
    worker: bool
    edge: bool


def check_rules(infra: InfraName, nodes: Sequence[PlannedNode]) -> None:
    """Raises RuleBroken naming the first rule that `nodes` would break."""
    names = [node.name for node in nodes]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise RuleBroken(f'rule "unique nodes": {infra} has two nodes named "{doubled[0]}"')
    if infra.kind is Kind.REC and len(nodes) != 1:
        raise RuleBroken(
            f'rule "one node": a rec infra has exactly one node, {infra} would have {len(nodes)}',
            next_step="Keep one node, or create a ppd or prd infra.",
        )
    if infra.kind is not Kind.REC and len(nodes) < MINIMUM_NODES:
        raise RuleBroken(
            f'rule "three nodes": a {infra.kind} infra has at least three nodes, {infra} would have {len(nodes)}',
            next_step="Name at least three nodes, or create a rec infra.",
        )
    servers = sum(node.server for node in nodes)
    if servers % 2 == 0:
        raise RuleBroken(
            f'rule "odd servers": the number of servers is odd, {infra} would have {servers}',
            next_step="Give the server role to one node more or less: a quorum needs a majority.",
        )
    for role, count in (("worker", sum(n.worker for n in nodes)), ("edge", sum(n.edge for n in nodes))):
        if count == 0:
            raise RuleBroken(
                f'rule "every role": no node of {infra} is a {role}', next_step=f"Give the {role} role to a node."
            )
