"""The orchestrator's state, materialised in memory and fed by the store's watch. Reads never touch the store.

Everything handed out is shared: treat it as immutable (`msgspec.structs.replace` makes a changed copy).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

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

LIST_TOPICS: tuple[Topic, ...] = (
    ("jobs",),
    ("evals",),
    ("allocs",),
    ("deployments",),
    ("nodes",),
    ("namespaces",),
    ("scheduler_config",),
)
"""The topics of whole tables."""

_JOB_TOPICS = ("job", "job_versions", "job_evals", "job_allocs", "job_deployments")

OPEN_EVALS = frozenset({"pending", "blocked"})
OPEN_DEPLOYMENTS = frozenset({"running", "paused", "pending", "blocked", "unblocking", "initializing"})
REMEMBERED_TOPICS = 10_000
"""How many topics of deleted objects keep their index, so that whoever waits on one is woken and answered."""


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
        self.listeners: list[Callable[[int, Sequence[Event]], None]] = []
        """Told of every commit once it is applied: revision and raw events (the event stream's buffer)."""
        self.jobs: dict[JobKey, Job] = {}
        self.versions: dict[JobKey, dict[int, Job]] = {}
        self.submissions: dict[JobKey, dict[int, JobSubmission]] = {}
        self.evals: dict[str, Evaluation] = {}
        self.allocs: dict[str, Alloc] = {}
        self.segments: dict[bytes, PlanSegment] = {}
        self.segment_revisions: dict[bytes, int] = {}
        """Mod revision of each segment's key."""
        self.deployments: dict[str, Deployment] = {}
        self.nodes: dict[str, Node] = {}
        self.node_secrets: dict[str, str] = {}
        self.namespaces: dict[str, Namespace] = {}
        self.scheduler_config = SchedulerConfig()
        self._allocs_by_job: dict[JobKey, dict[str, Alloc]] = defaultdict(dict)
        self._allocs_by_node: dict[str, dict[str, Alloc]] = defaultdict(dict)
        self.open_evals: dict[str, Evaluation] = {}
        """Those pending or blocked."""
        self.open_deployments: dict[str, Deployment] = {}
        """Those that may still change."""
        self._gone: deque[tuple[Topic, int]] = deque()
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

    def orphans(self) -> list[bytes]:
        """Keys of desired and client parts whose allocation is not there: left by a collection that was cut short."""
        return [event.key for tables in self._early.values() for event in tables.values()]

    # ---- feeding -----------------------------------------------------------------------------------------------

    def load(self, snapshot: Range) -> None:
        """Replaces everything with `snapshot` (a range over `root`).

        Objects get the indexes they had. Tables count as changed at the snapshot's revision, since the newest deletion
        leaves no trace in it; after a reload (history compacted) everything known does, and every waiter is woken.
        """
        reload = self.revision > 0
        self._clear()
        events = [Event(kv.key, kv.value, kv.create_revision, kv.mod_revision) for kv in snapshot.items]
        touched: dict[Topic, int] = {}
        for event in sorted(events, key=self._load_order):
            for topic in self._apply_one(event):
                touched[topic] = max(touched.get(topic, 1), event.mod_revision)
        for topic, revision in touched.items():
            self.topics.touch((topic,), revision)
        self.revision = max(self.revision, snapshot.revision)
        self.topics.touch(self.topics.known() if reload else LIST_TOPICS, max(1, snapshot.revision))

    def _load_order(self, event: Event) -> tuple[bool, int]:
        """Nodes and job versions come first, for observers who look at both when an allocation appears."""
        table = event.key[len(self.root) :].partition(b"/")[0]
        return table not in {b"node", b"job_version"}, event.mod_revision

    def _clear(self) -> None:
        for observer in self.observers:
            for alloc in self.allocs.values():
                observer.alloc_changed(alloc, None)
            for node in self.nodes.values():
                observer.node_changed(node, None)
        fresh = vars(State(self.root))
        kept = {"topics", "observers", "listeners", "revision", "_tables", "_gone"}
        vars(self).update({name: value for name, value in fresh.items() if name not in kept})

    def apply(self, revision: int, events: Sequence[Event]) -> None:
        """Applies one commit."""
        touched: set[Topic] = set()
        for event in events:
            touched.update(self._apply_one(event))
        self.revision = max(self.revision, revision)
        self.topics.touch(touched, revision)
        self._forget_old()
        for listener in self.listeners:
            listener(revision, events)

    def _apply_one(self, event: Event) -> Iterable[Topic]:
        table, *rest = parts(event.key, self.root)
        apply = self._tables.get(table)
        return apply(rest, event) if apply is not None else ()  # a newer version's table: not ours to read

    def _forget_later(self, topics: Iterable[Topic], event: Event) -> None:
        """The topics of a deleted object are forgotten once many others have gone after it."""
        self._gone.extend((topic, event.mod_revision) for topic in topics)

    def _forget_old(self) -> None:
        while len(self._gone) > REMEMBERED_TOPICS:
            topic, revision = self._gone.popleft()
            if self.topics.index(topic) <= revision:  # not touched since: its object did not come back
                self.topics.forget(topic)

    def _apply_job(self, rest: list[str], event: Event) -> Iterable[Topic]:
        name = (rest[0], rest[1])
        if event.value is None:
            self.jobs.pop(name, None)
            self._forget_later([(one, *name) for one in _JOB_TOPICS], event)
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
            submission = _decode(event, JobSubmission)
            submission.JobIndex = submission.JobIndex or event.create_revision
            self.submissions.setdefault(name, {})[version] = submission
        return (("job_versions", *name),)

    def _apply_eval(self, rest: list[str], event: Event) -> Iterable[Topic]:
        before = self.evals.pop(rest[0], None)
        self.open_evals.pop(rest[0], None)
        if before is not None:
            _discard(self._evals_by_job, (before.Namespace, before.JobID), before.ID)
        after = before
        if event.value is None:
            self._forget_later([("eval", rest[0])], event)
        else:
            after = _decode(event, Evaluation)
            after.CreateIndex, after.ModifyIndex = event.create_revision, event.mod_revision
            if after.JobID and after.JobModifyIndex == 0:  # made by the commit that changed the job
                after.JobModifyIndex = event.create_revision
            self.evals[after.ID] = after
            if after.Status in OPEN_EVALS:
                self.open_evals[after.ID] = after
            self._evals_by_job[(after.Namespace, after.JobID)].add(after.ID)
        if after is None:
            return ()
        return (("evals",), ("eval", after.ID), ("job_evals", after.Namespace, after.JobID))

    def _apply_plan(self, _rest: list[str], event: Event) -> Iterable[Topic]:
        old = self.segments.pop(event.key, None)
        self.segment_revisions.pop(event.key, None)
        before = (
            {alloc.ID: self.allocs[alloc.ID] for alloc in rows_of(old, 0) if alloc.ID in self.allocs} if old else {}
        )
        after: list[Alloc] = []
        if event.value is not None:
            segment = _decode(event, PlanSegment)
            self.segments[event.key] = segment
            self.segment_revisions[event.key] = event.mod_revision
            after = rows_of(segment, event.create_revision)
        for alloc in after:
            self._place_row(alloc, before.pop(alloc.ID, None))
        for alloc in before.values():
            self._replace_alloc(alloc, None)
            self._forget_later([("alloc", alloc.ID), ("eval_allocs", alloc.EvalID)], event)
            if (alloc.Namespace, alloc.JobID) not in self.jobs:
                self._forget_later([("job_allocs", alloc.Namespace, alloc.JobID)], event)
        return _alloc_topics([*after, *before.values()])

    def _place_row(self, alloc: Alloc, before: Alloc | None) -> None:
        """A segment is written again only to collect rows: those that stay keep their other parts and indexes."""
        if before is not None:
            alloc.Desired, alloc.Client, alloc.DesiredIndex = before.Desired, before.Client, before.DesiredIndex
            alloc.ModifyIndex, alloc.AllocModifyIndex = before.ModifyIndex, before.AllocModifyIndex
        self._replace_alloc(before, alloc)
        for table, early in self._early.pop(alloc.ID, {}).items():
            for _ in self._tables[table]([alloc.ID], early):
                pass

    def _apply_desired(self, rest: list[str], event: Event) -> Iterable[Topic]:
        desired = None if event.value is None else _decode(event, AllocDesired)
        alloc = self.allocs.get(rest[0])
        if alloc is None:
            self._keep_early("alloc_desired", rest[0], event)
            return ()
        changed = msgspec.structs.replace(
            alloc,
            Desired=desired,
            DesiredIndex=0 if desired is None else event.mod_revision,
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
        self.open_deployments.pop(rest[0], None)
        after = before
        if before is not None:
            _discard(self._deployments_by_job, (before.Namespace, before.JobID), before.ID)
        if event.value is None:
            self._forget_later([("deployment", rest[0]), ("deployment_allocs", rest[0])], event)
        else:
            after = _decode(event, Deployment)
            after.CreateIndex, after.ModifyIndex = event.create_revision, event.mod_revision
            self.deployments[after.ID] = after
            if after.Status in OPEN_DEPLOYMENTS:
                self.open_deployments[after.ID] = after
            self._deployments_by_job[(after.Namespace, after.JobID)].add(after.ID)
        if after is None:
            return ()
        return (("deployments",), ("deployment", after.ID), ("job_deployments", after.Namespace, after.JobID))

    def _apply_node(self, rest: list[str], event: Event) -> Iterable[Topic]:
        before, after = self.nodes.get(rest[0]), None
        if event.value is None:
            self.nodes.pop(rest[0], None)
            self._forget_later([("node", rest[0]), ("node_allocs", rest[0]), ("node_assignments", rest[0])], event)
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
            early = self._early.get(alloc_id, {})
            early.pop(table, None)
            if not early:
                self._early.pop(alloc_id, None)
        else:
            self._early[alloc_id][table] = event

    def _replace_alloc(self, before: Alloc | None, after: Alloc | None) -> None:
        if before is not None and after is None:
            del self.allocs[before.ID]
            _discard(self._allocs_by_job, (before.Namespace, before.JobID), before.ID)
            _discard(self._allocs_by_node, before.NodeID, before.ID)
        if after is not None:
            self.allocs[after.ID] = after
            self._allocs_by_job[(after.Namespace, after.JobID)][after.ID] = after
            self._allocs_by_node[after.NodeID][after.ID] = after
        for observer in self.observers:
            observer.alloc_changed(before, after)


def _alloc_topics(allocs: Sequence[Alloc]) -> Iterable[Topic]:
    """Each topic once: allocations of one commit mostly share their job, evaluation and nodes."""
    if not allocs:
        return
    yield ("allocs",)
    for alloc in allocs:
        yield ("alloc", alloc.ID)
    for segment in {id(alloc.Segment): alloc.Segment for alloc in allocs}.values():
        yield ("job_allocs", segment.Namespace, segment.JobID)
        yield ("eval_allocs", segment.EvalID)
    for deployment_id in {alloc.DeploymentID for alloc in allocs} - {""}:
        yield ("deployment_allocs", deployment_id)
    for node_id in {alloc.NodeID for alloc in allocs}:
        yield ("node_allocs", node_id)
        yield ("node_assignments", node_id)


def _discard(table: dict[T, Any], name: T, member: str) -> None:
    """Removes `member` from the set or dict at `name`, and the set or dict itself once empty."""
    members = table.get(name)
    if members is None:
        return
    if isinstance(members, set):
        members.discard(member)
    else:
        members.pop(member, None)
    if not members:
        del table[name]


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
