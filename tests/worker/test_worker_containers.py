"""Limits that hold, networks, volumes, hooks: on a real dockerd."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from kokiris.orchestrator.model.resources import NetworkResource, Port, TaskResources
from kokiris.orchestrator.model.task import LogConfigSpec, TaskLifecycle
from tests.engines.jobs import bridge, container, event_types, job, messages, restart_policy

pytestmark = pytest.mark.engine


async def fetch(address: str, port: int) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}:{port}/") as answer:
        return (await answer.text()).strip()


async def test_memory_limit_kills(bed: Any) -> None:
    await bed.start_worker()
    task = container(
        "x=a; while :; do x=$x$x; done", RestartPolicy=restart_policy(0), Resources=TaskResources(CPU=50, MemoryMB=16)
    )
    client = await bed.api.until_status(await bed.api.assign(job(task)), "failed")
    assert "OOM Killed" in messages(client.TaskStates["web"])


async def test_cpu_hard_limit_limits(bed: Any) -> None:
    await bed.start_worker()
    compute = int(bed.api.node.Attributes["cpu.totalcompute"])
    cores = int(bed.api.node.Attributes["cpu.numcores"])
    tenth_of_a_core = compute // cores // 10
    task = container(
        "while :; do :; done",
        Resources=TaskResources(CPU=tenth_of_a_core, MemoryMB=16),
        Config={"cpu_hard_limit": True},
    )
    alloc_id = await bed.api.assign(job(task))
    await bed.api.until_status(alloc_id, "running")
    [found] = bed.dockerd.containers(bed.labels)
    host = bed.dockerd.inspect(found["Id"])["HostConfig"]
    assert host["CpuQuota"] / host["CpuPeriod"] == pytest.approx(0.1, rel=0.02)

    async def throttled() -> int:
        status, text = await bed.node_get(f"/v1/client/allocation/{alloc_id}/stats")
        assert status == 200
        import json

        return int(json.loads(text)["Tasks"]["web"]["ResourceUsage"]["CpuStats"]["ThrottledPeriods"])

    async with asyncio.timeout(60):
        while await throttled() < 5:
            await asyncio.sleep(0.1)


async def test_tasks_of_a_bridge_group_share_localhost(bed: Any) -> None:
    await bed.start_worker()
    port = bed.port()
    site = container("mkdir /tmp/w; echo shared > /tmp/w/index.html; exec httpd -f -p 8080 -h /tmp/w", name="site")
    ask = container(
        'while ! printf "GET / HTTP/1.0\\r\\n\\r\\n" | nc 127.0.0.1 8080 | grep shared; do sleep 0.1; done; sleep 3600',
        name="ask",
    )
    alloc_id = await bed.api.assign(job(site, ask, Networks=bridge(http=8080)), ports={"http": (port, 8080)})
    await bed.until_logged(alloc_id, "shared", task="ask")
    assert await fetch(bed.api.node_address(), port) == "shared"
    names = {one["Labels"]["kokiris.task"] for one in bed.dockerd.containers(bed.labels)}
    assert names == {"_pause", "site", "ask"}
    await bed.api.stop_alloc(alloc_id)
    await bed.api.until_status(alloc_id, "complete")
    assert bed.dockerd.containers(bed.labels) == []


async def test_host_network(bed: Any) -> None:
    await bed.start_worker()
    port = bed.port()
    script = "mkdir /tmp/w; echo on-host > /tmp/w/index.html; exec httpd -f -p $NOMAD_PORT_http -h /tmp/w"
    task = container(script, Config={"network_mode": "host"})
    networks = [NetworkResource(Mode="host", DynamicPorts=[Port(Label="http")])]
    alloc_id = await bed.api.assign(job(task, Networks=networks), ports={"http": (port, 0)})
    await bed.api.until_status(alloc_id, "running")
    async with asyncio.timeout(60):
        while True:
            try:
                assert await fetch("127.0.0.1", port) == "on-host"
                return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


async def test_static_port_of_a_host_group_is_published_where_ports_names_it(bed: Any) -> None:
    await bed.start_worker()
    port = bed.port()
    task = container(
        "mkdir /tmp/w; echo static > /tmp/w/index.html; exec httpd -f -p 8080 -h /tmp/w", Config={"ports": ["http"]}
    )
    networks = [NetworkResource(Mode="host", ReservedPorts=[Port(Label="http", Value=port, To=8080)])]
    alloc_id = await bed.api.assign(job(task, Networks=networks), ports={"http": (port, 8080)})
    await bed.api.until_status(alloc_id, "running")
    async with asyncio.timeout(60):
        while True:
            try:
                assert await fetch(bed.api.node_address(), port) == "static"
                return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


async def test_a_busy_port_that_the_job_names_is_a_clear_driver_failure(bed: Any) -> None:
    await bed.start_worker()
    server = await asyncio.start_server(lambda r, w: w.close(), bed.api.node_address(), 0)
    port = server.sockets[0].getsockname()[1]
    task = container("sleep 3600", RestartPolicy=restart_policy(0))
    network = NetworkResource(Mode="bridge", ReservedPorts=[Port(Label="http", Value=port, To=8080)])
    alloc_id = await bed.api.assign(job(task, Networks=[network]), ports={"http": (port, 8080)})
    client = await bed.api.until_status(alloc_id, "failed")
    assert f":{port}" in messages(client.TaskStates["web"])
    server.close()


async def test_unknown_port_label_and_wrong_values_are_named(bed: Any) -> None:
    await bed.start_worker()
    for config, said in (
        ({"ports": ["nope"]}, 'config.ports names "nope"'),
        ({"pids_limit": "many"}, "config.pids_limit"),
        ({"volumes": ["../../..:/x"]}, "leaves the task's folder"),
        ({"command": "/no/such"}, "no such file"),
    ):
        task = container("true", Config=config, RestartPolicy=restart_policy(0))
        client = await bed.api.until_status(await bed.api.assign(job(task)), "failed")
        assert said in messages(client.TaskStates["web"]), config


async def test_hooks_leader_and_siblings(bed: Any) -> None:
    await bed.start_worker()
    before = container("echo before >> /alloc/order", name="before", Lifecycle=TaskLifecycle(Hook="prestart"))
    side = container(
        "echo side >> /alloc/order; trap 'exit 0' TERM; sleep 3600 & wait",
        name="side",
        Lifecycle=TaskLifecycle(Hook="prestart", Sidecar=True),
    )
    main = container("sleep 0.3; echo main >> /alloc/order", name="main")
    after = container("echo after >> /alloc/order", name="after", Lifecycle=TaskLifecycle(Hook="poststop"))
    alloc_id = await bed.api.assign(job(main, before, side, after, kind="batch"))
    client = await bed.api.until_status(alloc_id, "complete")
    assert "Main Tasks Dead" in event_types(client.TaskStates["side"])
    order = (bed.layout.allocs / alloc_id / "alloc" / "order").read_text().split()
    assert sorted(order[:2]) == ["before", "side"]
    assert order[2:] == ["main", "after"]


async def test_a_failed_task_ends_its_siblings(bed: Any) -> None:
    await bed.start_worker()
    bad = container("exit 1", name="bad", RestartPolicy=restart_policy(0))
    good = container("trap 'exit 0' TERM; sleep 3600 & wait", name="good")
    alloc_id = await bed.api.assign(job(bad, good))
    client = await bed.api.until(alloc_id, lambda one: one.TaskStates["good"].State == "dead")
    assert client.ClientStatus == "failed"
    assert 'Task\'s sibling "bad" failed' in messages(client.TaskStates["good"])


async def test_environment_folders_and_log_rotation(bed: Any) -> None:
    await bed.start_worker()
    padding = "padding-" * 5
    script = f"i=0; while [ $i -lt 30000 ]; do echo $i {padding}; i=$((i+1)); done"
    task = container(
        script,
        LogConfig=LogConfigSpec(MaxFiles=2, MaxFileSizeMB=1),
        Env={"NOMAD_COPY": "${NOMAD_JOB_ID}/${node.unique.name}/${attr.kernel.name}"},
    )
    alloc_id = await bed.api.assign(job(task, kind="batch"))
    await bed.api.until_status(alloc_id, "complete")
    logs = bed.layout.allocs / alloc_id / "alloc" / "logs"
    names = sorted(path.name for path in logs.iterdir() if "stdout" in path.name)
    assert len(names) == 2
    text = "".join((logs / name).read_text() for name in names)
    assert text.endswith(f"29999 {padding}\n")
    numbers = [int(line.split()[0]) for line in text.splitlines()]
    assert numbers == list(range(numbers[0], 30000))
    small = container("env | grep ^NOMAD_ | sort; ls -d /alloc /local /secrets", Env=task.Env)
    alloc_id = await bed.api.assign(job(small, kind="batch"))
    await bed.api.until_status(alloc_id, "complete")
    text = await bed.logs(alloc_id)
    for line in (
        "NOMAD_TASK_DIR=/local",
        "NOMAD_ALLOC_INDEX=0",
        "NOMAD_MEMORY_LIMIT=32",
        "NOMAD_COPY=web/node1/linux",
        f"NOMAD_ALLOC_ID={alloc_id}",
        "/secrets",
    ):
        assert line in text


async def test_last_words_without_a_line_end_are_kept(bed: Any) -> None:
    await bed.start_worker()
    words = container("echo first; sleep 1; printf last", RestartPolicy=restart_policy(0))
    alloc_id = await bed.api.assign(job(words, kind="batch"))
    await bed.api.until_status(alloc_id, "complete")
    assert await bed.logs(alloc_id) == "first\nlast"
