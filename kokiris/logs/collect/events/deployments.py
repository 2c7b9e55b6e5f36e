"""What has changed in a deployment since it was last seen. Pure."""

from __future__ import annotations

import re

import msgspec

from kokiris.logs.collect.events.entry import EventEntry, plural, sentence_end
from kokiris.logs.model import Document
from kokiris.orchestrator.model.deployment import Deployment, DeploymentState

FINAL = frozenset({"successful", "failed", "cancelled"})
"""Statuses after which a deployment does not change any more."""
_UNREMARKABLE = frozenset({"", "running", "pending", "initializing"})
_LEVELS = {"failed": "error", "cancelled": "warn", "paused": "warn"}
_ROLLED_BACK = re.compile(r"rolling back to job version (\d+)")


class SeenGroup(msgspec.Struct, kw_only=True):
    """How far a group was."""

    healthy: int = 0
    unhealthy: int = 0
    promoted: bool = False


class SeenDeployment(msgspec.Struct, kw_only=True):
    """What is remembered of a deployment that may still change."""

    status: str = ""
    groups: dict[str, SeenGroup] = msgspec.field(default_factory=dict)


def seen(deployment: Deployment) -> SeenDeployment:
    """To be remembered as `before` for the next look."""
    groups = {
        name: SeenGroup(healthy=one.HealthyAllocs, unhealthy=one.UnhealthyAllocs, promoted=one.Promoted)
        for name, one in (deployment.TaskGroups or {}).items()
    }
    return SeenDeployment(status=deployment.Status, groups=groups)


def of_deployment(before: SeenDeployment | None, now: Deployment) -> list[EventEntry]:
    """The entries for what is new in `now`; `before` is None for one that was never seen. Whatever was seen before, the
    same news has the same id: a count that is reached again is told once."""
    entries = [_started(now)] if before is None else []
    for name, progress in sorted((now.TaskGroups or {}).items()):
        known = before.groups.get(name) if before is not None else None
        entries += _progress(now, name, progress, known or SeenGroup())
    return [*entries, *_status(now, before.status if before is not None else "")]


def _entry(
    now: Deployment, part: str, kind: str, level: str, text: str, *, time_ns: int = 0, more: Document | None = None
) -> EventEntry:
    return EventEntry(
        identifier=f"{now.ID}.event.{part}",
        time_ns=time_ns or now.ModifyTime,
        kind="Deployment",
        type=kind,
        level=level,
        message=f"Deployment of job {now.JobID} version {now.JobVersion} {text}",
        fields={
            "namespace": now.Namespace,
            "job": now.JobID,
            "deployment": now.ID,
            "version": now.JobVersion,
            **(more or {}),
        },
    )


def _started(now: Deployment) -> EventEntry:
    groups = []
    for name, one in sorted((now.TaskGroups or {}).items()):
        canaries = f", {plural(one.DesiredCanaries, 'canary instance')} first" if one.DesiredCanaries else ""
        groups.append(f"{plural(one.DesiredTotal, 'instance')} of {name}{canaries}")
    text = f"started: {'; '.join(groups)}" if groups else "started"
    return _entry(now, "started", "Started", "info", text, time_ns=now.CreateTime)


def _progress(now: Deployment, name: str, progress: DeploymentState, known: SeenGroup) -> list[EventEntry]:
    entries = []
    if progress.Promoted and not known.promoted and progress.DesiredCanaries:
        text = f"is promoted: the canaries of {name} replace the rest"
        entries.append(_entry(now, f"{name}.promoted", "Promoted", "info", text, more={"group": name}))
    if progress.HealthyAllocs > known.healthy:
        waits = progress.DesiredCanaries and not progress.Promoted
        wanted = progress.DesiredCanaries if waits else progress.DesiredTotal
        count = f"{progress.HealthyAllocs} of {plural(wanted, 'canary instance' if waits else 'instance')}"
        more = {"group": name, "healthy": progress.HealthyAllocs, "desired": wanted}
        part = f"{name}.healthy.{progress.HealthyAllocs}"
        entries.append(_entry(now, part, "Healthy", "info", f"has {count} of {name} healthy", more=more))
    if progress.UnhealthyAllocs > known.unhealthy:
        count = plural(progress.UnhealthyAllocs, "unhealthy instance")
        more = {"group": name, "unhealthy": progress.UnhealthyAllocs}
        part = f"{name}.unhealthy.{progress.UnhealthyAllocs}"
        entries.append(_entry(now, part, "Unhealthy", "warn", f"has {count} of {name}", more=more))
    return entries


def _status(now: Deployment, before: str) -> list[EventEntry]:
    if now.Status == before or (now.Status in _UNREMARKABLE and before in _UNREMARKABLE):
        return []
    kind, text = now.Status.capitalize(), sentence_end(now.StatusDescription)
    if now.Status == "running":
        return [_entry(now, f"resumed.{now.ModifyIndex:x}", "Resumed", "info", "goes on")]
    part = now.Status if now.Status in FINAL else f"{now.Status}.{now.ModifyIndex:x}"
    words = {"successful": "succeeded", "paused": "is paused", "cancelled": f"is cancelled: {text}"}
    level = _LEVELS.get(now.Status, "info")
    entries = [_entry(now, part, kind, level, words.get(now.Status) or f"{now.Status}: {text}")]
    back = _ROLLED_BACK.search(now.StatusDescription)
    if now.Status == "failed" and back is not None:
        version = int(back[1])
        words_back = f"is rolled back to version {version}"
        entries.append(_entry(now, "rolled-back", "RolledBack", "warn", words_back, more={"to_version": version}))
    return entries
