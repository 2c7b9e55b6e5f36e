"""Request bodies. Field names are the wire's."""

from __future__ import annotations

from typing import Any

import msgspec

from kokiris.orchestrator.model.infra import JobSubmission
from kokiris.orchestrator.model.node import DrainRequestSpec


class JobRegisterRequest(msgspec.Struct, kw_only=True):
    """Of `/v1/jobs`."""

    Job: dict[str, Any] | None = None
    """As it came: what is absent and what is empty differ until it is canonical."""
    Submission: JobSubmission | None = None
    EnforceIndex: bool = False
    JobModifyIndex: int = 0
    PolicyOverride: bool = False
    PreserveCounts: bool = False
    PreserveResources: bool = False
    EvalPriority: int = 0
    Namespace: str = ""
    Region: str = ""


class JobPlanRequest(msgspec.Struct, kw_only=True):
    """Of `/v1/job/:id/plan` and `/v1/validate/job`."""

    Job: dict[str, Any] | None = None
    Diff: bool = False
    PolicyOverride: bool = False
    Namespace: str = ""


class JobsParseRequest(msgspec.Struct, kw_only=True):
    """Of `/v1/jobs/parse`."""

    JobHCL: str = ""
    Variables: str = ""
    Canonicalize: bool = False


class JobRevertRequest(msgspec.Struct, kw_only=True):
    """Of `/v1/job/:id/revert`."""

    JobID: str = ""
    JobVersion: int = 0
    EnforcePriorVersion: int | None = None
    TaggedVersion: str = ""


class JobStabilityRequest(msgspec.Struct, kw_only=True):
    """Of `/v1/job/:id/stable`."""

    JobID: str = ""
    JobVersion: int = 0
    Stable: bool = False


class EvalOptions(msgspec.Struct, kw_only=True):
    """How to evaluate."""

    ForceReschedule: bool = False


class JobEvaluateRequest(msgspec.Struct, kw_only=True):
    """Of `/v1/job/:id/evaluate`."""

    JobID: str = ""
    EvalOptions: EvalOptions | None = None


class ScalingRequest(msgspec.Struct, kw_only=True):
    """Of `/v1/job/:id/scale`. `Count` None with `Error` or `Message`: an event without a change."""

    Count: int | None = None
    Target: dict[str, str] | None = None
    Message: str = ""
    Error: bool = False
    Meta: dict[str, Any] | None = None
    PolicyOverride: bool = False
    EnforceIndex: bool = False
    JobModifyIndex: int = 0


class JobIdentity(msgspec.Struct, kw_only=True):
    """Names a job."""

    ID: str = ""
    Namespace: str = "default"


class JobStatusesRequest(msgspec.Struct, kw_only=True):
    """Of `/v1/jobs/statuses`."""

    Jobs: list[JobIdentity] | None = None
    IncludeChildren: bool = False


class NodeUpdateDrainRequest(msgspec.Struct, kw_only=True):
    """Of `/v1/node/:id/drain`. `DrainSpec` None ends a drain."""

    NodeID: str = ""
    DrainSpec: DrainRequestSpec | None = None
    MarkEligible: bool = False
    Meta: dict[str, str] | None = None


class NodeUpdateEligibilityRequest(msgspec.Struct, kw_only=True):
    """Of `/v1/node/:id/eligibility`."""

    NodeID: str = ""
    Eligibility: str = ""


class DeploymentRequest(msgspec.Struct, kw_only=True):
    """Of the writes on deployments."""

    DeploymentID: str = ""
    Pause: bool = False
    All: bool = False
    Groups: list[str] | None = None
    HealthyAllocationIDs: list[str] | None = None
    UnhealthyAllocationIDs: list[str] | None = None


class SearchRequest(msgspec.Struct, kw_only=True):
    """Of `/v1/search` (`Prefix`) and `/v1/search/fuzzy` (`Text`)."""

    Prefix: str = ""
    Text: str = ""
    Context: str = ""


class EvalDeleteRequest(msgspec.Struct, kw_only=True):
    """Of `DELETE /v1/evaluations`."""

    EvalIDs: list[str] | None = None
    Filter: str = ""
