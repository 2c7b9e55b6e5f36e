"""The objects inside jobs, groups and tasks, in the order and under the names that Nomad's clients know."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from kokiris.orchestrator.diff.fields import (
    content,
    flat_any,
    flat_struct,
    object_diff,
    set_diffs,
    strings_diff,
    values_diff,
)
from kokiris.orchestrator.diff.model import NONE, ObjectDiff
from kokiris.orchestrator.diff.services import service_diffs
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.policy import Spread
from kokiris.orchestrator.model.resources import NetworkResource, TaskResources
from kokiris.orchestrator.model.service import WorkloadIdentity
from kokiris.orchestrator.model.task import Task, Template

T = TypeVar("T", bound=msgspec.Struct)
Found = list[ObjectDiff]


def job_objects(old: Job | None, new: Job | None, contextual: bool) -> Found:
    """Of a job, but for datacenters and groups."""
    before, after = old or Job(), new or Job()
    found = _placement(before, after, contextual)
    found += _spreads(before.Spreads, after.Spreads, contextual)
    found += _one("Periodic", before.Periodic, after.Periodic, contextual, strings=("Specs",))
    found += _one(
        "ParameterizedJob",
        before.ParameterizedJob,
        after.ParameterizedJob,
        contextual,
        strings=("MetaOptional", "MetaRequired"),
    )
    found += _free("Multiregion", _builtin(before.Multiregion), _builtin(after.Multiregion), contextual)
    found += _free("UI", _builtin(before.UI), _builtin(after.UI), contextual)
    return found


def group_objects(old: TaskGroup | None, new: TaskGroup | None, contextual: bool) -> Found:
    """Of a group, but for its tasks."""
    before, after = old or TaskGroup(), new or TaskGroup()
    found = _placement(before, after, contextual)
    for name, field in (
        ("RestartPolicy", "RestartPolicy"),
        ("Migrate", "Migrate"),
        ("ReschedulePolicy", "ReschedulePolicy"),
        ("EphemeralDisk", "EphemeralDisk"),
    ):
        found += _values(name, getattr(before, field), getattr(after, field), contextual)
    found += _free("Consul", before.Consul, after.Consul, contextual)
    found += _values("Update", before.Update, after.Update, contextual, skip=("Stagger",))
    found += _one("Disconnect", before.Disconnect, after.Disconnect, contextual)
    found += _networks(before.Networks, after.Networks, contextual)
    found += _scaling(before, after)
    found += service_diffs(before.Services, after.Services, contextual)
    found += _volumes(before, after, contextual)
    found += _spreads(before.Spreads, after.Spreads, contextual)
    return found


def task_objects(old: Task | None, new: Task | None, contextual: bool) -> Found:
    """Of a task."""
    before, after = old or Task(), new or Task()
    found = _placement(before, after, contextual)
    found += _free("Config", before.Config, after.Config, contextual)
    found += _resources(before.Resources, after.Resources, contextual)
    found += _values("LogConfig", before.LogConfig, after.LogConfig, contextual)
    found += _values("DispatchPayload", before.DispatchPayload, after.DispatchPayload, contextual)
    found += _set("Artifact", before.Artifacts, after.Artifacts, contextual, key="RelativeDest")
    found += service_diffs(before.Services, after.Services, contextual)
    found += _one("Vault", before.Vault, after.Vault, contextual, strings=("Policies",))
    found += _named_free("Secret", before.Secrets, after.Secrets, contextual)
    found += _free("Consul", before.Consul, after.Consul, contextual)
    found += _templates(before.Templates, after.Templates, contextual)
    found += _identities([before.Identity], [after.Identity], contextual)
    found += _identities(before.Identities or [], after.Identities or [], contextual)
    found += _named_free("Action", before.Actions, after.Actions, contextual)
    found += _set("VolumeMount", before.VolumeMounts, after.VolumeMounts, contextual, key="Destination")
    found += _values("Lifecycle", before.Lifecycle, after.Lifecycle, contextual)
    found += _free("Schedule", _builtin(before.Schedule), _builtin(after.Schedule), contextual)
    found += _free("CSIPluginConfig", before.CSIPluginConfig, after.CSIPluginConfig, contextual)
    if old is not None and new is not None:
        found += _values("RestartPolicy", before.RestartPolicy, after.RestartPolicy, contextual)
    return found


def _builtin(thing: msgspec.Struct | None) -> Any:
    return None if thing is None else msgspec.to_builtins(thing)


def _list(diff: ObjectDiff | None) -> Found:
    return [] if diff is None or diff.Type == NONE else [diff]


def _values(
    name: str, old: msgspec.Struct | None, new: msgspec.Struct | None, contextual: bool, skip: tuple[str, ...] = ()
) -> Found:
    """An object that is nothing but values."""
    return _list(values_diff(name, flat_struct(old, skip), flat_struct(new, skip), contextual))


def _one(
    name: str,
    old: msgspec.Struct | None,
    new: msgspec.Struct | None,
    contextual: bool,
    strings: tuple[str, ...] = (),
) -> Found:
    """An object with values and sets of texts."""
    if old == new:
        return []
    sets = [strings_diff(field, _get(old, field), _get(new, field), contextual) for field in strings]
    return _list(object_diff(name, _flat(old), _flat(new), contextual, sets))


def _get(thing: msgspec.Struct | None, field: str) -> Any:
    return None if thing is None else getattr(thing, field)


def _flat(thing: msgspec.Struct | None) -> dict[str, str] | None:
    return None if thing is None else flat_struct(thing)


def _free(name: str, old: Any, new: Any, contextual: bool) -> Found:
    """A free-form object, flattened all the way."""
    before, after = flat_any(old or {}), flat_any(new or {})
    return _list(object_diff(name, before or None, after or None, contextual))


def _set(name: str, old: list[T] | None, new: list[T] | None, contextual: bool, key: str = "") -> Found:
    """Objects of values, matched by one of their values, or only when they are the same."""

    def compare(one: T | None, other: T | None) -> ObjectDiff | None:
        return values_diff(name, flat_struct(one), flat_struct(other), contextual)

    return set_diffs(old, new, lambda thing: getattr(thing, key) if key else content(thing), compare)


def _named_free(name: str, old: list[Any] | None, new: list[Any] | None, contextual: bool) -> Found:
    def compare(one: Any, other: Any) -> ObjectDiff | None:
        if one == other:
            return None
        before, after = (None if thing is None else flat_any(_builtin(thing)) for thing in (one, other))
        return object_diff(name, before, after, contextual)

    return set_diffs(old, new, lambda thing: thing.Name, compare)


def _placement(old: Job | TaskGroup | Task, new: Job | TaskGroup | Task, contextual: bool) -> Found:
    return [
        *_set("Constraint", old.Constraints, new.Constraints, contextual),
        *_set("Affinity", old.Affinities, new.Affinities, contextual),
    ]


def _spreads(old: list[Spread] | None, new: list[Spread] | None, contextual: bool) -> Found:
    def compare(one: Spread | None, other: Spread | None) -> ObjectDiff | None:
        targets = _set("SpreadTarget", _get(one, "SpreadTarget"), _get(other, "SpreadTarget"), contextual, key="Value")
        return object_diff("Spread", _flat(one), _flat(other), contextual, targets)

    return set_diffs(old, new, lambda spread: spread.Attribute, compare)


def _networks(old: list[NetworkResource] | None, new: list[NetworkResource] | None, contextual: bool) -> Found:
    """A changed network is one deleted and one added."""
    return set_diffs(old, new, content, lambda one, other: _network(one, other, contextual))


def _network(old: NetworkResource | None, new: NetworkResource | None, contextual: bool) -> ObjectDiff | None:
    if old == new:
        return None
    skip = ("Device", "CIDR", "IP", "CNI")
    before, after = (None if one is None else flat_struct(one, skip) for one in (old, new))
    objects: list[ObjectDiff | None] = []
    for name, field, skipped in (
        ("Static Port", "ReservedPorts", ()),
        ("Dynamic Port", "DynamicPorts", ("Value", "IgnoreCollision")),
    ):
        objects += _ports(name, _get(old, field), _get(new, field), skipped, contextual)
    objects.append(_dns(old, new, contextual))
    objects += _free("CNIConfig", _get(old, "CNI"), _get(new, "CNI"), contextual)
    return object_diff("Network", before, after, contextual, objects)


def _ports(name: str, old: Any, new: Any, skip: tuple[str, ...], contextual: bool) -> Found:
    return set_diffs(
        old,
        new,
        lambda port: port.Label,
        lambda one, other: values_diff(name, flat_struct(one, skip), flat_struct(other, skip), contextual),
    )


def _dns(old: NetworkResource | None, new: NetworkResource | None, contextual: bool) -> ObjectDiff | None:
    flats: list[dict[str, str] | None] = []
    for network in (old, new):
        dns = _get(network, "DNS")
        names = ("Servers", "Searches", "Options")
        flats.append(None if dns is None else {n: ",".join(getattr(dns, n)) for n in names if getattr(dns, n)})
    return object_diff("DNS", flats[0], flats[1], contextual)


def _scaling(old: TaskGroup, new: TaskGroup) -> Found:
    before, after = old.Scaling, new.Scaling
    if before == after:
        return []
    skip = ("CreateIndex", "ModifyIndex", "ID", "Type", "Target", "Policy", "Namespace")
    policy = _free("Policy", _get(before, "Policy"), _get(after, "Policy"), False)
    flats = [None if one is None else flat_struct(one, skip) for one in (before, after)]
    return _list(object_diff("Scaling", flats[0], flats[1], False, policy))


def _volumes(old: TaskGroup, new: TaskGroup, contextual: bool) -> Found:
    before, after = list((old.Volumes or {}).values()), list((new.Volumes or {}).values())
    return set_diffs(
        before,
        after,
        lambda volume: volume.Name,
        lambda one, other: (
            None
            if one == other
            else object_diff(
                "Volume",
                _flat(one),
                _flat(other),
                contextual,
                _free("MountOptions", _get(one, "MountOptions"), _get(other, "MountOptions"), contextual),
            )
        ),
    )


def _resources(old: TaskResources | None, new: TaskResources | None, contextual: bool) -> Found:
    if old == new:
        return []
    objects: list[ObjectDiff | None] = list(_networks(_get(old, "Networks"), _get(new, "Networks"), contextual))
    objects += _named_free("Device", _get(old, "Devices"), _get(new, "Devices"), contextual)
    objects += _free("NUMA", _builtin(_get(old, "NUMA")), _builtin(_get(new, "NUMA")), contextual)
    return _list(object_diff("Resources", _flat(old), _flat(new), contextual, objects))


def _templates(old: list[Template] | None, new: list[Template] | None, contextual: bool) -> Found:
    """Matched by destination; one on each side belong together whatever they are."""
    alone = len(old or ()) == len(new or ()) == 1

    def compare(one: Template | None, other: Template | None) -> ObjectDiff | None:
        if one == other:
            return None
        inside = [
            *_one("Wait", _get(one, "Wait"), _get(other, "Wait"), contextual),
            *_one(
                "ChangeScript", _get(one, "ChangeScript"), _get(other, "ChangeScript"), contextual, strings=("Args",)
            ),
        ]
        return object_diff("Template", _flat(one), _flat(other), contextual, inside)

    return set_diffs(old, new, lambda template: "" if alone else template.DestPath, compare)


def _identities(
    old: list[WorkloadIdentity | None] | list[WorkloadIdentity],
    new: list[WorkloadIdentity | None] | list[WorkloadIdentity],
    contextual: bool,
) -> Found:
    before, after = [one for one in old if one is not None], [one for one in new if one is not None]

    def compare(one: WorkloadIdentity | None, other: WorkloadIdentity | None) -> ObjectDiff | None:
        diffs = _one("Identity", one, other, contextual, strings=("Audience",))
        return diffs[0] if diffs else None

    return set_diffs(before, after, lambda identity: identity.Name, compare)
