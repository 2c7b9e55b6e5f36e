"""/v1/catalog/… reads: nodes and services, whatever their health."""

from __future__ import annotations

from typing import Any

from kokiris.discovery.api import shapes
from kokiris.discovery.api.call import Call
from kokiris.discovery.api.health import has_node_meta, selected


async def datacenters(call: Call) -> Any:
    """GET /v1/catalog/datacenters"""
    return [call.context.facts.datacenter]


async def nodes(call: Call) -> Any:
    """GET /v1/catalog/nodes"""
    await call.block(("nodes",))
    metas = call.all_of("node-meta")
    found = [entry for _, entry in sorted(call.catalog.nodes.items()) if has_node_meta(entry, metas)]
    return call.filtered([shapes.node(entry) for entry in found])


async def services(call: Call) -> Any:
    """GET /v1/catalog/services: declared services are listed too, so that a known route is never "unknown"."""
    await call.block(("services",))
    metas = call.all_of("node-meta")
    if metas:
        tags: dict[str, set[str]] = {}
        for one in call.catalog.all_instances():
            if has_node_meta(call.catalog.node(one.Node), metas):
                tags.setdefault(one.Service, set()).update(one.Tags)
        return {name: sorted(of_name) for name, of_name in sorted(tags.items())}
    if call.has("filter"):
        listed = [
            {"ServiceName": name, "ServiceTags": of_name} for name, of_name in call.catalog.service_tags().items()
        ]
        return {one["ServiceName"]: one["ServiceTags"] for one in call.filtered(listed)}
    return call.shared_body(("services",), call.catalog.service_tags)


async def service(call: Call) -> Any:
    """GET /v1/catalog/service/:service"""
    name = call.params["service"]
    await call.block(("service", name))
    found = selected(call, call.catalog.instances_of(name))
    return call.filtered([shapes.catalog_service(one, call.catalog.node(one.Node)) for one in found])


async def connect(call: Call) -> Any:
    """GET /v1/catalog/connect/:service, gateway-services/:gateway: there is no mesh."""
    await call.block(("services",))
    return []


async def node(call: Call) -> Any:
    """GET /v1/catalog/node/:node: null for an unknown node."""
    name = call.params["node"]
    await call.block(("node", name))
    entry = call.catalog.nodes.get(name)
    if entry is None:
        return None
    found = call.filtered([shapes.service(one) for one in call.catalog.instances_on(name)])
    return {"Node": shapes.node(entry), "Services": {one["ID"]: one for one in found}}


async def node_services(call: Call) -> Any:
    """GET /v1/catalog/node-services/:node"""
    name = call.params["node"]
    await call.block(("node", name))
    entry = call.catalog.nodes.get(name)
    if entry is None:
        return None
    found = [shapes.service(one) for one in call.catalog.instances_on(name)]
    return {"Node": shapes.node(entry), "Services": call.filtered(found)}
