"""A docker service from assignment to end, on a real dockerd."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import aiohttp
import pytest

from kokiris.access.tls import client_context
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.policy import RestartPolicySpec, UpdateStrategy
from kokiris.orchestrator.model.resources import NetworkResource, Port, TaskResources
from kokiris.orchestrator.model.service import Service, ServiceCheck
from kokiris.orchestrator.model.task import Task
from tests.engines.dockerd import BUSYBOX
from tests.engines.internal_api import one_group_job

pytestmark = pytest.mark.engine

SECOND_NS = 1_000_000_000
RUN_ON = RestartPolicySpec(Attempts=2, Interval=1800 * SECOND_NS, Delay=SECOND_NS // 10, Mode="fail")


def shell_task(script: str, name: str = "web", **fields: Any) -> Task:
    """A busybox container running a script."""
    config = {"image": BUSYBOX, "command": "/bin/sh", "args": ["-c", script], **fields.pop("config", {})}
    defaults: dict[str, Any] = {
        "Driver": "docker",
        "RestartPolicy": RUN_ON,
        "Resources": TaskResources(CPU=50, MemoryMB=32),
        "KillTimeout": SECOND_NS,
    }
    return Task(Name=name, Config=config, **{**defaults, **fields})


SERVE = 'trap "exit 0" TERM; echo started; echo hello > /tmp/index.html; httpd -f -p 8080 -h /tmp & wait'


def web_job(**group_fields: Any) -> Job:
    check = ServiceCheck(Name="alive", Type="http", Path="/", Interval=5 * SECOND_NS, Timeout=SECOND_NS)
    group = TaskGroup(
        Name="app",
        Tasks=[shell_task(SERVE)],
        Networks=[NetworkResource(Mode="bridge", DynamicPorts=[Port(Label="http", To=8080)])],
        Services=[Service(Name="web", PortLabel="http", Checks=[check])],
        Update=UpdateStrategy(MinHealthyTime=SECOND_NS // 10, HealthyDeadline=60 * SECOND_NS),
        **group_fields,
    )
    return one_group_job(group)


async def node_get(bed: Any, path: str, **params: str) -> tuple[int, str]:
    """The node API, as a server calls it."""
    context: ssl.SSLContext = client_context(bed.layout)
    url = f"https://127.0.0.1:{bed.config.ports.node}{path}"
    async with aiohttp.ClientSession() as session, session.get(url, params=params, ssl=context) as answer:
        return answer.status, await answer.text()


async def test_service_runs_passes_its_check_and_stops(bed: Any) -> None:
    await bed.start_worker()
    port = 24101
    alloc_id = await bed.api.assign(web_job(), ports={"http": (port, 8080)}, DeploymentID="d1")
    client = await bed.api.until(alloc_id, lambda one: one.Healthy is True)
    assert client.ClientStatus == "running"
    [status] = client.Checks.values()
    assert (status.Status, status.StatusCode) == ("success", 200)
    events = [event.Type for event in client.TaskStates["web"].Events]
    assert events[0] == "Received"
    assert "Started" in events

    async with aiohttp.ClientSession() as session, session.get(f"http://{bed.api.node_address()}:{port}/") as answer:
        assert (await answer.text()).strip() == "hello"

    async def logged() -> bool:
        _, text = await node_get(bed, f"/v1/client/fs/logs/{alloc_id}", task="web", type="stdout", plain="true")
        return text == "started\n"

    async with asyncio.timeout(20):
        while not await logged():
            await asyncio.sleep(0.05)

    await bed.api.stop_alloc(alloc_id)
    client = await bed.api.until_status(alloc_id, "complete")
    events = [event.Type for event in client.TaskStates["web"].Events]
    assert events[-3:] == ["Killing", "Terminated", "Killed"]
    assert client.TaskStates["web"].Events[-2].ExitCode == 0
    assert bed.dockerd.containers({**bed.labels, "kokiris.alloc": alloc_id}) == []
