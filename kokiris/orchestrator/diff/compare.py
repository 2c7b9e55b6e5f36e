"""Jobs, groups and tasks compared. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from kokiris.kernel.errors import BadInput
from kokiris.orchestrator.diff.fields import field_diffs, flat_struct, strings_diff
from kokiris.orchestrator.diff.model import (
    ADDED,
    DELETED,
    EDITED,
    NONE,
    Changed,
    JobDiff,
    ObjectDiff,
    TaskDiff,
    TaskGroupDiff,
)
from kokiris.orchestrator.diff.parts import group_objects, job_objects, task_objects
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.task import Task

T = TypeVar("T")

_JOB_SKIPPED = frozenset(
    {
        "ID", "Status", "StatusDescription", "Version", "Stable", "CreateIndex", "ModifyIndex", "JobModifyIndex",
        "SubmitTime", "NomadTokenID",
    }
)  # fmt: skip
_GROUP_SKIPPED = frozenset(
    {"Name", "Volumes", "Consul", "MaxRunDuration", "StopAfterClientDisconnect", "MaxClientDisconnect"}
)
_TASK_SKIPPED = frozenset({"Name", "Config", "Consul", "CSIPluginConfig"})


def job_diff(old: Job | None, new: Job | None, contextual: bool = True) -> JobDiff:
    """What changes from `old` to `new`; None is a job that is not there. With `contextual`, unchanged values of changed
    objects are listed too. Raises BadInput for jobs with different ids."""
    if old is not None and new is not None and old.ID != new.ID:
        raise BadInput(f'can not diff jobs with different IDs: "{old.ID}" and "{new.ID}"')
    present = new or old
    if present is None:
        return JobDiff()
    fields = field_diffs(flat_struct(old, _JOB_SKIPPED), flat_struct(new, _JOB_SKIPPED), False)
    datacenters = strings_diff("Datacenters", _of(old, "Datacenters"), _of(new, "Datacenters"), contextual)
    objects = [datacenters] if datacenters is not None and datacenters.Type != NONE else []
    objects += job_objects(old, new, contextual)
    groups = _groups(old, new, contextual)
    kind = _kind(old, new)
    parts: list[Changed | TaskGroupDiff] = [*fields, *objects, *groups]
    if kind == EDITED and all(part.Type == NONE for part in parts):
        kind = NONE
    return JobDiff(Type=kind, ID=present.ID, Fields=fields or None, Objects=objects or None, TaskGroups=groups or None)


def _of(thing: msgspec.Struct | None, name: str) -> Sequence[str] | None:
    return None if thing is None else getattr(thing, name)


def _kind(old: object | None, new: object | None) -> str:
    if old is None:
        return ADDED
    if new is None:
        return DELETED
    return NONE if old == new else EDITED


def _pairs(old: Iterable[T], new: Iterable[T], name: str) -> list[tuple[T | None, T | None]]:
    """Matched by name, in the order of the names."""
    before = {getattr(one, name): one for one in old}
    after = {getattr(one, name): one for one in new}
    return [(before.get(key), after.get(key)) for key in sorted({**before, **after})]


def _groups(old: Job | None, new: Job | None, contextual: bool) -> list[TaskGroupDiff]:
    before = (old.TaskGroups or []) if old else []
    after = (new.TaskGroups or []) if new else []
    return [_group(one, other, contextual) for one, other in _pairs(before, after, "Name")]


def _group(old: TaskGroup | None, new: TaskGroup | None, contextual: bool) -> TaskGroupDiff:
    name = (new or old or TaskGroup()).Name
    before, after = flat_struct(old, _GROUP_SKIPPED), flat_struct(new, _GROUP_SKIPPED)
    for flat in (before, after):
        if flat.get("ShutdownDelay") == "0":
            del flat["ShutdownDelay"]
    objects = group_objects(old, new, contextual)
    pairs = _pairs((old.Tasks or []) if old else [], (new.Tasks or []) if new else [], "Name")
    return TaskGroupDiff(
        Type=_kind(old, new),
        Name=name,
        Fields=field_diffs(before, after, False) or None,
        Objects=objects or None,
        Tasks=[_task(one, other, contextual) for one, other in pairs] or None,
    )


def _task(old: Task | None, new: Task | None, contextual: bool) -> TaskDiff:
    objects: list[ObjectDiff] = task_objects(old, new, contextual)
    fields = field_diffs(flat_struct(old, _TASK_SKIPPED), flat_struct(new, _TASK_SKIPPED), False)
    return TaskDiff(
        Type=_kind(old, new), Name=(new or old or Task()).Name, Fields=fields or None, Objects=objects or None
    )
