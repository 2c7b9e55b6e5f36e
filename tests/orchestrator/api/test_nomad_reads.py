"""Reads: shapes, lists, pages, headers, blocking."""

from __future__ import annotations

import asyncio
import gzip
from urllib.parse import quote

import aiohttp
import msgspec
import pytest

from kokiris.kernel.ids import new_id
from kokiris.orchestrator.keys import Keys
from kokiris.orchestrator.model.deployment import Deployment, DeploymentState
from kokiris.orchestrator.model.evaluation import Evaluation

KEYS = Keys("demo", "rec1")


async def test_status_is_open_and_the_rest_is_not(api):
    for path in ("/v1/status/leader", "/v1/status/peers", "/v1/regions", "/v1/agent/health"):
        status, _, _ = await api.get(path, headers={"X-Nomad-Token": ""})
        assert status == 200, path
    for token in ("", "wrong", "low"):
        status, body, _ = await api.get("/v1/jobs", headers={"X-Nomad-Token": token})
        assert (status, body) == (403, "Permission denied")


async def test_every_other_route_needs_the_token(api, recorder, make_job):
    recorder.put_job(make_job())
    paths = (
        "jobs job/web job/web/allocations allocations evaluations deployments nodes node/pools namespaces services "
        "vars volumes plugins acl/tokens agent/self agent/members operator/scheduler/configuration metrics "
        "event/stream client/stats operator/raft/configuration scaling/policies quotas sentinel/policies"
    )
    for path in paths.split():
        status, body, _ = await api.get(f"/v1/{path}", headers={"X-Nomad-Token": "wrong"})
        assert (status, body) == (403, "Permission denied"), path
    for method, path in (("PUT", "jobs"), ("POST", "search"), ("PUT", "system/gc"), ("DELETE", "job/web")):
        status, body, _ = await api.call(method, f"/v1/{path}", headers={"X-Nomad-Token": ""}, json={})
        assert (status, body) == (403, "Permission denied"), path
    assert recorder.calls == []


@pytest.mark.parametrize("header", ["Bearer {}", "bearer {}", "BEARER {} more"])
async def test_a_bearer_token_opens(api, token, header):
    status, _, _ = await api.get("/v1/jobs", headers={"X-Nomad-Token": "", "Authorization": header.format(token)})
    assert status == 200


async def test_empty_lists_are_lists(api):
    paths = "jobs allocations evaluations deployments nodes services vars volumes plugins scaling/policies acl/tokens"
    for path in paths.split():
        status, body, headers = await api.get(f"/v1/{path}")
        assert (status, body) == (200, []), path
        assert int(headers["X-Nomad-Index"]) >= 1
        assert headers["X-Nomad-KnownLeader"] == "true"
        assert headers["X-Nomad-LastContact"] == "0"


async def test_a_job_is_read_with_its_status_by_any_spelling_of_its_id(api, recorder, make_job, make_node):
    name = "team/web plan"
    job = make_job(name)
    recorder.put_job(job)
    recorder.place(job, "site", 2, make_node())
    for path in (f"/v1/job/{quote(name)}", f"/v1/job/{quote(name, safe='')}"):
        status, body, _ = await api.get(path)
        assert (status, body["ID"], body["Status"]) == (200, name, "running")
        for verb in ("allocations", "evaluations", "deployments", "deployment", "summary", "versions", "scale"):
            status, _, _ = await api.get(f"{path}/{verb}")
            assert status == 200, verb
    status, body, _ = await api.get(f"/v1/job/{quote(name)}/summary")
    assert body["Summary"]["site"]["Starting"] == 2


async def test_a_job_list_has_stubs_sorted_by_namespace_and_id(api, recorder, make_job):
    for name, namespace in (("b", "default"), ("a", "default"), ("z", "apps")):
        recorder.put_job(make_job(name, Namespace=namespace, Meta={"k": "v"}))
    _, body, _ = await api.get("/v1/jobs?namespace=*")
    assert [(one["Namespace"], one["ID"]) for one in body] == [("apps", "z"), ("default", "a"), ("default", "b")]
    assert "Meta" not in body[0]
    assert body[0]["JobSummary"]["JobID"] == "z"
    _, body, _ = await api.get("/v1/jobs?meta=true&prefix=a")
    assert [one["Meta"] for one in body] == [{"k": "v"}]
    _, body, _ = await api.get("/v1/jobs", params={"filter": 'ID == "b"'})
    assert [one["ID"] for one in body] == ["b"]
    _, body, _ = await api.get("/v1/jobs", params={"filter": 'Status == "pending" and Namespace != "apps"'})
    assert [one["ID"] for one in body] == ["a", "b"]
    _, body, _ = await api.get("/v1/node/pool/default/jobs?per_page=1")
    assert [one["ID"] for one in body] == ["a"]


async def test_pages_follow_each_other_by_token(api, recorder, make_job):
    names = [f"job{n}" for n in range(7)]
    for name in names:
        recorder.put_job(make_job(name))
    seen, token = [], ""
    while True:
        _, body, headers = await api.get("/v1/jobs", params={"per_page": "3", "next_token": token})
        seen += [one["ID"] for one in body]
        token = headers.get("X-Nomad-NextToken", "")
        if not token:
            break
    assert seen == names


async def test_lists_by_creation_are_reversed_and_paged(api, recorder):
    ids = []
    for _ in range(5):
        one = Evaluation(ID=new_id(), Namespace="default", JobID="web")
        recorder.put((KEYS.evaluation(one.ID), one))
        ids.append(one.ID)
    _, body, _ = await api.get("/v1/evaluations")
    assert [one["ID"] for one in body] == ids
    _, body, headers = await api.get("/v1/evaluations?reverse=true&per_page=2")
    assert [one["ID"] for one in body] == ids[:2:-1]
    _, body, _ = await api.get(f"/v1/evaluations?reverse=true&next_token={headers['X-Nomad-NextToken']}")
    assert [one["ID"] for one in body] == ids[2::-1]
    _, body, _ = await api.get("/v1/evaluations/count")
    assert body["Count"] == 5


async def test_allocations_show_resources_and_task_states_only_when_asked(api, recorder, make_job, make_node):
    node = make_node()
    recorder.put((KEYS.node(node.ID), node))
    job = make_job()
    recorder.put_job(job)
    alloc_id = recorder.place(job, "site", 1, node)[0]
    recorder.report(alloc_id)
    _, (stub,), _ = await api.get("/v1/allocations")
    assert stub["AllocatedResources"] is None
    assert (stub["NodeName"], stub["Name"], stub["ClientStatus"]) == ("node1", "web.site[0]", "running")
    for word in ("true", "True", "1", "t"):
        _, (stub,), _ = await api.get(f"/v1/allocations?resources={word}&prefix={alloc_id[:4]}")
        assert stub["AllocatedResources"]["Tasks"]["busy"]["Cpu"]["CpuShares"] == 100
    _, whole, _ = await api.get(f"/v1/allocation/{alloc_id.upper()}")
    assert whole["Job"]["ID"] == "web"
    assert whole["AllocatedResources"]["Tasks"]["busy"]["Memory"]["MemoryMB"] == 300
    _, by_node, _ = await api.get(f"/v1/node/{node.ID}/allocations")
    assert by_node == [whole]
    _, by_eval, _ = await api.get(f"/v1/evaluation/{stub['EvalID']}/allocations")
    assert [one["ID"] for one in by_eval] == [alloc_id]


async def test_a_node_never_shows_a_secret_and_lists_resources_on_demand(api, recorder, make_node):
    node = make_node(Attributes={"os.name": "debian", "nomad.version": "1.11.0"})
    recorder.put((KEYS.node(node.ID), node), (KEYS.node_secret(node.ID), "0" * 64))
    _, body, _ = await api.get(f"/v1/node/{node.ID}")
    assert "SecretID" not in body
    assert "0" * 64 not in str(body)
    _, (stub,), _ = await api.get("/v1/nodes?os=True&resources=True")
    assert stub["Attributes"] == {"os.name": "debian"}
    assert stub["Version"] == "1.11.0"


async def test_deployments_of_a_job(api, recorder, make_job):
    recorder.put_job(make_job())
    _, body, _ = await api.get("/v1/job/web/deployment")
    assert body is None
    one = Deployment(ID=new_id(), Namespace="default", JobID="web", TaskGroups={"site": DeploymentState()})
    recorder.put((KEYS.deployment(one.ID), one))
    _, body, _ = await api.get("/v1/job/web/deployment")
    assert body["ID"] == one.ID
    _, body, _ = await api.get(f"/v1/deployment/{one.ID}")
    assert body["TaskGroups"]["site"]["RequireProgressBy"] == "0001-01-01T00:00:00Z"
    _, body, _ = await api.get("/v1/deployments", params={"filter": 'Status == "running"'})
    assert len(body) == 1


async def test_related_evaluations(api, recorder):
    first, second, third = new_id(), new_id(), new_id()
    for one in (
        Evaluation(ID=first, Namespace="default", NextEval=second),
        Evaluation(ID=second, Namespace="default", PreviousEval=first, BlockedEval=third),
        Evaluation(ID=third, Namespace="default"),
    ):
        recorder.put((KEYS.evaluation(one.ID), one))
    _, body, _ = await api.get(f"/v1/evaluation/{first}?related=true")
    assert [one["ID"] for one in body["RelatedEvals"]] == [second, third]
    _, body, _ = await api.get(f"/v1/evaluation/{first}")
    assert body["RelatedEvals"] is None


async def test_pretty_and_gzip(api, recorder, make_job, token):
    for number in range(40):
        recorder.put_job(make_job(f"job{number}"))
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        headers = {"X-Nomad-Token": token, "Accept-Encoding": "gzip"}
        async with session.get(f"{api.base}/v1/jobs", headers=headers) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert len(msgspec.json.decode(gzip.decompress(await answer.read()))) == 40
        plain = {"X-Nomad-Token": token, "Accept-Encoding": "identity"}
        async with session.get(f"{api.base}/v1/jobs?pretty", headers=plain) as answer:
            assert "Content-Encoding" not in answer.headers
            text = await answer.text()
            assert text.startswith("[\n    {")
            assert text.endswith("]\n")


async def test_a_blocking_query_wakes_only_for_its_own_resource(api, recorder, make_job):
    recorder.put_job(make_job("web"))
    recorder.put_job(make_job("other"))
    _, _, headers = await api.get("/v1/job/web")
    waiting = asyncio.ensure_future(api.get(f"/v1/job/web?index={headers['X-Nomad-Index']}&wait=60000ms"))
    while not recorder.state.topics.waiting():
        await asyncio.sleep(0.01)
    recorder.put_job(make_job("other", Version=1))
    await api.get("/v1/jobs")
    assert not waiting.done()
    index = recorder.put_job(make_job("web", Version=1))
    status, body, headers = await asyncio.wait_for(waiting, 30)
    assert (status, body["Version"], int(headers["X-Nomad-Index"])) == (200, 1, index)


async def test_a_client_that_leaves_frees_its_waiter(api, recorder, make_job):
    index = recorder.put_job(make_job("web"))
    waiting = asyncio.ensure_future(api.get(f"/v1/job/web?index={index}&wait=5m"))
    while not recorder.state.topics.waiting():
        await asyncio.sleep(0.01)
    waiting.cancel()
    async with asyncio.timeout(30):
        while recorder.state.topics.waiting():
            await asyncio.sleep(0.01)


async def test_two_thousand_parked_queries_are_all_woken(api, recorder, make_job):
    index = recorder.put_job(make_job("web"))
    parked = [asyncio.ensure_future(api.get(f"/v1/job/web?index={index}&wait=5m")) for _ in range(2000)]
    async with asyncio.timeout(120):
        while recorder.state.topics.waiting() < 2000:
            await asyncio.sleep(0.05)
        recorder.put_job(make_job("web", Version=1))
        answers = await asyncio.gather(*parked)
    assert {(status, body["Version"]) for status, body, _ in answers} == {(200, 1)}


async def test_search_by_prefix_and_fuzzy(api, recorder, make_job, make_node):
    recorder.put_job(make_job("web"))
    node = make_node("worker-web")
    recorder.put((KEYS.node(node.ID), node))
    _, body, _ = await api.call("POST", "/v1/search", json={"prefix": "we", "context": "all"})
    assert body["Matches"] == {"jobs": ["web"]}
    assert body["Truncations"] == {"jobs": False}
    _, body, _ = await api.call("PUT", "/v1/search", json={"Prefix": node.ID[:8], "Context": "nodes"})
    assert body["Matches"]["nodes"] == [node.ID]
    for number in range(25):
        recorder.put_job(make_job(f"web{number:02}"))
    _, body, _ = await api.call("POST", "/v1/search", json={"Prefix": "web", "Context": "jobs"})
    assert len(body["Matches"]["jobs"]) == 20
    assert body["Truncations"]["jobs"] is True
    _, body, _ = await api.call("POST", "/v1/search/fuzzy", json={"Text": "busy", "Context": "all"})
    assert body["Matches"]["tasks"][0] == {"ID": "busy", "Scope": ["default", "web", "site"]}
    assert body["Matches"]["images"][0]["ID"] == "busybox"


async def test_agent_and_operator_answers(api, recorder):
    _, leader, _ = await api.get("/v1/status/leader")
    _, members, _ = await api.get("/v1/agent/members")
    member = members["Members"][0]
    assert f"{member['Addr']}:{member['Tags']['port']}" == leader
    assert {"build", "dc", "region", "raft_vsn"} <= set(member["Tags"])
    _, own, _ = await api.get("/v1/agent/self")
    assert set(own) == {"config", "member", "stats"}
    _, raft, _ = await api.get("/v1/operator/raft/configuration?stale=True")
    assert raft["Servers"][0]["Leader"] is True
    _, config, _ = await api.get("/v1/operator/scheduler/configuration")
    assert config["SchedulerConfig"]["SchedulerAlgorithm"] == "binpack"
    assert config["KnownLeader"] is True
    _, body, _ = await api.call(
        "PUT", "/v1/operator/scheduler/configuration?cas=3", json={"schedulerAlgorithm": "spread"}
    )
    assert body["Updated"] is True
    assert recorder.calls[-1][1]["cas"] == 3
    _, body, _ = await api.get("/v1/metrics")
    assert {"Timestamp", "Gauges", "Points", "Counters", "Samples"} == set(body)
    _, body, _ = await api.get("/v1/metrics?format=prometheus")
    assert "nomad_jobs 0" in body


async def test_namespaces_and_pools(api, recorder):
    _, body, _ = await api.get("/v1/namespaces")
    assert [one["Name"] for one in body] == ["default"]
    status, body, _ = await api.call("PUT", "/v1/namespace/apps", json={"Description": "x"})
    assert (status, body) == (200, "")
    assert recorder.calls[-1][1]["positional"][0].Name == "apps"
    _, body, _ = await api.get("/v1/node/pools")
    assert [one["Name"] for one in body] == ["all", "default"]
    status, body, _ = await api.get("/v1/node/pool/gpu")
    assert (status, body) == (404, "node pool not found")
