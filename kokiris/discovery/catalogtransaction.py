"""/v1/txn's operations on nodes, services and checks. Pure; they see the catalog as it was before the transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from kokiris.discovery import registration
from kokiris.discovery.catalog import Catalog
from kokiris.discovery.model import CheckState, Keys, NodeEntry, ServiceInstance
from kokiris.discovery.writer import Change


class Failed(Exception):
    """An operation cannot take place; the text is Consul's."""


WRITES = frozenset({"set", "cas"})
DELETES = frozenset({"delete", "delete-cas"})
VERBS = WRITES | DELETES | {"get"}


@dataclass(frozen=True, slots=True)
class NodeOperation:
    verb: str
    entry: NodeEntry
    index: int = 0


@dataclass(frozen=True, slots=True)
class ServiceOperation:
    verb: str
    instance: ServiceInstance
    index: int = 0


@dataclass(frozen=True, slots=True)
class CheckOperation:
    verb: str
    node: str
    instance_id: str
    check: CheckState
    index: int = 0


CatalogOperation = NodeOperation | ServiceOperation | CheckOperation


@dataclass(frozen=True, slots=True)
class CatalogResult:
    """What an operation left: shown with the commit's revision if it was `written`."""

    kind: str
    shape: dict[str, Any]
    written: bool

    def wire(self, revision: int) -> dict[str, Any]:
        if not self.written:
            return {self.kind: self.shape}
        created = self.shape.get("CreateIndex") or revision
        return {self.kind: {**self.shape, "CreateIndex": created, "ModifyIndex": revision}}


def _is_conditional(verb: str) -> bool:
    return verb in {"cas", "delete-cas"}


def _require_fresh(what: str, verb: str, known_index: int, index: int) -> None:
    if _is_conditional(verb) and known_index != index:
        word = "set" if verb == "cas" else "delete"
        raise Failed(f"failed to {word} {what}, index is stale")


def decide_node(catalog: Catalog, keys: Keys, change: Change[None], operation: NodeOperation) -> NodeEntry | None:
    """The node after the operation; None once it is deleted. Raises Failed."""
    name = operation.entry.Node
    known = catalog.nodes.get(name)
    _require_fresh(f'node "{name}"', operation.verb, known.ModifyIndex if known else 0, operation.index)
    if _is_conditional(operation.verb):
        change.require(keys.node(name), catalog.stored_revision(name))
    if operation.verb in WRITES:
        registration.put_node(catalog, keys, change, operation.entry)
        return msgspec.structs.replace(operation.entry, CreateIndex=known.CreateIndex if known else 0)
    if operation.verb in DELETES:
        registration.drop_node(catalog, keys, change, name)
        return None
    if known is None:
        raise Failed(f'node "{name}" doesn\'t exist')
    return known


def decide_service(
    catalog: Catalog, keys: Keys, change: Change[None], operation: ServiceOperation
) -> ServiceInstance | None:
    """As `decide_node`."""
    one = operation.instance
    known = catalog.instances.get((one.Node, one.ID))
    what = f'service "{one.ID}" on node "{one.Node}"'
    _require_fresh(what, operation.verb, known.ModifyIndex if known else 0, operation.index)
    if _is_conditional(operation.verb):
        stored = catalog.stored_at.get((one.Node, one.ID), keys.node_instance(one.Node, one.ID))
        change.require(stored, catalog.stored_revision(one.Node, one.ID))
    if operation.verb in WRITES:
        if one.Node not in catalog.nodes and keys.node(one.Node) not in change.puts:
            raise Failed("Missing node registration")
        registration.put_instance(catalog, keys, change, one, [])
        return msgspec.structs.replace(one, CreateIndex=known.CreateIndex if known else 0)
    if operation.verb in DELETES:
        registration.drop_instance(catalog, keys, change, one.Node, one.ID)
        return None
    if known is None:
        raise Failed(f"{what} doesn't exist")
    return known


def decide_check(catalog: Catalog, keys: Keys, change: Change[None], operation: CheckOperation) -> CheckState | None:
    """As `decide_node`."""
    owner, check_id = (operation.node, operation.instance_id), operation.check.CheckID
    at = (*owner, check_id)
    known = catalog.added_checks.get(owner, {}).get(check_id)
    what = f'check "{check_id}" on node "{operation.node}"'
    _require_fresh(what, operation.verb, catalog.check_revisions.get(at, 0), operation.index)
    if _is_conditional(operation.verb):
        change.require(keys.check(*at), catalog.check_revisions.get(at, 0))
    if operation.verb in WRITES:
        registration.refuse_check_of_platform(catalog, at)
        stored = keys.node_instance(*owner) if operation.instance_id else keys.node(operation.node)
        there = owner in catalog.instances if operation.instance_id else operation.node in catalog.nodes
        if not there and stored not in change.puts:
            raise Failed("Missing service registration" if operation.instance_id else "Missing node registration")
        change.put(keys.check(*at), operation.check)
        return operation.check
    if operation.verb in DELETES:
        registration.drop_checks(keys, change, [at] if known is not None else [])
        return None
    if known is None:
        raise Failed(f"{what} doesn't exist")
    return known
