"""The orchestrator's state, materialised in memory and fed by the store's watch. Reads never touch the store.

Everything handed out is shared: treat it as immutable (`msgspec.structs.replace` makes a changed copy).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

import msgspec

from kokiris.kernel.keys import parts
from kokiris.kernel.topics import Topic, Topics
from kokiris.orchestrator.model.alloc import Alloc, AllocClient, AllocDesired, PlanSegment, rows_of
from kokiris.orchestrator.model.deployment import Deployment
from kokiris.orchestrator.model.evaluation import Evaluation
from kokiris.orchestrator.model.infra import JobSubmission, Namespace, SchedulerConfig
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.model.node import Node
from kokiris.store.contract import Event, Range

JobKey = tuple[str, str]
"""(namespace, job id)."""

T = TypeVar("T")


class AllocObserver(Protocol):
    """Told of every change, so that columns over nodes can follow incrementally (the scheduler's `Cluster`)."""

    def alloc_changed(self, before: Alloc | None, after: Alloc | None) -> None: ...

    def node_changed(self, before: Node | None, after: Node | None) -> None: ...


class State:
    """Tables and the indexes over them. `topics` carries the wake-ups; the topic names are listed in `_touch_*`."""

    def __init__(self, root: bytes) -> None:
        self.root = root
        self.revision = 0
        self.topics = Topics()
        self.observers: list[AllocObserver] = []
        self.jobs: dict[JobKey, Job] = {}
        self.versions: dict[JobKey, dict[int, Job]] = {}
        self.submissions: dict[JobKey, dict[int, JobSubmission]] = {}
        self.evals: dict[str, Evaluation] = {}
        self.allocs: dict[str, Alloc] = {}
        self.segments: dict[bytes, PlanSegment] = {}
        self.deployments: dict[str, Deployment] = {}
        self.nodes: dict[str, Node] = {}
        self.node_secrets: dict[str, str] = {}
        self.namespaces: dict[str, Namespace] = {}
        self.scheduler_config = SchedulerConfig()
        self._allocs_by_job: dict[JobKey, dict[str, Alloc]] = defaultdict(dict)
        self._allocs_by_node: dict[str, dict[str, Alloc]] = defaultdict(dict)
        self._evals_by_job: dict[JobKey, set[str]] = defaultdict(set)
        self._deployments_by_job: dict[JobKey, set[str]] = defaultdict(set)
        self._early: dict[str, dict[str, Event]] = defaultdict(dict)
        """Desired and client parts read before their segment (a range is in key order): alloc id → table → event."""
        self._tables: dict[str, Callable[[list[str], Event], Iterable[Topic]]] = {
            "job": self._apply_job,
            "job_version": self._apply_version,
            "submission": self._apply_submission,
            "eval": self._apply_eval,
            "plan": self._apply_plan,
            "alloc_desired": self._apply_desired,
            "alloc_client": self._apply_client,
            "deployment": self._apply_deployment,
            "node": self._apply_node,
            "node_secret": self._apply_node_secret,
            "namespace": self._apply_namespace,
            "scheduler_config": self._apply_scheduler_config,
        }

    # ---- reads -------------------------------------------------------------------------------------------------

    def job(self, namespace: str, job_id: str) -> Job | None:
        return self.jobs.get((namespace, job_id))

    def job_version(self, namespace: str, job_id: str, version: int) -> Job | None:
        return self.versions.get((namespace, job_id), {}).get(version)

    def job_of(self, alloc: Alloc) -> Job | None:
        """The job version the allocation runs."""
        return self.job_version(alloc.Namespace, alloc.JobID, alloc.JobVersion)

    def allocs_of_job(self, namespace: str, job_id: str) -> Sequence[Alloc]:
        return list(self._allocs_by_job.get((namespace, job_id), {}).values())

    def allocs_of_node(self, node_id: str) -> Sequence[Alloc]:
        return list(self._allocs_by_node.get(node_id, {}).values())

    def evals_of_job(self, namespace: str, job_id: str) -> Sequence[Evaluation]:
        return [self.evals[eval_id] for eval_id in self._evals_by_job.get((namespace, job_id), ())]

    def deployments_of_job(self, namespace: str, job_id: str) -> Sequence[Deployment]:
        """Newest first."""
        found = [self.deployments[one] for one in self._deployments_by_job.get((namespace, job_id), ())]
        return sorted(found, key=lambda deployment: deployment.CreateIndex, reverse=True)

    # ---- feeding -----------------------------------------------------------------------------------------------

    def load(self, snapshot: Range) -> None:
        """Replaces everything with `snapshot` (a range over `root`)."""
        fresh = State(self.root)
        fresh.observers = self.observers
        for observer in self.observers:
            for alloc in self.allocs.values():
                observer.alloc_changed(alloc, None)
            for node in self.nodes.values():
                observer.node_changed(node, None)
        topics = self.topics
        for name, value in vars(fresh).items():
            if name not in {"topics", "_tables", "observers"}:
                setattr(self, name, value)
        events = [Event(kv.key, kv.value, kv.create_revision, kv.mod_revision) for kv in snapshot.items]
        self.topics = topics
        for event in events:
            self.topics.touch(self._apply_one(event), event.mod_revision)
        self.revision = max(self.revision, snapshot.revision)

    def apply(self, revision: int, events: Sequence[Event]) -> None:
        """Applies one commit."""
        touched: set[Topic] = set()
        for event in events:
            touched.update(self._apply_one(event))
        self.revision = max(self.revision, revision)
        self.topics.touch(touched, revision)

    def _apply_one(self, event: Event) -> Iterable[Topic]:
        table, *rest = parts(event.key, self.root)
        return self._tables[table](rest, event)

    def _apply_job(self, rest: list[str], event: Event) -> Iterable[Topic]:
        name = (rest[0], rest[1])
        if event.value is None:
            self.jobs.pop(name, None)
        else:
            self.jobs[name] = _indexed_job(event)
        return (("jobs",), ("job", *name))

    def _apply_version(self, rest: list[str], event: Event) -> Iterable[Topic]:
        name, version = (rest[0], rest[1]), int(rest[2])
        if event.value is None:
            _drop(self.versions, name, version)
        else:
            self.versions.setdefault(name, {})[version] = _indexed_job(event)
        return (("job_versions", *name),)

    def _apply_submission(self, rest: list[str], event: Event) -> Iterable[Topic]:
        name, version = (rest[0], rest[1]), int(rest[2])
        if event.value is None:
            _drop(self.submissions, name, version)
        else:
            self.submissions.setdefault(name, {})[version] = _decode(event, JobSubmission)
        return (("job_versions", *name),)

    def _apply_eval(self, rest: list[str], event: Event) -> Iterable[Topic]:
        before = self.evals.pop(rest[0], None)
        if before is not None:
            self._evals_by_job[(before.Namespace, before.JobID)].discard(before.ID)
        after = before
        if event.value is not None:
            after = _decode(event, Evaluation)
            after.CreateIndex, after.ModifyIndex = event.create_revision, event.mod_revision
            self.evals[after.ID] = after
            self._evals_by_job[(after.Namespace, after.JobID)].add(after.ID)
        if after is None:
            return ()
        return (("evals",), ("eval", after.ID), ("job_evals", after.Namespace, after.JobID))

    def _apply_plan(self, _rest: list[str], event: Event) -> Iterable[Topic]:
        old = self.segments.pop(event.key, None)
        if old is not None:
            for alloc in rows_of(old, 0):
                if alloc.ID in self.allocs:
                    self._replace_alloc(self.allocs[alloc.ID], None)
        if event.value is None:
            return _alloc_topics(rows_of(old, 0)) if old is not None else ()
        segment = _decode(event, PlanSegment)
        self.segments[event.key] = segment
        allocs = rows_of(segment, event.create_revision)
        for alloc in allocs:
            alloc.ModifyIndex = alloc.AllocModifyIndex = event.mod_revision
            self._replace_alloc(None, alloc)
            for table, early in self._early.pop(alloc.ID, {}).items():
                self._tables[table]([alloc.ID], early)
        return _alloc_topics(allocs)

    def _apply_desired(self, rest: list[str], event: Event) -> Iterable[Topic]:
        desired = None if event.value is None else _decode(event, AllocDesired)
        alloc = self.allocs.get(rest[0])
        if alloc is None:
            self._keep_early("alloc_desired", rest[0], event)
            return ()
        changed = msgspec.structs.replace(
            alloc,
            Desired=desired,
            ModifyIndex=max(alloc.ModifyIndex, event.mod_revision),
            AllocModifyIndex=max(alloc.AllocModifyIndex, event.mod_revision),
        )
        self._replace_alloc(alloc, changed)
        return _alloc_topics([changed])

    def _apply_client(self, rest: list[str], event: Event) -> Iterable[Topic]:
        client = None if event.value is None else _decode(event, AllocClient)
        alloc = self.allocs.get(rest[0])
        if alloc is None:
            self._keep_early("alloc_client", rest[0], event)
            return ()
        changed = msgspec.structs.replace(alloc, Client=client, ModifyIndex=max(alloc.ModifyIndex, event.mod_revision))
        self._replace_alloc(alloc, changed)
        return (
            topic for topic in _alloc_topics([changed]) if topic[0] != "node_assignments"
        )  # the worker wrote it itself

    def _apply_deployment(self, rest: list[str], event: Event) -> Iterable[Topic]:
        before = self.deployments.pop(rest[0], None)
        after = before
        if before is not None:
            self._deployments_by_job[(before.Namespace, before.JobID)].discard(before.ID)
        if event.value is not None:
            after = _decode(event, Deployment)
            after.CreateIndex, after.ModifyIndex = event.create_revision, event.mod_revision
            self.deployments[after.ID] = after
            self._deployments_by_job[(after.Namespace, after.JobID)].add(after.ID)
        if after is None:
            return ()
        return (("deployments",), ("deployment", after.ID), ("job_deployments", after.Namespace, after.JobID))

    def _apply_node(self, rest: list[str], event: Event) -> Iterable[Topic]:
        before, after = self.nodes.get(rest[0]), None
        if event.value is None:
            self.nodes.pop(rest[0], None)
        else:
            after = _decode(event, Node)
            after.CreateIndex, after.ModifyIndex = event.create_revision, event.mod_revision
            self.nodes[rest[0]] = after
        for observer in self.observers:
            observer.node_changed(before, after)
        return (("nodes",), ("node", rest[0]))

    def _apply_node_secret(self, rest: list[str], event: Event) -> Iterable[Topic]:
        if event.value is None:
            self.node_secrets.pop(rest[0], None)
        else:
            self.node_secrets[rest[0]] = event.value.decode()
        return ()

    def _apply_namespace(self, rest: list[str], event: Event) -> Iterable[Topic]:
        if event.value is None:
            self.namespaces.pop(rest[0], None)
        else:
            namespace = _decode(event, Namespace)
            namespace.CreateIndex, namespace.ModifyIndex = event.create_revision, event.mod_revision
            self.namespaces[rest[0]] = namespace
        return (("namespaces",), ("namespace", rest[0]))

    def _apply_scheduler_config(self, _rest: list[str], event: Event) -> Iterable[Topic]:
        config = SchedulerConfig() if event.value is None else _decode(event, SchedulerConfig)
        config.CreateIndex, config.ModifyIndex = event.create_revision, event.mod_revision
        self.scheduler_config = config
        return (("scheduler_config",),)

    def _keep_early(self, table: str, alloc_id: str, event: Event) -> None:
        if event.value is None:
            self._early.get(alloc_id, {}).pop(table, None)
        else:
            self._early[alloc_id][table] = event

    def _replace_alloc(self, before: Alloc | None, after: Alloc | None) -> None:
        if before is not None and after is None:
            del self.allocs[before.ID]
            self._allocs_by_job[(before.Namespace, before.JobID)].pop(before.ID, None)
            self._allocs_by_node[before.NodeID].pop(before.ID, None)
        if after is not None:
            self.allocs[after.ID] = after
            self._allocs_by_job[(after.Namespace, after.JobID)][after.ID] = after
            self._allocs_by_node[after.NodeID][after.ID] = after
        for observer in self.observers:
            observer.alloc_changed(before, after)


def _alloc_topics(allocs: Sequence[Alloc]) -> Iterable[Topic]:
    yield ("allocs",)
    for alloc in allocs:
        yield ("alloc", alloc.ID)
        yield ("job_allocs", alloc.Namespace, alloc.JobID)
        yield ("node_allocs", alloc.NodeID)
        yield ("node_assignments", alloc.NodeID)
        yield ("eval_allocs", alloc.EvalID)
        if alloc.DeploymentID:
            yield ("deployment_allocs", alloc.DeploymentID)


def _decode(event: Event, as_type: type[T]) -> T:
    assert event.value is not None  # noqa: S101 - callers have checked; this tells the type checker
    return msgspec.msgpack.decode(event.value, type=as_type)


def _indexed_job(event: Event) -> Job:
    job = _decode(event, Job)
    job.CreateIndex, job.ModifyIndex = event.create_revision, event.mod_revision
    if job.JobModifyIndex == 0:  # stored as 0 by the commit that changed the specification
        job.JobModifyIndex = event.mod_revision
    return job


def _drop(table: dict[JobKey, dict[int, T]], name: JobKey, version: int) -> None:
    versions = table.get(name, {})
    versions.pop(version, None)
    if not versions:
        table.pop(name, None)
