"""The whole server core on SQLite, an imaginary worker, and the public API on an ephemeral port."""

from __future__ import annotations

import asyncio
import base64
import functools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import msgspec
import nomad
import pytest
from aiohttp import web

from kokiris.http.app import asgi
from kokiris.http.serve import HttpServer
from kokiris.http.tokens import Principal
from kokiris.kernel.clock import wall_ns
from kokiris.orchestrator.api.app import make_nomad_app
from kokiris.orchestrator.api.dial import NodeDialer
from kokiris.orchestrator.model.node import Node
from kokiris.store.follow import Follower
from kokiris.variables.model import Keys as VariableKeys
from kokiris.variables.sealing import load_keyring, make_keyring
from kokiris.variables.table import VariableTable
from kokiris.variables.writer import VariableWriter
from tests.orchestrator.core.bed import Bed, Worker, bed_in, node_spec, worker_on

TOKEN = "7d9f6a52-0000-4000-8000-00000000cafe"


class OneToken:
    def authenticate(self, secret: str) -> Principal | None:
        return Principal("acc", "management", "management") if secret == TOKEN else None


async def _files(request: web.Request) -> web.StreamResponse:
    """A node API with one log file and one directory."""
    verb, path = request.match_info["verb"], request.query.get("path", "/")
    if "missing" in path:
        return web.Response(status=404, text="no such file or directory")
    info = {
        "Name": "busy.stdout.0",
        "IsDir": False,
        "Size": 6,
        "FileMode": "-rw-r--r--",
        "ModTime": "",
        "ContentType": "",
    }
    answers: dict[str, Callable[[], web.Response]] = {
        "ls": lambda: web.json_response([info]),
        "stat": lambda: web.json_response(info),
        "cat": lambda: web.Response(body=b"hello\n"),
        "readat": lambda: web.Response(body=b"hel"),
        "stream": lambda: web.json_response({"Data": base64.b64encode(b"hello\n").decode()}),
        "logs": lambda: web.Response(body=b"hello\n"),
    }
    return answers[verb]()


async def _rest(request: web.Request) -> web.StreamResponse:
    if request.path.endswith("/stats"):
        return web.json_response({"CPUTicksConsumed": 1.0, "Tasks": {}})
    if request.path.endswith("/signal") and "SIG" not in (await request.json())["Signal"]:
        return web.Response(status=500, text="invalid signal")
    return web.json_response({"Index": 0})


@pytest.fixture
async def node_api() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/v1/client/fs/{verb}/{alloc}", _files)
    app.router.add_route("*", "/v1/client/{rest:.*}", _rest)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    yield f"{host}:{port}"
    await runner.cleanup()


@pytest.fixture
async def bed(tmp_path) -> AsyncIterator[Bed]:
    async with bed_in(tmp_path) as bed:
        yield bed


@pytest.fixture
async def worker(bed, node_api) -> AsyncIterator[Worker]:
    node: Node = node_spec()
    node.Attributes["unique.kokiris.node_api"] = node_api
    async with worker_on(bed, node) as worker:
        yield worker


@pytest.fixture
async def variables(bed, tmp_path) -> AsyncIterator[VariableWriter]:
    make_keyring(tmp_path / "variables.key")
    table = VariableTable(VariableKeys("demo", "rec1"), load_keyring(tmp_path / "variables.key"))
    follower = Follower(bed.store, table.root, table.load, table.apply)
    await follower.start()
    yield VariableWriter(bed.store, table, follower.wait_for, wall_ns)
    await follower.stop()


@pytest.fixture
async def base(bed, variables) -> AsyncIterator[str]:
    dialer = NodeDialer(None)
    app = make_nomad_app(bed.core, OneToken(), dialer, catalog=bed.catalog, variable_store=variables)
    server = HttpServer(asgi(app), grace_s=1)
    await server.start()
    yield f"http://127.0.0.1:{server.port}"
    await server.stop()
    await dialer.close()


@pytest.fixture
def client(base) -> nomad.Nomad:
    """python-nomad, as it comes from the index."""
    return nomad.Nomad(address=base, token=TOKEN, timeout=30)


@pytest.fixture
def token() -> str:
    return TOKEN


@pytest.fixture
def ask() -> Callable[..., Awaitable[Any]]:
    """Runs a blocking call of a client beside the event loop that serves it."""

    async def ask(call: Callable[..., Any], *positional: Any, **named: Any) -> Any:
        return await asyncio.to_thread(functools.partial(call, *positional, **named))

    return ask


@pytest.fixture
async def call(base: str, token: str) -> AsyncIterator[Callable[..., Awaitable[tuple[int, Any]]]]:
    """One call of the API: (status, JSON or text)."""
    async with aiohttp.ClientSession(headers={"X-Nomad-Token": token}) as session:

        async def call(method: str, path: str, body: Any = None) -> tuple[int, Any]:
            data = msgspec.json.encode(body) if body is not None else None
            async with session.request(method, base + path, data=data) as answer:
                raw = await answer.read()
                is_json = answer.headers.get("Content-Type", "").startswith("application/json")
                return answer.status, json.loads(raw) if is_json and raw else raw.decode()

        yield call
