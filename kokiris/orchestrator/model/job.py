"""Jobs and groups."""

from __future__ import annotations

from typing import Any

import msgspec

from kokiris.orchestrator.model.policy import (
    Affinity,
    Constraint,
    DisconnectStrategy,
    MigrateStrategy,
    ReschedulePolicySpec,
    RestartPolicySpec,
    Spread,
    UpdateStrategy,
)
from kokiris.orchestrator.model.resources import EphemeralDiskSpec, NetworkResource, VolumeRequest
from kokiris.orchestrator.model.service import Service
from kokiris.orchestrator.model.task import ScalingPolicy, Task


class PeriodicConfig(msgspec.Struct, kw_only=True):
    """Cron launches."""

    Enabled: bool = True
    Spec: str = ""
    Specs: list[str] | None = None
    SpecType: str = "cron"
    ProhibitOverlap: bool = False
    TimeZone: str = "UTC"


class ParameterizedJobConfig(msgspec.Struct, kw_only=True):
    """A job that is dispatched with a payload."""

    Payload: str = "optional"
    MetaRequired: list[str] | None = None
    MetaOptional: list[str] | None = None


class MultiregionSpec(msgspec.Struct, kw_only=True):
    """Several regions."""

    Strategy: dict[str, Any] | None = None
    Regions: list[dict[str, Any]] | None = None


class JobUILink(msgspec.Struct, kw_only=True):
    """A link shown in the console."""

    Label: str = ""
    URL: str = ""


class JobUIConfig(msgspec.Struct, kw_only=True):
    """Text and links for the console."""

    Description: str = ""
    Links: list[JobUILink] | None = None


class JobVersionTag(msgspec.Struct, kw_only=True):
    """A name given to a version; tagged versions are never pruned."""

    Name: str = ""
    Description: str = ""
    TaggedTime: int = 0


class TaskGroup(msgspec.Struct, kw_only=True):
    """Tasks placed together: one allocation each."""

    Name: str = ""
    Count: int = 1
    Constraints: list[Constraint] | None = None
    Affinities: list[Affinity] | None = None
    Tasks: list[Task] | None = None
    Spreads: list[Spread] | None = None
    Volumes: dict[str, VolumeRequest] | None = None
    RestartPolicy: RestartPolicySpec | None = None
    Disconnect: DisconnectStrategy | None = None
    ReschedulePolicy: ReschedulePolicySpec | None = None
    EphemeralDisk: EphemeralDiskSpec | None = None
    Update: UpdateStrategy | None = None
    Migrate: MigrateStrategy | None = None
    Networks: list[NetworkResource] | None = None
    Meta: dict[str, str] | None = None
    Services: list[Service] | None = None
    ShutdownDelay: int = 0
    MaxRunDuration: int = 0
    StopAfterClientDisconnect: int = 0
    MaxClientDisconnect: int = 0
    Scaling: ScalingPolicy | None = None
    Consul: dict[str, Any] | None = None
    PreventRescheduleOnLost: bool = False


def replaced_when_lost(group: TaskGroup) -> bool:
    """Whether its lost allocations are replaced."""
    return not group.PreventRescheduleOnLost and (group.Disconnect is None or group.Disconnect.Replace)


class Job(msgspec.Struct, kw_only=True):
    """A job, as submitted and canonicalised; also what is stored and what the API answers."""

    Region: str = "global"
    Namespace: str = "default"
    ID: str = ""
    Name: str = ""
    Type: str = "service"
    Priority: int = 50
    AllAtOnce: bool = False
    Datacenters: list[str] | None = None
    NodePool: str = "default"
    Constraints: list[Constraint] | None = None
    Affinities: list[Affinity] | None = None
    TaskGroups: list[TaskGroup] | None = None
    Update: UpdateStrategy | None = None
    Multiregion: MultiregionSpec | None = None
    Spreads: list[Spread] | None = None
    Periodic: PeriodicConfig | None = None
    ParameterizedJob: ParameterizedJobConfig | None = None
    Reschedule: ReschedulePolicySpec | None = None
    Migrate: MigrateStrategy | None = None
    Meta: dict[str, str] | None = None
    UI: JobUIConfig | None = None
    Stop: bool = False
    ParentID: str = ""
    Dispatched: bool = False
    DispatchIdempotencyToken: str = ""
    Payload: bytes | None = None
    ConsulNamespace: str = ""
    VaultNamespace: str = ""
    NomadTokenID: str = ""
    Status: str = ""
    StatusDescription: str = ""
    Stable: bool = False
    Version: int = 0
    SubmitTime: int = 0
    CreateIndex: int = 0
    ModifyIndex: int = 0
    JobModifyIndex: int = 0
    VersionTag: JobVersionTag | None = None


def as_written(job: Job) -> Job:
    """What its author asks for: without the version, times, indexes and marks that servers add."""
    return msgspec.structs.replace(
        job,
        Status="",
        StatusDescription="",
        Stable=False,
        Version=0,
        SubmitTime=0,
        CreateIndex=0,
        ModifyIndex=0,
        JobModifyIndex=0,
        VersionTag=None,
        NomadTokenID="",
    )
