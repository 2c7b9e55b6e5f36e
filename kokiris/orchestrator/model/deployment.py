"""Deployments."""

from __future__ import annotations

import msgspec

from kokiris.kernel.clock import ZERO_TIME


class DeploymentState(msgspec.Struct, kw_only=True):
    """Progress of a deployment in one group."""

    PlacedCanaries: list[str] | None = None
    AutoRevert: bool = False
    ProgressDeadline: int = 0
    RequireProgressBy: str = ZERO_TIME
    Promoted: bool = False
    DesiredCanaries: int = 0
    DesiredTotal: int = 0
    PlacedAllocs: int = 0
    HealthyAllocs: int = 0
    UnhealthyAllocs: int = 0


class Deployment(msgspec.Struct, kw_only=True):
    """The replacement of one job version by the next."""

    ID: str = ""
    Namespace: str = ""
    JobID: str = ""
    JobVersion: int = 0
    JobModifyIndex: int = 0
    JobSpecModifyIndex: int = 0
    JobCreateIndex: int = 0
    IsMultiregion: bool = False
    TaskGroups: dict[str, DeploymentState] | None = None
    Status: str = "running"
    StatusDescription: str = ""
    CreateIndex: int = 0
    ModifyIndex: int = 0
    CreateTime: int = 0
    ModifyTime: int = 0
