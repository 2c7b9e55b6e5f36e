"""PUT /v1/txn"""

from __future__ import annotations

from typing import Any

import falcon
import msgspec

from kokiris.discovery import transaction
from kokiris.discovery.api import shapes
from kokiris.discovery.api.call import Call
from kokiris.discovery.api.catalogwrites import CatalogCheck, check_of
from kokiris.discovery.api.kv import VALUE_LIMIT_BYTES
from kokiris.discovery.api.requests import ServiceBody, instance_of
from kokiris.discovery.catalogtransaction import (
    WRITES,
    CatalogOperation,
    CatalogResult,
    CheckOperation,
    NodeOperation,
    ServiceOperation,
)
from kokiris.discovery.model import CheckState, NodeEntry, ServiceInstance
from kokiris.discovery.transaction import KvOperation, Operation
from kokiris.http.app import read_body
from kokiris.kernel import wire
from kokiris.kernel.errors import BadInput, TooLarge

MAX_OPERATIONS = 64


class NodeBody(msgspec.Struct, kw_only=True):
    ID: str = ""
    Node: str = ""
    Address: str = ""
    TaggedAddresses: dict[str, str] = msgspec.field(default_factory=dict)
    Meta: dict[str, str] = msgspec.field(default_factory=dict)
    ModifyIndex: int = 0


class NodeOperationBody(msgspec.Struct, kw_only=True):
    Verb: str
    Node: NodeBody


class TxnServiceBody(ServiceBody, kw_only=True):
    ModifyIndex: int = 0


class ServiceOperationBody(msgspec.Struct, kw_only=True):
    Verb: str
    Node: str
    Service: TxnServiceBody


class TxnCheckBody(CatalogCheck, kw_only=True):
    Node: str = ""
    ModifyIndex: int = 0


class CheckOperationBody(msgspec.Struct, kw_only=True):
    Verb: str
    Check: TxnCheckBody


class OperationBody(msgspec.Struct, kw_only=True):
    """One of them is given."""

    KV: KvOperation | None = None
    Node: NodeOperationBody | None = None
    Service: ServiceOperationBody | None = None
    Check: CheckOperationBody | None = None


async def txn(call: Call) -> Any:
    """All operations or none: 409 with the reasons when one cannot take place."""
    data = await read_body(call.req, VALUE_LIMIT_BYTES * 2)
    bodies = wire.decode(data, list[OperationBody])
    if len(bodies) > MAX_OPERATIONS:
        raise TooLarge(f"Transaction contains too many operations ({len(bodies)} > {MAX_OPERATIONS})")
    operations = [_operation(call, number, body) for number, body in enumerate(bodies)]
    writer = call.context.writer

    def show(operation: CatalogOperation, left: Any) -> CatalogResult:
        return _shown(call, operation, left)

    done = await writer.change(lambda: transaction.decide(call.catalog, writer.keys, operations, show))
    outcome = done.result
    if outcome.errors:
        call.resp.status = falcon.HTTP_409
        return {"Results": None, "Errors": outcome.errors}
    return {"Results": [one.wire(done.revision) for one in outcome.results] or None, "Errors": None}


def _operation(call: Call, number: int, body: OperationBody) -> Operation:
    if body.KV is not None:
        if len(transaction.value_of(body.KV)) > VALUE_LIMIT_BYTES:
            raise TooLarge(f'Value for key "{body.KV.Key}" is too large, max size: {VALUE_LIMIT_BYTES} bytes')
        return body.KV
    if body.Node is not None:
        return _node_operation(call, number, body.Node)
    if body.Service is not None:
        service = body.Service
        name_known = service.Verb in WRITES or service.Service.Name or service.Service.Service
        given = service.Service if name_known else msgspec.structs.replace(service.Service, Name=service.Service.ID)
        instance = instance_of(given, service.Node)
        return ServiceOperation(service.Verb, instance, service.Service.ModifyIndex)
    if body.Check is not None:
        check = body.Check.Check
        return CheckOperation(body.Check.Verb, check.Node, check.ServiceID, check_of(check), check.ModifyIndex)
    raise BadInput(f"operation {number} of the transaction is empty")


def _node_operation(call: Call, number: int, body: NodeOperationBody) -> NodeOperation:
    node = body.Node
    if not node.Node or (body.Verb in WRITES and not node.Address):
        raise BadInput(f"operation {number} of the transaction must provide node and address")
    entry = NodeEntry(
        Node=node.Node,
        ID=node.ID,
        Address=node.Address,
        Datacenter=call.context.facts.datacenter,
        TaggedAddresses=node.TaggedAddresses,
        Meta=node.Meta,
    )
    return NodeOperation(body.Verb, entry, node.ModifyIndex)


def _shown(call: Call, operation: CatalogOperation, left: NodeEntry | ServiceInstance | CheckState) -> CatalogResult:
    written = operation.verb in WRITES
    if isinstance(left, NodeEntry):
        return CatalogResult("Node", shapes.node(left), written)
    if isinstance(left, ServiceInstance):
        return CatalogResult("Service", shapes.service(left), written)
    assert isinstance(operation, CheckOperation)  # noqa: S101 - only these leave a check
    at = (operation.node, operation.instance_id)
    shape = shapes.check(left, NodeEntry(Node=operation.node), call.catalog.instances.get(at))
    shape["ModifyIndex"] = call.catalog.check_revisions.get((*at, left.CheckID), 0)
    return CatalogResult("Check", shape, written)
