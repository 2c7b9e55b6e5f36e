"""/v1/agent/service…: services registered through the agent. Its clients are those of the whole infra: what was
registered through the API on any node is listed, as requests may reach any server."""

from __future__ import annotations

import hashlib
from typing import Any

import falcon
import msgspec

from kokiris.discovery import registration
from kokiris.discovery.api import shapes
from kokiris.discovery.api.call import ANSWERED, EMPTY, Call
from kokiris.discovery.api.requests import checks_of, instance_of, raw_body, service_body
from kokiris.discovery.model import ServiceInstance
from kokiris.discovery.writer import Change
from kokiris.http.app import TEXT_TYPE, while_connected
from kokiris.http.blocking import parse
from kokiris.kernel.errors import BadInput, NotFound

HTTP_STATUS = {"passing": 200, "warning": 429, "critical": 503, "maintenance": 503}


def _own(call: Call) -> list[ServiceInstance]:
    own = call.context.facts.node_name
    return [one for _, one in sorted(call.catalog.instances.items()) if one.Node == own or not one.AllocID]


async def listing(call: Call) -> Any:
    """GET /v1/agent/services: by service id."""
    datacenter = call.context.facts.datacenter
    shaped = [shapes.agent_service(one, datacenter) for one in _own(call)]
    return {one["ID"]: one for one in call.filtered(shaped)}


async def service(call: Call) -> Any:
    """GET /v1/agent/service/:id, blocking on `?hash=`."""
    wanted, name = call.query("hash"), call.params["id"]
    wait_s = parse(call.req).wait_s
    body, digest = _hashed(call, name)
    if wanted and digest == wanted:
        topic = ("instance", name)
        index = call.catalog.topics.index(topic)
        await while_connected(call.req, call.catalog.topics.wait([topic], index, wait_s))
        body, digest = _hashed(call, name)
    call.resp.set_header("X-Consul-ContentHash", digest)
    return body


def _hashed(call: Call, name: str) -> tuple[bytes, str]:
    try:
        found = registration.own_instance(call.catalog, call.context.facts.node_name, name)
    except NotFound:
        raise NotFound(f'unknown service ID: "{name}"') from None
    shape = shapes.agent_service(found, call.context.facts.datacenter)
    digest = hashlib.blake2b(msgspec.json.encode(shape), digest_size=8).hexdigest()
    return msgspec.json.encode({**shape, "ContentHash": digest}), digest


async def register(call: Call) -> Any:
    """PUT /v1/agent/service/register"""
    body = service_body(await raw_body(call))
    instance = instance_of(body, call.context.facts.node_name)
    checks = checks_of(body, instance)
    replace_checks, keys = call.flag("replace-existing-checks"), call.context.writer.keys

    def decide() -> Change[None]:
        change = Change(None)
        registration.ensure_node(call.catalog, keys, change, call.context.facts.own_node())
        registration.put_instance(call.catalog, keys, change, instance, checks, replace_checks=replace_checks)
        return change

    await call.context.writer.change(decide)
    return EMPTY


async def deregister(call: Call) -> Any:
    """PUT /v1/agent/service/deregister/:id"""
    own, name = call.context.facts.node_name, call.params["id"]
    found = registration.own_instance(call.catalog, own, name)

    def decide() -> Change[None]:
        change = Change(None)
        registration.drop_instance(call.catalog, call.context.writer.keys, change, found.Node, found.ID)
        return change

    await call.context.writer.change(decide)
    return EMPTY


def _wants(call: Call) -> bool:
    raw = call.query("enable")
    if not raw:
        raise BadInput("Missing value for enable")
    if raw.lower() not in {"1", "0", "t", "f", "true", "false"}:
        raise BadInput(f'Invalid value for enable: "{raw}"')
    return raw.lower() in {"1", "t", "true"}


async def maintenance(call: Call) -> Any:
    """PUT /v1/agent/service/maintenance/:id?enable=true&reason=…"""
    found = registration.own_instance(call.catalog, call.context.facts.node_name, call.params["id"])
    return await _maintain(call, found, found.Node, _wants(call))


async def node_maintenance(call: Call) -> Any:
    """PUT /v1/agent/maintenance?enable=true&reason=…"""
    return await _maintain(call, None, call.context.facts.node_name, _wants(call))


async def _maintain(call: Call, instance: ServiceInstance | None, node: str, enable: bool) -> Any:
    keys, check = call.context.writer.keys, registration.maintenance_check(instance, call.query("reason"))
    at = (node, instance.ID if instance else "", check.CheckID)

    def decide() -> Change[None]:
        change = Change(None)
        if instance is None:
            registration.ensure_node(call.catalog, keys, change, call.context.facts.own_node())
        if enable:
            registration.put_check(call.catalog, keys, change, at, check)
        elif at[2] in call.catalog.added_checks.get(at[:2], {}):
            registration.drop_checks(keys, change, [at])
        return change

    await call.context.writer.change(decide)
    return EMPTY


def _health_of(call: Call, one: ServiceInstance) -> str:
    maintained = {registration.NODE_MAINTENANCE, registration.SERVICE_MAINTENANCE + one.ID}
    checks = [*one.Checks, *call.catalog.node_of(one).Checks]
    return "maintenance" if maintained & {check.CheckID for check in checks} else call.catalog.status_of(one)


async def _answer_health(call: Call, found: list[ServiceInstance], as_list: bool) -> Any:
    states = [(_health_of(call, one), one) for one in found]
    order = list(HTTP_STATUS)
    worst = max((state for state, _ in states), key=order.index)
    call.resp.status = falcon.code_to_http_status(HTTP_STATUS[worst])
    if call.query("format") == "text":
        call.resp.content_type = TEXT_TYPE
        call.resp.text = worst
        return ANSWERED
    listed = [_health_entry(call, state, one) for state, one in states]
    return listed if as_list else listed[0]


def _health_entry(call: Call, state: str, one: ServiceInstance) -> dict[str, Any]:
    entry = call.catalog.node_of(one)
    return {
        "AggregatedStatus": state,
        "Service": shapes.agent_service(one, call.context.facts.datacenter),
        "Checks": [*shapes.node_checks(entry)[1:], *shapes.service_checks(one, entry)],
    }


async def health_by_id(call: Call) -> Any:
    """GET /v1/agent/health/service/id/:id: the status code carries the health."""
    found = [one for one in _own(call) if call.params["id"] == one.ID]
    if not found:
        raise NotFound(f"ServiceId {call.params['id']} not found")
    return await _answer_health(call, found, as_list=False)


async def health_by_name(call: Call) -> Any:
    """GET /v1/agent/health/service/name/:name"""
    found = [one for one in _own(call) if one.Service == call.params["name"]]
    if not found:
        raise NotFound(f"ServiceName {call.params['name']} not found")
    return await _answer_health(call, found, as_list=True)
