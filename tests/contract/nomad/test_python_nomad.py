"""python-nomad, unchanged, against the API over a real core: every call its own tests make live."""

from __future__ import annotations

import asyncio
import json
import queue

import nomad
import pytest

from tests.orchestrator.core.bed import until

JOB = {
    "Job": {
        "ID": "example/web",
        "Name": "example",
        "Type": "service",
        "Datacenters": ["dc1"],
        "Update": {"MaxParallel": 1, "MinHealthyTime": 0, "HealthyDeadline": 300_000_000_000},
        "TaskGroups": [
            {
                "Name": "cache",
                "Count": 2,
                "Tasks": [
                    {
                        "Name": "redis",
                        "Driver": "docker",
                        "Config": {"image": "redis:7"},
                        "Resources": {"CPU": 100, "MemoryMB": 64},
                    }
                ],
            }
        ],
    }
}
ID = "example/web"
SOURCE = 'job "example" {\n datacenters = ["dc1"]\n group "g" {\n task "t" {\n driver = "raw_exec"\n config {\n'
SOURCE += ' command = "/bin/true"\n }\n }\n }\n}\n'


@pytest.fixture
async def running(bed, worker, client, ask):
    """The job registered and both its allocations running."""
    answer = await ask(client.job.register_job, ID, JOB)
    await until(lambda: len(bed.allocs(ID, ClientStatus="running")) == 2, "two allocations run")
    return answer


async def test_registration_and_reads(bed, client, ask, running):
    assert running["EvalID"]
    assert (await ask(client.job.get_job, ID))["ID"] == ID
    assert [one["ID"] for one in await ask(client.jobs.get_jobs, prefix="exam")] == [ID]
    assert ID in await ask(lambda: [job["ID"] for job in client.jobs])
    assert await ask(lambda: ID in client.job)
    assert await ask(lambda: "example" in client.jobs) in {True, False}
    assert len(await ask(client.job.get_allocations, ID)) == 2
    evaluations = await ask(client.job.get_evaluations, ID)
    assert running["EvalID"] in {one["ID"] for one in evaluations}
    versions = await ask(client.job.get_versions, ID)
    assert [one["Version"] for one in versions["Versions"]] == [0]
    summary = await ask(client.job.get_summary, ID)
    assert summary["Summary"]["cache"]["Running"] == 2
    assert isinstance(await ask(client.job.get_deployments, ID), list)
    await ask(client.job.get_deployment, ID)
    with pytest.raises(nomad.api.exceptions.URLNotFoundNomadException):
        await ask(client.job.get_job, "missing")


async def test_registering_through_jobs_and_evaluating(client, ask, running):
    again = await ask(client.jobs.register_job, JOB)
    assert again["EvalID"] != running["EvalID"]
    assert again["JobModifyIndex"] == running["JobModifyIndex"]
    assert (await ask(client.job.evaluate_job, ID))["EvalID"]


async def test_plan_changes_nothing(bed, client, ask, running):
    changed = json.loads(json.dumps(JOB))
    changed["Job"]["TaskGroups"][0]["Count"] = 3
    before = bed.state.revision
    plan = await ask(client.job.plan_job, ID, changed)
    assert plan["Annotations"]["DesiredTGUpdates"]["cache"]["Place"] == 1
    assert plan["JobModifyIndex"] == running["JobModifyIndex"]
    assert bed.state.job("default", ID).TaskGroups[0].Count == 2
    assert bed.state.revision >= before


async def test_parse_and_validate(client, ask):
    assert (await ask(client.jobs.parse, SOURCE))["ID"] == "example"
    job = {"Job": await ask(client.jobs.parse, SOURCE, canonicalize=True)}
    answer = await ask(client.validate.validate_job, job)
    assert answer.status_code == 200
    with pytest.raises(nomad.api.exceptions.BadRequestNomadException):
        await ask(client.validate.validate_job, {})


async def test_revert_and_stability(bed, client, ask, running):
    changed = json.loads(json.dumps(JOB))
    changed["Job"]["Meta"] = {"release": "2"}
    await ask(client.job.register_job, ID, changed)
    answer = await ask(client.job.stable_job, ID, 1, True)
    assert answer["Index"]
    assert (await ask(client.job.revert_job, ID, 0, 1))["EvalID"]
    assert (await ask(client.job.get_job, ID))["Version"] == 2
    with pytest.raises(nomad.api.exceptions.BaseNomadException):
        await ask(client.job.revert_job, ID, 2)


async def test_dispatch_and_periodic_are_refused_by_name(client, ask, running):
    with pytest.raises(nomad.api.exceptions.BadRequestNomadException) as refused:
        await ask(client.job.dispatch_job, ID, meta={"k": "v"})
    assert "dispatched" in refused.value.nomad_resp.text
    with pytest.raises(nomad.api.exceptions.BadRequestNomadException):
        await ask(client.job.periodic_job, ID)


async def test_deregistration(bed, client, ask, running):
    assert (await ask(client.job.deregister_job, ID))["EvalID"]
    assert (await ask(client.job.get_job, ID))["Stop"] is True
    await until(lambda: not bed.allocs(ID, ClientStatus="running"), "stopped")
    await ask(client.job.deregister_job, ID, purge=True)
    with pytest.raises(nomad.api.exceptions.URLNotFoundNomadException):
        await ask(client.job.get_job, ID)


async def test_allocations(bed, client, ask, running):
    stubs = await ask(client.allocations.get_allocations)
    assert len(stubs) == 2
    assert all(one["AllocatedResources"] is None for one in stubs)
    resources = await ask(client.allocations.get_allocations, resources=True, task_states=False)
    assert resources[0]["AllocatedResources"]["Tasks"]["redis"]
    assert resources[0]["TaskStates"] is None
    filtered = await ask(client.allocations.get_allocations, filter_='ClientStatus == "running"')
    assert len(filtered) == 2
    one = await ask(client.allocation.get_allocation, stubs[0]["ID"])
    assert one["Job"]["ID"] == ID
    assert (await ask(client.allocation.stop_allocation, one["ID"]))["EvalID"]
    await until(lambda: len(bed.allocs(ID)) == 3, "replaced")


async def test_evaluations(client, ask, running):
    listed = await ask(client.evaluations.get_evaluations)
    assert running["EvalID"] in {one["ID"] for one in listed}
    prefixed = await ask(client.evaluations.get_evaluations, prefix=running["EvalID"][:8])
    assert len(prefixed) == 1
    one = await ask(client.evaluation.get_evaluation, running["EvalID"])
    assert one["JobID"] == ID
    assert len(await ask(client.evaluation.get_allocations, running["EvalID"])) >= 1


async def test_deployments(client, ask, running):
    listed = await ask(client.deployments.get_deployments)
    for one in listed:
        assert (await ask(client.deployment.get_deployment, one["ID"]))["JobID"] == ID
        assert isinstance(await ask(client.deployment.get_deployment_allocations, one["ID"]), list)
    unknown = "00000000-0000-0000-0000-000000000000"
    with pytest.raises(nomad.api.exceptions.URLNotFoundNomadException):
        await ask(client.deployment.get_deployment, unknown)
    for call in (client.deployment.fail_deployment, client.deployment.promote_deployment_all):
        with pytest.raises(nomad.api.exceptions.BaseNomadException):
            await ask(call, unknown)


async def test_nodes(bed, worker, client, ask, running):
    (node,) = await ask(client.nodes.get_nodes)
    node_id = node["ID"]
    (rich,) = await ask(client.nodes.get_nodes, resources=True, os=True)
    assert rich["NodeResources"]["Memory"]["MemoryMB"] == 16000
    assert "os.name" in rich["Attributes"]
    assert (await ask(client.node.get_node, node_id))["Status"] == "ready"
    assert len(await ask(client.node.get_allocations, node_id)) == 2
    assert "EvalIDs" in await ask(client.node.evaluate_node, node_id)
    await ask(client.node.eligible_node, node_id, eligible=False)
    assert bed.state.nodes[node_id].SchedulingEligibility == "ineligible"
    await ask(client.node.eligible_node, node_id, eligible=True)
    assert bed.state.nodes[node_id].SchedulingEligibility == "eligible"
    assert "NodeModifyIndex" in await ask(client.node.drain_node_with_spec, node_id, {"Duration": "-100000000"})
    assert bed.state.nodes[node_id].LastDrain.Status in {"draining", "complete"}  # with nothing left to move it ends
    await ask(client.node.drain_node_with_spec, node_id, {}, mark_eligible=True)
    assert bed.state.nodes[node_id].DrainStrategy is None
    await ask(client.node.drain_node, node_id, enable=True)
    await ask(client.node.drain_node, node_id, enable=False)
    assert bed.state.nodes[node_id].SchedulingEligibility == "eligible"


async def test_client_calls_reach_the_worker(bed, client, ask, running):
    alloc_id = bed.allocs(ID)[0].ID
    assert (await ask(client.client.ls.list_files, alloc_id))[0]["Name"] == "busy.stdout.0"
    assert (await ask(client.client.stat.stat_file, alloc_id, "/busy.stdout.0"))["Size"] == 6
    assert await ask(client.client.cat.read_file, alloc_id, "/busy.stdout.0") == "hello\n"
    assert await ask(client.client.read_at.read_file_offset, alloc_id, 0, 3, "/busy.stdout.0") == "hel"
    assert "Data" in await ask(client.client.stream_file.stream, alloc_id, 0, "start", "/busy.stdout.0")
    with pytest.raises(nomad.api.exceptions.BaseNomadException):
        await ask(client.client.stream_file.stream, alloc_id, 0, "start", "/missing")
    assert await ask(client.client.stream_logs.stream, alloc_id, "redis", "stdout", plain=True) == "hello\n"
    assert "CPUTicksConsumed" in await ask(client.client.stats.read_stats)
    assert "Tasks" in await ask(client.client.allocation.read_allocation_stats, alloc_id)
    assert "Index" in await ask(client.client.allocation.restart_allocation, alloc_id)
    assert "Index" in await ask(client.client.allocation.signal_allocation, alloc_id, "SIGHUP")
    with pytest.raises(nomad.api.exceptions.BaseNomadException) as refused:
        await ask(client.client.allocation.signal_allocation, alloc_id, "nonsense")
    assert "invalid signal" in refused.value.nomad_resp.text
    await ask(client.client.gc_allocation.garbage_collect, alloc_id)
    await ask(client.client.gc_all_allocations.garbage_collect)


async def test_agent_status_operator_and_system(client, ask):
    assert await ask(client.status.leader.get_leader)
    assert await ask(client.status.peers.get_peers)
    assert await ask(client.regions.get_regions) == ["global"]
    assert (await ask(client.agent.get_agent))["member"]
    assert (await ask(client.agent.get_members))["Members"]
    assert await ask(client.agent.get_servers)
    assert (await ask(client.agent.join_agent, "nope"))["num_joined"] == 0
    assert await ask(client.agent.force_leave, "nope") == 200
    for stale in (False, True):
        assert (await ask(client.operator.get_configuration, stale=stale))["Servers"]
    with pytest.raises(nomad.api.exceptions.BadRequestNomadException):
        await ask(client.operator.delete_peer, "127.0.0.1:4647")
    assert (await ask(client.metrics.get_metrics))["Gauges"]
    assert await ask(client.system.reconcile_summaries)


async def test_garbage_collection(client, ask):
    assert await ask(client.system.initiate_garbage_collection)


async def test_search(client, ask, running):
    found = await ask(client.search.search, "example", "jobs")
    assert found["Matches"]["jobs"] == [ID]
    found = await ask(client.search.fuzzy_search, "redis", "all")
    assert found["Matches"]["tasks"][0]["ID"] == "redis"


async def test_lists_of_what_there_is_none_of(client, ask):
    assert await ask(client.variables.get_variables) == []
    assert await ask(client.scaling.get_scaling_policies) == []
    assert await ask(client.acl.get_policies) == []
    assert (await ask(client.namespaces.get_namespaces))[0]["Name"] == "default"
    with pytest.raises(nomad.api.exceptions.URLNotFoundNomadException):
        await ask(client.scaling.get_scaling_policy, "none")


async def test_tokens(base, client, ask):
    assert (await ask(client.acl.get_self_token))["Type"] == "management"
    with pytest.raises(nomad.api.exceptions.BadRequestNomadException) as refused:
        await ask(client.acl.generate_bootstrap)
    assert refused.value.nomad_resp.text.startswith("ACL bootstrap already done (reset index: ")
    stranger = nomad.Nomad(address=base, token="wrong", timeout=30)
    with pytest.raises(nomad.api.exceptions.URLNotAuthorizedNomadException):
        await ask(stranger.jobs.get_jobs)


async def test_namespaces_are_made_and_removed(bed, client, ask):
    await ask(client.namespace.create_namespace, {"Name": "apps", "Description": "x"})
    assert (await ask(client.namespace.get_namespace, "apps"))["Description"] == "x"
    job = json.loads(json.dumps(JOB))
    job["Job"]["Namespace"] = "apps"
    await ask(client.jobs.register_job, job)
    assert bed.state.job("apps", ID) is not None
    with pytest.raises(nomad.api.exceptions.BaseNomadException):
        await ask(client.namespace.delete_namespace, "apps")
    with pytest.raises(nomad.api.exceptions.BaseNomadException):
        await ask(client.namespace.delete_namespace, "default")


async def test_the_event_stream(client, ask, worker):
    stream, leave, events = client.event.stream.get_stream(topic={"Job": "*"}, timeout=30)
    stream.daemon = True
    stream.start()
    await asyncio.sleep(0)
    await ask(client.job.register_job, ID, JOB)
    seen = []
    while not seen:
        try:
            batch = await ask(events.get, timeout=30)
        except queue.Empty:
            pytest.fail("no event in 30 s")
        seen = [one for one in batch["Events"] if one["Type"] == "JobRegistered"]
    assert seen[0]["Key"] == ID
    leave.set()
    await ask(client.job.evaluate_job, ID)  # its thread looks at the flag when a line comes
    await ask(client.job.deregister_job, ID)
    await ask(stream.join, 30)
    assert not stream.is_alive()
