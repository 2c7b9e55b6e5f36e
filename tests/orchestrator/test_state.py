"""State: whatever the order of events, memory equals the store; a restart changes no index; nothing leaks."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from kokiris.kernel.ids import id_at, pack_id
from kokiris.orchestrator import state as state_module
from kokiris.orchestrator.keys import Keys
from kokiris.orchestrator.model.alloc import COLLECTED, AllocClient, AllocDesired, PlanSegment, pack_int32, unpack_int32
from kokiris.orchestrator.model.deployment import Deployment
from kokiris.orchestrator.model.evaluation import Evaluation
from kokiris.orchestrator.model.infra import JobSubmission, Namespace, SchedulerConfig
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.model.node import Node
from kokiris.orchestrator.state import State
from kokiris.store.contract import Event, KeyValue, Range

KEYS = Keys("demo", "rec1")


class FakeStore:
    """Keys and revisions, as any store keeps them."""

    def __init__(self) -> None:
        self.revision = 0
        self.live: dict[bytes, KeyValue] = {}

    def commit(self, puts: dict[bytes, bytes], deletes: list[bytes]) -> tuple[int, list[Event]]:
        self.revision += 1
        events = []
        for one in sorted({*puts, *deletes}):
            if one in puts:
                before = self.live.get(one)
                created = before.create_revision if before else self.revision
                self.live[one] = KeyValue(one, puts[one], created, self.revision)
                events.append(Event(one, puts[one], created, self.revision))
            elif self.live.pop(one, None) is not None:
                events.append(Event(one, None, 0, self.revision))
        return self.revision, events

    def range(self) -> Range:
        return Range(self.revision, [self.live[one] for one in sorted(self.live)])


def encode(value: msgspec.Struct) -> bytes:
    return msgspec.msgpack.encode(value)


def alloc_id(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012d}"


def segment(eval_number: int, rows: list[int], job: str = "web") -> PlanSegment:
    return PlanSegment(
        EvalID=f"eval-{eval_number}",
        Namespace="default",
        JobID=job,
        JobVersion=0,
        TaskGroup="site",
        DeploymentID=f"deployment-{eval_number % 2}",
        AllocIDs=b"".join(pack_id(alloc_id(row)) for row in rows),
        NameIndexes=pack_int32(list(range(len(rows)))),
        Nodes=["node-0", "node-1"],
        NodeRows=pack_int32([row % 2 for row in rows]),
        PortLabels=["http"],
        Ports=pack_int32([20000 + row for row in rows]),
    )


def plan_key(eval_number: int, job: str = "web") -> bytes:
    return KEYS.plan("default", job, f"eval-{eval_number}", "site@0")


KINDS = """job version drop_version purge eval eval_gone place desired client collect_row collect deployment
deployment_gone node node_gone namespace config submission mixed""".split()  # noqa: SIM905 - a list would be 20 lines
numbers = st.integers(0, 5)
rows_of_eval = {number: [number * 10 + row for row in range(3)] for number in range(6)}


@st.composite
def steps(draw: Any) -> list[tuple[str, int, int]]:
    kinds = st.sampled_from(KINDS)
    return draw(st.lists(st.tuples(kinds, numbers, numbers), max_size=40))


def changes(  # noqa: PLR0911, PLR0912 - a table: one case per kind of commit
    step: tuple[str, int, int], store: FakeStore
) -> tuple[dict[bytes, bytes], list[bytes]]:
    """The keys a commit of this kind would write, given what is stored."""
    kind, one, two = step
    name = f"job-{one % 2}"
    rows = rows_of_eval[one]
    placed = plan_key(one) in store.live
    match kind:
        case "job":
            job = Job(ID=name, Version=two, JobModifyIndex=0 if two % 2 else 1)
            return {KEYS.job("default", name): encode(job)}, []
        case "version":
            return {KEYS.job_version("default", name, two): encode(Job(ID=name, Version=two))}, []
        case "drop_version":
            return {}, [KEYS.job_version("default", name, two)]
        case "submission":
            return {KEYS.submission("default", name, two): encode(JobSubmission(Source="x", Version=two))}, []
        case "purge":
            return {}, [KEYS.job("default", name)]
        case "eval":
            status = ["pending", "blocked", "complete"][two % 3]
            found = Evaluation(ID=f"eval-{one}", Namespace="default", JobID=name, Status=status)
            return {KEYS.evaluation(f"eval-{one}"): encode(found)}, []
        case "eval_gone":
            return {}, [KEYS.evaluation(f"eval-{one}")]
        case "place" if not placed:
            return {plan_key(one): encode(segment(one, rows))}, []
        case "desired" if placed:
            desired = AllocDesired(DesiredStatus="stop" if two % 2 else "run", NextAllocation=f"next-{two}")
            return {KEYS.alloc_desired(alloc_id(rows[two % 3])): encode(desired)}, []
        case "client" if placed:
            row = alloc_id(rows[two % 3])
            return {KEYS.alloc_client(row): encode(AllocClient(ID=row, ClientStatus="running", ModifyTime=two))}, []
        case "collect_row" if placed:
            stored = msgspec.msgpack.decode(store.live[plan_key(one)].value, type=PlanSegment)
            node_rows = unpack_int32(stored.NodeRows).tolist()
            node_rows[two % 3] = COLLECTED
            gone = alloc_id(rows[two % 3])
            changed = msgspec.structs.replace(stored, NodeRows=pack_int32(node_rows))
            return {plan_key(one): encode(changed)}, [KEYS.alloc_desired(gone), KEYS.alloc_client(gone)]
        case "collect" if placed:
            parts = [KEYS.alloc_desired(alloc_id(row)) for row in rows] + [
                KEYS.alloc_client(alloc_id(row)) for row in rows
            ]
            return {}, [plan_key(one), *parts]
        case "deployment":
            found_deployment = Deployment(ID=f"deployment-{one}", Namespace="default", JobID=name)
            return {KEYS.deployment(f"deployment-{one}"): encode(found_deployment)}, []
        case "deployment_gone":
            return {}, [KEYS.deployment(f"deployment-{one}")]
        case "node":
            node = Node(ID=f"node-{one % 2}", Name=f"n{two}")
            return {KEYS.node(node.ID): encode(node), KEYS.node_secret(node.ID): b"hash"}, []
        case "node_gone":
            return {}, [KEYS.node(f"node-{one % 2}"), KEYS.node_secret(f"node-{one % 2}")]
        case "namespace":
            return {KEYS.namespace(name): encode(Namespace(Name=name))}, []
        case "config":
            return {KEYS.scheduler_config: encode(SchedulerConfig(SchedulerAlgorithm="spread"))}, []
        case "mixed":
            first, second = changes(("eval", one, two), store), changes(("place", two, one), store)
            return {**first[0], **second[0]}, []
    return {}, []


def tables(state: State) -> dict[str, Any]:
    """Everything that is derived from the store, for comparison."""
    skipped = {"topics", "observers", "_tables", "_gone", "root"}
    return {name: value for name, value in vars(state).items() if name not in skipped}


class Recorder:
    """An observer that keeps what it was told, and complains about a story that does not add up."""

    def __init__(self) -> None:
        self.allocs: dict[str, Any] = {}
        self.nodes: dict[str, Any] = {}

    def alloc_changed(self, before: Any, after: Any) -> None:
        self._note(self.allocs, before, after)

    def node_changed(self, before: Any, after: Any) -> None:
        self._note(self.nodes, before, after)

    def _note(self, known: dict[str, Any], before: Any, after: Any) -> None:
        ident = (before or after).ID
        assert known.get(ident) is before
        if after is None:
            del known[ident]
        else:
            known[ident] = after


@given(steps())
@settings(max_examples=150, deadline=None)
def test_applying_equals_loading(sequence: list[tuple[str, int, int]]) -> None:
    store, applied = FakeStore(), State(KEYS.root)
    observer = Recorder()
    applied.observers.append(observer)
    for step in sequence:
        revision, events = store.commit(*changes(step, store))
        applied.apply(revision, events)
    loaded = State(KEYS.root)
    loaded.load(store.range())
    assert tables(applied) == tables(loaded)
    assert observer.allocs == applied.allocs
    assert observer.nodes == applied.nodes
    for topic in loaded.topics.known():
        if topic in state_module.LIST_TOPICS:
            assert loaded.topics.index(topic) >= applied.topics.index(topic)
    for alloc in applied.allocs.values():
        assert loaded.topics.index(("alloc", alloc.ID)) == applied.topics.index(("alloc", alloc.ID))


@given(steps())
@settings(max_examples=50, deadline=None)
def test_loading_again_is_loading_once(sequence: list[tuple[str, int, int]]) -> None:
    store, state = FakeStore(), State(KEYS.root)
    observer = Recorder()
    state.observers.append(observer)
    for number, step in enumerate(sequence):
        store.commit(*changes(step, store))
        if number % 3 == 0:
            state.load(store.range())
    state.load(store.range())
    fresh = State(KEYS.root)
    fresh.load(store.range())
    assert tables(state) == tables(fresh)
    assert observer.allocs == state.allocs


def test_nothing_is_left_of_what_is_gone() -> None:
    store, state = FakeStore(), State(KEYS.root)
    for number in range(6):
        for kind in ("job", "version", "eval", "place", "desired", "client", "deployment", "node", "submission"):
            state.apply(*store.commit(*changes((kind, number, number), store)))
    state.apply(*store.commit({}, list(store.live)))
    assert not store.live
    empty = State(KEYS.root)
    empty.revision = state.revision
    left = {name: value for name, value in tables(state).items() if value != tables(empty)[name]}
    assert left.keys() <= {"scheduler_config"}


def test_topics_of_the_deleted_are_forgotten_in_time(monkeypatch: Any) -> None:
    monkeypatch.setattr(state_module, "REMEMBERED_TOPICS", 20)
    store, state = FakeStore(), State(KEYS.root)
    for number in range(200):
        key = plan_key(number, f"job-{number}")
        state.apply(*store.commit({key: encode(segment(number, [number], f"job-{number}"))}, []))
        state.apply(*store.commit({}, [key]))
    assert len([topic for topic in state.topics.known() if topic[0] == "alloc"]) < 30


async def test_who_waits_for_a_deleted_object_is_woken() -> None:
    store, state = FakeStore(), State(KEYS.root)
    state.apply(*store.commit({plan_key(1): encode(segment(1, [10]))}, []))
    topic = ("alloc", alloc_id(10))
    waiting = asyncio.create_task(state.topics.wait([topic], state.topics.index(topic), 60))
    await asyncio.sleep(0)
    state.apply(*store.commit({}, [plan_key(1)]))
    await asyncio.wait_for(waiting, 5)
    assert state.topics.index(topic) == store.revision


def test_indexes_and_parts_of_an_allocation() -> None:
    store, state = FakeStore(), State(KEYS.root)
    state.apply(*store.commit({plan_key(1): encode(segment(1, [10, 11]))}, []))
    row = alloc_id(10)
    assert state.allocs[row].AllocModifyIndex == 1
    state.apply(*store.commit({KEYS.alloc_client(row): encode(AllocClient(ID=row, ClientStatus="running"))}, []))
    assert (state.allocs[row].ModifyIndex, state.allocs[row].AllocModifyIndex) == (2, 1)
    assert state.topics.index(("node_assignments", "node-0")) == 1  # the worker need not look at its own report
    state.apply(*store.commit({KEYS.alloc_desired(row): encode(AllocDesired(DesiredStatus="stop"))}, []))
    assert (state.allocs[row].AllocModifyIndex, state.allocs[row].DesiredIndex) == (3, 3)
    assert state.topics.index(("node_assignments", "node-0")) == 3
    assert id_at(state.allocs[row].Segment.AllocIDs, state.allocs[row].Row) == row


def test_job_modify_index_is_that_of_the_specification() -> None:
    store, state = FakeStore(), State(KEYS.root)
    state.apply(*store.commit({KEYS.job("default", "web"): encode(Job(ID="web"))}, []))
    job = state.jobs["default", "web"]
    assert (job.JobModifyIndex, job.ModifyIndex) == (1, 1)
    stable = msgspec.structs.replace(job, Stable=True)
    state.apply(*store.commit({KEYS.job("default", "web"): encode(stable)}, []))
    job = state.jobs["default", "web"]
    assert (job.JobModifyIndex, job.ModifyIndex, job.CreateIndex) == (1, 2, 1)
    evaluation = Evaluation(ID="e", Namespace="default", JobID="web")
    state.apply(*store.commit({KEYS.evaluation("e"): encode(evaluation)}, []))
    assert state.evals["e"].JobModifyIndex == 3


def test_tables_of_a_newer_version_are_left_alone() -> None:
    store, state = FakeStore(), State(KEYS.root)
    state.apply(*store.commit({KEYS.root + b"novelty/1": b"?"}, []))
    assert state.revision == 1
