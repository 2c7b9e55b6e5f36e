"""Environment, interpolation, the docker `config` block, checks' targets, templates: tables and generated cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.kernel.errors import BadInput
from kokiris.kernel.templates.evaluation import Evaluation
from kokiris.kernel.templates.syntax import parse
from kokiris.kernel.templates.tree import TemplateError
from kokiris.orchestrator.model.allocwire import Allocation, PortMapping
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.node import Node
from kokiris.orchestrator.model.resources import TaskResources
from kokiris.orchestrator.model.service import Service, ServiceCheck
from kokiris.orchestrator.model.task import Task
from kokiris.worker.allocs.health import Policy
from kokiris.worker.checks.targets import Addresses, checks_of, endpoint, instances_of
from kokiris.worker.client import CatalogEntry
from kokiris.worker.drivers.contract import Mount, NetworkPlan, StartFailed, TaskFolders, TaskSetup
from kokiris.worker.drivers.docker_config import container_name, create_body
from kokiris.worker.drivers.engine import registry_of, split_reference
from kokiris.worker.drivers.signals import number
from kokiris.worker.tasks.environment import Subject, environment, interpolate, interpolate_tree
from kokiris.worker.templates.functions import Lookups
from kokiris.worker.templates.rendering import place, variables

HTTP = PortMapping(Label="http-api", Value=21000, To=8080, HostIP="172.17.0.1")
FOLDERS = TaskFolders(Path("/d/a/alloc"), Path("/d/a/web/local"), Path("/d/a/web/secrets"), Path("/d/p"))


def subject(**more: Any) -> Subject:
    task = Task(Name="web", Meta={"Color-X": "red"}, Env={"A": "${meta.rack}-${NOMAD_PORT_http_api}-${unknown}"})
    task.Resources = TaskResources(CPU=100, MemoryMB=64)
    return Subject(
        alloc=Allocation(ID="0123456789", Name="shop.app[3]", Namespace="default"),
        job=Job(ID="shop", Name="shop", Meta={"tier": "1"}),
        group=TaskGroup(Name="app"),
        task=task,
        node=Node(Name="n1", Datacenter="dc1", Meta={"rack": "r7"}, Attributes={"os.name": "debian"}),
        ports=[HTTP],
        **more,
    )


def test_environment() -> None:
    env = environment(subject(extra={"FROM_TEMPLATE": "x"}))
    expected = {
        "A": "r7-8080-${unknown}",
        "NOMAD_ALLOC_INDEX": "3",
        "NOMAD_SHORT_ALLOC_ID": "01234567",
        "NOMAD_META_Color_X": "red",
        "NOMAD_META_COLOR_X": "red",
        "NOMAD_META_TIER": "1",
        "NOMAD_PORT_http_api": "8080",
        "NOMAD_HOST_PORT_http_api": "21000",
        "NOMAD_ADDR_http_api": "172.17.0.1:21000",
        "NOMAD_CPU_LIMIT": "100",
        "FROM_TEMPLATE": "x",
    }
    assert {key: env[key] for key in expected} == expected
    assert environment(subject(on_host_network=True))["NOMAD_PORT_http_api"] == "21000"


def test_interpolation() -> None:
    values = {"NOMAD_A": "1", "a.b": "2", "x...y": "3"}
    assert (
        interpolate('${NOMAD_A} ${ a.b } ${env["x...y"]} ${env.NOMAD_A} $${c} ${no}', values) == "1 2 3 1 $${c} ${no}"
    )
    assert interpolate_tree({"k${a.b}": ["${NOMAD_A}", 5, True]}, values) == {"k2": ["1", 5, True]}


def setup(config: dict[str, Any], **more: Any) -> TaskSetup:
    defaults: dict[str, Any] = {
        "alloc_id": "id",
        "task": "web",
        "config": {"image": "i:1", **config},
        "env": {"K": "v"},
        "folders": FOLDERS,
        "network": NetworkPlan(mode="bridge", ports=[HTTP]),
        "mounts": [Mount("/h", "/alloc"), Mount("/r", "/ro", read_only=True)],
        "cpu_mhz": 500,
        "memory_mb": 64,
        "node_cpu_mhz": 4000,
        "node_cores": 2,
    }
    return TaskSetup(**{**defaults, **more})


def test_container_body() -> None:
    body = create_body(setup({"command": "run", "args": ["a", 1], "labels": [{"x": "y"}]}), {"kokiris.task": "web"})
    host = body["HostConfig"]
    assert body["Cmd"] == ["run", "a", "1"]
    assert body["Labels"] == {"x": "y", "kokiris.task": "web"}
    assert host["Memory"] == host["MemorySwap"] == 64 * 1024 * 1024
    assert host["CpuShares"] == 500
    assert "CpuQuota" not in host
    assert host["Binds"] == ["/h:/alloc", "/r:/ro:ro"]
    assert host["PortBindings"]["8080/tcp"] == [{"HostIp": "172.17.0.1", "HostPort": "21000"}]
    assert set(body["ExposedPorts"]) == {"8080/tcp", "8080/udp"}


@pytest.mark.parametrize(
    ("config", "path", "value"),
    [
        ({"cpu_hard_limit": "true"}, "CpuQuota", 25_000),
        ({"cpu_hard_limit": True, "cpu_cfs_period": 50_000}, "CpuQuota", 12_500),
        ({"pids_limit": "10"}, "PidsLimit", 10),
        ({"ulimit": {"nofile": "10:20"}}, "Ulimits", [{"Name": "nofile", "Soft": 10, "Hard": 20}]),
        ({"privileged": True}, "Privileged", True),
        ({"network_mode": "host"}, "NetworkMode", "host"),
        ({"volumes": ["data:/x:ro", "/abs:/y"]}, "Binds", ["/d/a/web/data:/x:ro", "/abs:/y"]),
        ({"logging": {"type": "none"}}, "LogConfig", {"Type": "none", "Config": {}}),
        ({"extra_hosts": ["a:1"]}, "ExtraHosts", ["a:1"]),
        ({"sysctl": {"net.core.somaxconn": 5}}, "Sysctls", {"net.core.somaxconn": "5"}),
        ({"memory_hard_limit": 128}, "Memory", 128 * 1024 * 1024),
        ({"shm_size": 5}, "ShmSize", 5),
        ({"init": True}, "Init", True),
    ],
)
def test_container_keys(config: dict[str, Any], path: str, value: Any) -> None:
    assert create_body(setup(config, mounts=[], namespace="platform"), {})["HostConfig"][path] == value


@pytest.mark.parametrize(
    "config",
    [
        {"volumes": ["/:/host"]},
        {"mount": {"type": "bind", "source": "/", "target": "/h"}},
        {"mounts": [{"type": "bind", "source": "/", "target": "/h"}]},
        {"privileged": True},
        {"pid_mode": "host"},
        {"cap_add": ["SYS_ADMIN"]},
        {"security_opt": ["seccomp=unconfined"]},
        {"devices": [{"host_path": "/dev/sda"}]},
        {"network_mode": "container:other"},
    ],
)
def test_the_node_is_out_of_reach(config: dict[str, Any]) -> None:
    with pytest.raises(StartFailed, match=next(iter(config)).removesuffix("s")):
        create_body(setup(config), {})


def test_mounts_and_entry() -> None:
    mount = {"type": "tmpfs", "target": "/t", "tmpfs_options": [{"size": "1m"}]}
    body = create_body(setup({"mount": [mount], "entrypoint": ["a"], "work_dir": "/w", "tty": True}, user="u"), {})
    [made] = body["HostConfig"]["Mounts"]
    assert made["TmpfsOptions"]["SizeBytes"] == 1024 * 1024
    assert (body["Entrypoint"], body["WorkingDir"], body["Tty"], body["User"]) == (["a"], "/w", True, "u")
    joined = create_body(setup({}, network=NetworkPlan(mode="bridge", pause_container="p", ports=[HTTP])), {})
    assert joined["HostConfig"]["NetworkMode"] == "container:p"
    assert "PortBindings" not in joined["HostConfig"]
    assert "Hostname" not in joined


@pytest.mark.parametrize(
    "config",
    [
        {"args": "x"},
        {"args": [{"a": 1}]},
        {"pids_limit": "x"},
        {"privileged": "maybe"},
        {"ulimit": {"n": "x"}},
        {"devices": [{}]},
        {"volumes": ["nothing"]},
        {"labels": "x"},
        {"image": ["x"]},
    ],
)
def test_wrong_values_are_named(config: dict[str, Any]) -> None:
    with pytest.raises(StartFailed, match=next(iter(config))) as caught:
        create_body(setup(config), {})
    assert caught.value.final


def test_names() -> None:
    assert container_name("id", "_we b") == "x_we_b-id"
    assert split_reference("h:5000/a/b:1") == ("h:5000/a/b", "1")
    assert split_reference("h:5000/a") == ("h:5000/a", "latest")
    assert split_reference("a@sha256:00") == ("a", "sha256:00")
    assert [registry_of(one) for one in ("nginx", "a/b", "h:1/a", "r.x/a")] == ["docker.io", "docker.io", "h:1", "r.x"]
    assert [number(one) for one in ("SIGHUP", "hup", "1")] == [1, 1, 1]
    for wrong in ("", "NOPE", "99"):
        with pytest.raises(BadInput):
            number(wrong)
    assert Policy().health_check == "checks"


def test_check_targets() -> None:
    check = ServiceCheck(Name="alive", Type="http")
    group = TaskGroup(
        Name="app",
        Tasks=[Task(Name="web", Services=[Service(Name="${JOB}-${TASK}", PortLabel="http-api", Checks=[check])])],
        Services=[Service(Name="g", PortLabel="9000", AddressMode="driver", Checks=[check])],
    )
    job = Job(ID="shop")
    assert instances_of("id", job, group) == ["_nomad-task-id-group-app-g-9000", "_nomad-task-id-web-shop-web-http-api"]
    of_group, of_task = checks_of("id", job, group, {})
    assert of_task.id == "_nomad-task-id-web-shop-web-http-api:alive"
    addresses = Addresses([HTTP], "10.0.0.9", drivers={"web": "172.17.0.5"})
    assert endpoint(of_task, addresses) == ("172.17.0.1", 21000)
    assert endpoint(of_group, addresses) == ("172.17.0.5", 9000)


DB = [
    CatalogEntry(Name="db", ID="a", Address="10.0.0.1", Port=1, Tags=["main"]),
    CatalogEntry(Name="db", ID="b", Address="10.0.0.2", Port=2),
]


def render(source: str) -> str:
    lookups = Lookups({"X": "1"}, lambda name: DB if name == "db" else [])
    return Evaluation("t", lookups.functions()).render(parse("t", source))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ('a {{ env "X" }} b', "a 1 b"),
        ('{{ range service "db" }}{{ .Address }}:{{ .Port }};{{ end }}', "10.0.0.1:1;10.0.0.2:2;"),
        ('{{ range $i, $s := nomadService "db" }}{{ if $i }},{{ end }}{{ $s.Port }}{{ end }}', "1,2"),
        ('{{ range service "no" }}x{{ else }}none{{ end }}', "none"),
        ('{{ with service "db" }}{{ (index . 0).Port }}{{ end }}', "1"),
        ('{{ range service "main.db" }}{{ .ID }}{{ end }}', "a"),
        ("a  {{- 1 -}}  b", "a1b"),
        ("{{/* nothing */}}x", "x"),
        ('{{ if eq (env "X") "2" }}a{{ else if eq (env "X") "1" }}b{{ else }}c{{ end }}', "b"),
        ("{{ $x := 1 }}{{ range loop 3 }}{{ $x = add $x . }}{{ end }}{{ $x }}", "4"),
        ('{{ "a,b" | split "," | join "-" | toUpper }}', "A-B"),
        ('{{ printf "%s=%03d %q %v" "k" 7 "q" true }}', 'k=007 "q" true'),
        ("{{ not false }}{{ and 1 0 }}{{ or 0 5 }}{{ len `abc` }}", "true053"),
        ('{{ "}}" }}', "}}"),
    ],
)
def test_templates(source: str, text: str) -> None:
    assert render(source) == text


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("a\n b {{ foo }}", 'template "t": 2:7: function "foo" is not supported'),
        ('{{ key "a" }}', "1:4: key: the key/value store"),
        ("{{ if true }}", '1:3: "if" has no "end"'),
        ("{{ end }}", '"end" without a block'),
        ("{{ else }}", '"else" outside of a block'),
        ('{{ "a }}', "unterminated"),
        ("{{ .X }}", 'no field "X"'),
        ("{{ if }}x{{ end }}", "missing"),
        ('{{ template "x" }}', '"template" is not supported'),
        ("{{ $nope }}", 'undefined variable "$nope"'),
        ("{{ 1 | 2 }}", "not a function"),
        ("{{ divide 0 1 }}", "divide:"),
        ("{{ # }}", 'unexpected "#"'),
        ("{{ (1 }}", "not closed"),
    ],
)
def test_wrong_templates(source: str, said: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render(source)
    assert said in caught.value.message


@given(source=st.text(alphabet='{}-.$|():=, \n"`abirnge0', max_size=60))
def test_any_text_renders_or_is_refused_with_a_position(source: str) -> None:
    refused = ""
    try:
        render(source)
    except TemplateError as error:
        refused = error.message
    assert not refused or refused.startswith('template "t": ')


@given(text=st.text(max_size=60).filter(lambda text: "{{" not in text))
def test_text_without_actions_stays(text: str) -> None:
    assert render(text) == text


def test_places_of_templates() -> None:
    env = {"NOMAD_TASK_DIR": "/local", "NOMAD_SECRETS_DIR": "/secrets", "NOMAD_ALLOC_DIR": "/alloc"}
    assert place("local/x", FOLDERS, env) == Path("/d/a/web/local/x")
    assert place("/local/x", FOLDERS, env) == Path("/d/a/web/local/x")
    assert place("/secrets/x", FOLDERS, env) == Path("/d/a/web/secrets/x")
    assert place("/alloc/x", FOLDERS, env) == Path("/d/a/alloc/x")
    for wrong in ("/etc/passwd", "../../../x", "/local/../../../x", "local/../../../../etc/x"):
        with pytest.raises(BadInput):
            place(wrong, FOLDERS, env)


def test_variables_of_templates() -> None:
    assert variables("t", "# c\nA=1\nexport B='x y'\n\nC=a=b\n") == {"A": "1", "B": "x y", "C": "a=b"}
    with pytest.raises(BadInput, match="line 1"):
        variables("t", "nothing")
