"""`kokiris node …`."""

from __future__ import annotations

from typing import Any

import click

from kokiris.cli.client import Client
from kokiris.cli.flags import Command, flag, json_output, value
from kokiris.cli.jobtext import allocation_table
from kokiris.cli.output import as_json, pairs, say, short, table
from kokiris.cli.session import ApiGroup, find_by_id, open_client
from kokiris.kernel.errors import BadInput
from kokiris.kernel.units import parse_duration_ns


@click.group("node", cls=ApiGroup)
def node_group() -> None:
    """Look at nodes, drain them."""


@click.command("status", cls=Command, examples="kokiris node status\nkokiris node status -self")
@click.argument("node", required=False, default="")
@flag("self", "The node that answers: the infra's only one, for instance.")
@flag("short", "Without resources and allocations.")
@flag("quiet", "Only the ids.")
@json_output
@flag("verbose", "Show whole ids and attributes.")
def status_command(node: str, **given: Any) -> None:
    """Lists the nodes, or shows one with its resources and allocations."""
    client = open_client()
    node = _self(client) if given["self"] else node
    if not node:
        stubs = client.get("/v1/nodes").data
        if given["json"]:
            as_json(stubs)
        elif given["quiet"]:
            say("\n".join(short(stub["ID"], whole=given["verbose"]) for stub in stubs))
        else:
            say(node_list(stubs, verbose=given["verbose"]))
        return
    found = client.get(f"/v1/node/{find_by_id(client, '/v1/nodes', node, 'node')['ID']}").data
    if given["json"]:
        as_json(found)
    elif given["quiet"]:
        say(short(found["ID"], whole=given["verbose"]))
    elif given["short"]:
        say(node_list([found], verbose=given["verbose"]))
    else:
        allocations = client.get(f"/v1/node/{found['ID']}/allocations").data
        say(node_detail(found, allocations, verbose=given["verbose"]))


def _meant(client: Client, node: str, *, own: bool) -> str:
    """The id of the node named, or of the one that answers. Raises BadInput unless exactly one is asked for."""
    if bool(node) == own:
        raise BadInput("give either a node or -self", next_step="`kokiris node status` lists the nodes.")
    return _self(client) if own else str(find_by_id(client, "/v1/nodes", node, "node")["ID"])


def _self(client: Client) -> str:
    """The id of the node that answers. Raises BadInput when a server without a worker does."""
    stats = client.get("/v1/agent/self").data.get("stats") or {}
    node_id = (stats.get("client") or {}).get("node_id", "")
    if not node_id:
        raise BadInput("what answers is a server, not a node", next_step="`kokiris node status` lists the nodes.")
    return str(node_id)


def node_list(stubs: list[dict[str, Any]], *, verbose: bool) -> str:
    """A row a node. Pure."""
    rows: list[tuple[object, ...]] = [("ID", "Node Pool", "DC", "Name", "Class", "Drain", "Eligibility", "Status")]
    for stub in stubs:
        rows.append(
            (
                short(stub["ID"], whole=verbose),
                stub["NodePool"],
                stub["Datacenter"],
                stub["Name"],
                stub["NodeClass"],
                str(stub["Drain"]).lower(),
                stub["SchedulingEligibility"],
                stub["Status"],
            )
        )
    return table(rows)


def node_detail(node: dict[str, Any], allocations: list[dict[str, Any]], *, verbose: bool) -> str:
    """Everything about one node. Pure."""
    drivers = [
        f"{name}{'' if info['Healthy'] else ' (unhealthy)'}"
        for name, info in sorted((node["Drivers"] or {}).items())
        if info["Detected"]
    ]
    head = pairs(
        [
            ("ID", node["ID"]),
            ("Name", node["Name"]),
            ("Node Pool", node["NodePool"]),
            ("Class", node["NodeClass"]),
            ("DC", node["Datacenter"]),
            ("Drain", str(node["Drain"]).lower()),
            ("Eligibility", node["SchedulingEligibility"]),
            ("Status", node["Status"]),
            ("Drivers", ",".join(drivers)),
        ]
    )
    sections = [head]
    events: list[tuple[object, ...]] = [("Time", "Subsystem", "Message")]
    events += [(event["Timestamp"][:19], event["Subsystem"], event["Message"]) for event in node["Events"] or []]
    if len(events) > 1:
        sections.append("Node Events\n" + table(events))
    sections.append("Allocated Resources\n" + _resources(node, allocations))
    sections.append("Allocations\n" + allocation_table(_as_stubs(allocations), verbose=verbose))
    if verbose:
        sections.append("Attributes\n" + pairs(sorted((node["Attributes"] or {}).items())))
    return "\n\n".join(sections)


def _resources(node: dict[str, Any], allocations: list[dict[str, Any]]) -> str:
    cpu = memory = 0
    for alloc in allocations:
        if alloc["ClientStatus"] in {"pending", "running"}:
            for task in ((alloc.get("AllocatedResources") or {}).get("Tasks") or {}).values():
                cpu += (task.get("Cpu") or {}).get("CpuShares", 0)
                memory += (task.get("Memory") or {}).get("MemoryMB", 0)
    capacity = node["NodeResources"] or {}
    total_cpu = (capacity.get("Cpu") or {}).get("CpuShares", 0)
    total_memory = (capacity.get("Memory") or {}).get("MemoryMB", 0)
    return table([("CPU", "Memory"), (f"{cpu}/{total_cpu} MHz", f"{memory}/{total_memory} MiB")])


def _as_stubs(allocations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**alloc, "JobVersion": (alloc.get("Job") or {}).get("Version", "")} for alloc in allocations]


@click.command("eligibility", cls=Command, examples="kokiris node eligibility -disable 8f2a")
@click.argument("node", required=False, default="")
@flag("self", "The node that answers.")
@flag("enable", "Place allocations on it again.")
@flag("disable", "Place nothing new on it.")
def eligibility_command(node: str, enable: bool, disable: bool, **given: Any) -> None:
    """Says whether a node may get new allocations."""
    if enable == disable:
        raise BadInput("give exactly one of -enable and -disable")
    client = open_client()
    node_id = _meant(client, node, own=given["self"])
    wanted = "eligible" if enable else "ineligible"
    client.put(f"/v1/node/{node_id}/eligibility", {"NodeID": node_id, "Eligibility": wanted})
    say(f'Node "{node_id}" scheduling eligibility set: {wanted} for scheduling')


@click.command("drain", cls=Command, examples="kokiris node drain -enable 8f2a\nkokiris node drain -disable 8f2a")
@click.argument("node", required=False, default="")
@flag("self", "The node that answers.")
@flag("enable", "Move its allocations elsewhere.")
@flag("disable", "End the drain.")
@value("deadline", "When allocations are moved by force.", default="1h", metavar="DURATION")
@flag("force", "Move everything at once.")
@flag("no-deadline", "Wait for ever.")
@flag("ignore-system", "Leave system jobs.")
@flag("keep-ineligible", "With -disable: place nothing new on it all the same.")
@flag("detach", "Do not wait.")
@flag("yes", "Accepted for scripts; no question is asked.")
def drain_command(node: str, **given: Any) -> None:
    """Moves the allocations of a node elsewhere, as fast as their jobs allow."""
    if given["enable"] == given["disable"]:
        raise BadInput("give exactly one of -enable and -disable")
    client = open_client()
    node_id = _meant(client, node, own=given["self"])
    body: dict[str, Any] = {"NodeID": node_id, "DrainSpec": None, "MarkEligible": not given["keep_ineligible"]}
    if given["enable"]:
        deadline_ns = -1 if given["force"] else 0 if given["no_deadline"] else parse_duration_ns(given["deadline"])
        body |= {
            "DrainSpec": {"Deadline": deadline_ns, "IgnoreSystemJobs": given["ignore_system"]},
            "MarkEligible": False,
        }
    answer = client.put(f"/v1/node/{node_id}/drain", body)
    if given["disable"]:
        say(f'Node "{node_id}" drain strategy unset')
        return
    say(f'Node "{node_id}" drain strategy set')
    index = answer.index
    while not given["detach"]:
        found = client.get(f"/v1/node/{node_id}", {"index": index, "wait": "60s"}, timeout_s=330)
        if not found.data["Drain"]:
            say(f'Drain complete for node "{node_id}"')
            return
        index = found.index


for one in (status_command, eligibility_command, drain_command):
    node_group.add_command(one)
