"""/v1/health/…: instances with the results of their checks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kokiris.discovery.api import shapes
from kokiris.discovery.api.call import Call
from kokiris.discovery.model import NodeEntry, ServiceInstance
from kokiris.kernel.errors import BadInput

STATES = frozenset({"any", "passing", "warning", "critical", "unknown", "maintenance"})


def has_node_meta(entry: NodeEntry, wanted: Iterable[str]) -> bool:
    """Whether the node carries every `key:value` (or `key`) of `wanted`."""
    for pair in wanted:
        key, _, value = pair.partition(":")
        if key not in entry.Meta or (value and entry.Meta[key] != value):
            return False
    return True


def selected(call: Call, instances: Iterable[ServiceInstance]) -> list[ServiceInstance]:
    """Those that `?tag=…&tag=…` and `?node-meta=…` select. Tags match without regard to case."""
    wanted = [tag.lower() for tag in call.all_of("tag") if tag]
    metas = call.all_of("node-meta")
    found = list(instances)
    if wanted:
        found = [one for one in found if {tag.lower() for tag in one.Tags}.issuperset(wanted)]
    if metas:
        found = [one for one in found if has_node_meta(call.catalog.node(one.Node), metas)]
    return found


def entries(call: Call, service: str, passing: bool) -> list[dict[str, Any]]:
    """Of a service, filtered as the request asks."""
    instances = selected(call, call.catalog.instances_of(service))
    if passing:
        instances = [one for one in instances if call.catalog.status_of(one) == "passing"]
    return call.filtered([shapes.health_entry(call.catalog, one) for one in instances])


async def service(call: Call) -> Any:
    """GET /v1/health/service/:service"""
    name = call.params["service"]
    await call.block(("service", name))
    passing = call.flag("passing")
    if not call.has("tag") and not call.has("filter") and not call.has("node-meta"):
        return call.shared_body(("health", name, str(passing)), lambda: entries(call, name, passing))
    return entries(call, name, passing)


async def connect(call: Call) -> Any:
    """GET /v1/health/connect/:service, /v1/health/ingress/:service: there is no mesh."""
    await call.block(("service", call.params["service"]))
    return []


async def checks(call: Call) -> Any:
    """GET /v1/health/checks/:service"""
    name = call.params["service"]
    await call.block(("service", name))
    found: list[dict[str, Any]] = []
    for one in selected(call, call.catalog.instances_of(name)):
        found += shapes.service_checks(one, call.catalog.node(one.Node))
    return call.filtered(found)


async def node(call: Call) -> Any:
    """GET /v1/health/node/:node"""
    name = call.params["node"]
    await call.block(("node", name))
    if name not in call.catalog.nodes:
        return []
    entry = call.catalog.nodes[name]
    found = shapes.node_checks(entry)
    for one in call.catalog.instances_on(name):
        found += shapes.service_checks(one, entry)
    return call.filtered(found)


async def state(call: Call) -> Any:
    """GET /v1/health/state/:state"""
    name = call.params["state"]
    if name not in STATES:
        raise BadInput(f'Invalid state "{name}"', next_step="Use any, passing, warning or critical.")
    await call.block(("checks",))
    metas = call.all_of("node-meta")
    found = shapes.all_checks(call.catalog)
    if name != "any":
        found = [one for one in found if one["Status"] == name]
    if metas:
        found = [one for one in found if has_node_meta(call.catalog.node(one["Node"]), metas)]
    return call.filtered(found)
