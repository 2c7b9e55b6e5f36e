"""/v1/agent/…: what the agent says of itself, and the parts of it that do not exist here."""

from __future__ import annotations

from typing import Any

from kokiris.discovery.api.call import EMPTY, Call
from kokiris.discovery.api.context import VERSION, AgentFacts
from kokiris.discovery.catalog import Catalog
from kokiris.discovery.model import CRITICAL, NodeEntry
from kokiris.kernel.errors import NotFound, NotSupported

ALIVE, FAILED = 1, 4
"""Serf's member states."""


def _member(entry: NodeEntry, facts: AgentFacts) -> dict[str, Any]:
    return {
        "Name": entry.Node,
        "Addr": entry.Address,
        "Port": 8301,
        "Tags": {
            "acls": "1",
            "build": VERSION,
            "dc": facts.datacenter,
            "id": entry.ID,
            "role": "consul" if entry.Node == facts.node_name else "node",
            "vsn": "2",
        },
        "Status": FAILED if entry.Status == CRITICAL else ALIVE,
        "ProtocolMin": 1,
        "ProtocolMax": 5,
        "ProtocolCur": 2,
        "DelegateMin": 2,
        "DelegateMax": 5,
        "DelegateCur": 4,
    }


def _members(catalog: Catalog, facts: AgentFacts) -> list[dict[str, Any]]:
    entries = {facts.node_name: facts.own_node(), **catalog.nodes}
    return [_member(entry, facts) for _, entry in sorted(entries.items())]


async def self_(call: Call) -> Any:
    """GET /v1/agent/self"""
    facts = call.context.facts
    own = call.catalog.nodes.get(facts.node_name) or facts.own_node()
    return {
        "Config": {
            "Datacenter": facts.datacenter,
            "PrimaryDatacenter": facts.datacenter,
            "NodeName": facts.node_name,
            "NodeID": own.ID,
            "Partition": "default",
            "Revision": "kokiris",
            "Server": True,
            "Version": VERSION,
            "BuildDate": "2026-01-01T00:00:00Z",
        },
        "DebugConfig": {
            "ACLsEnabled": True,
            "ConnectEnabled": False,
            "DNSDomain": f"{facts.domain}.",
            "DNSPort": facts.dns_port,
            "HTTPPort": facts.http_port,
            "PrimaryDatacenter": facts.datacenter,
        },
        "Coord": None,
        "Member": _member(own, facts),
        "Stats": {
            "agent": {"check_ttls": "0", "checks": "0", "services": str(len(call.catalog.instances))},
            "build": {"prerelease": "", "revision": "kokiris", "version": VERSION},
            "consul": {"leader": "true", "leader_addr": facts.leader, "server": "true", "bootstrap": "false"},
            "raft": {"commit_index": str(call.catalog.revision), "applied_index": str(call.catalog.revision)},
        },
        "Meta": own.Meta,
    }


async def members(call: Call) -> Any:
    """GET /v1/agent/members"""
    return _members(call.catalog, call.context.facts)


async def version(call: Call) -> Any:
    """GET /v1/agent/version"""
    return {"SHA": "kokiris", "BuildDate": "2026-01-01T00:00:00Z", "HumanVersion": VERSION, "FIPS": ""}


async def metrics(call: Call) -> Any:
    """GET /v1/agent/metrics: few, but true."""
    catalog = call.catalog
    values = {
        "consul.state.services": len(catalog.service_tags()),
        "consul.state.service_instances": len(catalog.instances),
        "consul.state.nodes": len(catalog.nodes),
        "consul.state.kv_entries": len(catalog.kv.entries),
        "consul.session_ttl.active": len(catalog.sessions),
        "consul.http.blocking_queries": catalog.topics.waiting(),
    }
    gauges = [{"Name": name, "Value": value, "Labels": {}} for name, value in values.items()]
    return {"Timestamp": "", "Gauges": gauges, "Points": [], "Counters": [], "Samples": []}


async def host(call: Call) -> Any:
    """GET /v1/agent/host"""
    return {"Host": {"hostname": call.context.facts.node_name}, "CollectionTime": call.context.now_ns()}


async def reload(call: Call) -> Any:
    """PUT /v1/agent/reload: there is nothing that needs it."""
    return EMPTY


async def not_a_gossip_cluster(call: Call) -> Any:
    """join, leave, force-leave: nodes come and go through kokiris, not through gossip."""
    raise NotSupported(
        "nodes do not join or leave through this API",
        next_step="Use `kokiris node`, or the Nomad API's node endpoints.",
    )


async def no_mesh(call: Call) -> Any:
    """Everything of Connect."""
    raise NotFound("Connect must be enabled in order to use this endpoint", next_step="There is no mesh here.")
