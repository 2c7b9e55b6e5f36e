"""PUT /v1/catalog/register, /v1/catalog/deregister: what is registered from outside, on any node."""

from __future__ import annotations

from typing import Any

import msgspec

from kokiris.discovery import registration
from kokiris.discovery.api.call import Call
from kokiris.discovery.api.requests import ServiceBody, instance_of
from kokiris.discovery.catalog import CheckKey
from kokiris.discovery.definitions import STATUSES
from kokiris.discovery.model import CRITICAL, CheckState, NodeEntry
from kokiris.discovery.writer import Change
from kokiris.kernel.errors import BadInput


class CatalogCheck(msgspec.Struct, kw_only=True):
    """The result of a check that others run."""

    CheckID: str = ""
    Name: str = ""
    Status: str = ""
    Notes: str = ""
    Output: str = ""
    ServiceID: str = ""
    Type: str = ""


class RegisterBody(msgspec.Struct, kw_only=True):
    ID: str = ""
    Node: str = ""
    Address: str = ""
    Datacenter: str = ""
    NodeMeta: dict[str, str] = msgspec.field(default_factory=dict)
    TaggedAddresses: dict[str, str] = msgspec.field(default_factory=dict)
    Service: ServiceBody | None = None
    Check: CatalogCheck | None = None
    Checks: list[CatalogCheck] = msgspec.field(default_factory=list)
    SkipNodeUpdate: bool = False


class DeregisterBody(msgspec.Struct, kw_only=True):
    Node: str = ""
    Datacenter: str = ""
    ServiceID: str = ""
    CheckID: str = ""


def check_of(body: CatalogCheck) -> CheckState:
    """Raises BadInput for an unknown status."""
    status = body.Status or CRITICAL
    if status not in STATUSES:
        raise BadInput(f'Invalid check status "{status}"', next_step="Use passing, warning or critical.")
    return CheckState(
        CheckID=body.CheckID or body.Name,
        Name=body.Name or body.CheckID,
        Status=status,
        Notes=body.Notes,
        Output=body.Output,
        Type=body.Type,
    )


async def register(call: Call) -> Any:
    """Registers a node, and on it a service and checks."""
    body = await call.body(RegisterBody)
    if not body.Node or not body.Address:
        raise BadInput("Must provide node and address")
    entry = NodeEntry(
        Node=body.Node,
        ID=body.ID,
        Address=body.Address,
        Datacenter=call.context.facts.datacenter,
        Meta=body.NodeMeta,
        TaggedAddresses=body.TaggedAddresses,
    )
    instance = None
    if body.Service is not None:
        if not (body.Service.Service or body.Service.Name):
            raise BadInput("Must provide service name (Service.Service) when service ID is provided")
        instance = instance_of(body.Service, body.Node)
    checks = [*([body.Check] if body.Check else []), *body.Checks]
    states: list[tuple[str, CheckState]] = [(one.ServiceID, check_of(one)) for one in checks]
    keys = call.context.writer.keys

    def decide() -> Change[None]:
        change = Change(None)
        write_node = registration.ensure_node if body.SkipNodeUpdate else registration.put_node
        write_node(call.catalog, keys, change, entry)
        if instance is not None:
            registration.put_instance(call.catalog, keys, change, instance, [])
        for service_id, state in states:
            known = (body.Node, service_id) in call.catalog.instances or (instance and service_id == instance.ID)
            if service_id and not known:
                raise BadInput(f'Unknown service ID "{service_id}" of check "{state.CheckID}"')
            at: CheckKey = (body.Node, service_id, state.CheckID)
            registration.refuse_check_of_platform(call.catalog, at)
            if call.catalog.added_checks.get(at[:2], {}).get(at[2]) != state:
                change.put(keys.check(*at), state)
        return change

    await call.context.writer.change(decide)
    return True


async def deregister(call: Call) -> Any:
    """Removes a check, a service with its checks, or a node with everything; true also when it is gone already."""
    body = await call.body(DeregisterBody)
    if not body.Node:
        raise BadInput("Must provide node")
    keys, catalog = call.context.writer.keys, call.catalog

    def decide() -> Change[None]:
        change = Change(None)
        if body.ServiceID:
            registration.drop_instance(catalog, keys, change, body.Node, body.ServiceID)
        elif body.CheckID:
            found = [
                key for key, added in catalog.added_checks.items() if key[0] == body.Node and body.CheckID in added
            ]
            registration.drop_checks(keys, change, [(*key, body.CheckID) for key in found])
        else:
            registration.drop_node(catalog, keys, change, body.Node)
        return change

    await call.context.writer.change(decide)
    return True
