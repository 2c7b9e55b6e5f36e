"""Destructive or in place."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from kokiris.orchestrator.jobspec import canonical, is_destructive

RAW: dict[str, Any] = {
    "ID": "j",
    "Meta": {"a": "1"},
    "TaskGroups": [
        {
            "Name": "g",
            "Count": 1,
            "Networks": [
                {"Mode": "bridge", "DynamicPorts": [{"Label": "a", "To": 1}, {"Label": "b"}]},
            ],
            "Services": [{"Name": "s", "PortLabel": "a", "Tags": ["x"]}],
            "Tasks": [
                {
                    "Name": "t",
                    "Driver": "docker",
                    "Config": {"image": "i:1"},
                    "Env": {"A": "1"},
                    "Templates": [{"DestPath": "d", "EmbeddedTmpl": "x"}],
                    "LogConfig": {"MaxFiles": 3},
                    "Resources": {"CPU": 100, "MemoryMB": 100},
                }
            ],
        }
    ],
}
Change = Callable[[dict[str, Any], dict[str, Any], dict[str, Any]], Any]


def changed(change: Change) -> bool:
    raw = copy.deepcopy(RAW)
    group = raw["TaskGroups"][0]
    change(raw, group, group["Tasks"][0])
    return is_destructive(canonical(RAW), canonical(raw), "g")


DESTRUCTIVE: dict[str, Change] = {
    "image": lambda job, group, task: task["Config"].update(image="i:2"),
    "driver": lambda job, group, task: task.update(Driver="raw_exec"),
    "user": lambda job, group, task: task.update(User="x"),
    "env": lambda job, group, task: task["Env"].update(B="2"),
    "template": lambda job, group, task: task["Templates"][0].update(EmbeddedTmpl="y"),
    "artifact": lambda job, group, task: task.update(Artifacts=[{"GetterSource": "x"}]),
    "job meta": lambda job, group, task: job["Meta"].update(b="2"),
    "task meta": lambda job, group, task: task.update(Meta={"b": "2"}),
    "cpu": lambda job, group, task: task["Resources"].update(CPU=200),
    "memory": lambda job, group, task: task["Resources"].update(MemoryMB=200),
    "port": lambda job, group, task: group["Networks"][0]["DynamicPorts"][0].update(To=2),
    "static port": lambda job, group, task: group["Networks"][0].update(ReservedPorts=[{"Label": "c", "Value": 80}]),
    "network mode": lambda job, group, task: group["Networks"][0].update(Mode="host"),
    "disk": lambda job, group, task: group.update(EphemeralDisk={"SizeMB": 500}),
    "volume": lambda job, group, task: group.update(Volumes={"v": {"Type": "host", "Source": "s"}}),
    "mount": lambda job, group, task: task.update(VolumeMounts=[{"Volume": "v", "Destination": "/d"}]),
    "one more task": lambda job, group, task: group["Tasks"].append({"Name": "u", "Driver": "docker"}),
    "logs disabled": lambda job, group, task: task["LogConfig"].update(Disabled=True),
    "lifecycle": lambda job, group, task: task.update(Lifecycle={"Hook": "prestart"}),
    "identity": lambda job, group, task: task.update(Identity={"Env": True}),
    "group gone": lambda job, group, task: group.update(Name="other"),
}
IN_PLACE: dict[str, Change] = {
    "nothing": lambda job, group, task: None,
    "count": lambda job, group, task: group.update(Count=5),
    "service tags": lambda job, group, task: group["Services"][0].update(Tags=["y"]),
    "new service": lambda job, group, task: group["Services"].append({"Name": "n", "PortLabel": "b"}),
    "check": lambda job, group, task: group["Services"][0].update(Checks=[{"Type": "tcp"}]),
    "constraint": lambda job, group, task: group.update(Constraints=[{"LTarget": "a", "Operand": "is_set"}]),
    "affinity": lambda job, group, task: job.update(Affinities=[{"LTarget": "a", "RTarget": "b", "Operand": "="}]),
    "kill timeout": lambda job, group, task: task.update(KillTimeout="9s"),
    "restart": lambda job, group, task: group.update(RestartPolicy={"Attempts": 9}),
    "reschedule": lambda job, group, task: group.update(ReschedulePolicy={"Delay": "9s"}),
    "update": lambda job, group, task: group.update(Update={"MaxParallel": 9}),
    "migrate": lambda job, group, task: group.update(Migrate={"MaxParallel": 9}),
    "log sizes": lambda job, group, task: task["LogConfig"].update(MaxFiles=5),
    "priority": lambda job, group, task: job.update(Priority=80),
    "port order": lambda job, group, task: group["Networks"][0]["DynamicPorts"].reverse(),
    "meta moved": lambda job, group, task: (job.update(Meta=None), task.update(Meta={"a": "1"})),
    "empty lists": lambda job, group, task: task.update(Artifacts=[], VolumeMounts=None, Constraints=[]),
}


@pytest.mark.parametrize("name", DESTRUCTIVE)
def test_destructive(name: str) -> None:
    assert changed(DESTRUCTIVE[name])


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place(name: str) -> None:
    assert not changed(IN_PLACE[name])
