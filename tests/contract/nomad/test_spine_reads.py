"""What only a real core shows: diffs, services, events of one deploy, restart of the reads on the same store."""

from __future__ import annotations

import asyncio
import json

import aiohttp

from kokiris.orchestrator.model.job import Job
from tests.orchestrator.core.bed import job_spec, until


def web_job(provider: str = "nomad", **changes) -> Job:
    job = job_spec(**changes)
    job.TaskGroups[0].Services[0].Provider = provider
    return job


async def test_plan_shows_a_diff_and_what_it_would_do(call, worker):
    status, first = await call("PUT", "/v1/job/web/plan", {"Job": web_job(), "Diff": True})
    assert status == 200, first
    assert (first["Diff"]["Type"], first["JobModifyIndex"]) == ("Added", 0)
    assert first["Annotations"]["DesiredTGUpdates"]["site"]["Place"] == 2
    assert first["Diff"]["TaskGroups"][0]["Updates"]["create"] == 2
    assert first["FailedTGAllocs"] is None
    _, registered = await call("PUT", "/v1/jobs", {"Job": web_job()})
    status, second = await call("PUT", "/v1/job/web/plan", {"Job": web_job(image="site:2"), "Diff": True})
    assert second["Diff"]["Type"] == "Edited"
    assert second["JobModifyIndex"] == registered["JobModifyIndex"]
    status, history = await call("GET", "/v1/job/web/versions?diffs=true")
    assert (len(history["Versions"]), history["Diffs"]) == (1, [])
    await call("PUT", "/v1/jobs", {"Job": web_job(image="site:2")})
    _, history = await call("GET", "/v1/job/web/versions?diffs=true")
    assert [one["Version"] for one in history["Versions"]] == [1, 0]
    assert history["Versions"][0]["Status"] in {"pending", "running"}
    assert history["Versions"][1]["Status"] == "dead"
    assert history["Diffs"][0]["Type"] == "Edited"
    status, _ = await call("GET", "/v1/job/web/versions?diffs=true&diff_version=9")
    assert status == 400


async def test_what_cannot_be_placed_says_why(call, worker):
    job = web_job()
    job.Datacenters = ["elsewhere"]
    _, plan = await call("PUT", "/v1/job/web/plan", {"Job": job, "Diff": False})
    assert plan["FailedTGAllocs"]["site"]["NodesEvaluated"] == 0
    _, answer = await call("PUT", "/v1/jobs", {"Job": job})
    for _ in range(3000):
        _, evaluation = await call("GET", f"/v1/evaluation/{answer['EvalID']}?related=true")
        if evaluation["Status"] != "pending":
            break
        await asyncio.sleep(0.01)
    assert evaluation["FailedTGAllocs"]["site"]
    _, summary = await call("GET", "/v1/job/web/summary")
    assert summary["Summary"]["site"]["Queued"] == 2
    _, job = await call("GET", "/v1/job/web")
    assert job["Status"] == "pending"


async def test_native_services_are_listed_once_healthy(bed, call, worker):
    await call("PUT", "/v1/jobs", {"Job": web_job()})
    await until(lambda: len(bed.catalog.instances_of("web")) == 2, "instances")
    for _ in range(3000):
        _, found = await call("GET", "/v1/service/web")
        if len(found) == 2:
            break
        await asyncio.sleep(0.01)
    assert {one["JobID"] for one in found} == {"web"}
    assert all(one["Port"] and one["Address"] for one in found)
    _, listed = await call("GET", "/v1/services")
    assert listed == [
        {"Namespace": "default", "Services": [{"ServiceName": "web", "Tags": ["traefik.enable=true", "v1"]}]}
    ]
    _, chosen = await call("GET", "/v1/service/web?choose=1|me")
    _, again = await call("GET", "/v1/service/web?choose=1|me")
    assert chosen == again
    assert len(chosen) == 1
    _, of_job = await call("GET", "/v1/job/web/services")
    assert len(of_job) == 2
    _, of_alloc = await call("GET", f"/v1/allocation/{of_job[0]['AllocID']}/services")
    assert [one["ID"] for one in of_alloc] == [of_job[0]["ID"]]


async def test_services_of_consul_are_not_nomads(bed, call, worker):
    await call("PUT", "/v1/jobs", {"Job": web_job(provider="consul")})
    await until(lambda: len(bed.catalog.instances_of("web")) == 2, "instances")
    assert await call("GET", "/v1/services") == (200, [])


async def test_the_stream_tells_a_whole_deploy(bed, base, call, token, worker):
    async with (
        aiohttp.ClientSession(headers={"X-Nomad-Token": token}) as session,
        session.get(f"{base}/v1/event/stream?topic=*:web") as stream,
    ):
        await call("PUT", "/v1/jobs", {"Job": web_job()})
        wanted = {"JobRegistered", "EvaluationUpdated", "PlanResult", "AllocationUpdated", "ServiceRegistration"}
        seen, indexes = set(), {}
        async with asyncio.timeout(30):
            while not wanted <= seen:
                for event in json.loads(await stream.content.readline()).get("Events", ()):
                    seen.add(event["Type"])
                    indexes.setdefault(event["Type"], event["Index"])
                    if event["Topic"] == "Service":
                        assert event["Key"] == event["Payload"]["Service"]["ID"]
        assert indexes["JobRegistered"] <= indexes["PlanResult"] < indexes["AllocationUpdated"]
        assert indexes["ServiceRegistration"] <= max(indexes.values())


async def test_ports_of_an_allocation(bed, call, worker):
    await call("PUT", "/v1/jobs", {"Job": web_job(count=1)})
    (alloc,) = await until(lambda: bed.allocs("web", ClientStatus="running"), "running")
    _, whole = await call("GET", f"/v1/allocation/{alloc.ID}")
    (port,) = whole["AllocatedResources"]["Shared"]["Ports"]
    assert port["Label"] == "http"
    assert port["To"] == 80
    assert 20000 <= port["Value"] <= 32000
    assert port["HostIP"] == "10.0.0.1"
    assert whole["DeploymentStatus"]["Healthy"] is True
    assert whole["Metrics"]["NodesEvaluated"] == 1
