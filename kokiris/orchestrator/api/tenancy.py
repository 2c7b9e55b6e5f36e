"""What a tenant's token sees of the state: everything but namespace "platform", which is as if it were not there.

Handlers read `Call.state`, which is one of these views, so that an endpoint cannot forget to leave something out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from kokiris.kernel.names import PLATFORM
from kokiris.kernel.topics import Topics
from kokiris.orchestrator.model.alloc import Alloc
from kokiris.orchestrator.model.deployment import Deployment
from kokiris.orchestrator.model.evaluation import Evaluation
from kokiris.orchestrator.model.infra import JobSubmission, Namespace, SchedulerConfig
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.model.node import Node
from kokiris.orchestrator.state import JobKey, State

K = TypeVar("K")
V = TypeVar("V")


class Reads(Protocol):
    """What handlers may read: `kokiris.orchestrator.state.State` for an operator, `TenantView` for everyone else."""

    @property
    def revision(self) -> int: ...
    @property
    def topics(self) -> Topics: ...
    @property
    def jobs(self) -> Mapping[JobKey, Job]: ...
    @property
    def versions(self) -> Mapping[JobKey, dict[int, Job]]: ...
    @property
    def submissions(self) -> Mapping[JobKey, dict[int, JobSubmission]]: ...
    @property
    def evals(self) -> Mapping[str, Evaluation]: ...
    @property
    def allocs(self) -> Mapping[str, Alloc]: ...
    @property
    def deployments(self) -> Mapping[str, Deployment]: ...
    @property
    def nodes(self) -> Mapping[str, Node]: ...
    @property
    def namespaces(self) -> Mapping[str, Namespace]: ...
    @property
    def scheduler_config(self) -> SchedulerConfig: ...

    def job(self, namespace: str, job_id: str) -> Job | None: ...
    def job_of(self, alloc: Alloc) -> Job | None: ...
    def allocs_of_job(self, namespace: str, job_id: str) -> Sequence[Alloc]: ...
    def allocs_of_node(self, node_id: str) -> Sequence[Alloc]: ...
    def evals_of_job(self, namespace: str, job_id: str) -> Sequence[Evaluation]: ...
    def deployments_of_job(self, namespace: str, job_id: str) -> Sequence[Deployment]: ...


class Shown(Mapping[K, V]):
    """A table without the rows of namespace "platform"; reads through to the table."""

    __slots__ = ("_namespace_of", "_table")

    def __init__(self, table: Mapping[K, V], namespace_of: Callable[[K, V], str]) -> None:
        self._table = table
        self._namespace_of = namespace_of

    def __getitem__(self, key: K) -> V:
        value = self._table[key]
        if self._namespace_of(key, value) == PLATFORM:
            raise KeyError(key)
        return value

    def __iter__(self) -> Iterator[K]:
        return (key for key, value in self._table.items() if self._namespace_of(key, value) != PLATFORM)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _of_name(key: JobKey, value: object) -> str:
    del value
    return key[0]


def _of_evaluation(key: str, value: Evaluation) -> str:
    del key
    return value.Namespace


def _of_alloc(key: str, value: Alloc) -> str:
    del key
    return value.Segment.Namespace


def _of_deployment(key: str, value: Deployment) -> str:
    del key
    return value.Namespace


def _itself(key: str, value: object) -> str:
    del value
    return key


class TenantView:
    """`State` without namespace "platform". Shares everything; cheap to make."""

    __slots__ = ("_state", "allocs", "deployments", "evals", "jobs", "namespaces", "submissions", "versions")

    def __init__(self, state: State) -> None:
        self._state = state
        self.jobs: Mapping[JobKey, Job] = Shown(state.jobs, _of_name)
        self.versions: Mapping[JobKey, dict[int, Job]] = Shown(state.versions, _of_name)
        self.submissions: Mapping[JobKey, dict[int, JobSubmission]] = Shown(state.submissions, _of_name)
        self.evals: Mapping[str, Evaluation] = Shown(state.evals, _of_evaluation)
        self.allocs: Mapping[str, Alloc] = Shown(state.allocs, _of_alloc)
        self.deployments: Mapping[str, Deployment] = Shown(state.deployments, _of_deployment)
        self.namespaces: Mapping[str, Namespace] = Shown(state.namespaces, _itself)

    @property
    def revision(self) -> int:
        return self._state.revision

    @property
    def topics(self) -> Topics:
        return self._state.topics

    @property
    def nodes(self) -> Mapping[str, Node]:
        return self._state.nodes

    @property
    def scheduler_config(self) -> SchedulerConfig:
        return self._state.scheduler_config

    def job(self, namespace: str, job_id: str) -> Job | None:
        return None if namespace == PLATFORM else self._state.job(namespace, job_id)

    def job_of(self, alloc: Alloc) -> Job | None:
        return None if alloc.Namespace == PLATFORM else self._state.job_of(alloc)

    def allocs_of_job(self, namespace: str, job_id: str) -> Sequence[Alloc]:
        return () if namespace == PLATFORM else self._state.allocs_of_job(namespace, job_id)

    def allocs_of_node(self, node_id: str) -> Sequence[Alloc]:
        return [alloc for alloc in self._state.allocs_of_node(node_id) if alloc.Namespace != PLATFORM]

    def evals_of_job(self, namespace: str, job_id: str) -> Sequence[Evaluation]:
        return () if namespace == PLATFORM else self._state.evals_of_job(namespace, job_id)

    def deployments_of_job(self, namespace: str, job_id: str) -> Sequence[Deployment]:
        return () if namespace == PLATFORM else self._state.deployments_of_job(namespace, job_id)
