"""What a tenant's token can do to the platform's own instances by the Consul API: read them, and nothing more."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import requests

from kokiris.discovery.model import CheckState, NodeEntry, ServiceInstance
from tests.discovery.conftest import SECRET, Api

ALLOC = "47efcef0-b779-8325-9e95-e8bffacf1273"
ID = f"_nomad-task-{ALLOC}-group-mariadb-mariadb-mysql"


@pytest.fixture
def platform(api: Api) -> Api:
    """node1 with one instance of namespace "platform"."""
    keys = api.discovery.keys
    instance = ServiceInstance(
        ID=ID, Service="mariadb", Address="10.0.0.1", Port=3306, Node="node1", Namespace="platform", JobID="mariadb",
        AllocID=ALLOC, Checks=[CheckState(CheckID="c", Name="tcp", Status="passing")],
    )  # fmt: skip
    node = NodeEntry(Node="node1", Address="10.0.0.1")
    puts: dict[bytes, Any] = {keys.node("node1"): node, keys.instance(ID): instance}
    api.run(api.discovery.put({key: msgspec.msgpack.encode(one) for key, one in puts.items()}))
    return api


def put(api: Api, path: str, body: Any = None) -> requests.Response:
    return requests.put(f"{api.url}{path}", json=body, headers={"X-Consul-Token": SECRET}, timeout=60)


def get(api: Api, path: str) -> Any:
    return requests.get(f"{api.url}{path}", headers={"X-Consul-Token": SECRET}, timeout=60).json()


CRITICAL = {"Node": "node1", "CheckID": "evil", "Name": "evil", "Status": "critical"}


@pytest.mark.parametrize(("path", "body"), [
    (f"/v1/agent/service/maintenance/{ID}?enable=true", None),
    (f"/v1/agent/service/deregister/{ID}", None),
    ("/v1/agent/service/register", {"ID": ID, "Name": "mariadb", "Port": 9}),
    ("/v1/agent/check/register", {"Name": "evil", "ServiceID": ID, "TTL": "10s"}),
    ("/v1/catalog/register", {"Node": "node1", "Address": "10.0.0.1", "Check": {**CRITICAL, "ServiceID": ID}}),
    ("/v1/catalog/deregister", {"Node": "node1", "ServiceID": ID}),
    ("/v1/catalog/deregister", {"Node": "node1"}),
    ("/v1/txn", [{"Check": {"Verb": "set", "Check": {**CRITICAL, "ServiceID": ID}}}]),
    ("/v1/txn", [{"Service": {"Verb": "delete", "Node": "node1", "Service": {"ID": ID}}}]),
])  # fmt: skip
def test_it_is_refused_by_name(platform: Api, path: str, body: Any) -> None:
    answer = put(platform, path, body)
    assert answer.status_code == 409
    assert "belongs to" in answer.text
    assert len(get(platform, "/v1/health/service/mariadb?passing")) == 1


@pytest.mark.parametrize(("path", "body"), [
    ("/v1/agent/maintenance?enable=true", None),
    ("/v1/agent/check/register", {"Name": "evil", "TTL": "10s"}),
    ("/v1/catalog/register", {"Node": "node1", "Address": "10.0.0.1", "Check": CRITICAL}),
    ("/v1/txn", [{"Check": {"Verb": "set", "Check": CRITICAL}}]),
])  # fmt: skip
def test_what_is_checked_on_its_node_does_not_take_it_out(platform: Api, path: str, body: Any) -> None:
    put(platform, "/v1/agent/service/register", {"Name": "own", "Port": 1})
    assert put(platform, path, body).status_code == 200
    assert get(platform, "/v1/health/service/own?passing") == []
    (shown,) = get(platform, "/v1/health/service/mariadb?passing")
    assert {check["Status"] for check in shown["Checks"]} == {"passing"}
