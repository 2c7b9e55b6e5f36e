"""Services and their checks, as jobs declare them."""

from __future__ import annotations

from typing import Any

import msgspec

from kokiris.kernel.units import SECOND_NS


class WorkloadIdentity(msgspec.Struct, kw_only=True):
    """A signed identity given to the task."""

    Name: str = ""
    Audience: list[str] | None = None
    ChangeMode: str = "noop"
    ChangeSignal: str = ""
    Env: bool = False
    File: bool = False
    Filepath: str = ""
    ServiceName: str = ""
    TTL: int = 0
    ExtraClaims: list[str] | None = None


class CheckRestartSpec(msgspec.Struct, kw_only=True):
    """Restart the task after `Limit` bad results in a row."""

    Limit: int = 0
    Grace: int = SECOND_NS
    IgnoreWarnings: bool = False


class ServiceCheck(msgspec.Struct, kw_only=True):
    """A health check of a service. Durations in ns."""

    Name: str = ""
    Type: str = ""
    Command: str = ""
    Args: list[str] | None = None
    Path: str = ""
    Protocol: str = ""
    PortLabel: str = ""
    Expose: bool = False
    AddressMode: str = ""
    Advertise: str = ""
    Interval: int = 0
    Timeout: int = 0
    InitialStatus: str = ""
    Notes: str = ""
    TLSServerName: str = ""
    TLSSkipVerify: bool = False
    Header: dict[str, list[str]] | None = None
    Method: str = ""
    CheckRestart: CheckRestartSpec | None = None
    GRPCService: str = ""
    GRPCUseTLS: bool = False
    TaskName: str = ""
    SuccessBeforePassing: int = 0
    FailuresBeforeCritical: int = 0
    FailuresBeforeWarning: int = 0
    Body: str = ""
    OnUpdate: str = "require_healthy"


class Service(msgspec.Struct, kw_only=True):
    """A registration asked for by a group or task."""

    Name: str = ""
    Tags: list[str] | None = None
    CanaryTags: list[str] | None = None
    EnableTagOverride: bool = False
    PortLabel: str = ""
    AddressMode: str = "auto"
    Address: str = ""
    Checks: list[ServiceCheck] | None = None
    CheckRestart: CheckRestartSpec | None = None
    Connect: dict[str, Any] | None = None
    Meta: dict[str, str] | None = None
    CanaryMeta: dict[str, str] | None = None
    TaggedAddresses: dict[str, str] | None = None
    TaskName: str = ""
    OnUpdate: str = "require_healthy"
    Identity: WorkloadIdentity | None = None
    Weights: dict[str, Any] | None = None
    Provider: str = "consul"
    Cluster: str = ""
    Kind: str = ""
