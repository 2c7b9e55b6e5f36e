"""What is accepted and worth saying."""

from __future__ import annotations

import re

from kokiris.orchestrator.model.job import Job, TaskGroup

_TAGGED = re.compile(r"[^/]+(?:/[^/]+)*:(?P<tag>[\w][\w.-]{0,127})(?:@.*)?")


def warnings(job: Job) -> list[str]:
    """Sentences for accepted but notable settings of a canonical job; join them with `multi_error`."""
    found: list[str] = []
    for group in job.TaskGroups or []:
        found += [f'Group "{group.Name}": {warning}' for warning in _of_group(group)]
    updates = [group.Update for group in job.TaskGroups or [] if group.Update is not None]
    if any(update.AutoPromote for update in updates) and not all(update.AutoPromote for update in updates):
        found.append("auto_promote must be true for all groups to enable automatic promotion")
    return found


def _of_group(group: TaskGroup) -> list[str]:
    found: list[str] = []
    update = group.Update
    if update is not None and 1 < group.Count < update.MaxParallel:
        found.append(
            f"Update max parallel count is greater than task group count ({update.MaxParallel} > {group.Count})."
            " A destructive change would result in the simultaneous replacement of all allocations."
        )
    if group.Scaling is not None and group.Scaling.Enabled and group.Scaling.Policy:
        found.append("the scaling policy is kept, but there is no autoscaler: min and max bound `job scale`")
    for task in group.Tasks or []:
        image = (task.Config or {}).get("image")
        if task.Driver == "docker" and isinstance(image, str) and _floating(image):
            found.append(f'task "{task.Name}": image "{image}" has no fixed tag; nodes may run different contents')
        if task.Resources is not None and task.Resources.DiskMB:
            found.append(f'task "{task.Name}": resources.disk is ignored; the group\'s ephemeral_disk has the size')
        if any(template.VaultGrace for template in task.Templates or []):
            found.append(f'task "{task.Name}": vault_grace is ignored; please remove it from the template block')
    return found


def _floating(image: str) -> bool:
    if "@" in image or "${" in image:
        return False
    match = _TAGGED.fullmatch(image)
    return match is None or match["tag"] == "latest"
