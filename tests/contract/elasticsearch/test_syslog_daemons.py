"""Debian's rsyslog (omelasticsearch) and syslog-ng (elasticsearch-http), unchanged, over TLS with a token."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from kokiris.kernel.errors import Busy
from kokiris.logs.index.log_index import Incoming, Taken
from kokiris.logs.index.retention import Limits
from tests.engines.logs import TOKEN, LogServer
from tests.engines.syslog_daemons import SyslogDaemon, rsyslog, syslog_ng
from tests.engines.tls_front import TlsFront, tls_front

pytestmark = pytest.mark.engine
Start = Callable[[Path, TlsFront, str], AbstractAsyncContextManager[SyslogDaemon]]
DEADLINE_S = 60.0


@pytest.fixture
async def front(server: LogServer, tmp_path: Path) -> AsyncIterator[TlsFront]:
    async with tls_front(tmp_path / "tls", int(server.url.rpartition(":")[2])) as running:
        yield running


@pytest.fixture
def refused(server: LogServer, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many documents each refused request held."""
    seen: list[int] = []
    take = server.index.take

    def counting(incoming: Sequence[Incoming]) -> list[Taken]:
        try:
            return take(incoming)
        except Busy:
            seen.append(len(incoming))
            raise

    monkeypatch.setattr(server.index, "take", counting)
    return seen


def lines(text: str, count: int) -> list[str]:
    return [f"<11>Nov 30 10:00:00 web1 shop[7]: {text} {number}" for number in range(count)]


async def count(server: LogServer, query: str) -> int:
    await server.call("POST", "/_refresh")
    return int((await server.call("GET", f"/_count?q={query}"))[1]["count"])


async def until(holds: Callable[[], Any], daemon: SyslogDaemon) -> None:
    end = asyncio.get_running_loop().time() + DEADLINE_S
    while not (await answer if asyncio.iscoroutine(answer := holds()) else answer):
        daemon.daemon.assert_runs()
        assert asyncio.get_running_loop().time() < end, daemon.daemon.log[-2000:]
        await asyncio.sleep(0.05)


@contextlib.contextmanager
def full_disk(server: LogServer) -> Any:
    """Everything that comes meanwhile is refused with 429."""
    usual = server.index.limits
    server.index.limits = Limits(min_free_bytes=1 << 60)
    assert server.index.warning()
    yield
    server.index.limits = usual
    assert not server.index.warning()


@pytest.mark.parametrize("start", [rsyslog, syslog_ng])
async def test_every_line_arrives_once_also_after_a_full_disk(
    server: LogServer, front: TlsFront, refused: list[int], tmp_path: Path, start: Start
) -> None:
    async def arrived(query: str, wanted: int) -> bool:
        return await count(server, query) >= wanted

    async with start(tmp_path / "daemon", front, TOKEN) as daemon:
        await daemon.send(lines("order", 600))
        await until(lambda: arrived("message:order", 600), daemon)
        with full_disk(server):
            await daemon.send(lines("later", 200))
            await until(lambda: len(refused) > 1, daemon)
        await until(lambda: arrived("message:later", 200), daemon)
        await daemon.send(lines("last", 1))
        await until(lambda: arrived("message:last", 1), daemon)
    assert await count(server, "*") == 801
    _, found, _ = await server.call("GET", "/_search?q=message:last")
    assert {"web1", "shop"} <= set(found["hits"]["hits"][0]["_source"].values())


async def test_rsyslog_learns_which_document_is_bad(server: LogServer, front: TlsFront, tmp_path: Path) -> None:
    async with rsyslog(tmp_path / "daemon", front, TOKEN, template="raw") as daemon:
        stamps = ["2026-11-30T10:00:00Z", "yesterday", "2026-11-30T10:00:01Z"]
        documents = [json.dumps({"@timestamp": stamp, "message": f"seen {stamp}"}) for stamp in stamps]
        await daemon.send([f"<11>Nov 30 10:00:00 web1 shop: {document}" for document in documents])
        await until(lambda: "yesterday" in daemon.written("refused"), daemon)
    assert await count(server, "*") == 2
    assert "mapper_parsing_exception" in daemon.written("refused")
