"""The catalog in the JSON shapes of Consul's API. Pure."""

from __future__ import annotations

from typing import Any

from kokiris.discovery.catalog import Catalog
from kokiris.discovery.model import NAMESPACE_META, CheckState, NodeEntry, ServiceInstance
from kokiris.kernel.names import PLATFORM

SERF_HEALTH = "serfHealth"


def node(entry: NodeEntry) -> dict[str, Any]:
    return {
        "ID": entry.ID,
        "Node": entry.Node,
        "Address": entry.Address,
        "Datacenter": entry.Datacenter,
        "TaggedAddresses": entry.TaggedAddresses,
        "Meta": entry.Meta,
        "CreateIndex": entry.CreateIndex,
        "ModifyIndex": entry.ModifyIndex,
    }


def meta(one: ServiceInstance) -> dict[str, str]:
    """An instance's Meta. The reserved key says what only the orchestrator can have written, whatever the instance's
    own Meta says: routing lets the platform's instances have the platform's addresses by it."""
    if one.Namespace == PLATFORM:
        return {**one.Meta, NAMESPACE_META: PLATFORM}
    return {key: value for key, value in one.Meta.items() if key != NAMESPACE_META}


def service(one: ServiceInstance) -> dict[str, Any]:
    """As in /v1/health/service and /v1/catalog/node."""
    return {
        "ID": one.ID,
        "Service": one.Service,
        "Tags": one.Tags,
        "Address": one.Address,
        "TaggedAddresses": one.TaggedAddresses,
        "Meta": meta(one),
        "Port": one.Port,
        "Weights": one.Weights,
        "EnableTagOverride": one.EnableTagOverride,
        "Proxy": {"Mode": "", "MeshGateway": {}, "Expose": {}},
        "Connect": {},
        "PeerName": "",
        **({"Kind": one.Kind} if one.Kind else {}),
        "CreateIndex": one.CreateIndex,
        "ModifyIndex": one.ModifyIndex,
    }


def agent_service(one: ServiceInstance, datacenter: str) -> dict[str, Any]:
    """As in /v1/agent/services."""
    shape = service(one)
    for name in ("CreateIndex", "ModifyIndex", "Proxy", "Connect"):
        del shape[name]
    return {**shape, "Datacenter": datacenter}


def catalog_service(one: ServiceInstance, of_node: NodeEntry) -> dict[str, Any]:
    """The flat shape of /v1/catalog/service."""
    return {
        "ID": of_node.ID,
        "Node": one.Node,
        "Address": of_node.Address,
        "Datacenter": of_node.Datacenter,
        "TaggedAddresses": of_node.TaggedAddresses,
        "NodeMeta": of_node.Meta,
        "ServiceKind": one.Kind,
        "ServiceID": one.ID,
        "ServiceName": one.Service,
        "ServiceTags": one.Tags,
        "ServiceAddress": one.Address,
        "ServiceTaggedAddresses": one.TaggedAddresses,
        "ServiceWeights": one.Weights,
        "ServiceMeta": meta(one),
        "ServicePort": one.Port,
        "ServiceEnableTagOverride": one.EnableTagOverride,
        "ServiceProxy": {"Mode": "", "MeshGateway": {}, "Expose": {}},
        "ServiceConnect": {},
        "CreateIndex": one.CreateIndex,
        "ModifyIndex": one.ModifyIndex,
    }


def check(state: CheckState, of_node: NodeEntry, of_service: ServiceInstance | None = None) -> dict[str, Any]:
    owner = of_service or of_node
    return {
        "Node": of_node.Node,
        "CheckID": state.CheckID,
        "Name": state.Name,
        "Status": state.Status,
        "Notes": state.Notes,
        "Output": state.Output,
        "ServiceID": of_service.ID if of_service else "",
        "ServiceName": of_service.Service if of_service else "",
        "ServiceTags": of_service.Tags if of_service else [],
        "Type": state.Type,
        "Interval": state.Interval,
        "Timeout": state.Timeout,
        "ExposedPort": 0,
        "Definition": {},
        "CreateIndex": owner.CreateIndex,
        "ModifyIndex": owner.ModifyIndex,
    }


def serf_health(of_node: NodeEntry) -> CheckState:
    """The check of the node itself: whether its worker is heard of."""
    output = "Agent alive and reachable" if of_node.Status == "passing" else "Agent not live or unreachable"
    return CheckState(CheckID=SERF_HEALTH, Name="Serf Health Status", Status=of_node.Status, Output=output)


def node_checks(of_node: NodeEntry) -> list[dict[str, Any]]:
    """The node's own checks, "serfHealth" first."""
    return [check(state, of_node) for state in (serf_health(of_node), *of_node.Checks)]


def service_checks(one: ServiceInstance, of_node: NodeEntry) -> list[dict[str, Any]]:
    return [check(state, of_node, one) for state in one.Checks]


def health_entry(catalog: Catalog, one: ServiceInstance) -> dict[str, Any]:
    """One element of /v1/health/service."""
    of_node = catalog.node_of(one)
    return {
        "Node": node(of_node),
        "Service": service(one),
        "Checks": [*node_checks(of_node), *service_checks(one, of_node)],
    }


def all_checks(catalog: Catalog) -> list[dict[str, Any]]:
    """Of every node and instance."""
    found = [one for name in sorted(catalog.nodes) for one in node_checks(catalog.nodes[name])]
    for _, instance in sorted(catalog.instances.items()):
        found += service_checks(instance, catalog.node(instance.Node))
    return found
