"""Allocations as the API answers them."""

from __future__ import annotations

from typing import Any

import msgspec

from kokiris.kernel.clock import ZERO_TIME
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.model.metric import AllocationMetric
from kokiris.orchestrator.model.resources import DNSConfig, NetworkResource, TaskResources


class TaskEvent(msgspec.Struct, kw_only=True):
    """One line of a task's history. `Time` in unix ns."""

    Type: str = ""
    Time: int = 0
    DisplayMessage: str = ""
    Details: dict[str, str] | None = None
    Message: str = ""
    FailsTask: bool = False
    RestartReason: str = ""
    SetupError: str = ""
    DriverError: str = ""
    DriverMessage: str = ""
    ExitCode: int = 0
    Signal: int = 0
    KillReason: str = ""
    KillTimeout: int = 0
    KillError: str = ""
    StartDelay: int = 0
    DownloadError: str = ""
    ValidationError: str = ""
    DiskLimit: int = 0
    DiskSize: int = 0
    FailedSibling: str = ""
    VaultError: str = ""
    TaskSignalReason: str = ""
    TaskSignal: str = ""
    GenericSource: str = ""


class TaskState(msgspec.Struct, kw_only=True):
    """What the worker says of a task."""

    State: str = ""
    Failed: bool = False
    Restarts: int = 0
    LastRestart: str = ZERO_TIME
    StartedAt: str = ZERO_TIME
    FinishedAt: str = ZERO_TIME
    Events: list[TaskEvent] | None = None


class AllocDeploymentStatus(msgspec.Struct, kw_only=True):
    """Health of an allocation within its deployment. `Healthy` None: not known yet."""

    Healthy: bool | None = None
    Timestamp: str = ZERO_TIME
    Canary: bool = False
    ModifyIndex: int = 0


class AllocNetworkStatus(msgspec.Struct, kw_only=True):
    """The address an allocation got inside."""

    InterfaceName: str = ""
    Address: str = ""
    AddressIPv6: str = ""
    DNS: DNSConfig | None = None


class AllocatedCpuResources(msgspec.Struct, kw_only=True):
    """MHz."""

    CpuShares: int = 0


class AllocatedMemoryResources(msgspec.Struct, kw_only=True):
    """MB."""

    MemoryMB: int = 0
    MemoryMaxMB: int = 0


class AllocatedTaskResources(msgspec.Struct, kw_only=True):
    """What one task holds."""

    Cpu: AllocatedCpuResources | None = None
    Memory: AllocatedMemoryResources | None = None
    Networks: list[NetworkResource] | None = None
    Devices: list[dict[str, Any]] | None = None


class PortMapping(msgspec.Struct, kw_only=True):
    """A port as assigned: host `Value` on `HostIP`, `To` inside."""

    Label: str = ""
    Value: int = 0
    To: int = 0
    HostIP: str = ""


class AllocatedSharedResources(msgspec.Struct, kw_only=True):
    """What the tasks of an allocation share."""

    DiskMB: int = 0
    Networks: list[NetworkResource] | None = None
    Ports: list[PortMapping] | None = None


class AllocResources(msgspec.Struct, kw_only=True):
    """What an allocation holds."""

    Tasks: dict[str, AllocatedTaskResources] | None = None
    Shared: AllocatedSharedResources | None = None


class Transition(msgspec.Struct, kw_only=True):
    """What should happen to an allocation beyond its desired status."""

    Migrate: bool = False
    Reschedule: bool = False
    ForceReschedule: bool = False
    NoShutdownDelay: bool = False
    MigrateDisablePlacement: bool = False


class RescheduleEvent(msgspec.Struct, kw_only=True):
    """One earlier attempt. Time in unix ns."""

    RescheduleTime: int = 0
    PrevAllocID: str = ""
    PrevNodeID: str = ""
    Delay: int = 0
    """The back-off before this attempt, ns: the next one grows from it."""


class RescheduleHistory(msgspec.Struct, kw_only=True):
    """Earlier attempts of an allocation."""

    Events: list[RescheduleEvent] | None = None
    LastReschedule: str = ""


class AllocCheckStatus(msgspec.Struct, kw_only=True):
    """The newest result of one check. `Timestamp` in unix seconds."""

    ID: str = ""
    Check: str = ""
    Group: str = ""
    Mode: str = ""
    Output: str = ""
    Service: str = ""
    Task: str = ""
    Status: str = ""
    StatusCode: int = 0
    Timestamp: int = 0


class AllocationListStub(msgspec.Struct, kw_only=True):
    """An allocation in lists."""

    ID: str = ""
    EvalID: str = ""
    Name: str = ""
    Namespace: str = ""
    NodeID: str = ""
    NodeName: str = ""
    JobID: str = ""
    JobType: str = ""
    JobVersion: int = 0
    TaskGroup: str = ""
    AllocatedResources: AllocResources | None = None
    DesiredStatus: str = ""
    DesiredDescription: str = ""
    ClientStatus: str = ""
    ClientDescription: str = ""
    TaskStates: dict[str, TaskState] | None = None
    DeploymentStatus: AllocDeploymentStatus | None = None
    FollowupEvalID: str = ""
    NextAllocation: str = ""
    RescheduleTracker: RescheduleHistory | None = None
    PreemptedAllocations: list[str] | None = None
    PreemptedByAllocation: str = ""
    CreateIndex: int = 0
    ModifyIndex: int = 0
    CreateTime: int = 0
    ModifyTime: int = 0


class Allocation(msgspec.Struct, kw_only=True):
    """An allocation as the API answers it. In memory it is an `allocs.Alloc`."""

    ID: str = ""
    Namespace: str = ""
    EvalID: str = ""
    Name: str = ""
    NodeID: str = ""
    NodeName: str = ""
    JobID: str = ""
    Job: Job | None = None
    TaskGroup: str = ""
    Resources: TaskResources | None = None
    TaskResources: dict[str, TaskResources] | None = None
    AllocatedResources: AllocResources | None = None
    Services: dict[str, str] | None = None
    Metrics: AllocationMetric | None = None
    DesiredStatus: str = ""
    DesiredDescription: str = ""
    DesiredTransition: Transition | None = None
    ClientStatus: str = ""
    ClientDescription: str = ""
    TaskStates: dict[str, TaskState] | None = None
    DeploymentID: str = ""
    DeploymentStatus: AllocDeploymentStatus | None = None
    FollowupEvalID: str = ""
    PreviousAllocation: str = ""
    NextAllocation: str = ""
    RescheduleTracker: RescheduleHistory | None = None
    NetworkStatus: AllocNetworkStatus | None = None
    PreemptedAllocations: list[str] | None = None
    PreemptedByAllocation: str = ""
    CreateIndex: int = 0
    ModifyIndex: int = 0
    AllocModifyIndex: int = 0
    CreateTime: int = 0
    ModifyTime: int = 0
