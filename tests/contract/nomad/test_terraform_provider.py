"""The calls of HashiCorp's Nomad provider for Terraform, in its order: job, namespace, variable, data sources."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from tests.orchestrator.core.bed import until

Call = Callable[..., Awaitable[tuple[int, Any]]]
WRITE = {"Region": "global", "Namespace": "default", "SecretID": ""}
"""Go's client puts these next to what it writes."""

SOURCE = """
job "shop" {
  datacenters = ["dc1"]
  group "web" {
    count = 2
    network {
      mode = "bridge"
      port "http" { to = 8080 }
    }
    service {
      name     = "shop"
      port     = "http"
      provider = "nomad"
    }
    update {
      min_healthy_time  = "0s"
      healthy_deadline  = "5s"
      progress_deadline = "10s"
    }
    task "server" {
      driver = "docker"
      config { image = "shop:1" }
    }
  }
}
"""


async def parsed(call: Call, source: str) -> dict[str, Any]:
    status, job = await call("PUT", "/v1/jobs/parse?namespace=default", {"JobHCL": source, "Canonicalize": False})
    assert status == 200, job
    return dict(job)


async def register(call: Call, job: dict[str, Any], index: int, source: str) -> tuple[int, Any]:
    submission = {"Source": source, "Format": "hcl2", "VariableFlags": {}, "Variables": ""}
    options = {
        "EnforceIndex": True, "JobModifyIndex": index, "PolicyOverride": True, "PreserveCounts": False,
        "EvalPriority": 0, "Submission": submission,
    }  # fmt: skip
    return await call("PUT", "/v1/jobs?namespace=default&region=global", {"Job": job, **options, **WRITE})


async def plan(call: Call, job: dict[str, Any]) -> dict[str, Any]:
    body = {"Job": job, "Diff": True, "PolicyOverride": True, **WRITE}
    status, answer = await call("PUT", "/v1/job/shop/plan?namespace=default&region=global", body)
    assert status == 200, answer
    return dict(answer)


async def test_a_job_from_plan_to_destroy(bed: Any, call: Call, worker: Any) -> None:
    job = await parsed(call, SOURCE)
    assert (await call("GET", "/v1/job/shop?namespace=default"))[0] == 404
    planned = await plan(call, job)
    assert (planned["Diff"]["Type"], planned["JobModifyIndex"], planned["FailedTGAllocs"]) == ("Added", 0, None)

    status, registered = await register(call, job, 0, SOURCE)
    assert status == 200, registered
    # detach = false: the evaluation, then its deployment, are followed to their ends
    await until(lambda: len(bed.allocs("shop", ClientStatus="running")) == 2, "running")
    _, evaluation = await call("GET", f"/v1/evaluation/{registered['EvalID']}?index=1&wait=5s")
    deployment = await until(lambda: _successful(bed, evaluation["DeploymentID"]), "deployment")
    _, shown = await call("GET", f"/v1/deployment/{deployment.ID}?namespace=default")
    assert (shown["Status"], shown["TaskGroups"]["web"]["HealthyAllocs"]) == ("successful", 2)

    # refresh, then a plan without changes, from the file and from what was read
    _, read = await call("GET", "/v1/job/shop?namespace=default&region=global")
    assert read["JobModifyIndex"] == registered["JobModifyIndex"]
    _, allocations = await call("GET", "/v1/job/shop/allocations?all=false&namespace=default")
    assert {one["ClientStatus"] for one in allocations} == {"running"}
    _, submission = await call("GET", f"/v1/job/shop/submission?version={read['Version']}&namespace=default")
    assert submission["Source"] == SOURCE
    for unchanged in (await parsed(call, SOURCE), read):
        assert (await plan(call, unchanged))["Diff"]["Type"] == "None"

    # apply with a stale index is refused, with the right one it is a new version
    changed_source = SOURCE.replace("shop:1", "shop:2")
    changed = await parsed(call, changed_source)
    assert (await plan(call, changed))["Diff"]["Type"] == "Edited"
    status, refused = await register(call, changed, read["JobModifyIndex"] - 1, changed_source)
    assert (status, "Enforcing job modify index" in refused) == (500, True), refused
    status, refused = await register(call, changed, 0, changed_source)
    assert (status, "job already exists" in refused) == (500, True), refused
    status, _ = await register(call, changed, read["JobModifyIndex"], changed_source)
    assert status == 200
    assert (await call("GET", "/v1/job/shop?namespace=default"))[1]["Version"] == 1

    status, gone = await call("DELETE", "/v1/job/shop?purge=true&global=false&namespace=default&region=global")
    assert (status, bool(gone["EvalID"])) == (200, True)
    assert (await call("GET", "/v1/job/shop?namespace=default"))[0] == 404


def _successful(bed: Any, deployment_id: str) -> Any:
    found = bed.state.deployments.get(deployment_id)
    return found if found is not None and found.Status == "successful" else None


async def test_namespace_and_variable(call: Call, worker: Any) -> None:
    namespace = {"Name": "team", "Description": "ours", "Meta": {"a": "b"}, "Quota": "", "Capabilities": None}
    assert (await call("PUT", "/v1/namespace?region=global", namespace))[0] == 200
    _, read = await call("GET", "/v1/namespace/team?region=global")
    assert (read["Description"], read["Meta"]) == ("ours", {"a": "b"})
    variable = {"Namespace": "team", "Path": "app/config", "Items": {"user": "u"}, "CreateIndex": 0, "ModifyIndex": 0}
    status, made = await call("PUT", "/v1/var/app/config?namespace=team&cas=0", variable)
    assert status == 200, made
    assert (await call("PUT", "/v1/var/app/config?namespace=team&cas=0", variable))[0] == 409
    _, read = await call("GET", "/v1/var/app/config?namespace=team")
    assert (read["Items"], read["ModifyIndex"]) == ({"user": "u"}, made["ModifyIndex"])
    status, _ = await call("DELETE", f"/v1/var/app/config?namespace=team&cas={made['ModifyIndex']}")
    assert status in {200, 204}
    assert (await call("GET", "/v1/var/app/config?namespace=team"))[0] == 404
    assert (await call("DELETE", "/v1/namespace/team?region=global"))[0] == 200


async def test_data_sources_and_the_scheduler(call: Call, worker: Any) -> None:
    assert await call("GET", "/v1/regions") == (200, ["global"])
    _, nodes = await call("GET", "/v1/nodes?prefix=&region=global")
    assert [one["Datacenter"] for one in nodes] == ["dc1"]
    for path in ("deployments", "namespaces", "plugins?type=csi", "volumes?type=csi", "acl/policies", "acl/roles"):
        status, found = await call("GET", f"/v1/{path}")
        assert (status, isinstance(found, list)) == (200, True), path
    _, pools = await call("GET", "/v1/node/pools")
    assert {one["Name"] for one in pools} >= {"all", "default"}
    _, before = await call("GET", "/v1/operator/scheduler/configuration")
    wanted = {
        "SchedulerAlgorithm": "spread",
        "PreemptionConfig": before["SchedulerConfig"]["PreemptionConfig"],
        "MemoryOversubscriptionEnabled": False,
    }
    status, answer = await call("PUT", "/v1/operator/scheduler/configuration", wanted)
    assert (status, answer["Updated"]) == (200, True), json.dumps(answer)
    _, after = await call("GET", "/v1/operator/scheduler/configuration")
    assert after["SchedulerConfig"]["SchedulerAlgorithm"] == "spread"
