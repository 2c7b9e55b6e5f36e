"""A state fed by hand, commands that remember what they were asked, and the API served on an ephemeral port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest

from kokiris.http.app import asgi
from kokiris.http.serve import HttpServer
from kokiris.http.tokens import Principal
from kokiris.kernel.ids import new_id, pack_id
from kokiris.orchestrator.api.app import make_nomad_app
from kokiris.orchestrator.api.dial import NodeDialer
from kokiris.orchestrator.commands import DeploymentResult, JobResult, NodeResult, PlanResult
from kokiris.orchestrator.keys import Keys
from kokiris.orchestrator.model.alloc import AllocClient, PlanSegment, pack_int32
from kokiris.orchestrator.model.evaluation import Annotations, Evaluation
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.node import Node
from kokiris.orchestrator.model.task import Task
from kokiris.orchestrator.state import State
from kokiris.store.contract import Event

TOKEN = "3f0e5a10-0000-4000-8000-00000000feed"
KEYS = Keys("demo", "rec1")


class OneToken:
    def authenticate(self, secret: str) -> Principal | None:
        if secret == TOKEN:
            return Principal("acc", "management", "management")
        return Principal("low", "low", "client") if secret == "low" else None


def _encoded(value: Any) -> bytes | None:
    if value is None or isinstance(value, str):
        return None if value is None else value.encode()
    return msgspec.msgpack.encode(value)


class Recorder:
    """Commands that change the state directly and remember their calls."""

    is_leader = True

    def __init__(self) -> None:
        self.state = State(KEYS.root)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._created: dict[bytes, int] = {}
        self.failure: Exception | None = None

    def put(self, *pairs: tuple[bytes, Any]) -> int:
        """One commit; values are structs, None deletes."""
        revision = self.state.revision + 1
        events = []
        for key, value in pairs:
            created = 0 if value is None else self._created.setdefault(key, revision)
            if value is None:
                self._created.pop(key, None)
            events.append(Event(key, _encoded(value), created, revision))
        self.state.apply(revision, events)
        return revision

    def put_job(self, job: Job) -> int:
        return self.put(
            (KEYS.job(job.Namespace, job.ID), job), (KEYS.job_version(job.Namespace, job.ID, job.Version), job)
        )

    def place(self, job: Job, group: str, count: int, node: Node) -> list[str]:
        ids = [new_id() for _ in range(count)]
        evaluation = Evaluation(ID=new_id(), Namespace=job.Namespace, JobID=job.ID, Type=job.Type, Status="complete")
        segment = PlanSegment(
            EvalID=evaluation.ID,
            Namespace=job.Namespace,
            JobID=job.ID,
            JobVersion=job.Version,
            TaskGroup=group,
            AllocIDs=b"".join(pack_id(one) for one in ids),
            NameIndexes=pack_int32(list(range(count))),
            Nodes=[node.ID],
            NodeRows=pack_int32([0] * count),
            CreateTime=1_700_000_000_000_000_000,
        )
        self.put(
            (KEYS.evaluation(evaluation.ID), evaluation),
            (KEYS.plan(job.Namespace, job.ID, evaluation.ID, group), segment),
        )
        return ids

    def report(self, alloc_id: str, status: str = "running") -> int:
        return self.put((KEYS.alloc_client(alloc_id), AllocClient(ID=alloc_id, ClientStatus=status)))

    def _note(self, name: str, **arguments: Any) -> None:
        self.calls.append((name, arguments))
        if self.failure is not None:
            raise self.failure

    async def register_job(self, job: Job, **options: Any) -> JobResult:
        self._note("register_job", job=job, **options)
        index = self.put_job(job)
        return JobResult(EvalID=new_id(), EvalCreateIndex=index, JobModifyIndex=index, Index=index)

    async def plan_job(self, job: Job) -> PlanResult:
        self._note("plan_job", job=job)
        return PlanResult(Annotations_=Annotations(DesiredTGUpdates={}), FailedTGAllocs={}, Index=self.state.revision)

    async def deregister_job(self, namespace: str, job_id: str, **options: Any) -> JobResult:
        self._note("deregister_job", namespace=namespace, job_id=job_id, **options)
        index = self.put((KEYS.job(namespace, job_id), None))
        return JobResult(EvalID=new_id(), EvalCreateIndex=index, Index=index)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        async def command(*positional: Any, **options: Any) -> Any:
            self._note(name, positional=positional, **options)
            if "node" in name:
                return NodeResult(Index=7)
            if "deployment" in name or "health" in name:
                return DeploymentResult(Index=7)
            if name == "put_scheduler_config":
                return True, 7
            return 7 if name in {"put_namespace", "delete_namespace", "set_job_stable"} else JobResult(Index=7)

        return command


def _job(job_id: str = "web", **fields: Any) -> Job:
    group = TaskGroup(Name="site", Tasks=[Task(Name="busy", Driver="docker", Config={"image": "busybox"})])
    return Job(ID=job_id, Name=job_id, Datacenters=["*"], TaskGroups=[group], **fields)


def _node(name: str = "node1", **fields: Any) -> Node:
    return Node(**{"ID": new_id(), "Name": name, "Datacenter": "dc1", "Status": "ready", **fields})


@pytest.fixture
def token() -> str:
    return TOKEN


@pytest.fixture
def make_job() -> Any:
    return _job


@pytest.fixture
def make_node() -> Any:
    return _node


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def dialer() -> AsyncIterator[NodeDialer]:
    dialer = NodeDialer(None)
    yield dialer
    await dialer.close()


class Api:
    """A client of the served API that is signed in."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self.session = session
        self.base = base

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any, Any]:
        """(status, decoded JSON or text, headers)."""
        headers = {"X-Nomad-Token": TOKEN, **options.pop("headers", {})}
        async with self.session.request(method, self.base + path, headers=headers, **options) as answer:
            raw = await answer.read()
            is_json = answer.headers.get("Content-Type", "").startswith("application/json")
            return answer.status, msgspec.json.decode(raw) if is_json and raw else raw.decode(), answer.headers

    async def get(self, path: str, **options: Any) -> tuple[int, Any, Any]:
        return await self.call("GET", path, **options)


@pytest.fixture
async def api(recorder: Recorder, dialer: NodeDialer) -> AsyncIterator[Api]:
    server = HttpServer(asgi(make_nomad_app(recorder, OneToken(), dialer)), grace_s=1)
    await server.start()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield Api(session, f"http://127.0.0.1:{server.port}")
    await server.stop()
