"""A worker that is killed with -9 and returns: nothing is lost, nothing runs twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kokiris.orchestrator.model.service import Service, ServiceCheck
from tests.engines.jobs import SECOND_NS, SERVE, bridge, check_status, container, event_types, job, process

pytestmark = pytest.mark.engine

COUNT = "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.005; done"


def exact(text: str) -> int:
    """How many lines; they must be 0, 1, 2… each once."""
    numbers = [int(line.split()[1]) for line in text.splitlines()]
    assert numbers == list(range(len(numbers)))
    return len(numbers)


@pytest.mark.parametrize("make", [container, process])
async def test_killed_worker_finds_its_tasks_again(bed: Any, make: Any) -> None:
    await bed.start_process()
    alloc_id = await bed.api.assign(job(make(COUNT)))
    await bed.until_logged(alloc_id, "line 50\n")
    before = bed.dockerd.containers(bed.labels)
    for _ in range(2):
        bed.kill_process()
        await asyncio.sleep(0.3)
        await bed.start_process()
        seen = exact(await bed.logs(alloc_id))
        await bed.until_logged(alloc_id, f"line {seen + 50}\n")
    exact(await bed.logs(alloc_id))
    after = bed.dockerd.containers(bed.labels)
    assert [one["Id"] for one in after] == [one["Id"] for one in before]
    state = bed.api.clients[alloc_id].TaskStates["web"]
    assert state.Restarts == 0
    assert event_types(state).count("Started") == 1
    await bed.api.stop_alloc(alloc_id)
    await bed.api.until_status(alloc_id, "complete")
    exact(await bed.logs(alloc_id))


@pytest.mark.parametrize("make", [container, process])
async def test_what_ended_while_the_worker_was_away(bed: Any, make: Any) -> None:
    await bed.start_process()
    script = 'while [ ! -e "$NOMAD_ALLOC_DIR/go" ]; do sleep 0.05; done; echo last words; exit 7'
    alloc_id = await bed.api.assign(job(make(script, RestartPolicy=None), kind="batch"))
    await bed.api.until_status(alloc_id, "running")
    bed.kill_process()
    (bed.layout.allocs / alloc_id / "alloc" / "go").touch()
    await asyncio.sleep(0.5)
    await bed.start_process()
    client = await bed.api.until_status(alloc_id, "failed")
    [ended] = [event for event in client.TaskStates["web"].Events if event.Type == "Terminated"]
    assert ended.ExitCode == 7
    assert await bed.logs(alloc_id) == "last words\n"


async def test_orderly_stop_leaves_containers_running(bed: Any) -> None:
    await bed.start_worker()
    tasks = [container("sleep 3600", name="a"), container("sleep 3600", name="b")]
    alloc_id = await bed.api.assign(job(*tasks, Networks=bridge()))
    await bed.api.until(alloc_id, lambda one: all(s.State == "running" for s in one.TaskStates.values()))
    before = {one["Id"] for one in bed.dockerd.containers(bed.labels)}
    assert len(before) == 3
    await bed.stop_worker()
    assert {one["Id"] for one in bed.dockerd.containers(bed.labels)} == before
    await bed.start_worker()
    await bed.api.until_status(alloc_id, "running")
    await bed.api.stop_alloc(alloc_id)
    await bed.api.until_status(alloc_id, "complete")
    assert bed.dockerd.containers(bed.labels) == []


async def test_orphans_are_removed_and_foreign_containers_are_not(bed: Any) -> None:
    from tests.engines.dockerd import BUSYBOX

    def make(labels: dict[str, str]) -> str:
        import json

        body = {"Image": BUSYBOX, "Cmd": ["sleep", "3600"], "Labels": labels, "HostConfig": {"NetworkMode": "none"}}
        made = json.loads(bed.dockerd.call("POST", "/v1.41/containers/create", body)[1])["Id"]
        bed.dockerd.call("POST", f"/v1.41/containers/{made}/start")
        return str(made)

    ours = make({**bed.labels, "kokiris.alloc": "00000000-0000-0000-0000-000000000000"})
    others = make({"kokiris.infra": "other/rec1@00000000", "kokiris.alloc": "00000000-0000-0000-0000-000000000000"})
    try:
        await bed.start_worker()
        async with asyncio.timeout(60):
            while bed.dockerd.containers(bed.labels):
                await asyncio.sleep(0.05)
        assert bed.dockerd.inspect(others)["State"]["Running"]
        assert "State" not in bed.dockerd.inspect(ours)
    finally:
        bed.dockerd.call("DELETE", f"/v1.41/containers/{others}?force=1")


async def test_a_container_removed_by_somebody_is_started_anew(bed: Any) -> None:
    await bed.start_worker()
    alloc_id = await bed.api.assign(job(container("sleep 3600")))
    await bed.api.until_status(alloc_id, "running")
    bed.dockerd.remove_containers(bed.labels)
    client = await bed.api.until(alloc_id, lambda one: one.TaskStates["web"].Restarts == 1)
    client = await bed.api.until_status(alloc_id, "running")
    assert len(bed.dockerd.containers(bed.labels)) == 1
    assert event_types(client.TaskStates["web"])[-1] == "Started"


async def test_the_process_is_light(bed: Any) -> None:
    await bed.start_process()
    alloc_id = await bed.api.assign(job(container("sleep 3600")))
    await bed.api.until_status(alloc_id, "running")
    status = Path(f"/proc/{bed.process.pid}/status").read_text()  # noqa: ASYNC240 - the kernel's memory
    [resident] = [line for line in status.splitlines() if line.startswith("VmRSS")]
    print(resident)  # noqa: T201 - shown by pytest -s
    assert int(resident.split()[1]) < 90_000


async def test_dockerd_killed_and_back(bed: Any) -> None:
    if bed.dockerd.reused:
        pytest.skip("a dockerd of somebody else is not killed")
    await bed.start_worker()
    alloc_id = await bed.api.assign(job(container(COUNT)))
    await bed.until_logged(alloc_id, "line 20\n")
    before = bed.dockerd.containers(bed.labels)
    bed.dockerd.kill()
    await asyncio.sleep(0.5)
    bed.dockerd.launch()
    seen = len((await bed.logs(alloc_id)).splitlines())
    await bed.until_logged(alloc_id, f"line {seen + 100}\n")
    assert [one["Id"] for one in bed.dockerd.containers(bed.labels)] == [one["Id"] for one in before]
    assert bed.api.clients[alloc_id].TaskStates["web"].Restarts == 0
    await bed.api.stop_alloc(alloc_id)
    await bed.api.until_status(alloc_id, "complete")


async def test_a_passing_check_goes_on_passing_over_a_restart(bed: Any) -> None:
    check = ServiceCheck(Name="alive", Type="http", Path="/", Interval=5 * SECOND_NS, Timeout=5 * SECOND_NS)
    services = [Service(Name="web", PortLabel="http", Checks=[check])]
    await bed.start_worker()
    made = job(container(SERVE), Networks=bridge(http=8080), Services=services)
    alloc_id = await bed.api.assign(made, ports={"http": (bed.port(), 8080)})
    await bed.api.until(alloc_id, lambda one: check_status(one) == "success")
    await bed.stop_worker()
    bed.api.history.clear()
    bed.api.clients.clear()
    await bed.start_worker()
    await bed.api.until(alloc_id, check_status)
    await bed.api.until_status(alloc_id, "running")
    await asyncio.sleep(0.5)
    words = [status.Status for said in bed.api.history[alloc_id] for status in (said.Checks or {}).values()]
    assert words
    assert set(words) == {"success"}
    assert all(said.ClientStatus == "running" for said in bed.api.history[alloc_id])
