"""Namespace "platform" over every path of the API: not there for the client's token, all there for the operator's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from falcon import inspect

from kokiris.access.model import TokenRecord
from kokiris.discovery.model import ServiceInstance, instance_id
from kokiris.http.app import asgi
from kokiris.http.serve import HttpServer
from kokiris.http.tokens import Principal
from kokiris.kernel.ids import new_id
from kokiris.kernel.topics import Topics
from kokiris.orchestrator.api.app import make_nomad_app
from kokiris.orchestrator.keys import Keys
from kokiris.orchestrator.model.deployment import Deployment
from kokiris.orchestrator.model.infra import Namespace
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.task import Task
from kokiris.store.contract import Event

KEYS = Keys("demo", "rec1")
TENANT, OPERATOR = "tenants-secret", "operators-secret"
OPERATORS_ACCESSOR = "0bea0000-0000-4000-8000-000000000001"


class TwoTokens:
    def authenticate(self, secret: str) -> Principal | None:
        if secret == OPERATOR:
            return Principal(OPERATORS_ACCESSOR, "hidden operator", "operator")
        return Principal("acc", "management", "management") if secret == TENANT else None

    def tokens(self) -> list[TokenRecord]:
        return [
            TokenRecord(AccessorID="acc", Name="management", Type="management", SecretSHA256=""),
            TokenRecord(AccessorID=OPERATORS_ACCESSOR, Name="hidden operator", Type="operator", SecretSHA256=""),
        ]


class OneInstance:
    """A catalog with the platform's instance."""

    def __init__(self, alloc_id: str) -> None:
        self.root = b"/demo/rec1/discovery/"
        self.topics = Topics()
        self.listeners: list[Any] = []
        self.one = ServiceInstance(
            ID=instance_id(alloc_id, "group-g", "hiddenservice", "http"), Service="hiddenservice", Provider="nomad",
            Namespace="platform", JobID="hiddenjob", AllocID=alloc_id,
        )  # fmt: skip

    def all_instances(self) -> list[ServiceInstance]:
        return [self.one]

    def instances_of(self, service: str) -> list[ServiceInstance]:
        return [self.one] if service == self.one.Service else []

    def address_of(self, instance: ServiceInstance) -> str:
        return "10.0.0.1"

    def status_of(self, instance: ServiceInstance) -> str:
        return "passing"


@dataclass
class World:
    """What the server knows: one job of a tenant's, one of the platform's, whose names all have "hidden" in them."""

    session: aiohttp.ClientSession
    base: str
    recorder: Any
    catalog: OneInstance
    app: Any
    real: dict[str, str]

    async def ask(self, secret: str, method: str, path: str, body: Any = None) -> tuple[int, str]:
        headers = {"X-Nomad-Token": secret}
        async with self.session.request(method, self.base + path, headers=headers, json=body) as answer:
            return answer.status, await answer.text()


@pytest.fixture
async def world(recorder, dialer, make_node) -> AsyncIterator[World]:
    node = make_node()
    recorder.put((KEYS.node(node.ID), node))
    for name in ("default", "platform"):
        recorder.put((KEYS.namespace(name), Namespace(Name=name)))
    own = Job(ID="web", Name="web", Namespace="default", TaskGroups=[TaskGroup(Name="site", Tasks=[Task(Name="t")])])
    task = Task(Name="hiddentask", Driver="docker", Config={"image": "hiddenimage"})
    ours = Job(
        ID="hiddenjob", Name="hiddenjob", Namespace="platform", TaskGroups=[TaskGroup(Name="hiddengroup", Tasks=[task])]
    )
    for job, group in ((own, "site"), (ours, "hiddengroup")):
        recorder.put_job(job)
        (alloc_id,) = recorder.place(job, group, 1, node)
        recorder.report(alloc_id)
        deployment = Deployment(ID=new_id(), Namespace=job.Namespace, JobID=job.ID)
        recorder.put((KEYS.deployment(deployment.ID), deployment))
    evaluation = next(one.ID for one in recorder.state.evals.values() if one.Namespace == "platform")
    real = {
        "ns": "platform", "job": "hiddenjob", "alloc": alloc_id, "eval": evaluation, "deployment": deployment.ID,
        "accessor": OPERATORS_ACCESSOR, "node": node.ID, "service": "hiddenservice",
    }  # fmt: skip
    catalog, tokens = OneInstance(alloc_id), TwoTokens()
    app = make_nomad_app(recorder, tokens, dialer, catalog=catalog, tokens=tokens)
    server = HttpServer(asgi(app), grace_s=0)
    await server.start()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield World(session, f"http://127.0.0.1:{server.port}", recorder, catalog, app, real)
    await server.stop()


BY_NAMESPACE = [
    "/v1/jobs?namespace={ns}",
    "/v1/jobs/statuses?namespace={ns}",
    *(f"/v1/job/{{job}}{verb}?namespace={{ns}}" for verb in (
        "", "/allocations", "/allocations?all=true", "/evaluations", "/deployments", "/deployment", "/summary",
        "/versions", "/submission", "/scale", "/services", "/actions",
    )),
    "/v1/allocations?namespace={ns}",
    "/v1/evaluations?namespace={ns}",
    "/v1/evaluations/count?namespace={ns}",
    "/v1/deployments?namespace={ns}",
    "/v1/services?namespace={ns}",
    "/v1/service/{service}?namespace={ns}",
    "/v1/vars?namespace={ns}",
    "/v1/var/a/b?namespace={ns}",
    "/v1/namespace/{ns}",
    "/v1/node/pool/default/jobs?namespace={ns}",
]  # fmt: skip
BY_ID = [
    "/v1/allocation/{alloc}",
    "/v1/allocation/{alloc}/services",
    "/v1/allocation/{alloc}/checks",
    "/v1/client/allocation/{alloc}/checks",
    "/v1/client/allocation/{alloc}/stats",
    "/v1/client/allocation/{alloc}/gc",
    "/v1/client/fs/ls/{alloc}?path=/",
    "/v1/client/fs/cat/{alloc}?path=/a",
    "/v1/client/fs/logs/{alloc}?task=hiddentask&type=stdout",
    "/v1/evaluation/{eval}",
    "/v1/evaluation/{eval}/allocations",
    "/v1/deployment/{deployment}",
    "/v1/deployment/allocations/{deployment}",
    "/v1/acl/token/{accessor}",
]
WRITES_BY_ID: list[tuple[str, str, Any]] = [
    ("PUT", "/v1/allocation/{alloc}/stop", {}),
    ("PUT", "/v1/client/allocation/{alloc}/restart", {}),
    ("PUT", "/v1/client/allocation/{alloc}/signal", {"Signal": "SIGTERM"}),
    ("PUT", "/v1/deployment/fail/{deployment}", {}),
    ("PUT", "/v1/deployment/pause/{deployment}", {"DeploymentID": "{deployment}", "Pause": True}),
    ("PUT", "/v1/deployment/promote/{deployment}", {"DeploymentID": "{deployment}", "All": True}),
    (
        "PUT", "/v1/deployment/allocation-health/{deployment}",
        {"DeploymentID": "{deployment}", "HealthyAllocationIDs": ["{alloc}"]},
    ),
    ("PUT", "/v1/search", {"Prefix": "hidden", "Context": "all"}),
    ("PUT", "/v1/search?namespace={ns}", {"Prefix": "hidden", "Context": "all"}),
    ("PUT", "/v1/search/fuzzy", {"Text": "hidden", "Context": "all"}),
    ("PUT", "/v1/search/fuzzy?namespace={ns}", {"Text": "hidden", "Context": "all"}),
    ("PUT", "/v1/jobs/statuses", {"Jobs": [{"ID": "{job}", "Namespace": "{ns}"}]}),
    ("PUT", "/v1/jobs/statuses?namespace={ns}", {}),
]  # fmt: skip
_JOB = {"ID": "{job}", "Name": "{job}", "Namespace": "{ns}", "Datacenters": ["*"], "TaskGroups": [
    {"Name": "g", "Tasks": [{"Name": "t", "Driver": "docker", "Config": {"image": "i"}}]}
]}  # fmt: skip
FORBIDDEN: list[tuple[str, str, Any]] = [
    ("PUT", "/v1/jobs", {"Job": _JOB}),
    ("PUT", "/v1/jobs?namespace={ns}", {"Job": {**_JOB, "Namespace": "default"}}),
    ("PUT", "/v1/jobs", {"Job": {**_JOB, "Namespace": ""}, "Namespace": "{ns}"}),
    ("PUT", "/v1/job/{job}", {"Job": _JOB}),
    ("PUT", "/v1/validate/job", {"Job": _JOB}),
    ("PUT", "/v1/job/{job}/plan", {"Job": _JOB}),
    ("PUT", "/v1/job/{job}/plan?namespace={ns}", {"Job": {**_JOB, "Namespace": "default"}}),
    ("PUT", "/v1/job/{job}/revert?namespace={ns}", {"JobID": "{job}", "JobVersion": 0}),
    ("PUT", "/v1/job/{job}/stable?namespace={ns}", {"JobID": "{job}", "JobVersion": 0, "Stable": True}),
    ("PUT", "/v1/job/{job}/evaluate?namespace={ns}", {"JobID": "{job}"}),
    ("PUT", "/v1/job/{job}/scale?namespace={ns}", {"Count": 0, "Target": {"Group": "hiddengroup"}}),
    ("DELETE", "/v1/job/{job}?namespace={ns}", None),
    ("DELETE", "/v1/job/{job}?namespace={ns}&purge=true", None),
    ("PUT", "/v1/namespace", {"Name": "{ns}"}),
    ("PUT", "/v1/namespace/{ns}", {}),
    ("DELETE", "/v1/namespace/{ns}", None),
    ("PUT", "/v1/var/a/b?namespace={ns}", {"Items": {"a": "b"}}),
    ("DELETE", "/v1/var/a/b?namespace={ns}", None),
]
NOTHING_OF_NAMESPACES = {
    "/", "/ui", "/ui/{path:path}", "/ui/sign-in", "/ui/sign-out", "/v1/jobs/parse", "/v1/nodes", "/v1/node/pools",
    "/v1/node/pool/{name}",
    "/v1/node/pool/{name}/nodes", "/v1/node/{node_id}", "/v1/node/{node_id}/evaluate", "/v1/node/{node_id}/drain",
    "/v1/node/{node_id}/eligibility", "/v1/node/{node_id}/purge", "/v1/client/stats", "/v1/client/gc",
    "/v1/client/metadata", "/v1/client/identity", "/v1/client/identity/renew", "/v1/deployment/unblock/{deployment_id}",
    "/v1/client/allocation/{alloc_id}/pause", "/v1/client/allocation/{alloc_id}/snapshot", "/v1/plugins", "/v1/volumes",
    "/v1/volumes/{path:path}", "/v1/volume/{path:path}", "/v1/plugin/{path:path}", "/v1/scaling/policies",
    "/v1/scaling/policy/{policy_id}", "/v1/service/{name}/{instance_id}", "/v1/regions",
}  # fmt: skip
"""Paths that answer for no job: nodes (whose allocations have a case of their own), sign-in, what is absent."""
_PREFIXES_OF_NONE = ("/v1/status/", "/v1/agent/", "/v1/operator/", "/v1/system/", "/v1/acl/", "/v1/quota", "/v1/recomm")
OWN_CASES = {
    "/v1/namespaces", "/v1/node/{node_id}/allocations", "/v1/event/stream", "/v1/metrics",
    "/v1/client/allocation/{alloc_id}/exec", "/v1/acl/tokens",
}  # fmt: skip


def filled(template: Any, names: dict[str, str]) -> Any:
    text = json.dumps(template)
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return json.loads(text)


def ghosts(real: dict[str, str]) -> dict[str, str]:
    """Names of the same kinds that nothing has."""
    ids = {name: new_id() for name in ("alloc", "eval", "deployment", "accessor")}
    return {**real, **ids, "ns": "ghost", "service": "ghostservice"}


def without_names(text: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(value, f"<{name}>")
    return text


@pytest.mark.parametrize("path", [*BY_NAMESPACE, *BY_ID])
async def test_a_tenant_reads_it_as_if_it_did_not_exist(world: World, path: str) -> None:
    path = path.replace("?all=true?", "?all=true&")
    absent = ghosts(world.real)
    status, said = await world.ask(TENANT, "GET", filled(path, world.real))
    expected, expected_text = await world.ask(TENANT, "GET", filled(path, absent))
    assert status == expected
    assert without_names(said, world.real) == without_names(expected_text, absent)


@pytest.mark.parametrize(("method", "path", "body"), WRITES_BY_ID)
async def test_a_tenant_changes_it_as_little_as_what_does_not_exist(
    world: World, method: str, path: str, body: Any
) -> None:
    absent = ghosts(world.real)
    status, said = await world.ask(TENANT, method, filled(path, world.real), filled(body, world.real))
    expected, expected_text = await world.ask(TENANT, method, filled(path, absent), filled(body, absent))
    assert status == expected
    assert without_names(said, world.real) == without_names(expected_text, absent)
    assert world.recorder.calls == []


@pytest.mark.parametrize(("method", "path", "body"), FORBIDDEN)
async def test_a_tenants_write_into_it_is_forbidden(world: World, method: str, path: str, body: Any) -> None:
    status, said = await world.ask(TENANT, method, filled(path, world.real), filled(body, world.real))
    assert (status, said.splitlines()[0]) == (403, "Permission denied")
    assert world.recorder.calls == []


@pytest.mark.parametrize("path", [
    "/v1/jobs", "/v1/jobs/statuses", "/v1/allocations", "/v1/evaluations", "/v1/deployments", "/v1/services",
    "/v1/namespaces", "/v1/vars", "/v1/node/{node}/allocations", "/v1/node/pool/all/jobs", "/v1/metrics",
    "/v1/acl/tokens", "/v1/nodes?resources=true", "/v1/node/{node}", "/v1/agent/self",
])  # fmt: skip
async def test_nothing_of_it_is_in_any_list(world: World, path: str) -> None:
    path = filled(path, world.real)
    status, said = await world.ask(TENANT, "GET", f"{path}{'&' if '?' in path else '?'}namespace=*")
    assert status == 200
    assert "hidden" not in said
    assert '"platform"' not in said
    assert world.real["alloc"] not in said


async def test_counts_leave_it_out(world: World) -> None:
    for secret, count in ((TENANT, 1), (OPERATOR, 2)):
        _, said = await world.ask(secret, "GET", "/v1/metrics")
        gauges = {one["Name"]: one["Value"] for one in json.loads(said)["Gauges"]}
        assert gauges["nomad.jobs"] == count
        _, said = await world.ask(secret, "GET", "/v1/evaluations/count?namespace=*")
        assert json.loads(said)["Count"] == count


@pytest.mark.parametrize("path", [
    "/v1/jobs?namespace={ns}", "/v1/job/{job}?namespace={ns}", "/v1/allocations?namespace=*", "/v1/allocation/{alloc}",
    "/v1/evaluation/{eval}", "/v1/deployment/{deployment}", "/v1/services?namespace={ns}",
    "/v1/service/{service}?namespace={ns}", "/v1/namespaces", "/v1/namespace/{ns}", "/v1/node/{node}/allocations",
    "/v1/job/{job}/allocations?namespace={ns}", "/v1/acl/tokens",
])  # fmt: skip
async def test_the_operator_sees_it(world: World, path: str) -> None:
    status, said = await world.ask(OPERATOR, "GET", filled(path, world.real))
    assert status == 200
    assert "hidden" in said or '"platform"' in said


@pytest.mark.parametrize(("method", "path", "body", "command"), [
    ("PUT", "/v1/jobs", {"Job": _JOB}, "register_job"),
    ("DELETE", "/v1/job/{job}?namespace={ns}", None, "deregister_job"),
    ("PUT", "/v1/allocation/{alloc}/stop", {}, "stop_alloc"),
    ("PUT", "/v1/job/{job}/evaluate?namespace={ns}", {"JobID": "{job}"}, "evaluate_job"),
    ("PUT", "/v1/deployment/fail/{deployment}", {}, "fail_deployment"),
])  # fmt: skip
async def test_the_operator_changes_it(world: World, method: str, path: str, body: Any, command: str) -> None:
    status, said = await world.ask(OPERATOR, method, filled(path, world.real), filled(body, world.real))
    assert status == 200, said
    assert [name for name, _ in world.recorder.calls] == [command]


async def test_a_list_kept_for_the_one_is_not_given_to_the_other(world: World) -> None:
    for secret, found in ((OPERATOR, True), (TENANT, False), (OPERATOR, True)):
        _, said = await world.ask(secret, "GET", "/v1/allocations?namespace=*")
        assert (world.real["alloc"] in said) is found


async def test_the_event_stream_leaves_it_out(world: World) -> None:
    async def first_events(secret: str) -> list[dict[str, Any]]:
        url = f"{world.base}/v1/event/stream?namespace=*&index=1"
        async with world.session.get(url, headers={"X-Nomad-Token": secret}) as answer:
            found: list[dict[str, Any]] = []
            while not any(event["Key"] == "last" for event in found):
                line = json.loads(await asyncio.wait_for(answer.content.readline(), 30))
                found += line.get("Events") or []
            return found

    state, real = world.recorder.state, world.real
    world.recorder.put_job(state.jobs["platform", "hiddenjob"])
    world.recorder.report(real["alloc"])
    world.recorder.put((KEYS.evaluation(real["eval"]), state.evals[real["eval"]]))
    world.recorder.put((KEYS.deployment(real["deployment"]), state.deployments[real["deployment"]]))
    gone = Event(world.catalog.root + b"instance/" + world.catalog.one.ID.encode(), None, 0, 900)
    for listener in world.catalog.listeners:
        listener(900, [gone])
    world.recorder.put_job(Job(ID="last", Name="last", Namespace="default"))
    everything = await first_events(OPERATOR)
    assert {event["Topic"] for event in everything if event["Namespace"] == "platform"} == {
        "Job", "Evaluation", "Allocation", "Deployment", "Service",
    }  # fmt: skip
    shown = await first_events(TENANT)
    assert "hidden" not in json.dumps(shown)
    assert world.real["alloc"] not in json.dumps(shown)


async def test_exec_into_it_is_refused_as_into_nothing(world: World) -> None:
    async def reason(alloc_id: str) -> tuple[int | None, str]:
        url = f"{world.base}/v1/client/allocation/{alloc_id}/exec?task=hiddentask&command=%5B%22sh%22%5D"
        async with world.session.ws_connect(url, headers={"X-Nomad-Token": TENANT}) as socket:
            message = await socket.receive()
            return socket.close_code, str(message.extra).replace(alloc_id, "<alloc>")

    code, said = await reason(world.real["alloc"])
    assert (code, said) == await reason(new_id())
    assert "Unknown allocation" in said


async def test_a_tenant_does_not_forget_the_node_it_runs_on(world: World) -> None:
    path = f"/v1/node/{world.real['node']}/purge"
    status, said = await world.ask(TENANT, "PUT", path)
    assert (status, "runs the add-ons" in said) == (403, True)
    assert (await world.ask(OPERATOR, "PUT", path))[0] == 200


async def test_the_page_leaves_it_out(world: World) -> None:
    url = f"{world.base}/ui/"
    async with world.session.post(f"{url}sign-in", data={"token": TENANT}, allow_redirects=False) as answer:
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
    async with world.session.get(url, headers={"Cookie": cookie}) as answer:
        page = await answer.text()
    assert "web" in page
    assert "hidden" not in page


async def test_every_path_of_the_api_is_in_one_of_these_tables(world: World) -> None:
    """A new path has to be placed before this passes again."""
    cases = [*BY_NAMESPACE, *BY_ID, *(path for _, path, _ in WRITES_BY_ID), *(path for _, path, _ in FORBIDDEN)]
    covered = {filled(case, world.real).partition("?")[0] for case in cases}

    def is_covered(template: str) -> bool:
        if template in NOTHING_OF_NAMESPACES | OWN_CASES or template.startswith(_PREFIXES_OF_NONE):
            return True
        parts = template.split("/")
        if parts[-1].endswith(":path}"):
            return any(case.startswith("/".join(parts[:-1]) + "/") for case in covered)
        return any(_matches(parts, case.split("/")) for case in covered)

    paths = [one.path for one in inspect.inspect_routes(world.app)]
    known = [path for path in paths if not path.startswith("/v1/sentinel")]
    assert [path for path in known if not is_covered(path)] == []


def _matches(template: list[str], case: list[str]) -> bool:
    same_length = len(template) == len(case)
    return same_length and all(one.startswith("{") or one == other for one, other in zip(template, case, strict=True))
