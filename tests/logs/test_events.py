"""From the state of jobs, deployments, allocations, checks and nodes to entries people read."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.kernel.clock import rfc3339
from kokiris.logs.collect.events.allocations import of_allocation, of_evaluation
from kokiris.logs.collect.events.checks import HealthCheck, of_turn, statuses, turns
from kokiris.logs.collect.events.deployments import of_deployment, seen
from kokiris.logs.collect.events.entry import EventEntry, shipment
from kokiris.logs.collect.events.jobs import of_versions, removed
from kokiris.logs.collect.events.nodes import of_node
from kokiris.orchestrator.model.allocwire import (
    Allocation,
    AllocDeploymentStatus,
    RescheduleEvent,
    RescheduleHistory,
    TaskEvent,
    TaskState,
)
from kokiris.orchestrator.model.deployment import Deployment, DeploymentState
from kokiris.orchestrator.model.evaluation import Evaluation
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.metric import AllocationMetric
from kokiris.orchestrator.model.node import Node, NodeEvent
from kokiris.worker.tasks import events as history

ALLOC, OTHER = "4c1d0000-1111-2222-3333-444455556666", "5d2e0000-1111-2222-3333-444455556666"
NOW = 1_795_434_620_000_000_000


def alloc_of(events: list[TaskEvent] | None = None, **given: Any) -> Allocation:
    states = {"httpd": TaskState(Events=events)} if events is not None else None
    facts: dict[str, Any] = {
        "ID": ALLOC, "Namespace": "default", "Name": "shop.web[0]", "JobID": "shop", "TaskGroup": "web",
        "NodeName": "node1", "DesiredStatus": "run", "CreateTime": NOW, "ModifyTime": NOW + 9, "TaskStates": states,
    }  # fmt: skip
    return Allocation(**(facts | given))


def told(entries: list[EventEntry]) -> list[tuple[str, str, str]]:
    return [(one.type, one.level, one.message) for one in entries]


KILLING = history.killing(NOW, 5_000_000_000)
STARTED = history.started(NOW)
ENDED = history.terminated(NOW, exit_code=143, signal=15)


@pytest.mark.parametrize(
    ("events", "level", "message"),
    [
        ([history.received(NOW)], "info", "was received by its node"),
        ([history.setup(NOW, "Building Task Directory")], "info", ": Building Task Directory"),
        ([history.driver_message(NOW, "Downloading image x:1")], "info", ": Downloading image x:1"),
        ([history.driver_failure(NOW, "no such image x:1")], "error", "could not be started: no such image x:1"),
        ([history.setup_failure(NOW, "no variable")], "error", "could not be set up: no variable"),
        ([STARTED], "info", "started"),
        ([STARTED, history.terminated(NOW, exit_code=0)], "info", "ended with exit code 0"),
        ([STARTED, history.terminated(NOW, exit_code=3)], "error", "ended with exit code 3"),
        ([STARTED, KILLING, ENDED], "info", "ended with exit code 143 by signal 15"),
        ([KILLING, STARTED, ENDED], "error", "ended with exit code 143 by signal 15"),
        (
            [STARTED, KILLING, history.terminated(NOW, exit_code=137, oom_killed=True)],
            "error",
            "ended with exit code 137: it used more memory than its limit and was killed (OOM)",
        ),
        ([history.restarting(NOW, "Restart within policy", 15_083_210_037)], "warn", "starts again in 15.1s: Restart"),
        ([history.not_restarting(NOW, "Policy allows no restarts")], "error", "is not started again: Policy allows"),
        ([history.restart_signaled(NOW, "User requested restart")], "warn", "is restarted: User requested restart"),
        ([KILLING], "info", "is being stopped: Sent interrupt. Waiting 5s before force killing"),
        ([history.killed(NOW)], "info", "is stopped"),
        ([history.killed(NOW, "no answer")], "error", "could not be stopped: no answer"),
        ([history.sibling_failed(NOW, "db")], "warn", "is stopped, because task db of its group failed"),
        ([TaskEvent(Type="Odd One", Time=NOW, DisplayMessage="x.")], "info", "(Odd One): x"),
    ],
)
def test_task_events(events: list[TaskEvent], level: str, message: str) -> None:
    last = of_allocation(alloc_of(events))[-1]
    assert (last.level, message in last.message) == (level, True), last
    assert last.message.startswith("Task httpd of shop.web[0]")
    assert last.fields["task"] == "httpd"


def test_an_allocations_life() -> None:
    lost = alloc_of(
        [],
        DeploymentID="d1",
        DeploymentStatus=AllocDeploymentStatus(Healthy=True, Timestamp=rfc3339(NOW + 5)),
        DesiredStatus="stop",
        DesiredDescription="alloc is lost since its node is down",
        ClientStatus="lost",
    )
    assert told(of_allocation(lost)) == [
        ("Placed", "info", "Allocation shop.web[0] is placed on node node1"),
        ("Healthy", "info", "Allocation shop.web[0] is healthy in its deployment"),
        ("Stop", "warn", "Allocation shop.web[0] is to stop: alloc is lost since its node is down"),
        ("Lost", "error", "Allocation shop.web[0] is lost"),
    ]
    assert {one.fields["deployment"] for one in of_allocation(lost)} == {"d1"}
    tracker = RescheduleHistory(Events=[RescheduleEvent(PrevAllocID=OTHER)])
    again = of_allocation(alloc_of(PreviousAllocation=OTHER, RescheduleTracker=tracker))[0]
    assert (again.type, again.level, again.fields["previous_alloc"]) == ("Rescheduled", "warn", OTHER)
    update = of_allocation(alloc_of(PreviousAllocation=OTHER))[0]
    assert (update.type, update.level) == ("Placed", "info")


EVENTS = st.sampled_from(["Received", "Started", "Terminated", "Restarting", "Killing"])


@given(st.lists(EVENTS, min_size=1, max_size=30))
def test_what_is_looked_at_after_every_event_is_told_once_each(kinds: list[str]) -> None:
    kept: list[TaskEvent] = []
    ids: dict[str, EventEntry] = {}
    for number, kind in enumerate(kinds):
        kept = history.appended(kept, TaskEvent(Type=kind, Time=NOW + number))
        for entry in of_allocation(alloc_of(kept)):
            ids.setdefault(entry.identifier, entry)
    assert [one.time_ns - NOW for one in ids.values() if one.fields.get("task")] == list(range(len(kinds)))


def progress(**given: Any) -> dict[str, DeploymentState]:
    return {"web": DeploymentState(**({"DesiredTotal": 2} | given))}


def deployment_of(index: int, **given: Any) -> Deployment:
    facts: dict[str, Any] = {"ID": "d1", "Namespace": "default", "JobID": "shop", "JobVersion": 3, "CreateTime": NOW}
    return Deployment(**(facts | {"ModifyIndex": index, "ModifyTime": NOW + index, "TaskGroups": progress()} | given))


STEPS = [
    (deployment_of(1, TaskGroups=progress(DesiredCanaries=1)), ["Started"]),
    (deployment_of(2, TaskGroups=progress(DesiredCanaries=1, HealthyAllocs=1)), ["Healthy"]),
    (deployment_of(3, TaskGroups=progress(DesiredCanaries=1, HealthyAllocs=1), Status="paused"), ["Paused"]),
    (deployment_of(4, TaskGroups=progress(DesiredCanaries=1, HealthyAllocs=1)), ["Resumed"]),
    (deployment_of(5, TaskGroups=progress(DesiredCanaries=1, HealthyAllocs=1, Promoted=True)), ["Promoted"]),
    (
        deployment_of(6, TaskGroups=progress(DesiredCanaries=1, HealthyAllocs=1, UnhealthyAllocs=1, Promoted=True)),
        ["Unhealthy"],
    ),
    (
        deployment_of(
            7,
            TaskGroups=progress(DesiredCanaries=1, HealthyAllocs=1, UnhealthyAllocs=1, Promoted=True),
            Status="failed",
            StatusDescription="Failed due to progress deadline - rolling back to job version 2",
        ),
        ["Failed", "RolledBack"],
    ),
]


def test_a_deployment_step_by_step() -> None:
    before = None
    found: list[EventEntry] = []
    for now, types in STEPS:
        entries = of_deployment(before, now)
        assert [one.type for one in entries] == types
        before = seen(now)
        assert of_deployment(before, now) == []
        found += entries
    messages = [one.message.removeprefix("Deployment of job shop version 3 ") for one in found]
    assert messages == [
        "started: 2 instances of web, 1 canary instance first",
        "has 1 of 1 canary instance of web healthy",
        "is paused",
        "goes on",
        "is promoted: the canaries of web replace the rest",
        "has 1 unhealthy instance of web",
        "failed: Failed due to progress deadline - rolling back to job version 2",
        "is rolled back to version 2",
    ]
    assert [one.level for one in found] == ["info", "info", "warn", "info", "info", "warn", "error", "warn"]
    assert found[-1].fields["to_version"] == 2


@given(st.sets(st.integers(0, len(STEPS) - 1)))
def test_whatever_part_of_a_deployment_is_seen_how_it_ended_is_told_once(looks: set[int]) -> None:
    before, found = None, []
    for number in [*sorted(looks), len(STEPS) - 1]:
        found += of_deployment(before, STEPS[number][0])
        before = seen(STEPS[number][0])
    ids = [one.identifier for one in found]
    assert len(ids) == len(set(ids))
    assert {"Started", "Failed", "RolledBack"} <= {one.type for one in found}


def test_what_was_told_step_by_step_is_not_told_again_when_nothing_is_remembered() -> None:
    befores = [None, *(seen(now) for now, _ in STEPS)]
    told_ids = {
        one.identifier for before, (now, _) in zip(befores, STEPS, strict=False) for one in of_deployment(before, now)
    }
    assert {one.identifier for one in of_deployment(None, STEPS[-1][0])} <= told_ids


def version_of(number: int, count: int, **given: Any) -> Job:
    facts: dict[str, Any] = {"ID": "shop", "Version": number, "JobModifyIndex": 10 + number, "SubmitTime": NOW + number}
    return Job(**(facts | {"TaskGroups": [TaskGroup(Name="web", Count=count)]} | given))


def test_versions_of_a_job() -> None:
    versions = [
        version_of(0, 2),
        version_of(1, 4),
        version_of(2, 3, Priority=60),
        version_of(3, 3, Priority=60, Stop=True),
        version_of(4, 3),
    ]
    assert told(of_versions(versions[::-1], 0)) == [
        ("Registered", "info", "Job shop is registered as version 0: 2 instances of web"),
        ("Scaled", "info", "Job shop is scaled (version 1): web from 2 to 4 instances"),
        ("Registered", "info", "Job shop is registered as version 2: 3 instances of web"),
        ("Stopped", "info", "Job shop is stopped (version 3)"),
        ("Registered", "info", "Job shop is registered again as version 4: 3 instances of web"),
    ]
    assert [one.fields["version"] for one in of_versions(versions, 12)] == [3, 4]
    assert removed("default", "shop", 7, NOW).message == "Job shop is removed, with its history"


def test_a_secret_of_a_job_is_in_no_entry() -> None:
    secret = "f3c1-never-shown"
    task = {"Name": "httpd", "Env": {"PASSWORD": secret}, "Config": {"auth": {"password": secret}}}
    group = msgspec.convert({"Name": "web", "Tasks": [task]}, TaskGroup)
    versions = [version_of(0, 1), version_of(1, 1, TaskGroups=[group], Meta={"key": secret})]
    alloc = alloc_of([STARTED], Job=versions[1])
    texts = [repr(shipment(one, "rec1")) for one in [*of_versions(versions, 0), *of_allocation(alloc)]]
    assert secret not in "".join(texts)


def test_placement_failures_are_told_once() -> None:
    failed = {"web": AllocationMetric(CoalescedFailures=1)}
    one, other = (
        Evaluation(
            ID=name, Namespace="default", JobID="shop", JobModifyIndex=5, Status="complete", FailedTGAllocs=failed,
            StatusDescription="of 1 node, 1 has\n less than 900 MB memory free.", ModifyTime=NOW,
        )
        for name in ("e1", "e2")
    )  # fmt: skip
    assert told(of_evaluation(one)) == [
        (
            "PlacementFailed",
            "error",
            "No place for instances of job shop (2 of web): of 1 node, 1 has less than 900 MB memory free",
        )
    ]
    assert of_evaluation(one)[0].identifier == of_evaluation(other)[0].identifier
    assert of_evaluation(msgspec.structs.replace(one, Status="blocked")) == []
    assert of_evaluation(msgspec.structs.replace(one, FailedTGAllocs=None)) == []


def test_a_nodes_history() -> None:
    lines = ["Node registered", "Node heartbeat missed", "Node drain strategy set", "Odd"]
    events = [NodeEvent(Message=text, Subsystem="Cluster", Timestamp=rfc3339(NOW + n)) for n, text in enumerate(lines)]
    entries = of_node(Node(ID="n1", Name="node1", Events=events))
    assert told(entries) == [
        ("Registered", "info", "Node node1 has joined and is ready"),
        ("Down", "error", "Node node1 is down: it has not been heard of"),
        ("Draining", "warn", "Node node1 is draining: its allocations move elsewhere"),
        ("Event", "info", "Node node1 (Cluster): Odd"),
    ]
    assert len({one.identifier for one in entries}) == 4
    assert "namespace" not in entries[0].fields


def check_of(status: str, index: int = 1, *, service: str | None = None) -> HealthCheck:
    service = f"_nomad-task-{ALLOC}-group-web-shop-http" if service is None else service
    return HealthCheck(
        Node="node1", CheckID="c", Name='service: "shop" check', Status=status, Output="GET /:\n 503 no",
        ServiceID=service, ServiceName="shop", ModifyIndex=index,
    )  # fmt: skip


def test_checks_are_told_when_they_turn() -> None:
    before: dict[str, str] = {}
    found = []
    for index, status in enumerate(["critical", "passing", "passing", "critical", "warning", "passing"]):
        checks = [check_of(status, index), check_of(status, index, service="")]  # a node's own check is the node's news
        found += [of_turn(turn, {"job": "shop"}, NOW) for turn in turns(before, checks)]
        before = statuses(checks)
    assert [(one.type, one.level) for one in found] == [
        ("Passing", "info"), ("Failing", "error"), ("Warning", "warn"), ("Passing", "info"),
    ]  # fmt: skip
    assert found[1].message == "Service shop of allocation 4c1d0000 fails its check: GET /: 503 no"
    assert found[0].message == "Service shop of allocation 4c1d0000 passes its check"
    assert len({one.identifier for one in found}) == 4


def test_entries_as_documents() -> None:
    (entry,) = of_allocation(alloc_of(NodeName="", NodeID="abcdef0123"))
    made = shipment(entry, "rec1")
    assert made.identifier == f"rec1.{ALLOC}.event.placed"
    assert made.document == {
        "@timestamp": "2026-11-23T11:50:20.000000Z", "infra": "rec1", "stream": "event", "level": "info",
        "event": {"kind": "Allocation", "type": "Placed"}, "namespace": "default", "job": "shop", "group": "web",
        "alloc": ALLOC, "message": "Allocation shop.web[0] is placed on node abcdef01",
    }  # fmt: skip
