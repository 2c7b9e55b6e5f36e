"""`/v1/status`, `/v1/regions`, `/v1/agent`: what the servers say of themselves."""

from __future__ import annotations

import sys
from typing import Any

from kokiris.kernel.errors import BadInput, NotSupported
from kokiris.orchestrator.api.call import EMPTY, Call
from kokiris.orchestrator.api.context import VERSION
from kokiris.orchestrator.api.errors import NotImplementedHere


async def leader(call: Call) -> str:
    """GET /v1/status/leader: "ip:4647"."""
    return call.context.identity.rpc_address


async def peers(call: Call) -> list[str]:
    """GET /v1/status/peers."""
    return list(call.context.identity.peers)


async def regions(call: Call) -> list[str]:
    """GET /v1/regions."""
    return [call.context.identity.region]


def _member(call: Call) -> dict[str, Any]:
    me = call.context.identity
    return {
        "Name": me.name,
        "Addr": me.rpc_host,
        "Port": me.rpc_port + 1,
        "Tags": {
            "bootstrap": "1",
            "build": VERSION,
            "dc": me.datacenter,
            "expect": str(len(me.peers)),
            "id": me.name,
            "port": str(me.rpc_port),
            "raft_vsn": "3",
            "region": me.region,
            "role": "nomad",
            "rpc_addr": me.rpc_host,
            "vsn": "1",
        },
        "Status": "alive",
        "ProtocolMin": 1,
        "ProtocolMax": 5,
        "ProtocolCur": 2,
        "DelegateMin": 2,
        "DelegateMax": 5,
        "DelegateCur": 4,
    }


async def members(call: Call) -> dict[str, Any]:
    """GET /v1/agent/members."""
    me = call.context.identity
    return {
        "ServerName": me.name.removesuffix(f".{me.region}"),
        "ServerRegion": me.region,
        "ServerDC": me.datacenter,
        "Members": [_member(call)],
    }


async def self_(call: Call) -> dict[str, Any]:
    """GET /v1/agent/self. `config` holds no secret: only what identifies the server."""
    me = call.context.identity
    name = me.name.removesuffix(f".{me.region}")
    node = next((one for one in call.state.nodes.values() if one.Name == name), None)
    return {
        "config": {
            "Region": me.region,
            "Datacenter": me.datacenter,
            "NodeName": name,
            "Version": {"Version": VERSION, "Revision": "", "VersionPrerelease": "", "VersionMetadata": "kokiris"},
            "Server": {"Enabled": True},
            "Client": {"Enabled": node is not None},
            "ACL": {"Enabled": True},
            "UI": {"Enabled": True},
        },
        "member": _member(call),
        "stats": {
            **({} if node is None else {"client": {"node_id": node.ID}}),
            "nomad": {
                "server": "true",
                "leader": str(call.context.commands.is_leader).lower(),
                "leader_addr": me.rpc_address,
                "bootstrap": "true",
                "known_regions": "1",
            },
            "runtime": {"version": sys.version.split()[0], "kernel.name": sys.platform},
        },
    }


async def health(call: Call) -> dict[str, Any]:
    """GET /v1/agent/health[?type=server]: 200 while this process answers."""
    kind = call.query("type")
    if kind not in {"", "client", "server"}:
        raise BadInput(f'unknown health type "{kind}"', next_step="Ask for client or server, or leave it out.")
    if kind == "client":
        return {}
    return {"server": {"ok": True, "message": "ok"}}


async def join(call: Call) -> dict[str, Any]:
    """PUT or POST /v1/agent/join: 200 with the reason it did not happen, as Nomad answers a failed join."""
    return {
        "num_joined": 0,
        "error": f"{call.query('address') or 'no address'}: servers are named in the node's configuration file",
    }


async def force_leave(call: Call) -> Any:
    """PUT or POST /v1/agent/force-leave: nothing to do, servers are not a gossip pool."""
    del call
    return EMPTY


async def servers(call: Call) -> list[str]:
    """GET /v1/agent/servers."""
    return list(call.context.identity.peers)


async def refuse_servers(call: Call) -> None:
    """PUT /v1/agent/servers."""
    raise NotSupported(
        f'server "{call.query("address")}" is not added here', next_step="Servers are in the node's configuration file."
    )


async def absent(call: Call) -> None:
    """The rest of /v1/agent."""
    raise NotImplementedHere(
        f"{call.req.path} is not part of this version", next_step="Look at the log files under the infra's data folder."
    )
