"""Where the orchestrator keeps what, under `/<client>/<infra>/orchestrator/`."""

from __future__ import annotations

from dataclasses import dataclass

from kokiris.kernel.keys import key, prefix


@dataclass(frozen=True, slots=True)
class Keys:
    """The key of every stored object of one infra."""

    client: str
    infra: str

    @property
    def root(self) -> bytes:
        return prefix(self.client, self.infra, "orchestrator")

    def _key(self, *parts: str) -> bytes:
        return key(self.client, self.infra, "orchestrator", *parts)

    def job(self, namespace: str, job_id: str) -> bytes:
        """`Job`: the newest version."""
        return self._key("job", namespace, job_id)

    def job_version(self, namespace: str, job_id: str, version: int) -> bytes:
        """`Job`: every kept version, the newest included."""
        return self._key("job_version", namespace, job_id, f"{version:010d}")

    def submission(self, namespace: str, job_id: str, version: int) -> bytes:
        """`JobSubmission`: the source a version was made from."""
        return self._key("submission", namespace, job_id, f"{version:010d}")

    def evaluation(self, eval_id: str) -> bytes:
        """`Evaluation`."""
        return self._key("eval", eval_id)

    def plan(self, namespace: str, job_id: str, eval_id: str, group: str) -> bytes:
        """`PlanSegment`."""
        return self._key("plan", namespace, job_id, eval_id, group)

    def alloc_desired(self, alloc_id: str) -> bytes:
        """`AllocDesired`."""
        return self._key("alloc_desired", alloc_id)

    def alloc_client(self, alloc_id: str) -> bytes:
        """`AllocClient`."""
        return self._key("alloc_client", alloc_id)

    def deployment(self, deployment_id: str) -> bytes:
        """`Deployment`."""
        return self._key("deployment", deployment_id)

    def node(self, node_id: str) -> bytes:
        """`Node`."""
        return self._key("node", node_id)

    def node_secret(self, node_id: str) -> bytes:
        """SHA-256 of the node's secret id (hex)."""
        return self._key("node_secret", node_id)

    def namespace(self, name: str) -> bytes:
        """`Namespace`."""
        return self._key("namespace", name)

    @property
    def scheduler_config(self) -> bytes:
        """`SchedulerConfig`."""
        return self._key("scheduler_config")
