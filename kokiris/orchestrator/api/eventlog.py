"""The newest changes of state and catalog, for event streams. Keeps references; encoding happens per subscriber."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from kokiris.discovery.model import ServiceInstance, alloc_of_instance
from kokiris.kernel.keys import parts
from kokiris.orchestrator.api.context import ServiceCatalog
from kokiris.orchestrator.api.derived import status_of
from kokiris.orchestrator.model.alloc import Alloc, PlanSegment, rows_of
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.model.node import Node
from kokiris.orchestrator.shapes import wire_alloc
from kokiris.orchestrator.state import State
from kokiris.store.contract import Event

BUFFER_COMMITS = 100


class StreamEvent(msgspec.Struct, kw_only=True):
    """One change, as Nomad sends it."""

    Topic: str
    Type: str
    Key: str
    Namespace: str = ""
    FilterKeys: list[str] | None = None
    Index: int = 0
    Payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One stored object that changed: the shared object itself, or None when it is gone."""

    table: str
    key: tuple[str, ...]
    found: Any
    created: bool
    namespace: str = ""
    """Of a removed instance, whose object no longer says it."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What one commit changed in state or catalog. `position` grows by one with each buffered."""

    position: int
    index: int
    changes: tuple[Change, ...]


class EventLog:
    """The buffer of one server. Costs a look-up per changed key while nobody listens."""

    def __init__(self, state: State, catalog: ServiceCatalog) -> None:
        self._state = state
        self._catalog = catalog
        self._commits: deque[Commit] = deque(maxlen=BUFFER_COMMITS)
        self._next = 1
        self._waiting: set[asyncio.Future[None]] = set()
        self.streams = 0
        """Open event streams."""
        state.listeners.append(self._state_applied)
        catalog.listeners.append(self._catalog_applied)

    def _state_applied(self, revision: int, events: Sequence[Event]) -> None:
        self._keep(revision, [change for event in events if (change := self._change(event)) is not None])

    def _catalog_applied(self, revision: int, events: Sequence[Event]) -> None:
        changes = []
        for event in events:
            table, *rest = parts(event.key, self._catalog.root)
            if table == "instance":
                found = msgspec.msgpack.decode(event.value, type=ServiceInstance) if event.value else None
                created = event.create_revision == event.mod_revision
                changes.append(Change("instance", (rest[-1],), found, created, self._namespace_of(rest[-1])))
        self._keep(revision, changes)

    def _namespace_of(self, instance_id: str) -> str:
        """That of the allocation an instance belongs to; "" for one registered through the API."""
        alloc = self._state.allocs.get(alloc_of_instance(instance_id))
        return alloc.Namespace if alloc is not None else ""

    def _keep(self, revision: int, changes: Sequence[Change]) -> None:
        if not changes:
            return
        self._commits.append(Commit(self._next, revision, tuple(changes)))
        self._next += 1
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    def _change(self, event: Event) -> Change | None:
        table, *rest = parts(event.key, self._state.root)
        state, key = self._state, tuple(rest)
        found: Any
        if table == "job":
            found = state.jobs.get((key[0], key[1]))
        elif table == "eval":
            found = state.evals.get(key[0])
        elif table == "deployment":
            found = state.deployments.get(key[0])
        elif table == "node":
            found = state.nodes.get(key[0])
        elif table == "plan":
            found = state.segments.get(event.key)
        elif table in {"alloc_desired", "alloc_client"}:
            found = state.allocs.get(key[0])
        else:
            return None
        return Change(table, key, found, event.create_revision == event.mod_revision)

    def position_of(self, index: int) -> int:
        """The position from which everything with `index` and newer that is buffered follows."""
        return next((commit.position for commit in self._commits if commit.index >= index), self._next)

    async def since(self, position: int, timeout_s: float) -> list[Commit]:
        """The buffered commits from `position` on, waiting up to `timeout_s` for the first; [] when none came."""
        if position >= self._next:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(future)
            try:
                await asyncio.wait_for(future, timeout_s)
            except TimeoutError:
                return []
            finally:
                self._waiting.discard(future)
        return [commit for commit in self._commits if commit.position >= position]

    def events_of(self, commit: Commit) -> Iterator[StreamEvent]:
        """Its changes in Nomad's form."""
        for change in commit.changes:
            for event in self._events(change):
                event.Index = commit.index
                yield event

    def _events(self, change: Change) -> Iterator[StreamEvent]:
        found = change.found
        if change.table == "job":
            yield self._of_job(change.key, found)
        elif change.table == "node":
            yield _of_node(change.key[0], found, change.created)
        elif change.table == "instance":
            yield _of_instance(change.key[0], found, change.namespace)
        elif found is None:
            return
        elif change.table == "eval":
            keys = [one for one in (found.JobID, found.DeploymentID) if one]
            yield _event("Evaluation", "EvaluationUpdated", found.ID, found, of=(found.Namespace, keys))
        elif change.table == "deployment":
            yield _event("Deployment", "DeploymentStatusUpdate", found.ID, found, of=(found.Namespace, [found.JobID]))
        elif isinstance(found, PlanSegment):
            for row in rows_of(found, 0):
                alloc = self._state.allocs.get(row.ID)
                if alloc is not None:
                    yield self._of_alloc("PlanResult", alloc)
        else:
            kind = "AllocationUpdated" if change.table == "alloc_client" else "AllocationUpdateDesiredStatus"
            yield self._of_alloc(kind, found)

    def _of_job(self, key: tuple[str, ...], job: Job | None) -> StreamEvent:
        if job is None:
            shown = Job(Namespace=key[0], ID=key[1], Name=key[1], Stop=True, Status="dead")
        else:
            shown = msgspec.structs.replace(job, Status=status_of(self._state, job))
        kind = "JobDeregistered" if shown.Stop else "JobRegistered"
        return _event("Job", kind, key[1], shown, of=(key[0], []))

    def _of_alloc(self, kind: str, alloc: Alloc) -> StreamEvent:
        whole = wire_alloc(alloc, None, self._state.nodes.get(alloc.NodeID))
        keys = [one for one in (alloc.JobID, alloc.DeploymentID) if one]
        return _event("Allocation", kind, alloc.ID, whole, of=(alloc.Namespace, keys))


def _of_node(node_id: str, node: Node | None, created: bool) -> StreamEvent:
    if node is None:
        return _event("Node", "NodeDeregistration", node_id, Node(ID=node_id))
    kind = "NodeRegistration" if created else "NodeDrain" if node.DrainStrategy is not None else "NodeEvent"
    return _event("Node", kind, node_id, node)


def _of_instance(instance_id: str, found: ServiceInstance | None, namespace: str) -> StreamEvent:
    if found is None:
        return _event("Service", "ServiceDeregistration", instance_id, {"ID": instance_id}, of=(namespace, []))
    shown = {
        "ID": found.ID,
        "ServiceName": found.Service,
        "Namespace": found.Namespace,
        "NodeID": found.NodeID,
        "JobID": found.JobID,
        "AllocID": found.AllocID,
        "Tags": found.Tags,
        "Address": found.Address,
        "Port": found.Port,
    }
    keys = [one for one in (found.JobID, found.Service) if one]
    return _event("Service", "ServiceRegistration", instance_id, shown, of=(found.Namespace, keys))


def _event(topic: str, kind: str, key: str, payload: Any, *, of: tuple[str, list[str]] = ("", [])) -> StreamEvent:
    """`of`: its namespace, and further keys by which a subscriber may have asked for it."""
    namespace, keys = of
    return StreamEvent(
        Topic=topic, Type=kind, Key=key, Namespace=namespace, FilterKeys=keys or None, Payload={topic: payload}
    )
