"""Namespaces, scheduler settings, and the source a job was submitted from."""

from __future__ import annotations

import msgspec


class Namespace(msgspec.Struct, kw_only=True):
    """A namespace of jobs. "platform" holds the infra's own add-ons and is closed to tenants."""

    Name: str = ""
    Description: str = ""
    Quota: str = ""
    Meta: dict[str, str] | None = None
    CreateIndex: int = 0
    ModifyIndex: int = 0


class Preemption(msgspec.Struct, kw_only=True):
    """Which schedulers may preempt."""

    SystemSchedulerEnabled: bool = True
    SysBatchSchedulerEnabled: bool = False
    BatchSchedulerEnabled: bool = False
    ServiceSchedulerEnabled: bool = False


class SchedulerConfig(msgspec.Struct, kw_only=True):
    """Settings of the scheduler. `SchedulerAlgorithm`: binpack or spread."""

    SchedulerAlgorithm: str = "binpack"
    PreemptionConfig: Preemption = msgspec.field(default_factory=Preemption)
    MemoryOversubscriptionEnabled: bool = False
    RejectJobRegistration: bool = False
    PauseEvalBroker: bool = False
    NodeLimitForFeasibilityChecks: int = 100
    CreateIndex: int = 0
    ModifyIndex: int = 0


class JobSubmission(msgspec.Struct, kw_only=True):
    """What a job version was made from. `Format` is hcl2 or json."""

    Source: str = ""
    Format: str = "hcl2"
    VariableFlags: dict[str, str] | None = None
    Variables: str = ""
    JobID: str = ""
    Namespace: str = ""
    Version: int = 0
    JobIndex: int = 0
