"""Evaluations."""

from __future__ import annotations

import msgspec

from kokiris.kernel.clock import ZERO_TIME
from kokiris.orchestrator.model.allocwire import AllocationListStub
from kokiris.orchestrator.model.metric import AllocationMetric


class DesiredUpdates(msgspec.Struct, kw_only=True):
    """Counts per group of what a plan would do."""

    Ignore: int = 0
    Place: int = 0
    Migrate: int = 0
    Stop: int = 0
    InPlaceUpdate: int = 0
    DestructiveUpdate: int = 0
    Canary: int = 0
    Preemptions: int = 0
    Disconnect: int = 0
    Reconnect: int = 0
    RescheduleNow: int = 0
    RescheduleLater: int = 0


class Annotations(msgspec.Struct, kw_only=True):
    """What a plan would do."""

    DesiredTGUpdates: dict[str, DesiredUpdates] | None = None
    PreemptedAllocs: list[AllocationListStub] | None = None


class EvaluationStub(msgspec.Struct, kw_only=True):
    """An evaluation as related to another."""

    ID: str = ""
    Priority: int = 0
    Type: str = ""
    TriggeredBy: str = ""
    Namespace: str = ""
    JobID: str = ""
    NodeID: str = ""
    DeploymentID: str = ""
    Status: str = ""
    StatusDescription: str = ""
    WaitUntil: str = ZERO_TIME
    NextEval: str = ""
    PreviousEval: str = ""
    BlockedEval: str = ""
    CreateIndex: int = 0
    ModifyIndex: int = 0
    CreateTime: int = 0
    ModifyTime: int = 0


class Evaluation(msgspec.Struct, kw_only=True):
    """A reason to look at a job again, and what came of it."""

    ID: str = ""
    Priority: int = 50
    Type: str = ""
    TriggeredBy: str = ""
    Namespace: str = ""
    JobID: str = ""
    JobModifyIndex: int = 0
    NodeID: str = ""
    NodeModifyIndex: int = 0
    DeploymentID: str = ""
    Status: str = "pending"
    StatusDescription: str = ""
    Wait: int = 0
    WaitUntil: str = ZERO_TIME
    NextEval: str = ""
    PreviousEval: str = ""
    BlockedEval: str = ""
    RelatedEvals: list[EvaluationStub] | None = None
    FailedTGAllocs: dict[str, AllocationMetric] | None = None
    PlanAnnotations: Annotations | None = None
    ClassEligibility: dict[str, bool] | None = None
    EscapedComputedClass: bool = False
    QuotaLimitReached: str = ""
    MissingNonNodeResources: list[str] | None = None
    AnnotatePlan: bool = False
    QueuedAllocations: dict[str, int] | None = None
    SnapshotIndex: int = 0
    CreateIndex: int = 0
    ModifyIndex: int = 0
    CreateTime: int = 0
    ModifyTime: int = 0
