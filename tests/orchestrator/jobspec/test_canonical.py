"""Defaults, inheritance, merging, names."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.kernel.errors import BadInput
from kokiris.kernel.units import HOUR_NS, MINUTE_NS, SECOND_NS
from kokiris.orchestrator.jobspec import canonical, parse_hcl
from kokiris.orchestrator.model.job import Job, TaskGroup


def job_with(**group: Any) -> dict[str, Any]:
    return {"ID": "j", "TaskGroups": [{"Name": "g", "Tasks": [{"Name": "t", "Driver": "docker"}], **group}]}


def group_of(raw: dict[str, Any], **changes: Any) -> TaskGroup:
    job = canonical({**raw, **changes})
    assert job.TaskGroups
    return job.TaskGroups[0]


@pytest.mark.parametrize(
    ("kind", "attempts", "interval"),
    [
        ("service", 2, 30 * MINUTE_NS),
        ("system", 2, 30 * MINUTE_NS),
        ("batch", 3, 24 * HOUR_NS),
        ("sysbatch", 3, 24 * HOUR_NS),
    ],
)
def test_restart_defaults_depend_on_the_type(kind: str, attempts: int, interval: int) -> None:
    policy = group_of(job_with(), Type=kind).RestartPolicy
    assert policy is not None
    assert (policy.Attempts, policy.Interval, policy.Delay, policy.Mode) == (attempts, interval, 15 * SECOND_NS, "fail")


def test_reschedule_defaults_depend_on_the_type() -> None:
    service = group_of(job_with()).ReschedulePolicy
    assert service is not None
    assert (service.Delay, service.DelayFunction, service.MaxDelay, service.Unlimited) == (
        30 * SECOND_NS, "exponential", HOUR_NS, True,
    )  # fmt: skip
    batch = group_of(job_with(), Type="batch").ReschedulePolicy
    assert batch is not None
    assert (batch.Attempts, batch.Interval, batch.Delay, batch.DelayFunction, batch.Unlimited) == (
        1, 24 * HOUR_NS, 5 * SECOND_NS, "constant", False,
    )  # fmt: skip
    assert group_of(job_with(), Type="system").ReschedulePolicy is None


def test_update_and_migrate_only_where_they_belong() -> None:
    service, batch, system = (group_of(job_with(), Type=kind) for kind in ("service", "batch", "system"))
    assert service.Update is not None
    assert service.Update.MaxParallel == 1
    assert service.Migrate is not None
    assert system.Update is not None
    assert system.Migrate is None
    assert batch.Update is None
    assert batch.Migrate is None


def test_group_policies_overlay_the_jobs() -> None:
    raw = job_with(Update={"Canary": 2, "HealthyDeadline": "7m"}, Migrate={"MaxParallel": 3})
    raw |= {"Update": {"MaxParallel": 4, "Canary": 1}, "Migrate": {"MinHealthyTime": "3s"}}
    group = group_of(raw)
    assert group.Update is not None
    assert (group.Update.MaxParallel, group.Update.Canary, group.Update.HealthyDeadline) == (4, 2, 7 * MINUTE_NS)
    assert group.Migrate is not None
    assert (group.Migrate.MaxParallel, group.Migrate.MinHealthyTime) == (3, 3 * SECOND_NS)


def test_tasks_restart_merges_over_the_groups() -> None:
    raw = job_with(RestartPolicy={"Attempts": 7})
    raw["TaskGroups"][0]["Tasks"][0]["RestartPolicy"] = {"Delay": "1s"}
    group = group_of(raw)
    assert group.Tasks
    policy = group.Tasks[0].RestartPolicy
    assert policy is not None
    assert (policy.Attempts, policy.Delay, policy.Interval) == (7, SECOND_NS, 30 * MINUTE_NS)


def test_names_of_services_and_interpolations() -> None:
    raw = job_with(Services=[{}, {"Name": "${JOB}-${TASKGROUP}-x"}, {"Name": "${BASE}"}])
    raw["TaskGroups"][0]["Tasks"][0]["Services"] = [{}, {"Name": "${TASK}.${BASE}"}]
    group = group_of(raw, Name="n")
    assert [service.Name for service in group.Services or []] == ["n-g", "n-g-x", "n-g"]
    assert group.Tasks
    services = group.Tasks[0].Services or []
    assert [service.Name for service in services] == ["n-g-t", "t.n-g-t"]
    assert {service.TaskName for service in services} == {"t"}


def test_checks_inherit_from_their_service() -> None:
    raw = job_with(
        Services=[
            {
                "CheckRestart": {"Limit": 3, "Grace": "5s"},
                "OnUpdate": "ignore_warnings",
                "Checks": [{"Type": "HTTP", "Path": "/"}, {"Type": "tcp", "CheckRestart": {"Grace": "9s"}}],
            }
        ]
    )
    (service,) = group_of(raw).Services or []
    http, tcp = service.Checks or []
    assert (http.Type, http.Method, http.Protocol, http.OnUpdate) == ("http", "GET", "http", "ignore_warnings")
    assert http.CheckRestart is not None
    assert http.CheckRestart.Limit == 3
    assert tcp.CheckRestart is not None
    assert (tcp.CheckRestart.Limit, tcp.CheckRestart.Grace) == (3, 9 * SECOND_NS)


def test_keys_in_any_case_nulls_and_durations() -> None:
    job = canonical(
        {"id": "x", "TASKGROUPS": [{"name": "g", "count": None, "shutdownDelay": "3s", "tasks": None}], "Meta": None}
    )
    assert job.ID == job.Name == "x"
    assert job.Datacenters == ["*"]
    assert job.TaskGroups
    assert (job.TaskGroups[0].Count, job.TaskGroups[0].ShutdownDelay) == (1, 3 * SECOND_NS)


def test_count_comes_from_scaling() -> None:
    group = group_of(job_with(Scaling={"Min": 3, "Max": 9}))
    assert group.Count == 3
    assert group.Scaling is not None
    assert group.Scaling.Type == "horizontal"
    assert group_of(job_with(Count=0)).Count == 0


def test_resources_logs_and_disk() -> None:
    raw = job_with(EphemeralDisk={"Migrate": True})
    raw["TaskGroups"][0]["Tasks"][0]["Resources"] = {"Cores": 2}
    group = group_of(raw)
    assert group.EphemeralDisk is not None
    assert (group.EphemeralDisk.Sticky, group.EphemeralDisk.SizeMB) == (True, 300)
    assert group.Tasks
    task = group.Tasks[0]
    assert task.Resources is not None
    assert (task.Resources.CPU, task.Resources.MemoryMB) == (0, 300)
    assert task.LogConfig is not None
    assert (task.LogConfig.MaxFiles, task.LogConfig.MaxFileSizeMB) == (10, 10)
    assert task.KillTimeout == 5 * SECOND_NS


def test_docker_blocks_become_maps() -> None:
    raw = job_with()
    raw["TaskGroups"][0]["Tasks"][0]["Config"] = {
        "labels": [{"a": "1"}, {"b": "2"}],
        "mount": [{"type": "tmpfs", "tmpfs_options": [{"size": 1}]}],
        "mounts": [{"type": "bind"}],
        "args": ["x"],
    }
    group = group_of(raw)
    assert group.Tasks
    assert group.Tasks[0].Config == {
        "labels": {"a": "1", "b": "2"},
        "args": ["x"],
        "mounts": [{"type": "bind"}, {"type": "tmpfs", "tmpfs_options": {"size": 1}}],
    }


def test_namespace_can_be_overridden() -> None:
    assert canonical({"ID": "x", "Namespace": "a"}).Namespace == "a"
    assert canonical({"ID": "x", "Namespace": "a"}, namespace="b").Namespace == "b"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"ID": "5", "TaskGroups": "x"}, "Job.TaskGroups: expected a list"),
        ({"ID": "x", "TaskGroups": [{"ShutdownDelay": "soon"}]}, "ShutdownDelay"),
        ({"ID": "x", "Priority": []}, ""),
        ({"ID": "x", "TaskGroups": [{"Tasks": [{"Config": 5}]}]}, "Config"),
        ({"ID": "x", "TaskGroups": [{"Tasks": [5]}]}, "expected an object, got a number"),
        ({"ID": "x", "TaskGroups": [5]}, "expected an object, got a number"),
        ({"ID": "x", "TaskGroups": [{"Services": [{"Checks": {"a": 1}}]}]}, ""),
        ({"ID": "x", "Update": "x"}, ""),
        ({"ID": "x", "Priority": 2**70}, "Job.Priority: 1180591620717411303424 is out of range"),
        ({"ID": "x\ud800"}, "half a surrogate pair"),
        ({"ID": "x", "TaskGroups": [{"Tasks": [{"Config": {"a": [2**70]}}]}]}, "out of range"),
        ({"ID": "x", "TaskGroups": [{"Tasks": [{"Config": {"a": float("inf")}}]}]}, "not a number"),
    ],
)
def test_what_does_not_fit_is_named(raw: dict[str, Any], message: str) -> None:
    if raw.get("Priority") == []:
        assert canonical(raw).Priority == 50
        return
    with pytest.raises(BadInput) as caught:
        canonical(raw)
    assert message in caught.value.message


_NAMES = sorted({*Job.__struct_fields__, *TaskGroup.__struct_fields__, "Tasks", "config", "id"})
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8) | st.just("10s"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(_NAMES), _JSON, max_size=6))
def test_any_json_is_a_job_or_bad_input(raw: dict[str, Any]) -> None:
    try:
        job = canonical(raw)
    except BadInput:
        return
    assert canonical(msgspec.to_builtins(job)) == job


@given(st.text(max_size=30), st.integers(-(10**15), 10**15), st.booleans())
def test_values_survive_the_way_through_a_file(text: str, number: int, flag: bool) -> None:
    quoted = (
        text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r").replace("${", "$${")
    ).replace("%{", "%%{")
    if "$$$" in quoted or "%%%" in quoted:
        return
    source = f'job "a" {{\n  meta {{\n    t = "{quoted}"\n    n = {number}\n    f = {str(flag).lower()}\n  }}\n}}'
    assert parse_hcl(source, filename="x")["Meta"] == {"t": text, "n": str(number), "f": str(flag).lower()}
