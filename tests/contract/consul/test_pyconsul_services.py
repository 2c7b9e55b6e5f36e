"""Agent, catalog, health, queries and acl through py-consul."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator

import consul
import msgspec
import pytest
import requests
from consul.exceptions import BadRequest

from kokiris.discovery.model import CheckState, DeclaredService, NodeEntry, ServiceInstance
from tests.discovery.conftest import KEYS, SECRET, Api


def until(holds: Callable[[], bool], deadline_s: float = 60.0) -> None:
    end = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end, "condition never held"
        time.sleep(0.02)


def job_instance(name: str, service: str, status: str = "passing", node: str = "n2") -> dict[bytes, bytes]:
    stored = ServiceInstance(
        ID=name, Service=service, Node=node, Port=80, Tags=["blue"], AllocID="a1", JobID="site",
        Checks=[CheckState(CheckID=f"{name}:alive", Name="alive", Status=status)],
    )  # fmt: skip
    return {KEYS.instance(name): msgspec.msgpack.encode(stored)}


N2 = {KEYS.node("n2"): msgspec.msgpack.encode(NodeEntry(Node="n2", ID="id2", Address="10.0.0.2", Meta={"rack": "1"}))}


def test_agent_describes_itself(client: consul.Consul) -> None:
    facts = client.agent.self()
    assert facts["Config"]["Datacenter"] == "dc1"
    assert facts["Config"]["NodeName"] == facts["Member"]["Name"] == "node1"
    assert facts["Config"]["Version"].split(".")[0] == "1"
    assert [one["Name"] for one in client.agent.members()] == ["node1"]
    assert client.status.leader().count(":") == 1
    assert client.status.peers() == ["127.0.0.1:4647"]
    assert client.catalog.datacenters() == ["dc1"]


def test_register_and_deregister_a_service(client: consul.Consul) -> None:
    registered = client.agent.service.register(
        "web", service_id="web-1", address="10.1.1.1", port=8080, tags=["a", "b"], meta={"k": "v"},
        weights={"Passing": 5, "Warning": 2}, tagged_addresses={"lan": {"address": "10.1.1.1", "port": 8080}},
    )  # fmt: skip
    assert registered is True
    service = client.agent.services()["web-1"]
    assert (service["Service"], service["Port"], service["Tags"]) == ("web", 8080, ["a", "b"])
    assert service["Weights"] == {"Passing": 5, "Warning": 2}
    assert service["TaggedAddresses"]["lan"]["port"] == 8080
    assert client.agent.service_definition("web-1")["Meta"] == {"k": "v"}
    assert client.catalog.services()[1] == {"web": ["a", "b"]}
    (entry,) = client.catalog.service("web")[1]
    assert (entry["ServiceID"], entry["ServiceAddress"], entry["Node"]) == ("web-1", "10.1.1.1", "node1")
    assert client.catalog.service("web", tag="nope")[1] == []
    (health,) = client.health.service("web", passing=True, tag=["a", "b"])[1]
    assert [check["CheckID"] for check in health["Checks"]] == ["serfHealth"]
    assert client.agent.service.deregister("web-1") is True
    assert client.catalog.services()[1] == {}
    with pytest.raises(consul.ConsulException):
        client.agent.service.register("x", port=99999)


def test_deregister_unknown_service(client: consul.Consul, api: Api) -> None:
    answer = requests.put(f"{api.url}/v1/agent/service/deregister/nope", headers={"X-Consul-Token": SECRET}, timeout=60)
    assert answer.status_code == 404
    assert answer.text.startswith('Unknown service ID "nope"')


def test_ttl_check_passes_warns_fails_and_expires(client: consul.Consul) -> None:
    client.agent.service.register("web", check=consul.Check.ttl("10s"))
    assert client.agent.checks()["service:web"]["Status"] == "critical"
    assert client.health.service("web", passing=True)[1] == []
    client.agent.check.ttl_pass("service:web", "fine")
    (check,) = client.health.checks("web")[1]
    assert (check["Status"], check["Output"], check["Type"]) == ("passing", "fine", "ttl")
    client.agent.check.ttl_warn("service:web")
    assert client.health.state("warning")[1][0]["CheckID"] == "service:web"
    assert len(client.health.service("web")[1]) == 1
    assert client.health.service("web", passing=True)[1] == []
    client.agent.check.ttl_fail("service:web")
    assert client.health.state("critical")[1][0]["Status"] == "critical"
    client.agent.check.register("mine", check=consul.Check.ttl("2s"), service_id="web")
    client.agent.check.ttl_pass("mine")
    assert client.agent.checks()["mine"]["Status"] == "passing"
    until(lambda: client.agent.checks()["mine"]["Status"] == "critical")
    assert client.agent.checks()["mine"]["Output"].startswith("TTL expired")
    client.agent.check.deregister("mine")
    assert "mine" not in client.agent.checks()


def test_a_beating_ttl_check_wakes_nobody(client: consul.Consul, api: Api) -> None:
    client.agent.service.register("web", check=consul.Check.ttl("10s"))
    client.agent.check.ttl_pass("service:web")
    before = client.health.service("web")[0]
    for _ in range(5):
        client.agent.check.ttl_pass("service:web")
    assert client.health.service("web")[0] == before


class Site(http.server.BaseHTTPRequestHandler):
    code = 200

    def do_GET(self) -> None:
        self.send_response(type(self).code)
        self.end_headers()
        self.wfile.write(self.headers.get("X-Probe", "hello").encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    Site.code = 200
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def test_http_check_really_runs(client: consul.Consul, site: int) -> None:
    check = consul.Check.http(f"http://127.0.0.1:{site}/", "1s", timeout="5s", header={"X-Probe": ["probed"]})
    client.agent.service.register("web", check=check)
    until(lambda: client.agent.checks()["service:web"]["Status"] == "passing")
    assert "200 OK Output: probed" in client.agent.checks()["service:web"]["Output"]
    Site.code = 429
    until(lambda: client.agent.checks()["service:web"]["Status"] == "warning")
    Site.code = 500
    until(lambda: client.agent.checks()["service:web"]["Status"] == "critical")


def test_tcp_check_runs_and_removes_the_service(client: consul.Consul) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        check = consul.Check.tcp("127.0.0.1", port, "1s", deregister="1m")
        client.agent.service.register("db", port=port, check=check)
        until(lambda: client.agent.checks()["service:db"]["Status"] == "passing")
    until(lambda: client.agent.checks().get("service:db", {}).get("Status") == "critical")
    assert "db" in client.agent.services()  # one minute has not passed


def test_kinds_of_checks_that_are_not_run_are_refused(client: consul.Consul, api: Api) -> None:
    for check, text in (
        (consul.Check.script(["true"], "10s"), "Scripts are disabled"),
        (consul.Check.grpc("127.0.0.1:1", "10s"), "GRPC"),
        ({"http": "http://x/"}, "Interval must be > 0"),
        ({}, "Invalid check"),
        ({"ttl": "soon"}, "not a duration"),
    ):
        answer = requests.put(
            f"{api.url}/v1/agent/service/register", json={"Name": "web", "Check": check},
            headers={"X-Consul-Token": SECRET}, timeout=60,
        )  # fmt: skip
        assert answer.status_code == 400, check
        assert text in answer.text
    assert client.agent.services() == {}


def test_maintenance_takes_a_service_out(client: consul.Consul, api: Api) -> None:
    client.agent.service.register("web")
    client.agent.service.maintenance("web", "true", "upgrade")
    (entry,) = client.health.service("web")[1]
    assert [(one["CheckID"], one["Status"], one["Notes"]) for one in entry["Checks"]][1:] == [
        ("_service_maintenance:web", "critical", "upgrade")
    ]
    url, headers = f"{api.url}/v1/agent/health/service/id/web", {"X-Consul-Token": SECRET}
    assert requests.get(url, headers=headers, timeout=60).status_code == 503
    assert requests.get(f"{url}?format=text", headers=headers, timeout=60).text == "maintenance"
    client.agent.service.maintenance("web", "false")
    assert requests.get(url, headers=headers, timeout=60).json()["AggregatedStatus"] == "passing"
    client.agent.maintenance("true", "rack move")
    assert client.health.service("web", passing=True)[1] == []
    client.agent.maintenance("false")
    assert len(client.health.service("web", passing=True)[1]) == 1


def test_catalog_registration_from_outside(client: consul.Consul) -> None:
    service = {"service": "ext", "id": "ext1", "port": 1234, "tags": ["outside"]}
    check = {"CheckID": "ext:check", "Name": "probe", "Status": "passing", "ServiceID": "ext1"}
    assert client.catalog.register("far", "10.5.5.5", service=service, check=check) is True
    assert client.catalog.register("near", "10.5.5.6", service=service) is True
    assert [one["Node"] for one in client.catalog.service("ext")[1]] == ["far", "near"]
    assert [one["Node"] for one in client.catalog.nodes()[1]] == ["far", "near"]
    assert client.catalog.node("far")[1]["Services"]["ext1"]["Port"] == 1234
    assert [one["CheckID"] for one in client.health.node("far")[1]] == ["serfHealth", "ext:check"]
    assert client.catalog.deregister("far", check_id="ext:check") is True
    assert client.catalog.deregister("near", service_id="ext1") is True
    assert [one["Node"] for one in client.catalog.service("ext")[1]] == ["far"]
    assert client.catalog.deregister("far") is True
    assert client.catalog.service("ext")[1] == []
    assert client.catalog.node("far")[1] is None


def test_instances_of_jobs(client: consul.Consul, api: Api) -> None:
    api.run(api.discovery.put(N2 | job_instance("j1", "site") | job_instance("j2", "site", "critical")))
    assert [one["Service"]["ID"] for one in client.health.service("site")[1]] == ["j1", "j2"]
    (healthy,) = client.health.service("site", passing=True)[1]
    assert healthy["Service"]["ID"] == "j1"
    assert healthy["Node"]["Address"] == "10.0.0.2"
    assert [one["ServiceID"] for one in client.catalog.service("site")[1]] == ["j1", "j2"]
    assert [one["ID"] for one in client.catalog.node("n2")[1]["Services"].values()] == ["j1", "j2"]
    refused = requests.put(f"{api.url}/v1/agent/service/deregister/j1", headers={"X-Consul-Token": SECRET}, timeout=60)
    assert refused.status_code == 409
    assert 'belongs to job "site"' in refused.text
    failed = NodeEntry(Node="n2", Address="10.0.0.2", Status="critical")
    api.run(api.discovery.put({KEYS.node("n2"): msgspec.msgpack.encode(failed)}))
    assert client.health.service("site", passing=True)[1] == []


def test_declared_services_are_known_without_instances(client: consul.Consul, api: Api) -> None:
    declared = msgspec.msgpack.encode(DeclaredService(Service="soon", Tags=["t"], JobID="j"))
    api.run(api.discovery.put({KEYS.declared("default", "j", "soon"): declared}))
    assert client.catalog.services()[1] == {"soon": ["t"]}
    assert client.health.service("soon")[1] == []


def test_filters(client: consul.Consul, api: Api) -> None:
    api.run(api.discovery.put(N2 | job_instance("j1", "site") | job_instance("j2", "other")))
    found = client.health.service("site", filter_expr='Node.Meta.rack == "1" and "blue" in Service.Tags')[1]
    assert len(found) == 1
    assert client.catalog.service("site", filter_expr='ServiceID == "nope"')[1] == []
    assert list(client.agent.services(filter_expr="Service == web")) == []
    with pytest.raises(BadRequest):
        client.health.service("site", filter_expr="what is this")
    assert len(client.health.service("site", node_meta={"rack": "1"})[1]) == 1
    assert client.health.service("site", node_meta={"rack": "2"})[1] == []


def test_blocking_is_per_service(client: consul.Consul, api: Api) -> None:
    api.run(api.discovery.put(N2 | job_instance("j1", "mine") | job_instance("x1", "other")))
    index, _ = client.health.service("mine")
    answers: list[tuple[str, list[dict[str, object]]]] = []
    waiting = threading.Thread(target=lambda: answers.append(client.health.service("mine", index=index, wait="30s")))
    waiting.start()
    until(lambda: api.call(api.discovery.catalog.topics.waiting) > 0)
    for number in range(5):
        api.run(api.discovery.put(job_instance(f"x{number}", "other", "critical")))
    assert not answers
    assert api.call(api.discovery.catalog.topics.waiting) > 0
    api.run(api.discovery.put({}, (KEYS.instance("j1"),)))
    waiting.join(30)
    assert answers[0][1] == []
    assert int(answers[0][0]) > int(index)
    again = client.health.service("mine")
    assert again[0] == answers[0][0]  # it has no instance any more, and still the index of its last change


def test_a_vanished_client_frees_its_place(client: consul.Consul, api: Api) -> None:
    index, _ = client.health.service("mine")
    request = f"GET /v1/health/service/mine?index={index} HTTP/1.1\r\nHost: x\r\nX-Consul-Token: {SECRET}\r\n\r\n"
    parked = socket.create_connection(("127.0.0.1", api.port))
    parked.sendall(request.encode())
    until(lambda: api.call(api.discovery.catalog.topics.waiting) == 1)
    parked.close()
    until(lambda: api.call(api.discovery.catalog.topics.waiting) == 0)


def test_prepared_queries(client: consul.Consul) -> None:
    client.agent.service.register("web", tags=["a"], port=1)
    made = client.query.create("web", name="find-web", onlypassing=True, tags=["a", "!b"])
    assert client.query.get(made["ID"])[0]["Name"] == "find-web"
    answer = client.query.execute("find-web")
    assert [one["Service"]["Port"] for one in answer["Nodes"]] == [1]
    assert len(client.query.list()) == 1
    client.query.update(made["ID"], "web", tags=["nope"])
    assert client.query.execute(made["ID"])["Nodes"] == []
    client.query.create("${name.suffix}", name="geo-")
    assert [one["Service"]["Port"] for one in client.query.execute("geo-web")["Nodes"]] == [1]
    assert client.query.explain("geo-web")["Query"]["Service"]["Service"] == "web"
    client.query.delete(client.query.explain("geo-web")["Query"]["ID"])
    client.query.delete(made["ID"])
    assert client.query.list() == []


def test_acl_reads_and_refusals(client: consul.Consul) -> None:
    assert client.acl.token.list()[0]["AccessorID"] == "accessor-management"
    assert client.acl.policy.list()[0]["Name"] == "global-management"
    with pytest.raises(consul.ACLPermissionDenied):
        client.acl.token.create()


def test_wire_conventions(api: Api) -> None:
    headers = {"X-Consul-Token": SECRET}
    answer = requests.get(f"{api.url}/v1/catalog/services?pretty", headers=headers, timeout=60)
    assert answer.text == "{}\n"
    assert int(answer.headers["X-Consul-Index"]) >= 1
    assert answer.headers["X-Consul-KnownLeader"] == "true"
    assert answer.headers["X-Consul-Effective-Consistency"] == "leader"
    wrong = requests.post(f"{api.url}/v1/catalog/services", headers=headers, timeout=60)
    assert wrong.status_code == 405
    assert "GET" in wrong.headers["Allow"]
    assert wrong.text == "method POST not allowed"
    unknown = requests.get(f"{api.url}/v1/nope", headers=headers, timeout=60)
    assert unknown.status_code == 404
    away = requests.get(f"{api.url}/v1/catalog/services?dc=mars", headers=headers, timeout=60)
    assert away.status_code == 500
    assert away.text.startswith("No path to datacenter")
    both = requests.get(f"{api.url}/v1/catalog/services?stale&consistent", headers=headers, timeout=60)
    assert both.status_code == 400
    broken = requests.put(f"{api.url}/v1/agent/service/register", data="{", headers=headers, timeout=60)
    assert broken.status_code == 400
    for query in ("index=x", "wait=x", "index=-1"):
        assert requests.get(f"{api.url}/v1/catalog/services?{query}", headers=headers, timeout=60).status_code == 400
    assert requests.get(f"{api.url}/v1/kv/", headers=headers, timeout=60).text == "Missing key name"
    bearer = {"Authorization": f"Bearer {SECRET}"}
    assert requests.get(f"{api.url}/v1/kv/x?raw", headers=bearer, timeout=60).status_code == 404
    assert requests.get(f"{api.url}/v1/status/leader?token={SECRET}", timeout=60).status_code == 200


def test_hash_blocking_on_an_agent_service(client: consul.Consul, api: Api) -> None:
    client.agent.service.register("web", port=1)
    url, headers = f"{api.url}/v1/agent/service/web", {"X-Consul-Token": SECRET}
    first = requests.get(url, headers=headers, timeout=60)
    digest = first.headers["X-Consul-ContentHash"]
    assert first.json()["ContentHash"] == digest
    other = consul.Consul(host="127.0.0.1", port=api.port, token=SECRET)
    timer = threading.Timer(0.2, lambda: other.agent.service.register("web", port=2))
    timer.start()
    second = requests.get(f"{url}?hash={digest}&wait=20s", headers=headers, timeout=30)
    timer.join()
    assert second.json()["Port"] == 2
    assert second.headers["X-Consul-ContentHash"] != digest


def test_what_consul_answers_without_a_token(api: Api) -> None:
    """Clients send none there; everything else stays closed."""
    for path, wanted in (
        ("status/leader", 200), ("status/peers", 200), ("catalog/datacenters", 200),
        ("catalog/services", 403), ("agent/self", 403), ("kv/x", 403), ("health/state/any", 403),
    ):  # fmt: skip
        assert requests.get(f"{api.url}/v1/{path}", timeout=60).status_code == wanted, path
