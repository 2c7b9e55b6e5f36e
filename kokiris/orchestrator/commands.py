"""What can be asked of the orchestrator: the protocol between its doors (Nomad API, internal API) and its core.

Every method commits durably before it returns, and returns indexes that reads on this server already reflect.
All raise the tree of `kernel.errors`; texts are those that Nomad's clients know (nomad.md, section 1.2).
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from kokiris.orchestrator.model.evaluation import Annotations
from kokiris.orchestrator.model.infra import JobSubmission, Namespace, SchedulerConfig
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.model.metric import AllocationMetric
from kokiris.orchestrator.model.node import DrainRequestSpec
from kokiris.orchestrator.state import State


class JobResult(msgspec.Struct, kw_only=True):
    """Of a registration, deregistration, evaluation, scaling or revert."""

    EvalID: str = ""
    EvalCreateIndex: int = 0
    JobModifyIndex: int = 0
    Warnings: str = ""
    Index: int = 0


class PlanResult(msgspec.Struct, kw_only=True):
    """Of a dry run: what registering the job would do. Nothing is written."""

    JobModifyIndex: int = 0
    """Of the job as it is registered now; 0 when it is not."""
    Annotations_: Annotations
    FailedTGAllocs: dict[str, AllocationMetric]
    Warnings: str = ""
    Index: int = 0


class NodeResult(msgspec.Struct, kw_only=True):
    """Of a change of a node."""

    NodeModifyIndex: int = 0
    EvalIDs: list[str] = msgspec.field(default_factory=list)
    EvalCreateIndex: int = 0
    Index: int = 0


class DeploymentResult(msgspec.Struct, kw_only=True):
    """Of an operator's decision on a deployment."""

    EvalID: str = ""
    EvalCreateIndex: int = 0
    DeploymentModifyIndex: int = 0
    RevertedJobVersion: int | None = None
    Index: int = 0


class Commands(Protocol):
    """The orchestrator's core. `state` is for reading only."""

    @property
    def state(self) -> State: ...

    @property
    def is_leader(self) -> bool: ...

    async def register_job(
        self,
        job: Job,
        *,
        submission: JobSubmission | None = None,
        enforce_index: int | None = None,
        preserve_counts: bool = False,
        eval_priority: int = 0,
    ) -> JobResult:
        """Registers a canonical, validated job. An unchanged specification makes no new version, but an evaluation."""
        ...

    async def plan_job(self, job: Job) -> PlanResult: ...

    async def deregister_job(
        self,
        namespace: str,
        job_id: str,
        *,
        purge: bool = False,
        eval_priority: int = 0,
        no_shutdown_delay: bool = False,
    ) -> JobResult: ...

    async def evaluate_job(self, namespace: str, job_id: str, *, force_reschedule: bool = False) -> JobResult: ...

    async def scale_job(
        self, namespace: str, job_id: str, group: str, count: int | None, *, message: str = "", error: bool = False
    ) -> JobResult: ...

    async def revert_job(
        self, namespace: str, job_id: str, version: int, *, enforce_prior_version: int | None = None
    ) -> JobResult: ...

    async def set_job_stable(self, namespace: str, job_id: str, version: int, stable: bool) -> int:
        """Returns the index."""
        ...

    async def stop_alloc(self, alloc_id: str, *, no_shutdown_delay: bool = False) -> JobResult: ...

    async def set_node_eligibility(self, node_id: str, eligible: bool) -> NodeResult: ...

    async def drain_node(
        self,
        node_id: str,
        spec: DrainRequestSpec | None,
        *,
        mark_eligible: bool = False,
        meta: dict[str, str] | None = None,
    ) -> NodeResult:
        """`spec` None ends a drain."""
        ...

    async def purge_node(self, node_id: str) -> NodeResult: ...

    async def evaluate_node(self, node_id: str) -> NodeResult: ...

    async def promote_deployment(self, deployment_id: str, groups: list[str] | None) -> DeploymentResult:
        """`groups` None: all."""
        ...

    async def pause_deployment(self, deployment_id: str, pause: bool) -> DeploymentResult: ...

    async def fail_deployment(self, deployment_id: str) -> DeploymentResult: ...

    async def set_alloc_health(
        self, deployment_id: str, healthy: list[str], unhealthy: list[str]
    ) -> DeploymentResult: ...

    async def put_namespace(self, namespace: Namespace) -> int: ...

    async def delete_namespace(self, name: str) -> int: ...

    async def put_scheduler_config(self, config: SchedulerConfig, *, cas: int | None = None) -> tuple[bool, int]:
        """(updated, index)."""
        ...

    async def collect_garbage(self) -> None: ...
