"""`/v1/system` and `/v1/operator`."""

from __future__ import annotations

from typing import Any

from kokiris.kernel.errors import BadInput, NotSupported
from kokiris.orchestrator.api.call import EMPTY, Call
from kokiris.orchestrator.api.errors import NotImplementedHere
from kokiris.orchestrator.api.responses import SchedulerConfigurationResponse
from kokiris.orchestrator.model.infra import SchedulerConfig


async def collect_garbage(call: Call) -> Any:
    """PUT /v1/system/gc."""
    await call.context.commands.collect_garbage()
    return EMPTY


async def reconcile_summaries(call: Call) -> Any:
    """PUT /v1/system/reconcile/summaries: summaries are derived on every read, so they are right already."""
    del call
    return EMPTY


async def scheduler_config(call: Call) -> SchedulerConfigurationResponse:
    """GET /v1/operator/scheduler/configuration."""
    await call.block(("scheduler_config",))
    return SchedulerConfigurationResponse(SchedulerConfig=call.state.scheduler_config, Index=call.index)


async def write_scheduler_config(call: Call) -> dict[str, Any]:
    """PUT or POST /v1/operator/scheduler/configuration[?cas=N]."""
    config = await call.body(SchedulerConfig)
    if config.SchedulerAlgorithm not in {"binpack", "spread"}:
        raise BadInput(f'invalid scheduler algorithm "{config.SchedulerAlgorithm}"', next_step="Use binpack or spread.")
    cas = call.integer("cas")
    updated, index = await call.context.commands.put_scheduler_config(config, cas=cas)
    call.index = index
    return {"Updated": updated, "Index": index, "LastContact": 0, "KnownLeader": True}


async def raft_configuration(call: Call) -> dict[str, Any]:
    """GET /v1/operator/raft/configuration: this infra's servers in Nomad's words."""
    me = call.context.identity
    call.index = max(call.state.revision, 1)
    servers = [
        {
            "ID": peer,
            "Node": me.name if peer == me.rpc_address else peer,
            "Address": peer,
            "Leader": peer == me.rpc_address,
            "Voter": True,
            "RaftProtocol": "3",
        }
        for peer in me.peers
    ]
    return {"Servers": servers, "Index": call.index}


async def remove_peer(call: Call) -> None:
    """DELETE /v1/operator/raft/peer."""
    if call.query("address"):
        raise BadInput("Must specify ?id with the server's ID: removing a peer by address is not supported")
    if not call.query("id"):
        raise BadInput("Must specify ?id with the server's ID")
    raise NotSupported(
        f'server "{call.query("id")}" is not removed through this API', next_step="Take the node out of the infra."
    )


async def autopilot_config(call: Call) -> dict[str, Any]:
    """GET /v1/operator/autopilot/configuration."""
    del call
    return {
        "CleanupDeadServers": False,
        "LastContactThreshold": "200ms",
        "MaxTrailingLogs": 250,
        "MinQuorum": 0,
        "ServerStabilizationTime": "10s",
        "EnableRedundancyZones": False,
        "DisableUpgradeMigration": False,
        "EnableCustomUpgrades": False,
        "CreateIndex": 1,
        "ModifyIndex": 1,
    }


async def autopilot_health(call: Call) -> dict[str, Any]:
    """GET /v1/operator/autopilot/health."""
    me = call.context.identity
    return {
        "Healthy": True,
        "FailureTolerance": max(0, (len(me.peers) - 1) // 2),
        "Servers": [
            {
                "ID": peer,
                "Name": me.name if peer == me.rpc_address else peer,
                "Address": peer,
                "SerfStatus": "alive",
                "Version": "",
                "Leader": peer == me.rpc_address,
                "LastContact": "0s",
                "LastTerm": 1,
                "LastIndex": call.state.revision,
                "Healthy": True,
                "Voter": True,
                "StableSince": "0001-01-01T00:00:00Z",
            }
            for peer in me.peers
        ],
        "Leader": me.rpc_address,
        "Voters": list(me.peers),
    }


async def absent(call: Call) -> None:
    """The rest of /v1/operator."""
    raise NotImplementedHere(
        f"{call.req.path} is not part of this version",
        next_step="The store's own tools back it up; keys and certificates are renewed by the servers.",
    )
