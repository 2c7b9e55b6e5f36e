"""What a plan means, written into its diff: counts per group, and what each change forces."""

from __future__ import annotations

from collections.abc import Mapping

from kokiris.orchestrator.diff.model import ADDED, DELETED, NONE, FieldDiff, JobDiff, TaskDiff, TaskGroupDiff
from kokiris.orchestrator.model.evaluation import Annotations, DesiredUpdates

FORCES_CREATE = "forces create"
FORCES_DESTROY = "forces destroy"
FORCES_IN_PLACE = "forces in-place update"
FORCES_DESTRUCTIVE = "forces create/destroy update"

_UPDATES = (
    ("ignore", "Ignore"),
    ("create", "Place"),
    ("migrate", "Migrate"),
    ("destroy", "Stop"),
    ("canary", "Canary"),
    ("in-place update", "InPlaceUpdate"),
    ("create/destroy update", "DestructiveUpdate"),
)
_IN_PLACE_FIELDS = frozenset({"KillTimeout", "KillSignal", "ShutdownDelay"})
_IN_PLACE_OBJECTS = frozenset({"Service", "Constraint", "Affinity", "Spread", "Action"})


def annotate(diff: JobDiff, updates: Annotations | Mapping[str, DesiredUpdates] | None) -> JobDiff:
    """Adds to `diff` (and returns it) each group's Updates, and the annotations of counts and tasks."""
    by_group = updates.DesiredTGUpdates if isinstance(updates, Annotations) else updates
    for group in diff.TaskGroups or []:
        if by_group is not None and group.Name in by_group:
            _count_updates(group, by_group[group.Name])
        for field in group.Fields or []:
            if field.Name == "Count":
                _annotate_count(field)
        for task in group.Tasks or []:
            _annotate_task(task, group)
    return diff


def _count_updates(group: TaskGroupDiff, desired: DesiredUpdates) -> None:
    counts = {name: getattr(desired, field) for name, field in _UPDATES}
    group.Updates = {name: count for name, count in counts.items() if count} or None


def _annotate_count(field: FieldDiff) -> None:
    old, new = int(field.Old or 0), int(field.New or 0)
    if old != new:
        field.Annotations = [*(field.Annotations or []), FORCES_CREATE if old < new else FORCES_DESTROY]


def _annotate_task(task: TaskDiff, group: TaskGroupDiff) -> None:
    if task.Type == NONE:
        return
    if group.Type in {ADDED, DELETED} and task.Type in {ADDED, DELETED}:
        forced = FORCES_CREATE if task.Type == ADDED else FORCES_DESTROY
    else:
        forced = FORCES_DESTRUCTIVE if _destructive(task) else FORCES_IN_PLACE
    task.Annotations = [*(task.Annotations or []), forced]


def _destructive(task: TaskDiff) -> bool:
    """As `jobspec.is_destructive` decides, told from the diff alone."""
    if any(_changed_destructively(field) for field in task.Fields or []):
        return True
    for thing in task.Objects or []:
        if thing.Name in _IN_PLACE_OBJECTS:
            continue
        if thing.Name == "LogConfig":
            changed = {field.Name for field in thing.Fields or [] if field.Type != NONE}
            if "Disabled" in changed:
                return True
            continue
        if thing.Name == "RestartPolicy":
            changed = {field.Name for field in thing.Fields or [] if field.Type != NONE}
            if "RenderTemplates" in changed:
                return True
            continue
        return True
    return False


def _changed_destructively(field: FieldDiff) -> bool:
    return field.Type != NONE and field.Name not in _IN_PLACE_FIELDS
