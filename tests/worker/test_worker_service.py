"""A docker service from assignment to end, on a real dockerd."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import aiohttp
import pytest

from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.model.policy import UpdateStrategy
from kokiris.orchestrator.model.service import CheckRestartSpec, Service, ServiceCheck
from tests.engines.jobs import (
    SECOND_NS,
    SERVE,
    bridge,
    check_status,
    container,
    event_types,
    job,
    messages,
    restart_policy,
)

pytestmark = pytest.mark.engine


def web_job(check: ServiceCheck | None = None, script: str = SERVE, **group: Any) -> Job:
    alive = ServiceCheck(Name="alive", Type="http", Path="/", Interval=5 * SECOND_NS, Timeout=SECOND_NS)
    return job(
        container(script),
        Networks=bridge(http=8080),
        Services=[Service(Name="web", PortLabel="http", Checks=[check or alive])],
        Update=UpdateStrategy(MinHealthyTime=SECOND_NS // 10, HealthyDeadline=60 * SECOND_NS),
        **group,
    )


async def test_service_runs_passes_its_check_and_stops(bed: Any) -> None:
    await bed.start_worker()
    port = bed.port()
    alloc_id = await bed.api.assign(web_job(), ports={"http": (port, 8080)}, DeploymentID="d1")
    client = await bed.api.until(alloc_id, lambda one: one.Healthy is True)
    assert client.ClientStatus == "running"
    [status] = client.Checks.values()
    assert (status.Status, status.StatusCode) == ("success", 200)
    events = event_types(client.TaskStates["web"])
    assert events[0] == "Received"
    assert "Started" in events

    async with aiohttp.ClientSession() as session, session.get(f"http://{bed.api.node_address()}:{port}/") as answer:
        assert (await answer.text()).strip() == "hello"

    async def logged() -> bool:
        _, text = await bed.node_get(f"/v1/client/fs/logs/{alloc_id}", task="web", type="stdout", plain="true")
        return text == "started\n"

    async with asyncio.timeout(60):
        while not await logged():
            await asyncio.sleep(0.05)

    await bed.api.stop_alloc(alloc_id)
    client = await bed.api.until_status(alloc_id, "complete")
    events = event_types(client.TaskStates["web"])
    assert events[-3:] == ["Killing", "Terminated", "Killed"]
    assert client.TaskStates["web"].Events[-2].ExitCode == 0
    assert bed.dockerd.containers({**bed.labels, "kokiris.alloc": alloc_id}) == []


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
async def test_a_port_that_is_somebody_elses_is_given_back(bed: Any, kind: socket.SocketKind) -> None:
    await bed.start_worker()
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind((bed.api.node_address(), 0))
        if kind is socket.SOCK_STREAM:
            other.listen()
        port = other.getsockname()[1]
        alloc_id = await bed.api.assign(web_job(), ports={"http": (port, 8080)})
        client = await bed.api.until_status(alloc_id, "lost")
        said = f"host port {port} (http) is taken on this node by somebody else"
        assert client.ClientDescription.startswith(said)
        [event] = client.TaskStates["web"].Events
        assert (event.Type, event.DisplayMessage) == ("Setup Failure", client.ClientDescription)
        assert not client.TaskStates["web"].Failed
        assert bed.dockerd.containers({**bed.labels, "kokiris.alloc": alloc_id}) == []
        kept = await bed.api.assign(web_job(PreventRescheduleOnLost=True), ports={"http": (port, 8080)})
        client = await bed.api.until_status(kept, "failed")
        assert client.TaskStates["web"].Events[0].DisplayMessage == said
    await bed.stop_worker()
    bed.api.clients.clear()
    await bed.start_worker()
    await bed.api.until_status(alloc_id, "lost")


async def test_crash_is_restarted_by_policy_then_fails(bed: Any) -> None:
    await bed.start_worker()
    alloc_id = await bed.api.assign(job(container("exit 3")))
    client = await bed.api.until_status(alloc_id, "failed")
    state = client.TaskStates["web"]
    assert state.Failed
    assert state.Restarts == 2
    assert event_types(state)[-1] == "Not Restarting"
    assert 'Exceeded allowed attempts 2 in interval 30m0s and mode is "fail"' in messages(state)
    assert "Exit Code: 3" in messages(state)


async def test_unknown_image_says_which_from_where_and_why(bed: Any) -> None:
    await bed.start_worker()
    task = container("true", RestartPolicy=restart_policy(0), Config={"image": "127.0.0.1:1/no/such:tag"})
    client = await bed.api.until_status(await bed.api.assign(job(task)), "failed")
    state = client.TaskStates["web"]
    assert "Driver Failure" in event_types(state)
    assert 'Failed to pull image "127.0.0.1:1/no/such:tag" from 127.0.0.1:1: ' in messages(state)
    assert "refused" in messages(state)


async def test_batch_job_completes(bed: Any) -> None:
    await bed.start_worker()
    alloc_id = await bed.api.assign(job(container("echo done"), kind="batch"))
    client = await bed.api.until_status(alloc_id, "complete")
    assert client.TaskStates["web"].Restarts == 0
    assert await bed.logs(alloc_id) == "done\n"


async def test_stop_waits_until_the_edges_have_released_the_instance(bed: Any) -> None:
    await bed.start_worker()
    port = bed.port()
    alloc_id = await bed.api.assign(web_job(), ports={"http": (port, 8080)})
    await bed.api.until(alloc_id, lambda one: check_status(one) == "success")
    bed.api.released.clear()
    await bed.api.stop_alloc(alloc_id)
    async with asyncio.timeout(60):
        while not bed.api.released_asked:
            await asyncio.sleep(0.01)
    assert bed.api.released_asked == [[f"_nomad-task-{alloc_id}-group-app-web-http"]]
    assert bed.api.clients[alloc_id].ClientStatus == "running"
    async with aiohttp.ClientSession() as session, session.get(f"http://{bed.api.node_address()}:{port}/") as answer:
        assert answer.status == 200
    bed.api.released.set()
    client = await bed.api.until_status(alloc_id, "complete")
    assert "Killing" in event_types(client.TaskStates["web"])


async def test_stop_waits_through_an_outage_of_the_servers(bed: Any, caplog: pytest.LogCaptureFixture) -> None:
    """HAProxy goes on sending requests to the instance while the servers are away, and some are under way."""
    await bed.start_worker()
    port = bed.port()
    alloc_id = await bed.api.assign(web_job(), ports={"http": (port, 8080)})
    await bed.api.until(alloc_id, lambda one: next(iter(one.Checks.values())).Status == "success")
    bed.api.released.clear()
    await bed.api.stop_alloc(alloc_id)
    async with asyncio.timeout(60):
        while not bed.api.released_asked:
            await asyncio.sleep(0.01)
        caplog.set_level("INFO")
        await bed.api.stop()
        while "nobody says yet" not in caplog.text and "without the edges' word" not in caplog.text:
            await asyncio.sleep(0.01)
        bed.api.released_asked.clear()
        await bed.api.start(bed.api.port)
        while not bed.api.released_asked:
            await asyncio.sleep(0.01)
    async with aiohttp.ClientSession() as session, session.get(f"http://{bed.api.node_address()}:{port}/") as answer:
        assert answer.status == 200
    bed.api.released.set()
    client = await bed.api.until_status(alloc_id, "complete")
    assert "Killing" in event_types(client.TaskStates["web"])


async def test_failing_check_restarts_the_task_by_check_restart(bed: Any) -> None:
    await bed.start_worker()
    check = ServiceCheck(
        Name="alive",
        Type="http",
        Path="/missing",
        Interval=SECOND_NS,
        Timeout=SECOND_NS,
        CheckRestart=CheckRestartSpec(Limit=2, Grace=0),
    )
    alloc_id = await bed.api.assign(web_job(check), ports={"http": (bed.port(), 8080)})
    client = await bed.api.until(alloc_id, lambda one: one.TaskStates["web"].Restarts > 0)
    assert 'healthcheck: check "alive" unhealthy' in messages(client.TaskStates["web"])
    [status] = client.Checks.values()
    assert status.Status != "success"


async def test_a_dead_task_fails_its_check_at_once(bed: Any) -> None:
    await bed.start_worker()
    check = ServiceCheck(Name="alive", Type="tcp", Interval=3600 * SECOND_NS, Timeout=SECOND_NS)
    wait_for_order = f"{SERVE.removesuffix('wait')} while [ ! -e /alloc/die ]; do sleep 0.05; done; exit 1"
    alloc_id = await bed.api.assign(web_job(check, wait_for_order), ports={"http": (bed.port(), 8080)})
    await bed.api.until(alloc_id, lambda one: check_status(one) == "success")
    (bed.layout.allocs / alloc_id / "alloc" / "die").touch()
    client = await bed.api.until(alloc_id, lambda one: check_status(one) == "failure")
    assert "does not run" in next(iter(client.Checks.values())).Output
    (bed.layout.allocs / alloc_id / "alloc" / "die").unlink()
    await bed.api.until(alloc_id, lambda one: check_status(one) == "success")


async def test_forgotten_allocation_is_stopped_and_collected(bed: Any) -> None:
    await bed.start_worker()
    alloc_id = await bed.api.assign(job(container("sleep 3600")))
    await bed.api.until_status(alloc_id, "running")
    await bed.api.forget(alloc_id)
    async with asyncio.timeout(60):
        while (bed.layout.allocs / alloc_id).exists() or bed.dockerd.containers(bed.labels):
            await asyncio.sleep(0.05)


async def test_servers_away_for_a_while_miss_nothing(bed: Any) -> None:
    await bed.start_worker()
    alloc_id = await bed.api.assign(job(container("while [ ! -e /alloc/die ]; do sleep 0.05; done"), kind="batch"))
    await bed.api.until_status(alloc_id, "running")
    port = bed.api.port
    await bed.api.stop()
    (bed.layout.allocs / alloc_id / "alloc" / "die").touch()
    async with asyncio.timeout(60):
        while bed.dockerd.containers(bed.labels):
            await asyncio.sleep(0.05)
    await bed.api.start(port)
    await bed.api.until_status(alloc_id, "complete")
