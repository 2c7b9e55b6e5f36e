"""The canonical form of a job: all defaults filled in, policies inherited and merged, names derived. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kokiris.kernel.units import HOUR_NS, MINUTE_NS, SECOND_NS
from kokiris.kernel.wire import convert
from kokiris.orchestrator.jobspec.canonicaltask import canonical_service, canonical_task
from kokiris.orchestrator.jobspec.fold import fold_job
from kokiris.orchestrator.model.job import Job

Raw = dict[str, Any]

_RESTART_SERVICE: Raw = {
    "Attempts": 2,
    "Interval": 30 * MINUTE_NS,
    "Delay": 15 * SECOND_NS,
    "Mode": "fail",
    "RenderTemplates": False,
}
_RESTART_BATCH: Raw = {**_RESTART_SERVICE, "Attempts": 3, "Interval": 24 * HOUR_NS}
_RESCHEDULE: dict[str, Raw] = {
    "service": {
        "Attempts": 0,
        "Interval": 0,
        "Delay": 30 * SECOND_NS,
        "DelayFunction": "exponential",
        "MaxDelay": HOUR_NS,
        "Unlimited": True,
    },
    "batch": {
        "Attempts": 1,
        "Interval": 24 * HOUR_NS,
        "Delay": 5 * SECOND_NS,
        "DelayFunction": "constant",
        "MaxDelay": 0,
        "Unlimited": False,
    },
}


def canonical(raw: Mapping[str, Any], *, namespace: str | None = None) -> Job:
    """The canonical job of raw API JSON: keys in any case, durations as ns or Go's text, absent parts filled in as
    Nomad fills them. `namespace` overrides the job's own. Canonicalising twice changes nothing.

    Raises BadInput naming the field that does not fit.
    """
    job = fold_job(dict(raw))
    if namespace is not None:
        job["Namespace"] = namespace
    for name, default in (("Namespace", "default"), ("Region", "global"), ("NodePool", "default")):
        job[name] = job.get(name) or default
    job.setdefault("Name", job.get("ID", ""))
    job["Type"] = job.get("Type") or "service"
    if not job.get("Priority"):
        job["Priority"] = 50
    job.setdefault("Datacenters", ["*"])
    if job["Type"] in {"service", "system"}:
        job.setdefault("Update", {})
    for group in job.get("TaskGroups", []):
        _group(group, job)
    return convert(job, Job)


def _group(group: Raw, job: Raw) -> None:
    kind = job["Type"]
    scaling = group.get("Scaling")
    if "Count" not in group:
        group["Count"] = (scaling or {}).get("Min", 1)
    if scaling is not None:
        scaling.setdefault("Min", group["Count"])
        scaling["Type"] = scaling.get("Type") or "horizontal"
    group.setdefault("EphemeralDisk", {})
    if group["EphemeralDisk"].get("Migrate"):
        group["EphemeralDisk"]["Sticky"] = True
    _inherit(group, "Update", job.get("Update"))
    _inherit(group, "Migrate", job.get("Migrate"))
    if kind == "service":
        group.setdefault("Migrate", {})
    _inherit(group, "ReschedulePolicy", job.get("Reschedule"))
    default = _RESCHEDULE.get(kind)
    if default is not None:
        group["ReschedulePolicy"] = {**default, **group.get("ReschedulePolicy", {})}
    restart = _RESTART_SERVICE if kind in {"service", "system"} else _RESTART_BATCH
    group["RestartPolicy"] = {**restart, **group.get("RestartPolicy", {})}
    for name, volume in group.get("Volumes", {}).items():
        if not volume.get("Name"):
            volume["Name"] = name
    for task in group.get("Tasks", []):
        canonical_task(task, group, job)
    for network in group.get("Networks", []):
        network["Mode"] = network.get("Mode") or "host"
    for service in group.get("Services", []):
        canonical_service(service, None, group, job)


def _inherit(group: Raw, name: str, from_job: Raw | None) -> None:
    """The job's policy, overlaid by the group's."""
    if from_job is not None:
        group[name] = {**from_job, **group.get(name, {})}
