"""`/v1/event/stream`: what changes, as it changes. The buffer keeps references, encoding happens per subscriber."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from kokiris.kernel.errors import BadInput
from kokiris.kernel.keys import parts
from kokiris.orchestrator.api.call import ANSWERED, Call
from kokiris.orchestrator.api.derived import status_of
from kokiris.orchestrator.api.streams import UntilGone
from kokiris.orchestrator.model.alloc import Alloc, PlanSegment, rows_of
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.model.node import Node
from kokiris.orchestrator.shapes import wire_alloc
from kokiris.orchestrator.state import State
from kokiris.store.contract import Event

BUFFER_COMMITS = 100
HEARTBEAT_S = 30.0
TOPICS = frozenset(
    {"ACLPolicy", "ACLRole", "ACLToken", "Allocation", "CSIPlugin", "CSIVolume", "Deployment", "Evaluation"}
    | {"HostVolume", "Job", "Node", "NodePool", "Operator", "Service", "*"}
)
_ENCODE = msgspec.json.Encoder().encode


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
class _Change:
    """One stored object that changed: the shared object itself, or None when it is gone."""

    table: str
    key: tuple[str, ...]
    found: Any
    created: bool


@dataclass(frozen=True, slots=True)
class _Commit:
    index: int
    changes: tuple[_Change, ...]


class EventLog:
    """The newest commits of a state, for all subscribers. Costs a lookup per changed key while nobody listens."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._commits: deque[_Commit] = deque(maxlen=BUFFER_COMMITS)
        self._waiting: set[asyncio.Future[None]] = set()
        self.streams = 0
        """Open event streams."""
        state.listeners.append(self._applied)

    def _applied(self, revision: int, events: Sequence[Event]) -> None:
        changes = tuple(change for event in events if (change := self._change(event)) is not None)
        if not changes:
            return
        self._commits.append(_Commit(revision, changes))
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    def _change(self, event: Event) -> _Change | None:
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
        return _Change(table, key, found, event.create_revision == event.mod_revision)

    async def after(self, index: int, timeout_s: float) -> list[_Commit]:
        """The buffered commits above `index`, waiting up to `timeout_s` for the first."""
        if not self._commits or self._commits[-1].index <= index:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(future)
            try:
                await asyncio.wait_for(future, timeout_s)
            except TimeoutError:
                return []
            finally:
                self._waiting.discard(future)
        return [commit for commit in self._commits if commit.index > index]

    def events_of(self, commit: _Commit) -> Iterator[StreamEvent]:
        """Its changes in Nomad's form."""
        for change in commit.changes:
            for event in self._events(change):
                event.Index = commit.index
                yield event

    def _events(self, change: _Change) -> Iterator[StreamEvent]:
        found = change.found
        if change.table == "job":
            yield self._of_job(change.key, found)
        elif change.table == "node":
            yield _of_node(change.key[0], found, change.created)
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


def _event(topic: str, kind: str, key: str, payload: Any, *, of: tuple[str, list[str]] = ("", [])) -> StreamEvent:
    """`of`: its namespace, and further keys by which a subscriber may have asked for it."""
    namespace, keys = of
    return StreamEvent(
        Topic=topic, Type=kind, Key=key, Namespace=namespace, FilterKeys=keys or None, Payload={topic: payload}
    )


async def stream(call: Call) -> Any:
    """GET /v1/event/stream?topic=Job:web&topic=Node&index=N&namespace=…: ndjson, `{}` at once and every 30 s.

    Begins at `index`, or at the oldest commit still buffered.
    """
    wanted = parse_topics(call.req.get_param_as_list("topic") or ())
    index = call.integer("index")
    log = call.context.events
    start = max((index or 0) - 1, 0)
    call.resp.content_type = "application/json"
    call.resp.stream = UntilGone(call.req, _lines(call, log, wanted, start))
    return ANSWERED


def parse_topics(raw: Sequence[str]) -> dict[str, set[str]]:
    """Topic → keys, "*" for any. No topic: all. Raises BadInput for a topic Nomad does not have."""
    wanted: dict[str, set[str]] = {}
    for text in raw:
        topic, _, key = text.partition(":")
        if topic not in TOPICS:
            raise BadInput(
                f'Invalid key value pair for topic "{text}"', next_step="Topics are: " + ", ".join(sorted(TOPICS)) + "."
            )
        wanted.setdefault(topic, set()).add(key or "*")
    return wanted or {"*": {"*"}}


def matches(wanted: dict[str, set[str]], event: StreamEvent) -> bool:
    """Whether one of the topics asked for covers the event."""
    keys = {"*", event.Key, *(event.FilterKeys or ())}
    return any(not keys.isdisjoint(wanted.get(topic, ())) for topic in ("*", event.Topic))


async def _lines(call: Call, log: EventLog, wanted: dict[str, set[str]], start: int) -> AsyncIterator[bytes]:
    log.streams += 1
    try:
        yield b"{}\n"
        index = start
        while True:
            commits = await log.after(index, HEARTBEAT_S)
            if not commits:
                yield b"{}\n"
            for commit in commits:
                index = commit.index
                chosen = [
                    event
                    for event in log.events_of(commit)
                    if matches(wanted, event) and (not event.Namespace or call.sees(event.Namespace))
                ]
                if chosen:
                    yield _ENCODE({"Index": commit.index, "Events": chosen}) + b"\n"
    finally:
        log.streams -= 1
