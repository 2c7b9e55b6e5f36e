"""Small parts by themselves, and odd requests."""

from __future__ import annotations

import asyncio

import pytest

from kokiris.http import app as http_app
from kokiris.kernel.clock import ZERO_TIME
from kokiris.kernel.ids import new_id, pack_id
from kokiris.orchestrator.api.cache import Encodings
from kokiris.orchestrator.api.call import parse_bool
from kokiris.orchestrator.model.alloc import Alloc, AllocClient, AllocDesired, PlanSegment, pack_int32
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.node import Node
from kokiris.orchestrator.model.resources import NetworkResource, Port, TaskResources
from kokiris.orchestrator.model.task import Task
from kokiris.orchestrator.shapes import alloc_stub, node_ip, wire_alloc


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", True),
        ("True", True),
        ("TRUE", True),
        ("t", True),
        ("0", False),
        ("F", False),
        ("yes", None),
        ("tRUE", None),
    ],
)
def test_go_s_booleans(text, value):
    assert parse_bool(text) is value


def test_a_kept_value_lasts_as_long_as_its_sources():
    kept, one, other = Encodings(limit=2), object(), object()
    made = []

    def make():
        made.append(1)
        return len(made)

    assert [kept.get("a", (one, 5), make) for _ in range(3)] == [1, 1, 1]
    assert kept.get("a", (one, 6), make) == 2
    assert kept.get("a", (other, 6), make) == 3
    kept.get("b", (one,), make)
    kept.get("c", (one,), make)  # full: emptied
    assert kept.get("a", (other, 6), make) == 6


def alloc_with_ports(**parts) -> tuple[Alloc, Job, Node]:
    network = NetworkResource(
        Mode="bridge",
        ReservedPorts=[Port(Label="admin", Value=9000)],
        DynamicPorts=[Port(Label="http", To=80), Port(Label="same", To=-1)],
    )
    tasks = [
        Task(Name="a", Resources=TaskResources(CPU=100, MemoryMB=64)),
        Task(Name="b", Resources=TaskResources(CPU=50, MemoryMB=32, MemoryMaxMB=64)),
    ]
    job = Job(ID="web", TaskGroups=[TaskGroup(Name="site", Tasks=tasks, Networks=[network])])
    alloc_id = new_id()
    node = Node(ID=new_id(), Name="n1", Attributes={"unique.network.ip-address": "10.1.2.3"})
    segment = PlanSegment(
        EvalID=new_id(),
        Namespace="default",
        JobID="web",
        JobVersion=0,
        TaskGroup="site",
        AllocIDs=pack_id(alloc_id),
        NameIndexes=pack_int32([4]),
        Nodes=[node.ID],
        NodeRows=pack_int32([0]),
        PortLabels=["admin", "http", "same"],
        Ports=pack_int32([9000, 21000, 21001]),
        CreateTime=7,
    )
    return Alloc(ID=alloc_id, Segment=segment, Row=0, NodeID=node.ID, ModifyIndex=9, **parts), job, node


def test_ports_are_on_the_node_s_address():
    alloc, job, node = alloc_with_ports()
    whole = wire_alloc(alloc, job, node)
    shared = whole.AllocatedResources.Shared
    assert [(one.Label, one.Value, one.To, one.HostIP) for one in shared.Ports] == [
        ("admin", 9000, 0, "10.1.2.3"),
        ("http", 21000, 80, "10.1.2.3"),
        ("same", 21001, 21001, "10.1.2.3"),
    ]
    assert shared.Networks[0].IP == "10.1.2.3"
    assert shared.Networks[0].DynamicPorts[0].Value == 21000
    assert job.TaskGroups[0].Networks[0].DynamicPorts[0].Value == 0  # shared objects stay as they are
    assert (whole.Resources.CPU, whole.Resources.MemoryMB, whole.Name) == (150, 96, "web.site[4]")
    assert whole.AllocatedResources.Tasks["b"].Memory.MemoryMaxMB == 64


@pytest.mark.parametrize(
    ("client", "desired", "healthy", "timestamp"),
    [
        (None, None, "absent", None),
        (AllocClient(ID="x", ClientStatus="running"), None, "absent", None),
        (AllocClient(ID="x", Healthy=True, HealthyAt=1_000_000_000), None, True, "1970-01-01T00:00:01Z"),
        (AllocClient(ID="x", Healthy=False, HealthyAt=2_000_000_000), None, False, "1970-01-01T00:00:02Z"),
        (
            AllocClient(ID="x", Healthy=True, HealthyAt=1),
            AllocDesired(Healthy=False, ModifyTime=3_000_000_000),
            False,
            "1970-01-01T00:00:03Z",
        ),
    ],
)
def test_deployment_health_of_an_allocation(client, desired, healthy, timestamp):
    alloc, job, node = alloc_with_ports(Client=client, Desired=desired)
    status = alloc_stub(alloc, job, node).DeploymentStatus
    if healthy == "absent":
        assert status is None
    else:
        assert (status.Healthy, status.Timestamp, status.ModifyIndex) == (healthy, timestamp, 9)


def test_a_canary_has_a_status_before_its_health_is_known():
    alloc, job, node = alloc_with_ports()
    alloc.Segment.CanaryRows = [0]
    status = alloc_stub(alloc, job, node).DeploymentStatus
    assert (status.Canary, status.Healthy, status.Timestamp) == (True, None, ZERO_TIME)


def test_without_job_or_node_an_allocation_is_still_shown():
    alloc, _, _ = alloc_with_ports()
    whole = wire_alloc(alloc, None, None)
    assert (whole.Job, whole.AllocatedResources, whole.NodeName) == (None, None, "")
    assert node_ip(None) == ""


async def raw(base: str, request: bytes) -> bytes:
    host, port = base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(65536), 60)
    writer.close()
    return answer


async def test_odd_requests(api, token, monkeypatch):
    monkeypatch.setattr(http_app, "THROWN_AWAY_FOR_S", 0.2)  # for the body that never comes
    head = f"Host: x\r\nX-Nomad-Token: {token}\r\n"
    for line in ("GET /v1/job/%ff%fe HTTP/1.1", "GET /v1/jobs?prefix=%ff HTTP/1.1", "HEAD /v1/jobs HTTP/1.1"):
        answer = await raw(api.base, f"{line}\r\n{head}\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 ")
        assert b"internal error" not in answer
    for size in ("-1", "x", "99999999999999999999"):
        answer = await raw(api.base, f"PUT /v1/jobs HTTP/1.1\r\n{head}Content-Length: {size}\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 4"), size
    answer = await raw(api.base, f"PUT /v1/jobs HTTP/1.1\r\n{head}Content-Length: 9999999\r\n\r\n{{".encode())
    assert answer.startswith(b"HTTP/1.1 413")


async def test_a_chunked_body_over_the_limit_is_refused(api, token):
    async def endless():
        for _ in range(100):
            yield b"x" * 65536

    status, body, _ = await api.call("PUT", "/v1/jobs", data=endless())
    assert (status, "over the limit" in body) == (413, True)
