"""What tasks and groups ask of a node."""

from __future__ import annotations

from typing import Any

import msgspec

from kokiris.orchestrator.model.policy import Affinity, Constraint


class NUMAResource(msgspec.Struct, kw_only=True):
    """NUMA preference."""

    Affinity: str = ""
    Devices: list[str] | None = None


class RequestedDevice(msgspec.Struct, kw_only=True):
    """A device a task asks for."""

    Name: str = ""
    Count: int = 0
    Constraints: list[Constraint] | None = None
    Affinities: list[Affinity] | None = None


class Port(msgspec.Struct, kw_only=True):
    """A labelled port: `Value` on the host (0: dynamic, not assigned yet), `To` inside (0: the host port)."""

    Label: str = ""
    Value: int = 0
    To: int = 0
    HostNetwork: str = ""
    IgnoreCollision: bool = False


class DNSConfig(msgspec.Struct, kw_only=True):
    """Resolver settings of a network namespace."""

    Servers: list[str] | None = None
    Searches: list[str] | None = None
    Options: list[str] | None = None


class NetworkResource(msgspec.Struct, kw_only=True):
    """A group network: its mode and ports; on an allocation, with the ports it got."""

    Mode: str = "host"
    Device: str = ""
    CIDR: str = ""
    IP: str = ""
    DNS: DNSConfig | None = None
    ReservedPorts: list[Port] | None = None
    DynamicPorts: list[Port] | None = None
    Hostname: str = ""
    CNI: dict[str, Any] | None = None


class TaskResources(msgspec.Struct, kw_only=True):
    """What a task reserves: MHz, MB."""

    CPU: int = 100
    Cores: int = 0
    MemoryMB: int = 300
    MemoryMaxMB: int = 0
    DiskMB: int = 0
    Networks: list[NetworkResource] | None = None
    Devices: list[RequestedDevice] | None = None
    NUMA: NUMAResource | None = None
    SecretsMB: int = 0


class EphemeralDiskSpec(msgspec.Struct, kw_only=True):
    """The allocation directory."""

    Sticky: bool = False
    Migrate: bool = False
    SizeMB: int = 300


class VolumeRequest(msgspec.Struct, kw_only=True):
    """A volume a group asks for."""

    Name: str = ""
    Type: str = ""
    Source: str = ""
    ReadOnly: bool = False
    Sticky: bool = False
    AccessMode: str = ""
    AttachmentMode: str = ""
    MountOptions: dict[str, Any] | None = None
    PerAlloc: bool = False


class VolumeMount(msgspec.Struct, kw_only=True):
    """Where a group volume appears in the task."""

    Volume: str = ""
    Destination: str = ""
    ReadOnly: bool = False
    PropagationMode: str = "private"
    SELinuxLabel: str = ""
