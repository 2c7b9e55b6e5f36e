"""The collector on real files, into a real index: rotation, traces, restarts, nothing lost or doubled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kokiris.infra.config import Layout
from kokiris.logs.collect import shipper as shipper_module
from kokiris.logs.collect.collector import Collector
from kokiris.logs.collect.shipper import Shipment, Shipper, portions
from kokiris.logs.index.retention import Limits
from kokiris.worker.logs.files import LogLimits, RotatingFile
from tests.engines.logs import TOKEN, LogServer

ALLOC = "4c1d0000-1111-2222-3333-444455556666"


def place_alloc(layout: Layout) -> Path:
    """As the worker leaves it."""
    kept = layout.worker / "allocs" / ALLOC
    kept.mkdir(parents=True)
    allocation = {"ID": ALLOC, "Namespace": "default", "JobID": "shop", "TaskGroup": "web", "NodeName": "node1"}
    (kept / "alloc.json").write_text(json.dumps({"Allocation": {**allocation, "Job": {}}, "Tasks": {}}))
    folder = layout.allocs / ALLOC / "alloc" / "logs"
    folder.mkdir(parents=True)
    return folder


def collector(server: LogServer, layout: Layout) -> Collector:
    shipper = Shipper(server.url, {"Authorization": f"Bearer {TOKEN}"})
    return Collector(layout, infra="rec1", node="node1", shipper=shipper, kept=layout.root / "logs" / "positions.json")


async def found(server: LogServer, query: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    await asyncio.to_thread(server.index.refresh)
    status, answer, _ = await server.call("POST", "/_search", {"query": query or {"match_all": {}}, "size": 5000})
    assert status == 200, answer
    return [hit["_source"] for hit in answer["hits"]["hits"]]


async def run_until(one: Collector, done: Callable[[], Any]) -> None:
    task = asyncio.create_task(one.run())
    try:
        async with asyncio.timeout(60):
            while not await done():
                await asyncio.sleep(0.05)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await one._shipper.close()


async def test_lines_become_entries_with_their_origin(server: LogServer, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data")
    folder = place_alloc(layout)
    out = RotatingFile(folder, "httpd", "stdout", LogLimits())
    out.write(b'ready on port 80\n{"level":"warning","msg":"slow","ms":310,"user":{"id":7},"job":"fake"}\n')
    err = RotatingFile(folder, "httpd", "stderr", LogLimits())
    err.write(b'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\nKeyError: 5\nERROR after it\n')

    async def four() -> bool:
        return len(await found(server)) == 4

    await run_until(collector(server, layout), four)
    by_message = {one["message"]: one for one in await found(server)}
    slow = by_message["slow"]
    assert {name: slow[name] for name in ("infra", "namespace", "job", "group", "task", "alloc", "node", "stream")} == {
        "infra": "rec1", "namespace": "default", "job": "shop", "group": "web", "task": "httpd", "alloc": ALLOC,
        "node": "node1", "stream": "stdout",
    }  # fmt: skip
    assert (slow["level"], slow["user"], slow["app"]) == ("warn", {"id": 7}, {"job": "fake"})
    trace = next(one for one in by_message if one.startswith("Traceback"))
    assert trace.endswith("KeyError: 5")
    assert by_message["ERROR after it"]["level"] == "error"
    assert len(await found(server, {"bool": {"must": [{"term": {"user.id": 7}}, {"term": {"job": "shop"}}]}})) == 1


async def test_rotation_and_restarts_lose_and_double_nothing(server: LogServer, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data")
    folder = place_alloc(layout)
    out = RotatingFile(folder, "httpd", "stdout", LogLimits(max_files=50, max_file_bytes=300))
    written = 0
    for turn in range(4):
        for _ in range(50):
            out.write(f"line {written} of many\n".encode())
            written += 1
        one = collector(server, layout)
        if turn % 2:
            await one.step()  # ends before its last entry: the next collector takes over from the kept position
            await one._shipper.close()
            continue

        async def all_there(count: int = written) -> bool:
            return len(await found(server)) >= count

        await run_until(one, all_there)
    last = collector(server, layout)

    async def everything() -> bool:
        return len(await found(server)) >= written

    await run_until(last, everything)
    messages = [one["message"] for one in await found(server)]
    assert sorted(messages) == sorted(f"line {number} of many" for number in range(written))


async def test_last_words_without_a_line_end_are_an_entry(server: LogServer, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data")
    out = RotatingFile(place_alloc(layout), "httpd", "stdout", LogLimits())
    for written, wanted in ((b"one\npanic: no", 2), (b" more\n", 1)):
        out.write(written)
        before = len(await found(server))

        async def all_there(count: int = before + wanted) -> bool:
            return len(await found(server)) >= count

        await run_until(collector(server, layout), all_there)
    assert sorted(entry["message"] for entry in await found(server)) == [" more", "one", "panic: no"]


async def test_a_lost_position_file_doubles_nothing(server: LogServer, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data")
    out = RotatingFile(place_alloc(layout), "httpd", "stdout", LogLimits())
    out.write(b"one\ntwo\nthree\n")

    async def three() -> bool:
        return len(await found(server)) == 3

    await run_until(collector(server, layout), three)
    (layout.root / "logs" / "positions.json").unlink()
    out.write(b"four\n")

    async def four() -> bool:
        return len(await found(server)) >= 4

    await run_until(collector(server, layout), four)
    assert sorted(one["message"] for one in await found(server)) == ["four", "one", "three", "two"]


def test_requests_stay_small() -> None:
    shipments = [Shipment(str(number), {"message": "x" * 1_500_000}) for number in range(7)]
    found = list(portions(shipments))
    assert [len(portion) for portion in found] == [2, 2, 2, 1]
    assert [one.identifier for portion in found for one in portion] == [one.identifier for one in shipments]


async def test_an_index_that_refuses_holds_up_no_container_and_loses_nothing(
    server: LogServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shipper_module, "LONGEST_PAUSE_S", 0.2)
    layout = Layout(tmp_path / "data")
    out = RotatingFile(place_alloc(layout), "httpd", "stdout", LogLimits())
    server.index.limits = Limits(min_free_bytes=1 << 60)
    assert server.index.warning()
    task = asyncio.create_task(collector(server, layout).run())
    for number in range(3000):
        out.write(f"line {number}\n".encode())  # as the worker writes for the container: into a file, whatever ships it
    async with asyncio.timeout(60):
        while sum("429" in record.getMessage() for record in caplog.records) < 2:
            await asyncio.sleep(0.05)
    assert await found(server) == []
    server.index.limits = Limits(min_free_bytes=1)
    async with asyncio.timeout(60):
        while (await server.call("GET", "/_count"))[1]["count"] < 3000:
            await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert sorted(one["message"] for one in await found(server)) == sorted(f"line {number}" for number in range(3000))
