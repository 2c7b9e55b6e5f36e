"""The follower against a server that misbehaves as a real one hardly can be made to: it drops a slow reader, loses an
object between list and read, and sends what does not fit."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from aiohttp import web

from kokiris.logs.collect.events.follower import EventFollower, Followed
from kokiris.logs.collect.events.outlet import Outlet, load_kept
from kokiris.logs.collect.events.source import Source
from kokiris.logs.collect.shipper import Shipper
from tests.engines.logs import TOKEN, LogServer

KEPT, GONE = "4c1d0000-1111-2222-3333-444455556666", "5d2e0000-1111-2222-3333-444455556666"


def alloc(ident: str, **given: Any) -> dict[str, Any]:
    facts = {"ID": ident, "Namespace": "default", "Name": "shop.web[0]", "JobID": "shop", "CreateTime": time.time_ns()}
    return {**facts, "DesiredStatus": "run", "ModifyTime": time.time_ns(), "ModifyIndex": 5, **given}


class Nomad:
    """Answers the lists and the stream; the first stream ends with an error."""

    def __init__(self) -> None:
        self.streams: list[str] = []
        self.tokens: set[str] = set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.tokens.add(request.headers.get("X-Nomad-Token", ""))
        index = {"X-Nomad-Index": "7"}
        if request.path == "/v1/event/stream":
            return await self.stream(request)
        if request.path == "/v1/allocations":
            listed = [alloc(KEPT), alloc(GONE)] if len(self.streams) == 1 else []
            return web.json_response(listed, headers=index)
        if request.path == f"/v1/allocation/{KEPT}":
            return web.json_response(alloc(KEPT), headers=index)
        if request.path.startswith("/v1/allocation/"):
            raise web.HTTPNotFound
        return web.json_response([], headers=index)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        self.streams.append(request.query["index"])
        answer = web.StreamResponse()
        await answer.prepare(request)
        lines: list[dict[str, Any]] = [{}]
        if len(self.streams) == 1:
            lines += [{"Error": "subscription closed by server, client should resubscribe"}]
        else:
            lost = alloc(KEPT, ClientStatus="lost", ModifyIndex=9)
            odd = {"Topic": "Allocation", "Payload": {"Allocation": {"ID": 5, "TaskStates": "none"}}}
            lines += [{"Index": 9, "Events": [odd, {"Topic": "Allocation", "Payload": {"Allocation": lost}}]}]
        for line in lines:
            await answer.write(json.dumps(line).encode() + b"\n")
        if len(self.streams) > 1:
            await asyncio.sleep(60)
        return answer


def a_job(ident: str, version: int, index: int) -> dict[str, Any]:
    group = {"Name": "web", "Count": 2}
    return {
        "ID": ident, "Namespace": "default", "Version": version, "TaskGroups": [group], "SubmitTime": time.time_ns(),
        "CreateIndex": 3, "ModifyIndex": index, "JobModifyIndex": index,
    }  # fmt: skip


class Purging(Nomad):
    """Its jobs are purged: "shop" before anybody looked, while its allocation is still there; "brief" at once after it
    was registered, so that its versions cannot be read any more."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == f"/v1/allocation/{KEPT}":
            return web.json_response(alloc(KEPT, Job=a_job("shop", 4, 5)), headers={"X-Nomad-Index": "7"})
        if request.path.startswith("/v1/job/"):
            raise web.HTTPNotFound
        return await super().answer(request)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        self.streams.append(request.query["index"])
        answer = web.StreamResponse()
        await answer.prepare(request)
        for index, job in ((8, a_job("brief", 0, 8)), (9, {"ID": "brief", "Namespace": "default", "Stop": True})):
            event = {"Topic": "Job", "Payload": {"Job": job}}
            await answer.write(json.dumps({"Index": index, "Events": [event]}).encode() + b"\n")
        await asyncio.sleep(60)
        return answer


async def followed(nomad: Nomad, server: LogServer, tmp_path: Path) -> list[dict[str, Any]]:
    """The events in `server` once all up to index 9 have been shipped."""
    app = web.Application()
    app.router.add_get("/{path:.*}", nomad.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    source, shipper = Source(url, url, lambda: "the-token"), Shipper(server.url, {"Authorization": f"Bearer {TOKEN}"})
    kept = tmp_path / "events.json"
    follower = EventFollower(source, Outlet(shipper, infra="rec1", retention_days=7), kept)
    following = asyncio.create_task(follower.run())
    try:
        async with asyncio.timeout(60):
            while load_kept(kept, Followed, Followed()).index < 9:
                await asyncio.sleep(0.05)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await source.close()
        await shipper.close()
        await runner.cleanup()
    await asyncio.to_thread(server.index.refresh)
    _, answer, _ = await server.call("POST", "/_search", {"query": {"kql": {"query": "stream:event"}}, "size": 100})
    return [hit["_source"] for hit in answer["hits"]["hits"]]


async def test_whatever_the_stream_does_events_arrive_once(server: LogServer, tmp_path: Path) -> None:
    nomad = Nomad()
    found = sorted(one["event"]["type"] for one in await followed(nomad, server, tmp_path))
    assert found == ["Lost", "Placed"]
    assert (nomad.streams[:2], nomad.tokens) == (["1", "8"], {"the-token"})


async def test_a_job_that_was_purged_before_anybody_looked_is_told_from_what_is_left(
    server: LogServer, tmp_path: Path
) -> None:
    found = await followed(Purging(), server, tmp_path)
    jobs = sorted((one["job"], one["event"]["type"], one["message"]) for one in found if one["event"]["kind"] == "Job")
    assert jobs == [
        ("brief", "Registered", "Job brief is registered as version 0: 2 instances of web"),
        ("brief", "Removed", "Job brief is removed, with its history"),
        ("shop", "Registered", "Job shop is registered as version 4: 2 instances of web"),
        ("shop", "Removed", "Job shop is removed, with its history"),
    ]
