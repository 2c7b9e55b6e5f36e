"""Writes: what reaches the orchestrator, and what is refused before it."""

from __future__ import annotations

import json

import pytest

from kokiris.kernel.ids import new_id
from kokiris.orchestrator.core.refusal import Refused
from kokiris.orchestrator.keys import Keys
from kokiris.orchestrator.model.deployment import Deployment
from kokiris.orchestrator.model.infra import Namespace

KEYS = Keys("demo", "rec1")
JOB = {
    "ID": "web",
    "Name": "web",
    "Type": "service",
    "Datacenters": ["*"],
    "TaskGroups": [
        {
            "Name": "site",
            "Count": 2,
            "Tasks": [{"Name": "busy", "Driver": "docker", "Config": {"image": "busybox"}, "Leader": None}],
        }
    ],
}
SOURCE = """
job "web" {
  datacenters = ["*"]
  group "site" {
    task "busy" {
      driver = "docker"
      config { image = "busybox" }
    }
  }
}
"""


def last(recorder) -> dict:
    return recorder.calls[-1][1]


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/job/web"])
async def test_a_job_is_registered_canonical(api, recorder, method, path):
    submission = {"Source": SOURCE, "Format": "hcl2"}
    status, body, headers = await api.call(method, path, json={"Job": JOB, "Submission": submission, "unknown": 1})
    assert status == 200, body
    assert set(body) == {
        "EvalID", "EvalCreateIndex", "JobModifyIndex", "Warnings", "Index", "LastContact", "KnownLeader",
    }  # fmt: skip
    assert headers["X-Nomad-Index"] == str(body["Index"])
    job = last(recorder)["job"]
    assert (job.Namespace, job.Priority, job.TaskGroups[0].RestartPolicy.Attempts) == ("default", 50, 2)
    assert last(recorder)["submission"].Source == SOURCE
    assert last(recorder)["enforce_index"] is None


async def test_field_names_match_in_any_case(api, recorder):
    body = {"JOB": {**{key.lower(): value for key, value in JOB.items()}}, "enforceindex": True, "jobmodifyINDEX": 5}
    status, answer, _ = await api.call("PUT", "/v1/jobs", json=body)
    assert status == 200, answer
    assert last(recorder)["enforce_index"] == 5
    assert last(recorder)["job"].TaskGroups[0].Count == 2


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (("", None, None), "default"),
        (("", None, "apps"), "apps"),
        (("", "mid", "apps"), "mid"),
        (("?namespace=top", "mid", "apps"), "top"),
    ],
)
async def test_the_namespace_of_a_registration(api, recorder, case, expected):
    query, of_body, of_job = case
    for name in ("apps", "mid", "top"):
        recorder.put((KEYS.namespace(name), Namespace(Name=name)))
    body = {"Job": {**JOB, "Namespace": of_job}, "Namespace": of_body}
    status, answer, _ = await api.call("PUT", "/v1/jobs" + query, json=body)
    assert status == 200, answer
    assert last(recorder)["job"].Namespace == expected


REFUSED = [
    ("PUT", "/v1/jobs", b"", 400, "Request body is empty"),
    ("PUT", "/v1/jobs", b"{", 400, "request body is not JSON"),
    ("PUT", "/v1/jobs", b"[]", 400, "request does not fit"),
    ("PUT", "/v1/jobs", {}, 400, "Job must be specified"),
    ("PUT", "/v1/jobs", {"Job": {}}, 400, "Job must have a valid ID"),
    ("PUT", "/v1/jobs", {"Job": JOB, "EvalPriority": 101}, 400, "Eval priority must be between 1 and 100 inclusively"),
    ("PUT", "/v1/job/other", {"Job": JOB}, 400, "Job ID does not match"),
    ("PUT", "/v1/jobs", {"Job": {**JOB, "Namespace": "gone"}}, 500, 'nonexistent namespace "gone"'),
    ("PUT", "/v1/jobs", {"Job": {**JOB, "TaskGroups": []}}, 500, "error"),
    ("PUT", "/v1/jobs", {"Job": {**JOB, "Multiregion": {"Regions": [{"Name": "x"}]}}}, 400, "not supported"),
    ("PUT", "/v1/job/web/plan", {}, 400, "Job must be specified"),
    ("PUT", "/v1/validate/job", {}, 400, "Job must be specified"),
    ("PUT", "/v1/jobs/parse", {}, 400, "Job spec is empty"),
    ("PUT", "/v1/jobs/parse", {"JobHCL": "job {"}, 400, "Failed to parse job: "),
    ("GET", "/v1/job/missing", None, 404, "job not found"),
    ("GET", "/v1/job/missing/summary", None, 404, "job not found"),
    ("GET", "/v1/job/missing/versions", None, 404, "job versions not found"),
    ("GET", "/v1/job/missing/submission?version=0", None, 404, "job source not found"),
    ("GET", "/v1/job/missing/submission", None, 400, "version"),
    ("GET", "/v1/job/missing/scale", None, 404, "job not found"),
    ("GET", "/v1/job/missing/services", None, 404, "job not found"),
    ("PUT", "/v1/job/missing/evaluate", None, 404, "job not found"),
    ("PUT", "/v1/job/missing/revert", {"JobID": "missing"}, 404, "job not found"),
    ("PUT", "/v1/job/web/revert", {"JobID": "x"}, 400, "Job ID does not match"),
    ("PUT", "/v1/job/missing/stable", {"JobID": "missing"}, 404, "job not found"),
    ("PUT", "/v1/job/missing/scale", {"Target": {"Group": "x"}}, 404, "job not found"),
    ("PUT", "/v1/job/web/dispatch", {}, 400, "not dispatched by this version"),
    ("PUT", "/v1/job/web/periodic/force", None, 400, "not launched by this version"),
    ("PUT", "/v1/job/web/versions/gold/tag", {"Version": 1}, 400, 'job "web": versions are not tagged by this version'),
    ("GET", "/v1/job/web/evaluate", None, 405, "Invalid method"),
    ("PUT", "/v1/job/web/summary", {}, 405, "Invalid method"),
    ("DELETE", "/v1/jobs", None, 405, "Invalid method"),
    ("POST", "/v1/system/gc", None, 405, "Invalid method"),
    ("DELETE", "/v1/job/web?purge=maybe", None, 400, '"purge" ("maybe") as a bool'),
    ("GET", "/v1/nothing", None, 404, "Invalid URL"),
    ("GET", "/v1/jobs?index=x", None, 400, "Invalid index"),
    ("GET", "/v1/jobs?wait=x", None, 400, "Invalid wait time"),
    ("GET", "/v1/jobs?stale=x", None, 400, "Expect `true` or `false` for `stale` query string parameter"),
    ("GET", "/v1/jobs?region=mars", None, 500, "No path to region"),
    ("GET", "/v1/jobs?per_page=x", None, 400, "per_page"),
    ("GET", "/v1/jobs?filter=%3D%3D", None, 400, "failed to create result paginator: "),
    ("GET", "/v1/allocations?resources=x", None, 400, '"resources" ("x") as a bool'),
    ("GET", "/v1/allocations?prefix=abc", None, 500, "must be even length"),
    ("GET", "/v1/allocations?prefix=zz", None, 500, "Invalid UUID"),
    ("GET", "/v1/allocation/short", None, 500, "UUID must be 36 characters"),
    ("GET", f"/v1/allocation/{new_id()}", None, 404, "alloc not found"),
    ("PUT", f"/v1/allocation/{new_id()}/stop", None, 404, "alloc not found"),
    ("GET", f"/v1/evaluation/{new_id()}", None, 404, "eval not found"),
    ("GET", "/v1/evaluations?status=pending&filter=ID%20%3D%3D%20x", None, 400, "cannot be used with other filter"),
    ("GET", f"/v1/deployment/{new_id()}", None, 404, "deployment not found"),
    ("PUT", f"/v1/deployment/fail/{new_id()}", None, 500, "deployment not found"),
    ("PUT", f"/v1/deployment/pause/{new_id()}", {}, 400, "DeploymentID must be specified"),
    ("PUT", f"/v1/deployment/pause/{new_id()}", {"DeploymentID": new_id()}, 400, "Deployment ID does not match"),
    ("GET", f"/v1/node/{new_id()}", None, 404, "node not found"),
    ("PUT", f"/v1/node/{new_id()}/drain", {}, 404, "node not found"),
    ("GET", "/v1/node/pool/default/nodes?prefix=x", None, 400, "prefix argument not allowed"),
    ("GET", "/v1/namespace/none", None, 404, "Namespace not found"),
    ("PUT", "/v1/namespace/a", {"Name": "b"}, 400, "does not match"),
    ("PUT", "/v1/namespace", {"Name": "a b"}, 400, 'invalid name "a b"'),
    ("PUT", "/v1/acl/bootstrap", None, 400, "ACL bootstrap already done (reset index: 1)"),
    ("GET", f"/v1/acl/token/{new_id()}", None, 404, "ACL token not found"),
    ("PUT", "/v1/acl/token", {}, 400, "not made through this API"),
    ("PUT", "/v1/acl/policy/x", {}, 400, "not made through this API"),
    ("GET", "/v1/volume/csi/x", None, 501, "not part of this version"),
    ("GET", "/v1/quotas", None, 501, "Nomad Enterprise only endpoint"),
    ("GET", "/v1/sentinel/policies", None, 501, "Nomad Enterprise only endpoint"),
    ("PUT", "/v1/recommendations/apply", {}, 501, "Nomad Enterprise only endpoint"),
    ("GET", "/v1/scaling/policy/x", None, 404, "policy not found"),
    ("DELETE", "/v1/operator/raft/peer?address=1.2.3.4:5", None, 400, "by address is not supported"),
    ("PUT", "/v1/operator/scheduler/configuration", {"SchedulerAlgorithm": "x"}, 400, "invalid scheduler algorithm"),
    ("POST", "/v1/search", {"Context": "cows"}, 400, 'context "cows"'),
    ("POST", "/v1/search/fuzzy", {"Text": "x"}, 400, "at least 2 characters"),
    ("GET", "/v1/service/web?choose=x", None, 400, "choose"),
    ("PUT", "/v1/jobs", {"Job": JOB, "PreserveResources": True}, 400, "PreserveResources is not acted on"),
    ("PUT", "/v1/jobs/parse", {"JobHCL": "x" * 1_100_000}, 413, "job source is over the limit"),
    ("PUT", "/v1/jobs", b" " * (4 * 1024 * 1024 + 1), 413, "over the limit"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case[0]} {case[1]} {case[4]}")
async def test_refusals(api, recorder, make_job, case):
    method, path, body, status, text = case
    recorder.put_job(make_job())
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    found, answer, headers = await api.call(method, path, data=data)
    assert (found, text in answer) == (status, True), answer
    assert headers["Content-Type"].startswith("text/plain")
    assert recorder.calls == []


async def test_a_refusal_of_the_orchestrator_is_passed_on(api, recorder):
    recorder.failure = Refused("Enforcing job modify index 3: job does not exist")
    status, body, _ = await api.call("PUT", "/v1/jobs", json={"Job": JOB, "EnforceIndex": True, "JobModifyIndex": 3})
    assert (status, body) == (500, "Enforcing job modify index 3: job does not exist")


async def test_a_defect_shows_a_reference_and_no_traceback(api, recorder):
    recorder.failure = RuntimeError("secret detail")
    status, body, _ = await api.call("PUT", "/v1/jobs", json={"Job": JOB})
    assert status == 500
    assert "secret detail" not in body
    assert "reference" in body


async def test_stopping(api, recorder, make_job):
    recorder.put_job(make_job("a/b"))
    status, _, _ = await api.call(
        "DELETE", "/v1/job/a%2Fb?purge=true&global=false&eval_priority=70&no_shutdown_delay=1"
    )
    assert status == 200
    assert last(recorder) == {
        "namespace": "default", "job_id": "a/b", "purge": True, "eval_priority": 70, "no_shutdown_delay": True,
    }  # fmt: skip


async def test_parse_and_validate(api, recorder):
    _, raw, _ = await api.call("POST", "/v1/jobs/parse", json={"JobHCL": SOURCE, "Canonicalize": False})
    assert raw["ID"] == "web"
    _, job, _ = await api.call("POST", "/v1/jobs/parse", json={"JobHCL": SOURCE, "Canonicalize": True})
    assert job["TaskGroups"][0]["Tasks"][0]["KillTimeout"] == 5_000_000_000
    status, body, _ = await api.call("PUT", "/v1/jobs", json={"Job": raw})
    assert status == 200, body
    with_variable = 'variable "dc" {}\n' + SOURCE.replace('["*"]', "[var.dc]")
    _, raw, _ = await api.call("POST", "/v1/jobs/parse", json={"JobHCL": with_variable, "Variables": 'dc = "dc9"'})
    assert raw["Datacenters"] == ["dc9"]
    _, body, _ = await api.call("POST", "/v1/validate/job", json={"Job": JOB})
    assert (body["ValidationErrors"], body["Error"], body["DriverConfigValidated"]) == (None, "", True)
    _, body, _ = await api.call("POST", "/v1/validate/job", json={"Job": {**JOB, "TaskGroups": None}})
    assert body["ValidationErrors"]
    assert "occurred:" in body["Error"]
    periodic = {**JOB, "Periodic": {"Enabled": True, "Spec": "@daily", "SpecType": "cron"}}
    _, body, _ = await api.call("POST", "/v1/validate/job", json={"Job": periodic})
    assert "periodic" in body["Error"], "what run refuses, validate refuses"
    assert len(recorder.calls) == 1


async def test_reading_a_file_of_the_server_is_impossible(api):
    source = SOURCE.replace('"busybox"', 'file("/etc/hostname")')
    status, body, _ = await api.call("POST", "/v1/jobs/parse", json={"JobHCL": source})
    assert status == 400
    assert "file" in body


async def test_plan_answers_what_would_happen(api, recorder):
    status, body, _ = await api.call("PUT", "/v1/job/web/plan", json={"Job": JOB, "Diff": False})
    assert status == 200
    assert body["Annotations"] == {"DesiredTGUpdates": {}, "PreemptedAllocs": None}
    assert {"FailedTGAllocs", "JobModifyIndex", "CreatedEvals", "Diff", "NextPeriodicLaunch", "Warnings"} <= set(body)
    assert [name for name, _ in recorder.calls] == ["plan_job"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"Target": {"Group": "site"}, "Count": 3}, 200),
        ({"Target": {"Group": "site"}, "Message": "only said"}, 200),
        ({"Target": {"Group": "site"}, "Count": -1}, 400),
        ({"Target": {"Group": "nope"}, "Count": 3}, 400),
        ({"Target": {}, "Count": 3}, 400),
        ({"Target": {"Group": "site"}, "Count": 3, "Error": True}, 400),
        ({"Target": {"Group": "site"}, "Count": 3, "EnforceIndex": True, "JobModifyIndex": 999}, 500),
    ],
)
async def test_scaling(api, recorder, make_job, body, status):
    recorder.put_job(make_job())
    found, answer, _ = await api.call("PUT", "/v1/job/web/scale", json=body)
    assert found == status, answer
    assert bool(recorder.calls) is (status == 200)


async def test_writes_on_nodes(api, recorder, make_node):
    node = make_node()
    recorder.put((KEYS.node(node.ID), node))
    await api.call("PUT", f"/v1/node/{node.ID}/drain", json={"DrainSpec": {"Deadline": -1, "Duration": "-100"}})
    assert last(recorder)["positional"][1].Deadline == -1
    await api.call("POST", f"/v1/node/{node.ID}/drain", json={"DrainSpec": None, "MarkEligible": True})
    assert last(recorder)["positional"][1] is None
    assert last(recorder)["mark_eligible"] is True
    status, body, _ = await api.call("PUT", f"/v1/node/{node.ID}/eligibility", json={"Eligibility": "ineligible"})
    assert (status, last(recorder)["positional"]) == (200, (node.ID, False))
    assert {"NodeModifyIndex", "EvalIDs", "EvalCreateIndex", "Index"} <= set(body)
    status, _, _ = await api.call("PUT", f"/v1/node/{node.ID}/eligibility", json={"Eligibility": "x"})
    assert status == 400


async def test_writes_on_deployments(api, recorder):
    one = Deployment(ID=new_id(), Namespace="default", JobID="web")
    recorder.put((KEYS.deployment(one.ID), one))
    for path, body, call in (
        ("fail", None, "fail_deployment"),
        ("pause", {"DeploymentID": one.ID, "Pause": True}, "pause_deployment"),
        ("promote", {"DeploymentID": one.ID, "All": True}, "promote_deployment"),
        ("allocation-health", {"DeploymentID": one.ID, "HealthyAllocationIDs": [new_id()]}, "set_alloc_health"),
    ):
        status, answer, _ = await api.call("PUT", f"/v1/deployment/{path}/{one.ID}", json=body)
        assert status == 200, answer
        assert recorder.calls[-1][0] == call
        assert "DeploymentModifyIndex" in answer
    status, _, _ = await api.call("PUT", f"/v1/deployment/promote/{one.ID}", json={"DeploymentID": one.ID})
    assert status == 400


async def test_garbage_collection_answers_an_empty_200(api, recorder):
    status, body, _ = await api.call("PUT", "/v1/system/gc")
    assert (status, body) == (200, "")
    assert recorder.calls[-1][0] == "collect_garbage"


async def test_own_token_is_shown_with_the_secret_it_came_with(api, token):
    _, body, _ = await api.get("/v1/acl/token/self")
    assert (body["SecretID"], body["Type"], body["AccessorID"]) == (token, "management", "acc")
    status, body, _ = await api.get("/v1/acl/token/self", headers={"X-Nomad-Token": "wrong"})
    assert (status, body) == (403, "ACL token not found")
