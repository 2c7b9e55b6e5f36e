"""Allocations as text, in the layout of `nomad alloc status`. Pure."""

from __future__ import annotations

from typing import Any

from kokiris.cli.output import ago, pairs, short, table, when
from kokiris.kernel.clock import parse_rfc3339_ns


def alloc_detail(alloc: dict[str, Any], checks: dict[str, Any], now_ns: int, *, verbose: bool) -> str:
    """Everything about one allocation."""
    health = alloc.get("DeploymentStatus") or {}
    rows: list[tuple[str, object]] = [
        ("ID", alloc["ID"]),
        ("Eval ID", short(alloc["EvalID"], whole=verbose)),
        ("Name", alloc["Name"]),
        ("Node ID", short(alloc["NodeID"], whole=verbose)),
        ("Node Name", alloc["NodeName"]),
        ("Job ID", alloc["JobID"]),
        ("Job Version", (alloc.get("Job") or {}).get("Version", "")),
        ("Client Status", alloc["ClientStatus"]),
        ("Client Description", alloc["ClientDescription"]),
        ("Desired Status", alloc["DesiredStatus"]),
        ("Desired Description", alloc["DesiredDescription"]),
        ("Created", ago(alloc["CreateTime"], now_ns)),
        ("Modified", ago(alloc["ModifyTime"], now_ns)),
    ]
    if alloc.get("DeploymentID"):
        rows.append(("Deployment ID", short(alloc["DeploymentID"], whole=verbose)))
        rows.append(("Deployment Health", _health(health.get("Healthy"))))
    sections = [pairs(rows)]
    ports = ((alloc.get("AllocatedResources") or {}).get("Shared") or {}).get("Ports") or []
    if ports:
        lines: list[tuple[object, ...]] = [("Label", "Dynamic", "Address")]
        static = _static_ports(alloc)
        lines += [(port["Label"], "no" if port["Label"] in static else "yes", _mapping(port)) for port in ports]
        sections.append("Allocation Addresses:\n" + table(lines))
    if checks:
        sections.append("Checks:\n" + check_table(checks))
    for name, state in sorted((alloc.get("TaskStates") or {}).items()):
        sections.append(_task(name, state))
    return "\n\n".join(sections)


def _static_ports(alloc: dict[str, Any]) -> set[str]:
    """The labels of ports that the group asks for by number."""
    groups = (alloc.get("Job") or {}).get("TaskGroups") or []
    networks = [net for group in groups if group["Name"] == alloc["TaskGroup"] for net in group["Networks"] or []]
    return {port["Label"] for net in networks for port in net["ReservedPorts"] or []}


def check_table(checks: dict[str, Any]) -> str:
    """A row a check."""
    rows: list[tuple[object, ...]] = [("Service", "Name", "Mode", "Status", "Output")]
    rows += [(one["Service"], one["Check"], one["Mode"], one["Status"], _first_line(one)) for one in checks.values()]
    return table(rows)


def _first_line(check: dict[str, Any]) -> str:
    lines = check["Output"].splitlines()
    return lines[0][:60] if lines else ""


def _health(healthy: bool | None) -> str:
    return "unset" if healthy is None else "healthy" if healthy else "unhealthy"


def _mapping(port: dict[str, Any]) -> str:
    inside = f" -> {port['To']}" if port["To"] > 0 else ""
    return f"{port['HostIP']}:{port['Value']}{inside}"


def _task(name: str, state: dict[str, Any]) -> str:
    head = f'Task "{name}" is "{state["State"]}"{" (failed)" if state["Failed"] else ""}'
    times = pairs(
        [
            ("Started At", when(parse_rfc3339_ns(state["StartedAt"]))),
            ("Finished At", when(parse_rfc3339_ns(state["FinishedAt"]))),
            ("Total Restarts", state["Restarts"]),
        ]
    )
    rows: list[tuple[object, ...]] = [("Time", "Type", "Description")]
    for event in reversed(state["Events"] or []):
        rows.append((when(event["Time"]), event["Type"], event["DisplayMessage"]))
    return f"{head}\n\n{times}\n\nRecent Events:\n{table(rows)}"


def file_list(entries: list[dict[str, Any]]) -> str:
    """A folder's entries."""
    rows: list[tuple[object, ...]] = [("Mode", "Size", "Modified Time", "Name")]
    for entry in sorted(entries, key=lambda one: one["Name"]):
        name = entry["Name"] + ("/" if entry["IsDir"] else "")
        rows.append((entry["FileMode"], entry["Size"], when(parse_rfc3339_ns(entry["ModTime"])), name))
    return table(rows)
