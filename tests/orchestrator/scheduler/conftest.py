"""A small world for the scheduler: real `State`, real `Cluster`, real `schedule`; workers and store played by hand."""

from __future__ import annotations

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable

import msgspec
import pytest

from kokiris.orchestrator.keys import Keys
from kokiris.orchestrator.model.alloc import Alloc, AllocClient, AllocDesired
from kokiris.orchestrator.model.allocwire import Transition
from kokiris.orchestrator.model.deployment import Deployment
from kokiris.orchestrator.model.evaluation import Evaluation
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.node import (
    Node,
    NodeCapacity,
    NodeCpuResources,
    NodeDiskResources,
    NodeMemoryResources,
)
from kokiris.orchestrator.model.policy import ReschedulePolicySpec, UpdateStrategy
from kokiris.orchestrator.model.resources import EphemeralDiskSpec, NetworkResource, Port, TaskResources
from kokiris.orchestrator.model.task import Task
from kokiris.orchestrator.scheduler.columns import Cluster
from kokiris.orchestrator.scheduler.decision import Decision
from kokiris.orchestrator.scheduler.deployments import watch_deployment
from kokiris.orchestrator.scheduler.schedule import schedule
from kokiris.orchestrator.state import State
from kokiris.store.contract import Event

KEYS = Keys("demo", "rec1")
SECOND = 1_000_000_000


def make_node(number: int, **fields: object) -> Node:
    capacity = NodeCapacity(
        Cpu=NodeCpuResources(CpuShares=fields.pop("cpu", 4000)),
        Memory=NodeMemoryResources(MemoryMB=fields.pop("memory", 8000)),
        Disk=NodeDiskResources(DiskMB=fields.pop("disk", 100_000)),
        MinDynamicPort=fields.pop("min_port", 0),
        MaxDynamicPort=fields.pop("max_port", 0),
    )
    attributes = {"driver.docker": "1", "kernel.name": "linux", **fields.pop("attributes", {})}
    base = {"Datacenter": "dc1", "Status": "ready"} | fields
    return Node(
        ID=f"{number:08d}-0000-0000-0000-000000000000",
        Name=f"node-{number}",
        NodeResources=capacity,
        Attributes=attributes,
        **base,
    )


def make_group(name: str = "web", count: int = 1, **fields: object) -> TaskGroup:
    task = Task(
        Name="main",
        Driver="docker",
        Config={"image": fields.pop("image", "web:1")},
        Resources=TaskResources(CPU=fields.pop("cpu", 100), MemoryMB=fields.pop("memory", 128)),
    )
    static, dynamic = fields.pop("static", {}), fields.pop("dynamic", ())
    networks = [
        NetworkResource(
            Mode="bridge",
            ReservedPorts=[Port(Label=label, Value=port) for label, port in static.items()],
            DynamicPorts=[Port(Label=label) for label in dynamic],
        )
    ]
    return TaskGroup(
        Name=name,
        Count=count,
        Tasks=[task],
        Networks=networks if static or dynamic else None,
        EphemeralDisk=EphemeralDiskSpec(),
        **fields,
    )


def make_job(*groups: TaskGroup, **fields: object) -> Job:
    base = {"ID": "site", "Name": "site", "Datacenters": ["*"], "TaskGroups": list(groups)} | fields
    return Job(**base)


SERVICE_RESCHEDULE = ReschedulePolicySpec(
    Delay=30 * SECOND, DelayFunction="exponential", MaxDelay=3600 * SECOND, Unlimited=True
)


class World:
    """State and cluster, fed commit by commit as the store would, with the invariants checked after each."""

    def __init__(self, seed: str = "") -> None:
        self.state = State(KEYS.root)
        self.cluster = Cluster.following(self.state)
        self.now_ns = 1_700_000_000 * SECOND
        self.decisions: list[Decision] = []
        self._created: dict[bytes, int] = {}
        self._counter = itertools.count()
        self._seed = seed

    # ---- the store ----

    def commit(self, puts: dict[bytes, object], deletes: Iterable[bytes] = ()) -> None:
        revision = self.state.revision + 1
        events = []
        for key, value in puts.items():
            created = self._created.setdefault(key, revision)
            raw = value if isinstance(value, bytes) else msgspec.msgpack.encode(value)
            events.append(Event(key, raw, created, revision))
        for key in deletes:
            if self._created.pop(key, None) is not None:
                events.append(Event(key, None, 0, revision))
        self.state.apply(revision, sorted(events, key=lambda event: event.key))

    def new_ids(self, count: int) -> bytes:
        return b"".join(
            hashlib.blake2b(f"{self._seed}/{next(self._counter)}".encode(), digest_size=16).digest()
            for _ in range(count)
        )

    # ---- what users and nodes do ----

    def add_nodes(self, *nodes: Node) -> None:
        self.commit({KEYS.node(node.ID): node for node in nodes})

    def change_node(self, node_id: str, **fields: object) -> None:
        self.commit({KEYS.node(node_id): msgspec.structs.replace(self.state.nodes[node_id], **fields)})

    def register(self, job: Job) -> Job:
        """As the server does: a new version each time."""
        before = self.state.job(job.Namespace, job.ID)
        job = msgspec.structs.replace(job, Version=0 if before is None else before.Version + 1, JobModifyIndex=0)
        self.commit(
            {
                KEYS.job(job.Namespace, job.ID): job,
                KEYS.job_version(job.Namespace, job.ID, job.Version): job,
            }
        )
        return job

    def stop_job(self, job_id: str = "site") -> None:
        job = self.state.job("default", job_id)
        assert job is not None
        self.register(msgspec.structs.replace(job, Stop=True))

    def change_desired(self, alloc: Alloc, **fields: object) -> None:
        self.commit({KEYS.alloc_desired(alloc.ID): msgspec.structs.replace(alloc.Desired or AllocDesired(), **fields)})

    def migrate(self, alloc: Alloc) -> None:
        self.change_desired(alloc, DesiredTransition=Transition(Migrate=True))

    def report(self, alloc: Alloc, status: str, healthy: bool | None = None) -> None:
        client = AllocClient(
            ID=alloc.ID, ClientStatus=status, Healthy=healthy, HealthyAt=self.now_ns, ModifyTime=self.now_ns
        )
        self.commit({KEYS.alloc_client(alloc.ID): client})

    # ---- the scheduler ----

    def evaluation(self, trigger: str = "job-register", job_id: str = "site", **fields: object) -> Evaluation:
        job = self.state.job("default", job_id)
        return Evaluation(
            ID=f"eval-{next(self._counter)}",
            Namespace="default",
            JobID=job_id,
            Type=job.Type if job else "service",
            TriggeredBy=trigger,
            **fields,
        )

    def evaluate(self, evaluation: Evaluation | None = None, *, apply: bool = True, **fields: object) -> Decision:
        evaluation = evaluation or self.evaluation(**fields)
        decision = schedule(evaluation, self.state, self.cluster, self.now_ns, new_ids=self.new_ids)
        self.decisions.append(decision)
        if apply:
            self.commit(decision.puts(KEYS))
            self.check()
        return decision

    def watch(self, job_id: str = "site") -> bool:
        """Watches the newest deployment once; True when something changed."""
        deployments = self.state.deployments_of_job("default", job_id)
        if not deployments:
            return False
        deployment = deployments[0]
        job = self.state.job_version("default", job_id, deployment.JobVersion)
        assert job is not None
        versions = self.state.versions[("default", job_id)]
        decision = watch_deployment(deployment, job, self.state.allocs_of_job("default", job_id), self.now_ns, versions)
        puts: dict[bytes, object] = {}
        if decision.changed:
            puts[KEYS.deployment(deployment.ID)] = decision.deployment
        if decision.stable:
            stable = msgspec.structs.replace(job, Stable=True)
            puts[KEYS.job_version("default", job_id, job.Version)] = stable
        for alloc_id in decision.reschedule:
            desired = self.state.allocs[alloc_id].Desired or AllocDesired()
            puts[KEYS.alloc_desired(alloc_id)] = msgspec.structs.replace(
                desired, DesiredTransition=Transition(Reschedule=True)
            )
        if puts:
            self.commit(puts)
        if decision.evaluate:
            self.evaluate(trigger="deployment-watcher", job_id=job_id)
        if decision.revert_to is not None:
            old = self.state.job_version("default", job_id, decision.revert_to)
            assert old is not None
            self.register(msgspec.structs.replace(old, Stable=False))
            self.evaluate(job_id=job_id)
        return bool(puts) or decision.evaluate

    def workers(self, healthy: Callable[[Alloc], bool | None] = lambda _alloc: True, limit: int | None = None) -> int:
        """Workers carry out up to `limit` of their assignments; how many there were."""
        done = 0
        for alloc in list(self.state.allocs.values()):
            if limit is not None and done >= limit:
                break
            if alloc.DesiredStatus != "run" and not alloc.client_terminal():
                self.report(alloc, "complete")
                done += 1
            elif alloc.DesiredStatus == "run" and alloc.ClientStatus == "pending":
                verdict = healthy(alloc)
                self.report(alloc, "running" if verdict is not False else "failed", verdict)
                done += 1
        return done

    def settle(self, healthy: Callable[[Alloc], bool | None] = lambda _alloc: True, rounds: int = 200) -> None:
        """Workers, watcher and scheduler until nothing moves any more."""
        for _ in range(rounds):
            moved = self.workers(healthy)
            moved += self.watch()
            blocked = [one for one in self.state.evals.values() if one.Status == "blocked"]
            for one in blocked:
                decision = self.evaluate(one)
                moved += bool(decision.segments or decision.desired)
            if not moved:
                return
        raise AssertionError("does not settle")

    # ---- looking ----

    def allocs(self, group: str | None = None, job_id: str = "site") -> list[Alloc]:
        found = self.state.allocs_of_job("default", job_id)
        return sorted(
            (one for one in found if group is None or one.TaskGroup == group), key=lambda one: (one.NameIndex, one.ID)
        )

    def live(self, group: str | None = None, job_id: str = "site") -> list[Alloc]:
        return [one for one in self.allocs(group, job_id) if not one.terminal()]

    def deployment(self, job_id: str = "site") -> Deployment:
        return self.state.deployments_of_job("default", job_id)[0]

    def check(self) -> None:
        """Never over capacity, no port twice on a node, columns equal to a recount."""
        fresh = Cluster(self.cluster.group_of)
        for node in self.state.nodes.values():
            fresh.node_changed(None, node)
        for alloc in self.state.allocs.values():
            fresh.alloc_changed(None, alloc)
        for node_id, row in fresh.row_of.items():
            own = self.cluster.row_of[node_id]
            assert fresh.used[:, row].tolist() == self.cluster.used[:, own].tolist()
            assert (fresh.used[:, row] <= fresh.capacity[:, row]).all() or node_id in self.overfull
            assert fresh.free_dynamic[row] == self.cluster.free_dynamic[own]
            assert dict(fresh.ports[row].holders()) == dict(self.cluster.ports[own].holders())
        holders: dict[tuple[str, int], list[Alloc]] = defaultdict(list)
        for alloc in self.state.allocs.values():
            if not alloc.client_terminal():
                for port in alloc.ports().values():
                    holders[(alloc.NodeID, port)].append(alloc)
        for (_, port), allocs in holders.items():
            inherited = {one.PreviousAllocation for one in allocs}
            owners = [one for one in allocs if one.ID not in inherited]
            assert len(owners) == 1, (port, [one.Name for one in allocs])

    overfull: frozenset[str] = frozenset()


class Toolbox:
    """What the tests build worlds from."""

    World = World
    node = staticmethod(make_node)
    group = staticmethod(make_group)
    job = staticmethod(make_job)
    update = UpdateStrategy
    reschedule = SERVICE_RESCHEDULE
    SECOND = SECOND
    KEYS = KEYS


@pytest.fixture(scope="session")
def box() -> type[Toolbox]:
    return Toolbox
