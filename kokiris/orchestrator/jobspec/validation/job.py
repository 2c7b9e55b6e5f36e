"""Jobs."""

from __future__ import annotations

from kokiris.orchestrator.jobspec.multierror import multi_error
from kokiris.orchestrator.jobspec.validation.group import group_errors
from kokiris.orchestrator.jobspec.validation.placement import (
    affinity_errors,
    constraint_errors,
    numbered,
    spread_errors,
)
from kokiris.orchestrator.jobspec.validation.rules import broken
from kokiris.orchestrator.model.job import Job

TYPES = ("service", "batch", "system", "sysbatch")
MAX_ALLOCATIONS = 50_000
"""Of all groups of a job together."""
_MAX_ID = 512


def validate(job: Job) -> list[str]:
    """What is wrong with a canonical job, one text each (a group's text holds all of the group's errors); [] when
    nothing is. Nomad's own texts where it has one; join them with `multi_error`."""
    errors = _identity_errors(job)
    errors += _placement_errors(job)
    errors += _group_list_errors(job)
    for group in job.TaskGroups or []:
        found = group_errors(job, group)
        if found:
            errors.append(f"Task group {group.Name} validation failed: {multi_error(found)}")
    errors += _kind_errors(job)
    return errors


def _identity_errors(job: Job) -> list[str]:
    description = job.UI.Description if job.UI is not None else ""
    return broken(
        (not job.Region, "Missing job region"),
        (not job.ID, "Missing job ID"),
        (" " in job.ID, "Job ID contains a space"),
        ("\x00" in job.ID, "Job ID contains a null character"),
        (len(job.ID) > _MAX_ID, f"Job ID is longer than {_MAX_ID} characters"),
        (not job.Name, "Missing job name"),
        ("\x00" in job.Name, "Job Name contains a null character"),
        (not job.Namespace, "Job must be in a namespace"),
        (job.Type not in TYPES, f'Invalid job type: "{job.Type}"'),
        (not 1 <= job.Priority <= 100, "Job priority must be between [1, 100]"),
        (job.Datacenters is None, "Missing job datacenters"),
        ("" in (job.Datacenters or []), "Job datacenter must be non-empty string"),
        (len(description) > 1000, f"UI description must be under 1000 characters, currently {len(description)}"),
    )


def _placement_errors(job: Job) -> list[str]:
    errors = numbered("Constraint", job.Constraints, constraint_errors)
    if job.Type == "system":
        if job.Affinities:
            errors.append("System jobs may not have an affinity block")
        if job.Spreads:
            errors.append("System jobs may not have a spread block")
        return errors
    errors += numbered("Affinity", job.Affinities, affinity_errors)
    errors += numbered("Spread", job.Spreads, spread_errors)
    return errors


def _group_list_errors(job: Job) -> list[str]:
    groups = job.TaskGroups or []
    errors = [] if groups else ["Missing job task groups"]
    seen: dict[str, int] = {}
    for i, group in enumerate(groups, start=1):
        if not group.Name:
            errors.append(f"Job task group {i} missing name")
        elif group.Name in seen:
            errors.append(f"Job task group {i} redefines '{group.Name}' from group {seen[group.Name]}")
        else:
            seen[group.Name] = i
        if group.ShutdownDelay < 0:
            errors.append("ShutdownDelay must be a positive value")
        if job.Type in {"system", "sysbatch"} and group.Count > 1:
            errors.append(
                f"Job task group {group.Name} has count {group.Count}. Count cannot exceed 1 with system scheduler"
            )
    total = sum(max(0, group.Count) for group in groups)
    if total > MAX_ALLOCATIONS:
        errors.append(f"total count was greater than configured job_max_count: {total} > {MAX_ALLOCATIONS}")
    return errors


def _kind_errors(job: Job) -> list[str]:
    errors: list[str] = []
    batch = job.Type in {"batch", "sysbatch"}
    if job.Periodic is not None and job.Periodic.Enabled and not batch:
        errors.append('Periodic can only be used with "batch" or "sysbatch" scheduler')
    if job.ParameterizedJob is not None and not job.Dispatched and not batch:
        errors.append('Parameterized job can only be used with "batch" or "sysbatch" scheduler')
    return errors
