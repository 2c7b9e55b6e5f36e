"""Jobs as text, in the layout of `nomad job status`. Pure."""

from __future__ import annotations

import sys
import time
from typing import Any

from kokiris.cli.monitor import deployment_table, placement_reasons
from kokiris.cli.output import ago, pairs, short, table, when


def job_list(stubs: list[dict[str, Any]]) -> str:
    """ "" when there are none."""
    if not stubs:
        return ""
    rows: list[tuple[object, ...]] = [("ID", "Type", "Priority", "Status", "Submit Date")]
    for stub in stubs:
        status = f"{stub['Status']} (stopped)" if stub["Stop"] else stub["Status"]
        rows.append((stub["ID"], stub["Type"], stub["Priority"], status, when(stub["SubmitTime"])))
    return table(rows)


def job_detail(parts: dict[str, Any], *, verbose: bool, brief: bool = False) -> str:
    """Everything about one job; `brief` leaves out what changes from minute to minute."""
    job = parts["job"]
    status = f"{job['Status']} (stopped)" if job["Stop"] else job["Status"]
    text = pairs(
        [
            ("ID", job["ID"]),
            ("Name", job["Name"]),
            ("Submit Date", when(job["SubmitTime"])),
            ("Type", job["Type"]),
            ("Priority", job["Priority"]),
            ("Datacenters", ",".join(job["Datacenters"] or [])),
            ("Namespace", job["Namespace"]),
            ("Node Pool", job["NodePool"]),
            ("Status", status),
            ("Periodic", str(job["Periodic"] is not None).lower()),
            ("Parameterized", str(job["ParameterizedJob"] is not None).lower()),
        ]
    )
    if brief:
        return text
    sections = [text, f"Summary\n{summary_table(parts['summary'])}"]
    blocked = [one for one in parts["evaluations"] if one["Status"] == "blocked"]
    if blocked and blocked[0].get("FailedTGAllocs"):
        sections.append("Placement Failure\n" + failure_text(blocked[0]["FailedTGAllocs"]))
    deployment = parts["deployment"]
    if deployment:
        head = pairs(
            [
                ("ID", short(deployment["ID"], whole=verbose)),
                ("Status", deployment["Status"]),
                ("Description", deployment["StatusDescription"]),
            ]
        )
        sections.append(f"Latest Deployment\n{head}\n\nDeployed\n{deployment_table(deployment)}")
    sections.append(f"Allocations\n{allocation_table(parts['allocations'], verbose=verbose)}")
    return "\n\n".join(sections)


def summary_table(summary: dict[str, Any]) -> str:
    """The counts per group."""
    states = ("Queued", "Starting", "Running", "Failed", "Complete", "Lost", "Unknown")
    rows: list[tuple[object, ...]] = [("Task Group", *states)]
    for group, counts in sorted((summary["Summary"] or {}).items()):
        rows.append((group, *(counts[state] for state in states)))
    return table(rows)


def allocation_table(stubs: list[dict[str, Any]], *, verbose: bool = False, with_job: bool = False) -> str:
    """Newest first; `with_job` when they are of several jobs."""
    if not stubs:
        return "No allocations placed"
    now_ns = time.time_ns()
    rows: list[tuple[object, ...]] = [
        ("ID", "Node ID", *(("Job ID",) if with_job else ()), "Task Group", "Version", "Desired", "Status", "Created",
         "Modified")
    ]  # fmt: skip
    for stub in sorted(stubs, key=lambda one: one["CreateIndex"], reverse=True):
        rows.append(
            (
                short(stub["ID"], whole=verbose),
                short(stub["NodeID"], whole=verbose),
                *((stub["JobID"],) if with_job else ()),
                stub["TaskGroup"],
                stub["JobVersion"],
                stub["DesiredStatus"],
                stub["ClientStatus"],
                ago(stub["CreateTime"], now_ns),
                ago(stub["ModifyTime"], now_ns),
            )
        )
    return table(rows)


def failure_text(failed: dict[str, Any]) -> str:
    """Per group, why nothing was placed."""
    lines = []
    for group, metric in failed.items():
        lines.append(f'Task Group "{group}":')
        lines += [f"  * {reason}" for reason in placement_reasons(metric)]
    return "\n".join(lines)


def plan_failures(plan: dict[str, Any]) -> str:
    """ "" when a dry run placed everything."""
    failed = plan.get("FailedTGAllocs") or {}
    if not failed:
        return ""
    lines = ["- WARNING: Failed to place all allocations."]
    for group, metric in failed.items():
        unplaced = metric.get("CoalescedFailures", 0) + 1
        lines.append(f'  Task Group "{group}" (failed to place {unplaced} allocation{"s" if unplaced > 1 else ""}):')
        lines += [f"    * {reason}" for reason in placement_reasons(metric)]
    return "\n".join(lines)


def diff_text(diff: dict[str, Any], *, verbose: bool) -> str:
    """What a version changes, in the layout of `nomad job plan`; in color on a terminal."""
    from kokiris.kernel.wire import convert  # noqa: PLC0415 - only `plan` and `history` need them
    from kokiris.orchestrator.diff import JobDiff, render_diff  # noqa: PLC0415 - as above

    return render_diff(convert(diff, JobDiff), verbose=verbose, color=sys.stdout.isatty())
