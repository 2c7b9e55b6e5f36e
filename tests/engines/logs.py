"""The log search as its tests use it: a real index behind a real listener, with made-up tokens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from kokiris.http.app import asgi
from kokiris.http.serve import HttpServer
from kokiris.http.tokens import Principal
from kokiris.logs.api.app import make_logs_app
from kokiris.logs.api.upstream import Upstream
from kokiris.logs.index.log_index import LogIndex
from kokiris.logs.index.retention import Limits

TOKEN, TENANT, OPERATOR = "management-token", "tenant-token", "operator-token"
PRINCIPALS = {
    TOKEN: Principal("m", "management", "management"),
    TENANT: Principal("t", "tenant", "client"),
    OPERATOR: Principal("o", "operator", "operator"),
}


class Tokens:
    """Knows those above."""

    async def check(self, secret: str) -> Principal | None:
        return PRINCIPALS.get(secret)


@dataclass(slots=True)
class LogServer:
    """`url` is of the API; `call` sends JSON, or raw bytes, with the management token."""

    url: str
    index: LogIndex
    session: aiohttp.ClientSession

    async def call(
        self, method: str, path: str, body: Any = None, *, token: str = TOKEN, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, aiohttp.ClientResponse]:
        sent = {"Content-Type": "application/json", **(headers or {})}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        given: dict[str, Any] = (
            {"data": body} if isinstance(body, bytes) else {"json": body} if body is not None else {}
        )
        async with self.session.request(
            method, self.url + path, headers=sent, allow_redirects=False, **given
        ) as answer:
            raw = await answer.read()
            is_json = "json" in (answer.content_type or "")
            return answer.status, (await answer.json(content_type=None)) if is_json and raw else raw.decode(), answer


@asynccontextmanager
async def serve_logs(
    folder: Path, limits: Limits | None = None, upstream: Upstream | None = None, port: int = 0
) -> AsyncIterator[LogServer]:
    """Stopped at the end, whatever happens. Entries are visible within a tenth of a second."""
    index = LogIndex(folder, limits or Limits(min_free_bytes=1), commit_every_s=0.1)
    await asyncio.to_thread(index.start)
    http = HttpServer(asgi(make_logs_app(index, Tokens(), cluster="demo", upstream=upstream)), port=port)
    try:
        await http.start()
        async with aiohttp.ClientSession() as session:
            yield LogServer(f"http://127.0.0.1:{http.port}", index, session)
    finally:
        await http.stop()
        if upstream is not None:
            await upstream.close()
        await asyncio.to_thread(index.stop)
