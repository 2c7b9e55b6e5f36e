"""Nodes."""

from __future__ import annotations

from typing import Any

import msgspec

from kokiris.kernel.clock import ZERO_TIME
from kokiris.orchestrator.model.resources import NetworkResource, TaskResources


class DriverInfo(msgspec.Struct, kw_only=True):
    """A task driver as the node found it."""

    Attributes: dict[str, str] | None = None
    Detected: bool = False
    Healthy: bool = False
    HealthDescription: str = ""
    UpdateTime: str = ZERO_TIME


class NodeEvent(msgspec.Struct, kw_only=True):
    """One line of a node's history."""

    Message: str = ""
    Subsystem: str = ""
    Details: dict[str, str] | None = None
    Timestamp: str = ZERO_TIME
    CreateIndex: int = 0


class DrainRequestSpec(msgspec.Struct, kw_only=True):
    """How to drain."""

    Deadline: int = 0
    IgnoreSystemJobs: bool = False


class DrainStrategySpec(msgspec.Struct, kw_only=True):
    """A drain under way."""

    Deadline: int = 0
    IgnoreSystemJobs: bool = False
    ForceDeadline: str = ZERO_TIME
    StartedAt: str = ZERO_TIME


class DrainMetadata(msgspec.Struct, kw_only=True):
    """The last drain."""

    StartedAt: str = ZERO_TIME
    UpdatedAt: str = ZERO_TIME
    Status: str = ""
    """draining, complete or canceled."""
    AccessorID: str = ""
    Meta: dict[str, str] | None = None


class NodeCpuResources(msgspec.Struct, kw_only=True):
    """MHz and cores."""

    CpuShares: int = 0
    TotalCpuCores: int = 0
    ReservableCpuCores: list[int] | None = None


class NodeMemoryResources(msgspec.Struct, kw_only=True):
    """MB."""

    MemoryMB: int = 0


class NodeDiskResources(msgspec.Struct, kw_only=True):
    """MB."""

    DiskMB: int = 0


class NodeReservedResources(msgspec.Struct, kw_only=True):
    """What the node keeps for itself."""

    Cpu: dict[str, Any] | None = None
    Memory: dict[str, Any] | None = None
    Disk: dict[str, Any] | None = None
    Networks: dict[str, Any] | None = None


class NodeCapacity(msgspec.Struct, kw_only=True):
    """What a node has."""

    Cpu: NodeCpuResources | None = None
    Memory: NodeMemoryResources | None = None
    Disk: NodeDiskResources | None = None
    Networks: list[NetworkResource] | None = None
    Devices: list[dict[str, Any]] | None = None
    MinDynamicPort: int = 0
    MaxDynamicPort: int = 0


class NodeListStub(msgspec.Struct, kw_only=True):
    """A node in lists."""

    Address: str = ""
    ID: str = ""
    Attributes: dict[str, str] | None = None
    Datacenter: str = ""
    Name: str = ""
    NodeClass: str = ""
    NodePool: str = ""
    Version: str = ""
    Drain: bool = False
    SchedulingEligibility: str = ""
    Status: str = ""
    StatusDescription: str = ""
    Drivers: dict[str, DriverInfo] | None = None
    NodeResources: NodeCapacity | None = None
    ReservedResources: NodeReservedResources | None = None
    LastDrain: DrainMetadata | None = None
    CreateIndex: int = 0
    ModifyIndex: int = 0


class Node(msgspec.Struct, kw_only=True):
    """A node of the infra. Its secret is stored apart and never shown."""

    ID: str = ""
    Datacenter: str = ""
    Name: str = ""
    HTTPAddr: str = ""
    TLSEnabled: bool = False
    Attributes: dict[str, str] | None = None
    Resources: TaskResources | None = None
    Reserved: TaskResources | None = None
    NodeResources: NodeCapacity | None = None
    ReservedResources: NodeReservedResources | None = None
    Links: dict[str, str] | None = None
    Meta: dict[str, str] | None = None
    NodeClass: str = ""
    NodePool: str = "default"
    CgroupParent: str = ""
    Drain: bool = False
    DrainStrategy: DrainStrategySpec | None = None
    SchedulingEligibility: str = "eligible"
    Status: str = "initializing"
    StatusDescription: str = ""
    StatusUpdatedAt: int = 0
    Events: list[NodeEvent] | None = None
    Drivers: dict[str, DriverInfo] | None = None
    HostVolumes: dict[str, dict[str, Any]] | None = None
    GCVolumesOnNodeGC: bool = False
    HostNetworks: dict[str, dict[str, Any]] | None = None
    CSIControllerPlugins: dict[str, dict[str, Any]] | None = None
    CSINodePlugins: dict[str, dict[str, Any]] | None = None
    LastDrain: DrainMetadata | None = None
    CreateIndex: int = 0
    ModifyIndex: int = 0
    NodeMaxAllocs: int = 0
