"""What an allocation's services look like in the catalog."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kokiris.discovery.model import check_id, instance_id
from kokiris.kernel.ids import pack_id
from kokiris.orchestrator.core.registrations import declared_of, instance_ids, instances_of, same_but_output
from kokiris.orchestrator.model.alloc import Alloc, AllocClient, AllocDesired, PlanSegment, pack_int32, rows_of
from kokiris.orchestrator.model.allocwire import AllocCheckStatus, AllocNetworkStatus, TaskState
from kokiris.orchestrator.model.job import Job, PeriodicConfig
from kokiris.orchestrator.model.service import Service, ServiceCheck
from kokiris.orchestrator.model.task import Task, TaskLifecycle
from tests.orchestrator.core.bed import job_spec, node_spec

IDENT = "0a1b2c3d-0000-0000-0000-000000000001"
NODE = node_spec(Meta={"rack": "r1"}, Datacenter="dc2")
INSTANCE = instance_id(IDENT, "group-site", "web", "http")
CHECK = check_id(INSTANCE, "alive")
replace = msgspec.structs.replace


def placed(*, canary: bool = False) -> Alloc:
    segment = PlanSegment(
        EvalID="e",
        Namespace="default",
        JobID="web",
        JobVersion=4,
        TaskGroup="site",
        AllocIDs=pack_id(IDENT),
        NameIndexes=pack_int32([3]),
        Nodes=[NODE.ID],
        NodeRows=pack_int32([0]),
        PortLabels=["http"],
        Ports=pack_int32([23456]),
        CanaryRows=[0] if canary else [],
    )
    return rows_of(segment, 1)[0]


def running(**changes: Any) -> AllocClient:
    states = {"server": TaskState(State="running")}
    return replace(AllocClient(ID=IDENT, ClientStatus="running", TaskStates=states), **changes)


def with_service(job: Job | None = None, **changes: Any) -> Job:
    job = job or job_spec()
    assert job.TaskGroups is not None
    group = job.TaskGroups[0]
    assert group.Services is not None
    return replace(job, TaskGroups=[replace(group, Services=[replace(group.Services[0], **changes)])])


def checked(status: str, output: str = "") -> AllocClient:
    return running(Checks={CHECK: AllocCheckStatus(ID=CHECK, Check="alive", Status=status, Output=output)})


def test_an_instance_of_a_running_allocation() -> None:
    (found,) = instances_of(placed(), checked("success"), job_spec(), NODE)
    assert (found.ID, found.Service, found.Address, found.Port) == (INSTANCE, "web", "10.0.0.1", 23456)
    assert (found.Node, found.AllocID, found.JobVersion, found.Provider) == ("node1", IDENT, 4, "consul")
    assert found.status() == "passing"
    assert (found.Checks[0].CheckID, found.Checks[0].Interval, found.Checks[0].Type) == (CHECK, "1s", "http")
    assert instance_ids(placed(), job_spec()) == [INSTANCE]


@pytest.mark.parametrize(
    ("client", "desired", "node_status"),
    [
        (None, None, "ready"),
        (running(ClientStatus="pending"), None, "ready"),
        (running(ClientStatus="complete"), None, "ready"),
        (running(TaskStates={"server": TaskState(State="pending")}), None, "ready"),
        (running(TaskStates=None), None, "ready"),
        (running(), AllocDesired(DesiredStatus="stop"), "ready"),
        (running(), AllocDesired(DesiredStatus="evict"), "ready"),
        (running(), None, "down"),
    ],
)
def test_no_instance_unless_it_runs_and_should(
    client: AllocClient | None, desired: AllocDesired | None, node_status: str
) -> None:
    alloc = placed()
    alloc.Desired = desired
    assert instances_of(alloc, client, job_spec(), replace(NODE, Status=node_status)) == []


@pytest.mark.parametrize(
    ("result", "initial", "status"),
    [
        (None, "", "critical"),
        (None, "passing", "passing"),
        ("pending", "warning", "warning"),
        ("success", "", "passing"),
        ("warning", "", "warning"),
        ("failure", "passing", "critical"),
    ],
)
def test_status_of_a_check(result: str | None, initial: str, status: str) -> None:
    job = with_service(Checks=[ServiceCheck(Name="alive", Type="tcp", InitialStatus=initial)])
    client = running() if result is None else checked(result)
    (found,) = instances_of(placed(), client, job, NODE)
    assert found.status() == status


def test_without_checks_it_passes() -> None:
    (found,) = instances_of(placed(), running(), with_service(Checks=None), NODE)
    assert found.status() == "passing"


def test_hooks_that_ended_do_not_matter_and_sidecars_do() -> None:
    job = job_spec()
    assert job.TaskGroups is not None
    group = job.TaskGroups[0]
    hook = Task(Name="prepare", Lifecycle=TaskLifecycle(Hook="prestart"))
    sidecar = Task(Name="proxy", Lifecycle=TaskLifecycle(Hook="prestart", Sidecar=True))
    after = Task(Name="clean", Lifecycle=TaskLifecycle(Hook="poststop"))
    job = replace(job, TaskGroups=[replace(group, Tasks=[*(group.Tasks or ()), hook, sidecar, after])])
    states = {"server": TaskState(State="running"), "prepare": TaskState(State="dead")}
    assert instances_of(placed(), running(TaskStates=states), job, NODE) == []
    states["proxy"] = TaskState(State="running")
    assert len(instances_of(placed(), running(TaskStates=states), job, NODE)) == 1


def test_interpolation() -> None:
    job = with_service(
        Tags=[
            "a=${NOMAD_ALLOC_ID}",
            "${NOMAD_PORT_http}/${NOMAD_HOST_PORT_http}",
            "${node.datacenter}",
            "${meta.rack}",
        ],
        Meta={"index": "${NOMAD_ALLOC_INDEX}", "kernel": "${attr.kernel.name}", "color": "${NOMAD_META_COLOR}"},
    )
    job = replace(job, Meta={"color": "blue"})
    (found,) = instances_of(placed(), running(), with_service(job, Name="${JOB}-${TASKGROUP}"), NODE)
    assert found.Service == "web-site"
    assert found.Tags == [f"a={IDENT}", "80/23456", "dc2", "r1"]
    assert found.Meta == {"external-source": "nomad", "index": "3", "kernel": "linux", "color": "blue"}


def test_the_unknown_stays_as_written() -> None:
    (found,) = instances_of(placed(), running(), with_service(Tags=["${nope}", "$${x}"]), NODE)
    assert found.Tags == ["${nope}", "$${x}"]


def test_canaries_have_their_own_tags() -> None:
    job = with_service(CanaryTags=["canary"], CanaryMeta={"c": "1"})
    assert instances_of(placed(canary=True), running(), job, NODE)[0].Tags == ["canary"]
    assert instances_of(placed(), running(), job, NODE)[0].Tags == ["v1", "traefik.enable=true"]
    assert instances_of(placed(canary=True), running(), with_service(), NODE)[0].Tags[0] == "v1"


@pytest.mark.parametrize(
    ("mode", "label", "expected"),
    [
        ("auto", "http", ("10.0.0.1", 23456)),
        ("host", "http", ("10.0.0.1", 23456)),
        ("alloc", "http", ("172.17.0.5", 80)),
        ("driver", "http", ("172.17.0.9", 80)),
        ("driver", "8080", ("172.17.0.9", 8080)),
        ("auto", "8080", ("172.17.0.9", 8080)),
        ("host", "", ("10.0.0.1", 0)),
    ],
)
def test_address_modes(mode: str, label: str, expected: tuple[str, int]) -> None:
    client = running(NetworkStatus=AllocNetworkStatus(Address="172.17.0.5"), DriverAddresses={"server": "172.17.0.9"})
    (found,) = instances_of(placed(), client, with_service(AddressMode=mode, PortLabel=label), NODE)
    assert (found.Address, found.Port) == expected


def test_task_level_services_belong_to_the_task() -> None:
    job = job_spec()
    assert job.TaskGroups is not None
    group = job.TaskGroups[0]
    assert group.Tasks is not None
    task = replace(group.Tasks[0], Services=[Service(Name="api", PortLabel="http", Provider="nomad")])
    job = replace(job, TaskGroups=[replace(group, Tasks=[task], Services=None)])
    (found,) = instances_of(placed(), running(), job, NODE)
    assert (found.ID, found.Provider) == (instance_id(IDENT, "server", "api", "http"), "nomad")


def test_declared_services() -> None:
    (found,) = declared_of(job_spec())
    assert (found.Service, found.JobID, found.Tags) == ("web", "web", ["v1", "traefik.enable=true"])
    assert declared_of(replace(job_spec(), Stop=True)) == []
    assert declared_of(replace(job_spec(), Periodic=PeriodicConfig())) == []


def test_output_alone_is_no_difference_that_matters() -> None:
    (one,) = instances_of(placed(), checked("success", "a"), job_spec(), NODE)
    (other,) = instances_of(placed(), checked("success", "b"), job_spec(), NODE)
    (third,) = instances_of(placed(), checked("failure", "b"), job_spec(), NODE)
    assert same_but_output(one, other)
    assert not same_but_output(one, third)
