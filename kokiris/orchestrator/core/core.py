"""The orchestrator's core: every command, and the leader's work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from kokiris.discovery.model import Keys as CatalogKeys
from kokiris.kernel.clock import NowNs, wall_ns
from kokiris.kernel.errors import KokirisError
from kokiris.orchestrator.commands import DeploymentResult, JobResult, NodeResult, PlanResult
from kokiris.orchestrator.core.allocs import Allocs
from kokiris.orchestrator.core.audit import CatalogAudit
from kokiris.orchestrator.core.collection import Collection
from kokiris.orchestrator.core.commits import Applied, Commits
from kokiris.orchestrator.core.context import CatalogView, Context
from kokiris.orchestrator.core.deployments import Deployments
from kokiris.orchestrator.core.drains import Drains
from kokiris.orchestrator.core.job_changes import JobChanges
from kokiris.orchestrator.core.jobs import Jobs
from kokiris.orchestrator.core.liveness import Liveness
from kokiris.orchestrator.core.nodes import Nodes
from kokiris.orchestrator.core.planning import Capacity, Planning
from kokiris.orchestrator.core.rollouts import Rollouts
from kokiris.orchestrator.core.settings import Settings
from kokiris.orchestrator.keys import Keys
from kokiris.orchestrator.model.infra import JobSubmission, Namespace, SchedulerConfig
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.model.node import DrainRequestSpec
from kokiris.orchestrator.scheduler.columns import Cluster
from kokiris.orchestrator.state import State
from kokiris.store.contract import Condition, Store

log = logging.getLogger(__name__)

RESTART_S = 1.0
"""Pause before a part of the leader's work that ended in an error begins again."""


class Leader(Protocol):
    """`kokiris.store.election.Leadership`."""

    @property
    def is_leader(self) -> bool: ...


class Core:
    """Implements `commands.Commands`. Parts are public for the internal API: `nodes`, `allocs`, `liveness`.

    Build it before the followers start: it puts observers on `state`. `lead` and `follow` are the callbacks of an
    election: between them this server decides for the infra.
    """

    def __init__(
        self,
        store: Store,
        state: State,
        catalog: CatalogView,
        *,
        followers: Sequence[Applied],
        keys: Keys,
        catalog_keys: CatalogKeys,
        leader: Leader,
        now_ns: NowNs = wall_ns,
    ) -> None:
        self._state = state
        self._leader = leader
        self._cluster = Cluster.following(state)
        self._capacity = Capacity()
        state.observers.append(self._capacity)
        self._context = Context(state, catalog, Commits(store, followers), keys, catalog_keys, now_ns)
        self.jobs = Jobs(self._context, self._cluster)
        self.job_changes = JobChanges(self._context, self.jobs)
        self.nodes = Nodes(self._context)
        self.allocs = Allocs(self._context)
        self.liveness = Liveness(self._context, self.nodes)
        self.deployments = Deployments(self._context, self.jobs)
        self.settings = Settings(self._context)
        self.collection = Collection(self._context)
        self._leading: list[asyncio.Task[None]] = []

    # ---- leading -----------------------------------------------------------------------------------------------

    async def lead(self, fence: Condition) -> None:
        """Begins the leader's work, from a memory that reflects everything earlier leaders did."""
        await self._context.commits.visible(fence.mod_revision)
        await self.settings.ensure_built_in(fence)
        planning = Planning(self._context, self._cluster, self._capacity)
        rollouts = Rollouts(self._context, self.jobs)
        works = {
            "planning": planning.run,
            "liveness": self.liveness.run,
            "rollouts": rollouts.run,
            "drains": Drains(self._context).run,
            "collection": self.collection.run,
            "audit": CatalogAudit(self._context).run,
        }
        self._leading = [
            asyncio.create_task(_kept_going(name, work, fence), name=f"leader {name}") for name, work in works.items()
        ]

    async def follow(self) -> None:
        """Ends the leader's work. Idempotent."""
        works, self._leading = self._leading, []
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)

    @property
    def state(self) -> State:
        return self._state

    @property
    def is_leader(self) -> bool:
        return self._leader.is_leader

    # ---- jobs --------------------------------------------------------------------------------------------------

    async def register_job(
        self,
        job: Job,
        *,
        submission: JobSubmission | None = None,
        enforce_index: int | None = None,
        preserve_counts: bool = False,
        eval_priority: int = 0,
    ) -> JobResult:
        return await self.jobs.register(
            job,
            submission=submission,
            enforce_index=enforce_index,
            preserve_counts=preserve_counts,
            eval_priority=eval_priority,
        )

    async def plan_job(self, job: Job) -> PlanResult:
        return await self.jobs.plan(job)

    async def deregister_job(
        self,
        namespace: str,
        job_id: str,
        *,
        purge: bool = False,
        eval_priority: int = 0,
        no_shutdown_delay: bool = False,
    ) -> JobResult:
        return await self.jobs.deregister(
            namespace, job_id, purge=purge, eval_priority=eval_priority, no_shutdown_delay=no_shutdown_delay
        )

    async def evaluate_job(self, namespace: str, job_id: str, *, force_reschedule: bool = False) -> JobResult:
        return await self.jobs.evaluate(namespace, job_id, force_reschedule=force_reschedule)

    async def scale_job(
        self, namespace: str, job_id: str, group: str, count: int | None, *, message: str = "", error: bool = False
    ) -> JobResult:
        return await self.job_changes.scale(namespace, job_id, group, count, message=message, error=error)

    async def revert_job(
        self, namespace: str, job_id: str, version: int, *, enforce_prior_version: int | None = None
    ) -> JobResult:
        return await self.job_changes.revert(namespace, job_id, version, enforce_prior_version=enforce_prior_version)

    async def set_job_stable(self, namespace: str, job_id: str, version: int, stable: bool) -> int:
        return await self.job_changes.set_stable(namespace, job_id, version, stable)

    async def stop_alloc(self, alloc_id: str, *, no_shutdown_delay: bool = False) -> JobResult:
        return await self.allocs.stop(alloc_id, no_shutdown_delay=no_shutdown_delay)

    # ---- nodes -------------------------------------------------------------------------------------------------

    async def set_node_eligibility(self, node_id: str, eligible: bool) -> NodeResult:
        return await self.nodes.set_eligibility(node_id, eligible)

    async def drain_node(
        self,
        node_id: str,
        spec: DrainRequestSpec | None,
        *,
        mark_eligible: bool = False,
        meta: dict[str, str] | None = None,
    ) -> NodeResult:
        return await self.nodes.drain(node_id, spec, mark_eligible=mark_eligible, meta=meta)

    async def purge_node(self, node_id: str) -> NodeResult:
        return await self.nodes.purge(node_id)

    async def evaluate_node(self, node_id: str) -> NodeResult:
        return await self.nodes.evaluate(node_id)

    # ---- deployments -------------------------------------------------------------------------------------------

    async def promote_deployment(self, deployment_id: str, groups: list[str] | None) -> DeploymentResult:
        return await self.deployments.promote(deployment_id, groups)

    async def pause_deployment(self, deployment_id: str, pause: bool) -> DeploymentResult:
        return await self.deployments.pause(deployment_id, pause)

    async def fail_deployment(self, deployment_id: str) -> DeploymentResult:
        return await self.deployments.fail(deployment_id)

    async def set_alloc_health(self, deployment_id: str, healthy: list[str], unhealthy: list[str]) -> DeploymentResult:
        return await self.deployments.set_health(deployment_id, healthy, unhealthy)

    # ---- settings ----------------------------------------------------------------------------------------------

    async def put_namespace(self, namespace: Namespace) -> int:
        return await self.settings.put_namespace(namespace)

    async def delete_namespace(self, name: str) -> int:
        return await self.settings.delete_namespace(name)

    async def put_scheduler_config(self, config: SchedulerConfig, *, cas: int | None = None) -> tuple[bool, int]:
        return await self.settings.put_scheduler_config(config, cas=cas)

    async def collect_garbage(self) -> None:
        await self.collection.collect()


async def _kept_going(name: str, work: Callable[[Condition], Awaitable[None]], fence: Condition) -> None:
    """Runs `work` until cancelled: an error is logged and does not end the leader's other duties."""
    while True:
        try:
            await work(fence)
        except KokirisError as error:
            log.warning("leader: %s is interrupted: %s", name, error.message)
        except Exception:
            log.exception("leader: %s ended in an error and begins again", name)
        await asyncio.sleep(RESTART_S)
