"""/v1/agent/check…: checks of the agent's services and node."""

from __future__ import annotations

from typing import Any

import msgspec

from kokiris.discovery import registration
from kokiris.discovery.api import shapes
from kokiris.discovery.api.call import EMPTY, Call, Handler, Refused
from kokiris.discovery.api.requests import raw_body
from kokiris.discovery.catalog import CheckKey
from kokiris.discovery.definitions import CheckBody, check_state, without_underscores
from kokiris.discovery.model import CRITICAL, PASSING, WARNING
from kokiris.discovery.writer import Change
from kokiris.kernel import wire
from kokiris.kernel.errors import BadInput, NotFound

OUTPUT_LIMIT = 4096


async def listing(call: Call) -> Any:
    """GET /v1/agent/checks: by check id."""
    own = call.context.facts.node_name
    found: list[dict[str, Any]] = []
    if own in call.catalog.nodes:
        found += [shapes.check(one, call.catalog.nodes[own]) for one in call.catalog.nodes[own].Checks]
    for instance in call.catalog.all_instances():
        if instance.Node == own or not instance.AllocID:
            found += shapes.service_checks(instance, call.catalog.node(instance.Node))
    return {one["CheckID"]: one for one in call.filtered(found)}


async def register(call: Call) -> Any:
    """PUT /v1/agent/check/register"""
    body = wire.convert(without_underscores(await raw_body(call)), CheckBody)
    check_id = body.CheckID or body.ID or body.Name
    if not body.Name and not check_id:
        raise BadInput("Missing check name")
    node = call.context.facts.node_name
    check = check_state(body, check_id, body.Name or check_id)

    def decide() -> Change[None]:
        change = Change(None)
        at: CheckKey = (node, "", check_id)
        if body.ServiceID:
            owner = registration.own_instance(call.catalog, node, body.ServiceID)
            at = (owner.Node, owner.ID, check_id)
        else:
            registration.ensure_node(call.catalog, call.context.writer.keys, change, call.context.facts.own_node())
        registration.put_check(call.catalog, call.context.writer.keys, change, at, check)
        return change

    await call.context.writer.change(decide)
    return EMPTY


def _find(call: Call) -> CheckKey:
    at = registration.find_check(call.catalog, call.context.facts.node_name, call.params["id"])
    if at is None:
        raise NotFound(f'Unknown check ID "{call.params["id"]}"')
    return at


async def deregister(call: Call) -> Any:
    """PUT /v1/agent/check/deregister/:id"""
    at = _find(call)

    def decide() -> Change[None]:
        change = Change(None)
        if at[2] in call.catalog.added_checks.get(at[:2], {}):
            registration.drop_checks(call.context.writer.keys, change, [at])
        return change

    await call.context.writer.change(decide)
    return EMPTY


async def _set(call: Call, status: str, output: str) -> Any:
    at = _find(call)
    if call.catalog.added_checks[at[:2]][at[2]].Type != "ttl":
        raise Refused(f'CheckID "{at[2]}" does not have associated TTL')
    await call.context.writer.change(
        lambda: registration.set_check(call.catalog, call.context.writer.keys, at, status, output[:OUTPUT_LIMIT])
    )
    return EMPTY


def setting(status: str) -> Handler:
    """PUT /v1/agent/check/{pass,warn,fail}/:id?note="""

    async def handler(call: Call) -> Any:
        return await _set(call, status, call.query("note"))

    return handler


passed, warned, failed = setting(PASSING), setting(WARNING), setting(CRITICAL)


class UpdateBody(msgspec.Struct, kw_only=True):
    Status: str = ""
    Output: str = ""


async def update(call: Call) -> Any:
    """PUT /v1/agent/check/update/:id"""
    body = await call.body(UpdateBody)
    if body.Status not in {PASSING, WARNING, CRITICAL}:
        raise BadInput(f"Invalid check status: '{body.Status}'", next_step="Use passing, warning or critical.")
    return await _set(call, body.Status, body.Output)
