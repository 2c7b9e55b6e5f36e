"""The internal API: who may say what, and what is answered."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from kokiris.orchestrator.model.alloc import AllocClient
from tests.orchestrator.core.bed import Bed, bed_in, job_spec, node_spec, until, worker_on

SECRET = "s3cret"


async def call(bed: Bed, method: str, path: str, body: Any = None, secret: str = SECRET) -> tuple[int, Any]:
    """(status, decoded body, or its text)."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=str(bed.socket))) as session,
        session.request(
            method,
            f"http://core/internal/v1{path}",
            data=msgspec.json.encode(body) if body is not None else None,
            headers={"X-Node-Secret": secret},
        ) as answer,
    ):
        text = await answer.text()
        return answer.status, msgspec.json.decode(text) if answer.status == 200 else text


async def test_a_node_makes_itself_known(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed:
        node = node_spec()
        status, text = await call(bed, "PUT", f"/node/{node.ID}/heartbeat", {"SecretID": "s3cret"})
        assert (status, text.split("\n")[0]) == (404, "node not found")
        status, answer = await call(bed, "PUT", f"/node/{node.ID}", {"Node": node, "SecretID": "s3cret"})
        assert status == 200
        assert 10 <= answer["HeartbeatTTLSeconds"] <= 20
        assert answer["Index"] == bed.state.nodes[node.ID].CreateIndex
        status, answer = await call(bed, "PUT", f"/node/{node.ID}/heartbeat", {"SecretID": "s3cret"})
        assert (status, list(answer)) == (200, ["HeartbeatTTLSeconds"])
        for path, body in (
            (f"/node/{node.ID}/heartbeat", {"SecretID": "wrong"}),
            (f"/node/{node.ID}", {"Node": node, "SecretID": "wrong"}),
        ):
            status, text = await call(bed, "PUT", path, body)
            assert status == 403
            assert "wrong" not in text.replace("wrong secret", "")
        status, text = await call(bed, "PUT", "/node/other", {"Node": node, "SecretID": "s3cret"})
        assert status == 400
        status, text = await call(bed, "PUT", f"/node/{node.ID}", {"Node": {"ID": node.ID}, "SecretID": ""})
        assert status == 400


async def test_assignments_wait_for_work_and_carry_all_that_is_needed(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed:
        node = node_spec()
        await call(bed, "PUT", f"/node/{node.ID}", {"Node": node, "SecretID": "s3cret"})
        path = f"/node/{node.ID}/assignments"
        status, first = await call(bed, "GET", path)
        assert (status, first["Assignments"]) == (200, [])
        waiting = asyncio.create_task(call(bed, "GET", f"{path}?index={first['Index']}&wait=30s"))
        await bed.core.register_job(job_spec(count=1))
        status, second = await asyncio.wait_for(waiting, 60)
        (assigned,) = second["Assignments"]
        assert second["Index"] > first["Index"]
        request = {"NodeID": node.ID, "AllocIDs": [assigned["AllocID"], "gone"]}
        status, (found,) = await call(bed, "POST", "/assignments", request)
        assert found["AllocModifyIndex"] == assigned["AllocModifyIndex"]
        alloc = found["Allocation"]
        assert alloc["Job"]["TaskGroups"][0]["Tasks"][0]["Config"] == {"image": "site:1"}
        (port,) = alloc["AllocatedResources"]["Shared"]["Ports"]
        assert (port["Label"], port["To"]) == ("http", 80)
        assert 20000 <= port["Value"] <= 32000
        for path, body in ((f"/node/{node.ID}/assignments", None), ("/assignments", request)):
            status, _ = await call(bed, "GET" if body is None else "POST", path, body, secret="other")
            assert status == 403


async def test_a_node_speaks_for_its_own_allocations_only(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed, worker_on(bed):
        await bed.core.register_job(job_spec(count=1))
        await until(lambda: bed.allocs("web", ClientStatus="running"))
        (alloc,) = bed.allocs("web")
        other = node_spec("other")
        await call(bed, "PUT", f"/node/{other.ID}", {"Node": other, "SecretID": "s3cret"})
        report = {"Updates": [AllocClient(ID=alloc.ID, ClientStatus="failed"), AllocClient(ID="unknown")]}
        status, _ = await call(bed, "PUT", f"/node/{other.ID}/allocs", report)
        assert status == 200
        assert bed.state.allocs[alloc.ID].ClientStatus == "running"


async def test_reports_that_say_nothing_new_are_not_stored(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed, worker_on(bed) as worker:
        await bed.core.register_job(job_spec(count=1))
        await until(lambda: bed.state.jobs["default", "web"].Stable)
        await until(lambda: not bed.state.open_evals)
        (alloc,) = bed.allocs("web")
        assert alloc.Client is not None
        revision = bed.state.revision
        again = msgspec.structs.replace(alloc.Client, ModifyTime=0)
        assert await worker.report([again]) == revision
        checks = {
            key: msgspec.structs.replace(one, Output="200 OK", Timestamp=7) for key, one in (again.Checks or {}).items()
        }
        await worker.report([msgspec.structs.replace(again, Checks=checks)])
        assert bed.state.allocs[alloc.ID].ModifyIndex == alloc.ModifyIndex
        failing = {key: msgspec.structs.replace(one, Status="failure", Output="503") for key, one in checks.items()}
        index = await worker.report([msgspec.structs.replace(again, Checks=failing)])
        (instance,) = bed.catalog.instances_of("web")
        assert (instance.status(), instance.ModifyIndex, instance.Checks[0].Output) == ("critical", index, "503")


async def test_many_reports_share_commits(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed, worker_on(bed) as worker:
        await bed.core.register_job(job_spec(count=20))
        await until(lambda: len(bed.catalog.instances_of("web")) == 20)
        await until(lambda: not bed.state.open_evals)
        revision = bed.state.revision
        clients = [alloc.Client for alloc in bed.allocs("web") if alloc.Client is not None]
        changed = [msgspec.structs.replace(one, ClientDescription="again") for one in clients]
        await asyncio.gather(*(worker.report([one]) for one in changed))
        assert {alloc.Client.ClientDescription for alloc in bed.allocs("web") if alloc.Client} == {"again"}
        assert bed.state.revision - revision < 20
