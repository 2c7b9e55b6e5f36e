"""Diffs of jobs: their shape on the wire, their annotations, their text."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.kernel.errors import BadInput
from kokiris.orchestrator.diff import annotate, job_diff, render_diff
from kokiris.orchestrator.jobspec import canonical, is_destructive
from kokiris.orchestrator.model.evaluation import Annotations, DesiredUpdates
from kokiris.orchestrator.model.job import Job

RAW: dict[str, Any] = {
    "ID": "j",
    "Datacenters": ["dc1"],
    "Constraints": [{"LTarget": "${attr.kernel.name}", "RTarget": "linux", "Operand": "="}],
    "TaskGroups": [
        {
            "Name": "g",
            "Count": 2,
            "Networks": [{"Mode": "bridge", "DynamicPorts": [{"Label": "http", "To": 80}]}],
            "Services": [
                {"Name": "s", "PortLabel": "http", "Tags": ["a"], "Checks": [{"Name": "c", "Type": "tcp"}]},
                {"Name": "other", "PortLabel": "9"},
            ],
            "Tasks": [
                {
                    "Name": "t",
                    "Driver": "docker",
                    "Config": {"image": "i:1", "args": ["x"]},
                    "Env": {"A": "1", "B": "2"},
                    "Templates": [{"DestPath": "d", "EmbeddedTmpl": "x"}],
                }
            ],
        }
    ],
}


def base() -> dict[str, Any]:
    return copy.deepcopy(RAW)


def diff_of(raw: dict[str, Any], contextual: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(job_diff(canonical(RAW), canonical(raw), contextual))
    return found


def group_of(diff: dict[str, Any]) -> dict[str, Any]:
    return dict(diff["TaskGroups"][0])


def test_no_change() -> None:
    assert diff_of(base()) == {
        "Type": "None",
        "ID": "j",
        "Fields": None,
        "Objects": None,
        "TaskGroups": [
            {
                "Type": "None",
                "Name": "g",
                "Fields": None,
                "Objects": None,
                "Tasks": [{"Type": "None", "Name": "t", "Fields": None, "Objects": None, "Annotations": None}],
                "Updates": None,
            }
        ],
    }


def test_what_the_server_writes_is_no_change() -> None:
    job = canonical(RAW)
    stored = msgspec.structs.replace(
        job, Version=5, Status="running", Stable=True, ModifyIndex=9, JobModifyIndex=9, CreateIndex=1, SubmitTime=5
    )
    assert job_diff(stored, job).Type == "None"


def test_fields_of_job_group_and_task() -> None:
    raw = base()
    raw["Priority"] = 80
    raw["TaskGroups"][0]["Count"] = 5
    raw["TaskGroups"][0]["Tasks"][0].update(KillTimeout="9s", Env={"A": "3", "C": "4"})
    diff = diff_of(raw)
    assert diff["Type"] == "Edited"
    assert diff["Fields"] == [{"Type": "Edited", "Name": "Priority", "Old": "50", "New": "80", "Annotations": None}]
    group = group_of(diff)
    assert [(f["Name"], f["Old"], f["New"]) for f in group["Fields"]] == [("Count", "2", "5")]
    assert [(f["Type"], f["Name"], f["Old"], f["New"]) for f in group["Tasks"][0]["Fields"]] == [
        ("Edited", "Env[A]", "1", "3"),
        ("Deleted", "Env[B]", "2", ""),
        ("Added", "Env[C]", "", "4"),
        ("Edited", "KillTimeout", "5000000000", "9000000000"),
    ]


def test_config_is_flattened_and_contextual_shows_neighbours() -> None:
    raw = base()
    raw["TaskGroups"][0]["Tasks"][0]["Config"] = {"image": "i:2", "args": ["x", "y"]}
    (config,) = group_of(diff_of(raw))["Tasks"][0]["Objects"]
    assert (config["Type"], config["Name"]) == ("Edited", "Config")
    assert [(f["Type"], f["Name"]) for f in config["Fields"]] == [("Added", "args[1]"), ("Edited", "image")]
    (config,) = group_of(diff_of(raw, contextual=True))["Tasks"][0]["Objects"]
    assert [(f["Type"], f["Name"]) for f in config["Fields"]] == [
        ("None", "args[0]"),
        ("Added", "args[1]"),
        ("Edited", "image"),
    ]


def test_string_sets_are_objects() -> None:
    raw = base()
    raw["Datacenters"] = ["dc2"]
    (datacenters,) = diff_of(raw)["Objects"]
    assert (datacenters["Name"], datacenters["Type"]) == ("Datacenters", "Edited")
    assert [(f["Type"], f["Name"], f["Old"], f["New"]) for f in datacenters["Fields"]] == [
        ("Added", "Datacenters", "", "dc2"),
        ("Deleted", "Datacenters", "dc1", ""),
    ]


def test_a_changed_constraint_is_one_gone_and_one_new() -> None:
    raw = base()
    raw["Constraints"][0]["RTarget"] = "windows"
    kinds = [(one["Name"], one["Type"]) for one in diff_of(raw)["Objects"]]
    assert kinds == [("Constraint", "Added"), ("Constraint", "Deleted")]


def test_networks_show_their_ports() -> None:
    raw = base()
    raw["TaskGroups"][0]["Networks"][0]["ReservedPorts"] = [{"Label": "x", "Value": 80}]
    added, deleted = group_of(diff_of(raw))["Objects"]
    assert (added["Name"], added["Type"], deleted["Type"]) == ("Network", "Added", "Deleted")
    assert [one["Name"] for one in added["Objects"]] == ["Static Port", "Dynamic Port"]
    assert [one["Name"] for one in deleted["Objects"]] == ["Dynamic Port"]


def test_services_are_matched_by_likeness() -> None:
    raw = base()
    services = raw["TaskGroups"][0]["Services"]
    services[0]["Tags"] = ["a", "b"]
    services.reverse()
    (service,) = group_of(diff_of(raw))["Objects"]
    assert (service["Name"], service["Type"], service["Fields"]) == ("Service", "Edited", None)
    assert [(one["Name"], one["Type"]) for one in service["Objects"]] == [("Tags", "Added")]
    services[1]["Checks"][0]["Header"] = {"H": ["v"]}
    services[1]["Checks"][0]["CheckRestart"] = {"Limit": 3}
    (service,) = group_of(diff_of(raw))["Objects"]
    check = next(one for one in service["Objects"] if one["Name"] == "Check")
    assert [(one["Name"], one["Type"]) for one in check["Objects"]] == [("Header", "Added"), ("CheckRestart", "Added")]


OBJECTS: dict[str, dict[str, Any]] = {
    "RestartPolicy": {"RestartPolicy": {"Attempts": 9}},
    "ReschedulePolicy": {"ReschedulePolicy": {"Delay": "9s"}},
    "Migrate": {"Migrate": {"MaxParallel": 9}},
    "EphemeralDisk": {"EphemeralDisk": {"SizeMB": 900}},
    "Update": {"Update": {"Canary": 1}},
    "Disconnect": {"Disconnect": {"LostAfter": "1h"}},
    "Volume": {"Volumes": {"v": {"Type": "host", "Source": "s"}}},
    "Scaling": {"Scaling": {"Max": 9, "Policy": {"a": {"b": 1}}}},
    "Spread": {"Spreads": [{"Attribute": "a", "SpreadTarget": [{"Value": "x", "Percent": 50}]}]},
    "Affinity": {"Affinities": [{"LTarget": "a", "RTarget": "b", "Operand": "="}]},
    "Consul": {"Consul": {"Namespace": "x"}},
}
TASK_OBJECTS: dict[str, dict[str, Any]] = {
    "Resources": {"Resources": {"CPU": 900}},
    "LogConfig": {"LogConfig": {"MaxFiles": 3}},
    "Artifact": {"Artifacts": [{"GetterSource": "x"}]},
    "Vault": {"Vault": {"Policies": ["p"]}},
    "Template": {"Templates": [{"DestPath": "e", "EmbeddedTmpl": "x", "Wait": {"Min": 1, "Max": 2}}]},
    "Identity": {"Identity": {"Env": True, "Audience": ["a"]}},
    "VolumeMount": {"VolumeMounts": [{"Volume": "v", "Destination": "/d"}]},
    "Lifecycle": {"Lifecycle": {"Hook": "prestart"}},
    "Action": {"Actions": [{"Name": "a", "Command": "c"}]},
    "Secret": {"Secrets": [{"Name": "a", "Provider": "c"}]},
    "Schedule": {"Schedule": {"Cron": {"Start": "x"}}},
    "DispatchPayload": {"DispatchPayload": {"File": "x"}},
    "Service": {"Services": [{"Name": "x"}]},
}


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_of_a_group(name: str) -> None:
    raw = base()
    raw["TaskGroups"][0].update(OBJECTS[name])
    assert name in {one["Name"] for one in group_of(diff_of(raw))["Objects"]}


@pytest.mark.parametrize("name", TASK_OBJECTS)
def test_objects_of_a_task(name: str) -> None:
    raw = base()
    raw["TaskGroups"][0]["Tasks"][0].update(TASK_OBJECTS[name])
    assert name in {one["Name"] for one in group_of(diff_of(raw))["Tasks"][0]["Objects"]}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("Periodic", {"Periodic": {"Specs": ["@daily"]}}),
        ("ParameterizedJob", {"ParameterizedJob": {"Payload": "required"}}),
        ("Multiregion", {"Multiregion": {"Regions": [{"Name": "x"}]}}),
        ("UI", {"UI": {"Description": "x"}}),
    ],
)
def test_objects_of_a_job(name: str, change: dict[str, Any]) -> None:
    assert name in {one["Name"] for one in diff_of({**base(), **change})["Objects"]}


def test_new_and_gone() -> None:
    job = canonical(RAW)
    new, gone = job_diff(None, job), job_diff(job, None)
    assert (new.Type, gone.Type, new.ID, gone.ID) == ("Added", "Deleted", "j", "j")
    assert new.TaskGroups
    assert new.TaskGroups[0].Type == "Added"
    assert {field.Type for field in new.Fields or []} == {"Added"}
    assert job_diff(None, None).Type == "None"
    with pytest.raises(BadInput, match="different IDs"):
        job_diff(job, msgspec.structs.replace(job, ID="other"))


def test_annotations() -> None:
    raw = base()
    raw["TaskGroups"][0]["Count"] = 1
    raw["TaskGroups"][0]["Tasks"][0]["KillTimeout"] = "9s"
    desired = {"g": DesiredUpdates(Stop=1, InPlaceUpdate=1, Ignore=0)}
    diff = annotate(job_diff(canonical(RAW), canonical(raw)), Annotations(DesiredTGUpdates=desired))
    assert diff.TaskGroups
    group = diff.TaskGroups[0]
    assert group.Updates == {"destroy": 1, "in-place update": 1}
    assert group.Fields
    assert group.Fields[0].Annotations == ["forces destroy"]
    assert group.Tasks
    assert group.Tasks[0].Annotations == ["forces in-place update"]
    raw["TaskGroups"][0]["Tasks"][0]["Config"]["image"] = "i:2"
    diff = annotate(job_diff(canonical(RAW), canonical(raw)), desired)
    assert diff.TaskGroups
    assert diff.TaskGroups[0].Tasks
    assert diff.TaskGroups[0].Tasks[0].Annotations == ["forces create/destroy update"]
    diff = annotate(job_diff(None, canonical(RAW)), {"g": DesiredUpdates(Place=2)})
    assert diff.TaskGroups
    assert diff.TaskGroups[0].Updates == {"create": 2}
    assert diff.TaskGroups[0].Tasks
    assert diff.TaskGroups[0].Tasks[0].Annotations == ["forces create"]


def test_rendered_like_nomads_plan() -> None:
    raw = base()
    raw["TaskGroups"][0]["Count"] = 4
    raw["TaskGroups"][0]["Tasks"][0]["Config"]["image"] = "i:2"
    diff = job_diff(canonical(RAW), canonical(raw))
    annotate(diff, {"g": DesiredUpdates(Place=2, DestructiveUpdate=2)})
    assert render_diff(diff) == (
        '+/- Job: "j"\n'
        '+/- Task Group: "g" (2 create, 2 create/destroy update)\n'
        '  +/- Count: "2" => "4" (forces create)\n'
        '  +/- Task: "t" (forces create/destroy update)\n'
        "    +/- Config {\n"
        '          args[0]: "x"\n'
        '      +/- image:   "i:1" => "i:2"\n'
        "        }"
    )
    assert "\x1b[93m+/-\x1b[0m" in render_diff(diff, color=True)
    assert render_diff(job_diff(None, canonical(RAW))) == '+ Job: "j"\n+ Task Group: "g"\n  + Task: "t"'
    verbose = render_diff(job_diff(None, canonical(RAW)), verbose=True)
    assert '+ image:   "i:1"' in verbose
    assert '+ Priority:   "50"' in verbose


_CHANGES = st.lists(
    st.sampled_from([(part, name) for part, table in (("g", OBJECTS), ("t", TASK_OBJECTS)) for name in table]),
    max_size=4,
)


def _changed(changes: list[tuple[str, str]]) -> Job:
    raw = base()
    group = raw["TaskGroups"][0]
    for part, name in changes:
        (group if part == "g" else group["Tasks"][0]).update((OBJECTS if part == "g" else TASK_OBJECTS)[name])
    return canonical(raw)


@given(_CHANGES, _CHANGES)
def test_a_diff_is_none_exactly_when_nothing_changed(one: list[tuple[str, str]], other: list[tuple[str, str]]) -> None:
    old, new = _changed(one), _changed(other)
    diff = annotate(job_diff(old, new), {})
    assert (diff.Type == "None") == (old == new)
    json.loads(msgspec.json.encode(diff))
    render_diff(diff, verbose=True)


@given(_CHANGES)
def test_the_annotation_agrees_with_the_rule(changes: list[tuple[str, str]]) -> None:
    old, new = canonical(RAW), _changed(changes)
    diff = annotate(job_diff(old, new), {})
    assert diff.TaskGroups
    assert diff.TaskGroups[0].Tasks
    annotations = diff.TaskGroups[0].Tasks[0].Annotations or []
    if "forces create/destroy update" in annotations:
        assert is_destructive(old, new, "g")
