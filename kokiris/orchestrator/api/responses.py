"""Response bodies that are not objects of the model. Field names are the wire's."""

from __future__ import annotations

from typing import Any

import msgspec

from kokiris.kernel.clock import ZERO_TIME
from kokiris.orchestrator.model.allocwire import AllocDeploymentStatus
from kokiris.orchestrator.model.evaluation import Annotations, Evaluation
from kokiris.orchestrator.model.infra import SchedulerConfig
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.model.metric import AllocationMetric
from kokiris.orchestrator.model.summary import JobSummary


class QueryMeta(msgspec.Struct, kw_only=True):
    """What Nomad repeats of the headers in some bodies."""

    Index: int = 0
    LastContact: int = 0
    KnownLeader: bool = True


class JobListStub(msgspec.Struct, kw_only=True, omit_defaults=False):
    """A job in lists. `Meta` is there only when asked for."""

    ID: str
    ParentID: str
    Name: str
    Namespace: str
    Datacenters: list[str] | None
    Type: str
    Priority: int
    Periodic: bool
    ParameterizedJob: bool
    Stop: bool
    Status: str
    StatusDescription: str
    JobSummary: JobSummary | None
    CreateIndex: int
    ModifyIndex: int
    JobModifyIndex: int
    SubmitTime: int
    Meta: dict[str, str] | msgspec.UnsetType | None = msgspec.UNSET


class JobRegisterResponse(QueryMeta):
    """Of a registration, revert, evaluation and scaling."""

    EvalID: str = ""
    EvalCreateIndex: int = 0
    JobModifyIndex: int = 0
    Warnings: str = ""


class JobDeregisterResponse(QueryMeta):
    """Of a stop."""

    EvalID: str = ""
    EvalCreateIndex: int = 0
    JobModifyIndex: int = 0


class JobPlanResponse(QueryMeta):
    """Of a dry run."""

    Annotations: Annotations | None = None
    FailedTGAllocs: dict[str, AllocationMetric] | None = None
    JobModifyIndex: int = 0
    CreatedEvals: list[Evaluation] | None = None
    Diff: Any = None
    NextPeriodicLaunch: str = ZERO_TIME
    Warnings: str = ""


class JobVersionsResponse(QueryMeta):
    """Of the history, newest first. `Diffs` None unless asked for."""

    Versions: list[Job] | None = None
    Diffs: list[Any] | None = None


class JobValidateResponse(msgspec.Struct, kw_only=True):
    """Of a validation."""

    DriverConfigValidated: bool = True
    ValidationErrors: list[str] | None = None
    Error: str = ""
    Warnings: str = ""


class ScalingEvent(msgspec.Struct, kw_only=True):
    """One scaling of a group."""

    Count: int | None = None
    PreviousCount: int = 0
    Error: bool = False
    Message: str = ""
    Meta: dict[str, Any] | None = None
    EvalID: str | None = None
    Time: int = 0
    CreateIndex: int = 0


class TaskGroupScaleStatus(msgspec.Struct, kw_only=True):
    """How far a group is."""

    Desired: int = 0
    Placed: int = 0
    Running: int = 0
    Healthy: int = 0
    Unhealthy: int = 0
    Events: list[ScalingEvent] | None = None


class JobScaleStatusResponse(msgspec.Struct, kw_only=True):
    """Of `GET /v1/job/:id/scale`."""

    JobID: str = ""
    Namespace: str = ""
    JobCreateIndex: int = 0
    JobModifyIndex: int = 0
    JobStopped: bool = False
    TaskGroups: dict[str, TaskGroupScaleStatus] | None = None


class JobStatusAlloc(msgspec.Struct, kw_only=True):
    """An allocation on the console's jobs page."""

    ID: str
    Group: str
    ClientStatus: str
    NodeID: str
    DeploymentStatus: AllocDeploymentStatus | None
    JobVersion: int
    FollowupEvalID: str
    HasPausedTask: bool = False


class JobStatusDeployment(msgspec.Struct, kw_only=True):
    """A job's newest deployment on the console's jobs page."""

    ID: str
    IsActive: bool
    JobVersion: int
    Status: str
    StatusDescription: str
    AllAutoPromote: bool
    RequiresPromotion: bool


class JobStatusesJob(msgspec.Struct, kw_only=True):
    """A job on the console's jobs page."""

    ID: str
    Namespace: str
    Name: str
    Type: str
    NodePool: str
    Datacenters: list[str] | None
    Priority: int
    Version: int
    SubmitTime: int
    ModifyIndex: int
    Allocs: list[JobStatusAlloc]
    GroupCountSum: int
    ChildStatuses: list[str] | None
    ParentID: str
    LatestDeployment: JobStatusDeployment | None
    Stop: bool
    IsPack: bool
    Status: str


class IndexOnly(QueryMeta):
    """Of writes that answer nothing but the index."""


class AllocStopResponse(msgspec.Struct, kw_only=True):
    """Of `/v1/allocation/:id/stop`."""

    EvalID: str = ""
    Index: int = 0


class NodeUpdateResponse(QueryMeta):
    """Of the writes on nodes."""

    HeartbeatTTL: int = 0
    EvalIDs: list[str] | None = None
    EvalCreateIndex: int = 0
    NodeModifyIndex: int = 0


class DeploymentUpdateResponse(QueryMeta):
    """Of the writes on deployments."""

    EvalID: str = ""
    EvalCreateIndex: int = 0
    DeploymentModifyIndex: int = 0
    RevertedJobVersion: int | None = None


class NodePool(msgspec.Struct, kw_only=True):
    """A pool of nodes."""

    Name: str
    Description: str = ""
    Meta: dict[str, str] | None = None
    NodeIdentityTTL: int = 0
    SchedulerConfiguration: dict[str, Any] | None = None
    CreateIndex: int = 1
    ModifyIndex: int = 1


class NamespaceWire(msgspec.Struct, kw_only=True):
    """A namespace with every field clients know."""

    Name: str
    Description: str = ""
    Quota: str = ""
    Capabilities: dict[str, Any] | None = None
    NodePoolConfiguration: dict[str, Any] | None = None
    VaultConfiguration: dict[str, Any] | None = None
    ConsulConfiguration: dict[str, Any] | None = None
    Meta: dict[str, str] | None = None
    CreateIndex: int = 0
    ModifyIndex: int = 0
    RequiredExtraClaims: dict[str, str] | None = None
    OptionalExtraClaims: dict[str, str] | None = None


class ServiceRegistration(msgspec.Struct, kw_only=True):
    """An instance of a service of provider "nomad"."""

    ID: str
    ServiceName: str
    Namespace: str
    NodeID: str
    Datacenter: str
    JobID: str
    AllocID: str
    Tags: list[str] | None
    Address: str
    Port: int
    CreateIndex: int
    ModifyIndex: int


class ServiceRegistrationStub(msgspec.Struct, kw_only=True):
    """A service in lists."""

    ServiceName: str
    Tags: list[str]


class ServiceRegistrationListStub(msgspec.Struct, kw_only=True):
    """The services of a namespace."""

    Namespace: str
    Services: list[ServiceRegistrationStub]


class SearchResponse(QueryMeta):
    """Ids by context, or for a fuzzy search `FuzzyMatch` by context."""

    Matches: dict[str, list[Any]]
    Truncations: dict[str, bool]


class FuzzyMatch(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What matched, and the ids that lead to it from the job or node down."""

    ID: str
    Scope: list[str] | None = None


class SchedulerConfigurationResponse(QueryMeta):
    """Of `GET /v1/operator/scheduler/configuration`."""

    SchedulerConfig: SchedulerConfig


class ACLToken(msgspec.Struct, kw_only=True, omit_defaults=False):
    """A token. `SecretID` is only ever the one the caller came with."""

    AccessorID: str
    SecretID: str | msgspec.UnsetType = msgspec.UNSET
    Name: str = ""
    Type: str = ""
    Policies: list[str] | None = None
    Roles: list[Any] | None = None
    Global: bool = True
    CreateTime: str = ZERO_TIME
    ExpirationTime: str | msgspec.UnsetType = msgspec.UNSET
    CreateIndex: int = 0
    ModifyIndex: int = 0
