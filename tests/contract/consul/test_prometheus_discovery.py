"""What Prometheus' `consul_sd_configs` sends through HashiCorp's Go client, and its answers decoded as strictly as Go
does: a field of another type would fail the whole discovery there. (Debian's build leaves that client out.)"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec
import requests

from kokiris.discovery.model import CheckState, NodeEntry, ServiceInstance
from tests.discovery.conftest import KEYS, SECRET, Api

T = TypeVar("T")
Texts = dict[str, str] | None


class GoNode(msgspec.Struct):
    ID: str
    Node: str
    Address: str
    Datacenter: str
    TaggedAddresses: Texts
    Meta: Texts
    CreateIndex: int
    ModifyIndex: int


class GoAddress(msgspec.Struct):
    Address: str
    Port: int


class GoWeights(msgspec.Struct):
    Passing: int
    Warning: int


class GoProxy(msgspec.Struct):
    Config: dict[str, Any] | None = None
    Upstreams: list[dict[str, Any]] | None = None
    MeshGateway: dict[str, str] | None = None
    Expose: dict[str, Any] | None = None


class GoService(msgspec.Struct):
    ID: str
    Service: str
    Tags: list[str] | None
    Meta: Texts
    Port: int
    Address: str
    Weights: GoWeights
    EnableTagOverride: bool
    CreateIndex: int
    ModifyIndex: int
    TaggedAddresses: dict[str, GoAddress] | None = None
    Proxy: GoProxy | None = None
    Connect: dict[str, Any] | None = None
    Kind: str = ""
    PeerName: str = ""


class GoCheck(msgspec.Struct):
    Node: str
    CheckID: str
    Name: str
    Status: str
    Notes: str
    Output: str
    ServiceID: str
    ServiceName: str
    ServiceTags: list[str] | None
    Type: str
    Interval: str
    Timeout: str
    ExposedPort: int
    Definition: dict[str, Any]
    CreateIndex: int
    ModifyIndex: int


class GoServiceEntry(msgspec.Struct):
    Node: GoNode
    Service: GoService
    Checks: list[GoCheck]


# Without user and password Prometheus still sends Basic authentication, of an empty name and password.
HEADERS = {"X-Consul-Token": SECRET, "Authorization": "Basic Og=="}


def ask(api: Api, path: str, as_type: type[T], query: str = "") -> tuple[int, T]:
    """(index, answer), with the headers that the Go client reads."""
    answer = requests.get(f"{api.url}/v1/{path}?{query}", headers=HEADERS, timeout=30)
    assert answer.status_code == 200, answer.text
    if not path.startswith("agent/"):
        assert answer.headers["X-Consul-LastContact"].isdigit()
        assert answer.headers["X-Consul-KnownLeader"] == "true"
    return int(answer.headers.get("X-Consul-Index", 0)), msgspec.json.decode(answer.content, type=as_type)


def instance(name: str, service: str, status: str) -> dict[bytes, bytes]:
    stored = ServiceInstance(
        ID=name, Service=service, Node="n2", Address="10.1.1.1", Port=9100, Tags=["metrics", "blue"], AllocID="a1",
        Meta={"team": "red"}, TaggedAddresses={"lan": {"Address": "10.1.1.1", "Port": 9100}},
        Checks=[CheckState(CheckID=f"{name}:alive", Name="alive", Status=status, Interval="5s", Timeout="2s")],
    )  # fmt: skip
    return {KEYS.instance(name): msgspec.msgpack.encode(stored)}


def test_discovery_finds_instances_and_follows_them(api: Api) -> None:
    node = NodeEntry(Node="n2", ID="id2", Address="10.0.0.2", Meta={"rack": "1"}, TaggedAddresses={"lan": "10.0.0.2"})
    api.run(api.discovery.put({KEYS.node("n2"): msgspec.msgpack.encode(node)} | instance("i1", "shop", "passing")))

    _, facts = ask(api, "agent/self", dict[str, dict[str, Any] | None])
    assert (facts["Config"] or {})["Datacenter"] == "dc1"
    asked = "stale=&wait=120000ms"
    services_index, services = ask(api, "catalog/services", dict[str, list[str]], asked)
    assert services == {"shop": ["blue", "metrics"]}
    assert ask(api, "catalog/services", dict[str, list[str]], f"{asked}&node-meta=rack%3A2")[1] == {}
    index, found = ask(api, "health/service/shop", list[GoServiceEntry], f"{asked}&tag=metrics&tag=blue")
    assert [(one.Service.Address, one.Service.Port, one.Node.Address) for one in found] == [
        ("10.1.1.1", 9100, "10.0.0.2")
    ]
    assert found[0].Service.Meta == {"team": "red"}
    assert {check.Status for check in found[0].Checks} == {"passing"}
    assert ask(api, "health/service/shop", list[GoServiceEntry], f"{asked}&tag=metrics&tag=green")[1] == []

    woken: list[tuple[int, Any]] = []

    def park(path: str, as_type: type[Any], since: int) -> None:
        woken.append(ask(api, path, as_type, f"{asked}&index={since}"))

    parked = [
        threading.Thread(target=park, args=("health/service/shop", list[GoServiceEntry], index)),
        threading.Thread(target=park, args=("catalog/services", dict[str, list[str]], services_index)),
    ]
    for one in parked:
        one.start()
    api.run(api.discovery.put(instance("i2", "shop", "critical") | instance("i3", "fresh", "passing")))
    for one in parked:
        one.join(30)
    answers = {type(answer): (since, answer) for since, answer in woken}
    assert answers[list][0] > index
    assert sorted(one.Service.ID for one in answers[list][1]) == ["i1", "i2"]  # Prometheus asks for critical ones too
    assert set(answers[dict][1]) == {"fresh", "shop"}
