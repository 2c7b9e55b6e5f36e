"""The leader's watch over running deployments."""

from __future__ import annotations

import logging

from kokiris.kernel.units import SECOND_NS
from kokiris.orchestrator.core.context import Context
from kokiris.orchestrator.core.deployments import draft_watched
from kokiris.orchestrator.core.draft import Draft
from kokiris.orchestrator.core.jobs import Jobs
from kokiris.orchestrator.model.deployment import Deployment
from kokiris.orchestrator.scheduler.deployments import watch_deployment
from kokiris.store.contract import Condition

log = logging.getLogger(__name__)

IDLE_S = 60.0
RETRY_S = 0.005


class Rollouts:
    """Looks at a deployment whenever it, or an allocation of it, has changed, and when one of its deadlines is over."""

    def __init__(self, context: Context, jobs: Jobs) -> None:
        self._context = context
        self._jobs = jobs
        self._seen: dict[str, int] = {}
        self._wake_at_ns: dict[str, int] = {}

    async def run(self, fence: Condition) -> None:
        """Until cancelled."""
        topics = self._context.state.topics
        watched = (("deployments",), ("allocs",))
        while True:
            seen = topics.index(*watched)
            wait_s = await self._round(fence)
            await topics.wait(watched, seen, wait_s)

    async def _round(self, fence: Condition) -> float:
        state, lost = self._context.state, False
        for gone in self._seen.keys() - state.open_deployments.keys():
            del self._seen[gone]
            self._wake_at_ns.pop(gone, None)
        for deployment in list(state.open_deployments.values()):
            lost |= not await self._look(deployment, fence)
        if lost:
            return RETRY_S
        due_ns = min(self._wake_at_ns.values(), default=0)
        if not due_ns:
            return IDLE_S
        return max(RETRY_S, min(IDLE_S, (due_ns - self._context.now_ns()) / SECOND_NS + 0.001))

    async def _look(self, deployment: Deployment, fence: Condition) -> bool:
        """False when somebody changed the same objects meanwhile: look again."""
        state, now_ns, ident = self._context.state, self._context.now_ns(), deployment.ID
        index = state.topics.index(("deployment", ident), ("deployment_allocs", ident))
        if self._seen.get(ident) == index and now_ns < self._wake_at_ns.get(ident, now_ns + 1):
            return True
        job = state.job_version(deployment.Namespace, deployment.JobID, deployment.JobVersion)
        if job is None:  # purged: the evaluation of that cancels the deployment
            return True
        allocs = state.allocs_of_job(deployment.Namespace, deployment.JobID)
        versions = state.versions.get((deployment.Namespace, deployment.JobID), {})
        decision = watch_deployment(deployment, job, allocs, now_ns, versions)
        draft = Draft()
        draft_watched(self._context, self._jobs, draft, deployment, decision)
        if draft and await self._context.commits.attempt(draft, fence) is None:
            return False
        self._seen[ident] = index
        self._wake_at_ns.pop(ident, None)
        if decision.wake_at_ns is not None:
            self._wake_at_ns[ident] = decision.wake_at_ns
        return True
