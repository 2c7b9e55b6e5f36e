"""What has happened to a job, from the versions of it that are kept. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kokiris.logs.collect.events.entry import EventEntry, plural
from kokiris.logs.model import Document
from kokiris.orchestrator.model.job import Job, as_written


def of_versions(versions: Sequence[Job], after_index: int) -> list[EventEntry]:
    """An entry for each version that came with a commit after `after_index`: registered, scaled, stopped."""
    ordered = sorted(versions, key=lambda job: job.Version)
    before: Sequence[Job | None] = [None, *ordered[:-1]]
    pairs = zip(before, ordered, strict=True)
    return [_version(older, job) for older, job in pairs if job.JobModifyIndex > after_index]


def _version(before: Job | None, job: Job) -> EventEntry:
    kind, text = _change(before, job)
    return EventEntry(
        identifier=f"{job.Namespace}.{job.ID}.event.{job.JobModifyIndex:x}.v{job.Version}",
        time_ns=job.SubmitTime,
        kind="Job",
        type=kind,
        level="info",
        message=f"Job {job.ID} {text}",
        fields=_fields(job.Namespace, job.ID) | {"version": job.Version},
    )


def _change(before: Job | None, job: Job) -> tuple[str, str]:
    counts = _counts(job)
    if job.Stop:
        return "Stopped", f"is stopped (version {job.Version})"
    groups = ", ".join(f"{plural(count, 'instance')} of {name}" for name, count in counts.items())
    if before is None or before.Stop:
        again = "again " if before is not None else ""
        return "Registered", f"is registered {again}as version {job.Version}: {groups}"
    known = _counts(before)
    scaled = ", ".join(
        f"{name} from {known[name]} to {plural(count, 'instance')}"
        for name, count in counts.items()
        if name in known and known[name] != count
    )
    if scaled and _without_counts(before) == _without_counts(job):
        return "Scaled", f"is scaled (version {job.Version}): {scaled}"
    return "Registered", f"is registered as version {job.Version}: {groups}"


def _counts(job: Job) -> dict[str, int]:
    return {group.Name: group.Count for group in job.TaskGroups or ()}


def _without_counts(job: Job) -> Job:
    """What the job asks for, but for how many."""
    groups = [msgspec.structs.replace(group, Count=0) for group in job.TaskGroups or ()]
    return msgspec.structs.replace(as_written(job), TaskGroups=groups)


def removed(namespace: str, job_id: str, create_index: int, time_ns: int) -> EventEntry:
    """The servers do not know it any more: it was purged, or collected long after its end."""
    return EventEntry(
        identifier=f"{namespace}.{job_id}.event.{create_index:x}.removed",
        time_ns=time_ns,
        kind="Job",
        type="Removed",
        level="info",
        message=f"Job {job_id} is removed, with its history",
        fields=_fields(namespace, job_id),
    )


def _fields(namespace: str, job_id: str) -> Document:
    return {"namespace": namespace, "job": job_id}
