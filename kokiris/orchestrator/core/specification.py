"""Versions of a job: when there is a new one, which are kept, what a group may be scaled to. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from kokiris.kernel.errors import BadInput
from kokiris.orchestrator.core.refusal import Refused
from kokiris.orchestrator.model.job import Job, TaskGroup, as_written

TRACKED_VERSIONS = 6
"""How many versions of a job are kept; tagged ones and those that run are kept besides."""


def same_specification(one: Job, other: Job) -> bool:
    """Whether both ask for the same thing, whatever their version, times and indexes."""
    return as_written(one) == as_written(other)


def next_version(job: Job, known: Collection[int], now_ns: int) -> Job:
    """`job` as the version after all `known` ones (0 when there is none), not yet stable.

    A purged job whose allocations still end has known versions, which is why a new one never takes their numbers.
    """
    return msgspec.structs.replace(
        job,
        Version=max(known, default=-1) + 1,
        Stable=False,
        Status="",
        StatusDescription="",
        VersionTag=None,
        NomadTokenID="",
        SubmitTime=now_ns,
        CreateIndex=0,
        ModifyIndex=0,
        JobModifyIndex=0,
    )


def versions_to_drop(kept: Mapping[int, Job], newest: int, in_use: Collection[int]) -> list[int]:
    """The versions that the arrival of `newest` makes superfluous."""
    recent = set(sorted({*kept, newest}, reverse=True)[:TRACKED_VERSIONS])
    return [
        version
        for version, job in kept.items()
        if version not in recent and version not in in_use and job.VersionTag is None
    ]


def check_update(current: Job, job: Job) -> None:
    """Raises Refused when the change is of a kind no job may make: another type, periodic, parameterized."""
    if current.Type != job.Type:
        raise Refused(f'cannot update job from type "{current.Type}" to "{job.Type}"')
    for word, before, after in (
        ("periodic", current.Periodic, job.Periodic),
        ("parameterized", current.ParameterizedJob, job.ParameterizedJob),
    ):
        if before is None and after is not None:
            raise Refused(f"cannot update non-{word} job to being {word}")
        if before is not None and after is None:
            raise Refused(f"cannot update {word} job to being non-{word}")


def check_enforced_index(current: Job | None, enforce_index: int | None) -> None:
    """Raises Refused unless the job is at `enforce_index` (0: absent; None: anything goes)."""
    if enforce_index is None:
        return
    begin = f"Enforcing job modify index {enforce_index}"
    step = "Run `kokiris job plan` again and use the index it shows."
    if current is None:
        if enforce_index:
            raise Refused(f"{begin}: job does not exist", next_step=step)
    elif enforce_index == 0:
        raise Refused(f"{begin}: job already exists", next_step=step)
    elif current.JobModifyIndex != enforce_index:
        raise Refused(
            f"{begin}: job exists with conflicting job modify index: {current.JobModifyIndex}", next_step=step
        )


def with_counts_of(job: Job, current: Job) -> Job:
    """`job` with the counts its groups have now."""
    counts = {group.Name: group.Count for group in current.TaskGroups or ()}
    groups = [
        msgspec.structs.replace(group, Count=counts.get(group.Name, group.Count)) for group in job.TaskGroups or ()
    ]
    return msgspec.structs.replace(job, TaskGroups=groups)


def scaled(job: Job, group_name: str, count: int) -> Job:
    """`job` with `group_name` at `count`. Raises BadInput with Nomad's texts."""
    group = group_named(job.TaskGroups or (), group_name)
    if group is None:
        raise BadInput(f'task group "{group_name}" specified for scaling does not exist in job')
    if job.Type in {"system", "sysbatch"}:
        raise BadInput(f'cannot scale jobs of type "{job.Type}"')
    if count < 0:
        raise BadInput("scaling action count can't be negative")
    policy = group.Scaling
    if policy is not None and count > policy.Max:
        raise BadInput(f"group count was greater than scaling policy maximum: {count} > {policy.Max}")
    if policy is not None and count < policy.Min:
        raise BadInput(f"group count was less than scaling policy minimum: {count} < {policy.Min}")
    changed = msgspec.structs.replace(group, Count=count)
    groups = [changed if one is group else one for one in job.TaskGroups or ()]
    return msgspec.structs.replace(job, TaskGroups=groups)


def group_named(groups: Iterable[TaskGroup], name: str) -> TaskGroup | None:
    """The group called `name`."""
    return next((group for group in groups if group.Name == name), None)
