"""What has happened to an allocation so far, from its own state: whatever was missed lies in there. Pure."""

from __future__ import annotations

import hashlib

from kokiris.kernel.clock import parse_rfc3339_ns
from kokiris.kernel.units import HOUR_NS
from kokiris.logs.collect.events.entry import EventEntry, sentence_end
from kokiris.logs.collect.events.tasks import of_task
from kokiris.logs.model import Document
from kokiris.orchestrator.model.allocwire import Allocation, RescheduleEvent
from kokiris.orchestrator.model.evaluation import Evaluation

_ENDS = {
    "complete": ("Complete", "info", "has ended"),
    "failed": ("Failed", "error", "has failed"),
    "lost": ("Lost", "error", "is lost"),
    "unknown": ("Unknown", "warn", "is out of reach"),
}
"""Client status → type, level, words."""
_LOSSES = ("lost", "down", "failed", "unhealthy", "disconnect")
"""Words in the reason for a stop that make it a warning."""


def fields_of(alloc: Allocation) -> Document:
    """What all entries of an allocation carry."""
    return {
        "namespace": alloc.Namespace,
        "job": alloc.JobID,
        "group": alloc.TaskGroup,
        "alloc": alloc.ID,
        "node": alloc.NodeName,
        "deployment": alloc.DeploymentID,
    }


def of_allocation(alloc: Allocation) -> list[EventEntry]:
    """Every event its state tells of, oldest kind first: placed, its tasks' histories, health, to be stopped, ended."""
    fields = fields_of(alloc)
    entries = [_placed(alloc, fields)]
    for task, state in sorted((alloc.TaskStates or {}).items()):
        entries += of_task(alloc.Name, alloc.ID, task, state.Events or (), fields)
    for entry in (_health(alloc, fields), _stop(alloc, fields), _end(alloc, fields)):
        if entry is not None:
            entries.append(entry)
    return entries


def _placed(alloc: Allocation, fields: Document) -> EventEntry:
    where = alloc.NodeName or alloc.NodeID[:8]
    before = alloc.PreviousAllocation
    again = before and any(one.PrevAllocID == before for one in (_history(alloc)))
    if again:
        kind, level, text = "Rescheduled", "warn", f"is rescheduled to node {where}: allocation {before[:8]} failed"
    elif before:
        kind, level, text = "Placed", "info", f"is placed on node {where} instead of allocation {before[:8]}"
    else:
        kind, level, text = "Placed", "info", f"is placed on node {where}"
    return EventEntry(
        identifier=f"{alloc.ID}.event.placed",
        time_ns=alloc.CreateTime,
        kind="Allocation",
        type=kind,
        level=level,
        message=f"Allocation {alloc.Name} {text}",
        fields={**fields, "previous_alloc": before},
    )


def _history(alloc: Allocation) -> list[RescheduleEvent]:
    return (alloc.RescheduleTracker.Events or []) if alloc.RescheduleTracker is not None else []


def _health(alloc: Allocation, fields: Document) -> EventEntry | None:
    status = alloc.DeploymentStatus
    if status is None or status.Healthy is None:
        return None
    return EventEntry(
        identifier=f"{alloc.ID}.event.{'healthy' if status.Healthy else 'unhealthy'}",
        time_ns=parse_rfc3339_ns(status.Timestamp) or alloc.ModifyTime,
        kind="Allocation",
        type="Healthy" if status.Healthy else "Unhealthy",
        level="info" if status.Healthy else "error",
        message=f"Allocation {alloc.Name} is {'healthy' if status.Healthy else 'unhealthy'} in its deployment",
        fields=fields,
    )


def _stop(alloc: Allocation, fields: Document) -> EventEntry | None:
    if alloc.DesiredStatus == "run":
        return None
    reason = sentence_end(alloc.DesiredDescription)
    evicted = alloc.DesiredStatus == "evict"
    loss = evicted or any(word in reason for word in _LOSSES)
    return EventEntry(
        identifier=f"{alloc.ID}.event.{alloc.DesiredStatus}",
        time_ns=alloc.ModifyTime,
        kind="Allocation",
        type="Evict" if evicted else "Stop",
        level="warn" if loss else "info",
        message=f"Allocation {alloc.Name} is to {'make room' if evicted else 'stop'}"
        + (f": {reason}" if reason else ""),
        fields=fields,
    )


def _end(alloc: Allocation, fields: Document) -> EventEntry | None:
    found = _ENDS.get(alloc.ClientStatus)
    if found is None:
        return None
    kind, level, words = found
    may_return = alloc.ClientStatus == "unknown"
    finished = [parse_rfc3339_ns(state.FinishedAt) for state in (alloc.TaskStates or {}).values()]
    by_itself = alloc.ClientStatus in {"complete", "failed"}
    reason = sentence_end(alloc.ClientDescription)
    return EventEntry(
        identifier=f"{alloc.ID}.event.{alloc.ClientStatus}" + (f".{alloc.ModifyTime:x}" if may_return else ""),
        time_ns=(max(finished, default=0) if by_itself else 0) or alloc.ModifyTime,
        kind="Allocation",
        type=kind,
        level=level,
        message=f"Allocation {alloc.Name} {words}" + (f": {reason}" if reason else ""),
        fields=fields,
    )


def of_evaluation(evaluation: Evaluation) -> list[EventEntry]:
    """One entry when instances of a job could not be placed: the same reason is told once an hour, however often it is
    evaluated again."""
    failed = evaluation.FailedTGAllocs or {}
    if not failed or evaluation.Status != "complete":
        return []
    groups = ", ".join(f"{metric.CoalescedFailures + 1} of {name}" for name, metric in sorted(failed.items()))
    why = sentence_end(" ".join(evaluation.StatusDescription.split()))
    mark = hashlib.sha256(f"{evaluation.JobModifyIndex} {groups} {why}".encode()).hexdigest()[:12]
    hour = evaluation.ModifyTime // HOUR_NS
    return [
        EventEntry(
            identifier=f"{evaluation.Namespace}.{evaluation.JobID}.event.unplaced.{hour:x}.{mark}",
            time_ns=evaluation.ModifyTime,
            kind="Allocation",
            type="PlacementFailed",
            level="error",
            message=f"No place for instances of job {evaluation.JobID} ({groups})" + (f": {why}" if why else ""),
            fields={
                "namespace": evaluation.Namespace,
                "job": evaluation.JobID,
                "group": next(iter(failed)) if len(failed) == 1 else "",
                "deployment": evaluation.DeploymentID,
            },
        )
    ]
