"""`/v1/client`: what a worker answers passes through unchanged, in both directions and without buffering."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from kokiris.access.authority import issue, new_authority, new_key_and_request, utc_now
from kokiris.access.tls import client_context
from kokiris.http.app import asgi
from kokiris.http.serve import HttpServer
from kokiris.infra.config import Layout
from kokiris.kernel.ids import new_id
from kokiris.orchestrator.api.app import make_nomad_app
from kokiris.orchestrator.api.dial import NodeDialer
from kokiris.orchestrator.keys import Keys
from tests.orchestrator.api.conftest import Api, OneToken

KEYS = Keys("demo", "rec1")


class Worker:
    """A node API with the same paths, on real sockets."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.release = asyncio.Event()
        self.abandoned = asyncio.Event()
        self.port = 0

    async def logs(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        await answer.prepare(request)
        await answer.write(b'{"Data":"Zmlyc3Q="}')
        try:
            await self.release.wait()
            await answer.write(b'{"Data":"c2Vjb25k"}')
        except asyncio.CancelledError:
            self.abandoned.set()
            raise
        return answer

    async def echo(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.read())
        if "missing" in request.query.get("path", ""):
            return web.Response(status=404, text="no such file\n")
        return web.json_response({"Index": 0})

    async def exec(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            frame = json.loads(message.data)
            text = base64.b64decode(frame.get("stdin", {}).get("data", "")).decode()
            if text == "exit":
                await socket.send_json({"exited": True, "result": {"exit_code": 3}})
                break
            if text == "fail":
                await socket.close(code=1008, message=b"no such task")
                return socket
            await socket.send_json({"stdout": {"data": frame["stdin"]["data"]}})
        await socket.close()
        return socket


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    worker = Worker()
    app = web.Application()
    app.router.add_get("/v1/client/fs/logs/{alloc}", worker.logs)
    app.router.add_get("/v1/client/allocation/{alloc}/exec", worker.exec)
    app.router.add_route("*", "/v1/client/{rest:.*}", worker.echo)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    worker.port = runner.addresses[0][1]
    yield worker
    worker.release.set()
    await runner.cleanup()


@pytest.fixture
def alloc_id(recorder, worker, make_job, make_node) -> str:
    node = make_node(Attributes={"unique.kokiris.node_api": f"127.0.0.1:{worker.port}"})
    recorder.put((KEYS.node(node.ID), node))
    job = make_job()
    recorder.put_job(job)
    return recorder.place(job, "site", 1, node)[0]


async def test_logs_stream_while_they_are_written(api, worker, alloc_id, token):
    url = f"{api.base}/v1/client/fs/logs/{alloc_id}?task=busy&type=stdout&follow=true"
    async with api.session.get(url, headers={"X-Nomad-Token": token}) as answer:
        first = await asyncio.wait_for(answer.content.readany(), 30)
        assert json.loads(first) == {"Data": "Zmlyc3Q="}
        worker.release.set()
        assert json.loads(await asyncio.wait_for(answer.content.read(), 30)) == {"Data": "c2Vjb25k"}


async def test_a_client_that_leaves_ends_the_worker_s_stream_too(api, worker, alloc_id, token):
    url = f"{api.base}/v1/client/fs/logs/{alloc_id}?task=busy&type=stdout&follow=true"
    async with api.session.get(url, headers={"X-Nomad-Token": token}) as answer:
        await answer.content.readany()
    await asyncio.wait_for(worker.abandoned.wait(), 30)


async def test_writes_and_refusals_pass_through(api, worker, alloc_id):
    body = {"Signal": "SIGHUP", "Task": "busy"}
    status, answer, _ = await api.call("POST", f"/v1/client/allocation/{alloc_id}/signal", json=body)
    assert (status, answer) == (200, {"Index": 0})
    assert json.loads(worker.bodies[-1]) == body
    status, answer, _ = await api.get(f"/v1/client/fs/cat/{alloc_id}?path=missing")
    assert (status, answer) == (404, "no such file")
    status, answer, _ = await api.get("/v1/client/stats")
    assert status == 200
    assert "node_id" not in worker.requests[-1].query
    for request in worker.requests:
        assert "X-Nomad-Token" not in request.headers


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("fs/logs/{id}", (400, "must provide task name")),
        ("fs/logs/{id}?task=busy", (400, "must provide log type (stdout/stderr)")),
        ("fs/logs/{id}?task=busy&type=x", (400, "must provide log type (stdout/stderr)")),
        ("fs/logs/{id}?task=busy&type=stdout&origin=middle", (400, "origin must be start or end")),
        ("fs/cat/{id}", (400, "must provide a file name")),
        ("fs/stream/{id}", (400, "must provide a file name")),
        ("stats?node_id=nope", (404, 'Unknown node "nope"')),
    ],
)
async def test_parameters_are_checked_before_a_worker_is_asked(api, worker, alloc_id, path, expected):
    status, body, _ = await api.get("/v1/client/" + path.format(id=alloc_id))
    assert (status, body) == expected
    assert worker.requests == []


async def test_an_unknown_allocation_is_named(api):
    missing = new_id()
    for path in (f"fs/ls/{missing}", f"allocation/{missing}/stats", f"allocation/{missing}/checks"):
        status, body, _ = await api.get(f"/v1/client/{path}")
        assert (status, body) == (404, f'Unknown allocation "{missing}"')
    status, body, _ = await api.get("/v1/client/stats")
    assert (status, body) == (400, "No local Node and node_id not provided")


async def test_a_worker_that_does_not_answer_is_named(api, recorder, make_job, make_node):
    node = make_node(Attributes={"unique.kokiris.node_api": "127.0.0.1:1"})
    recorder.put((KEYS.node(node.ID), node))
    status, body, _ = await api.get(f"/v1/client/stats?node_id={node.ID}")
    assert status == 503
    assert body.startswith(f'node "node1" ({node.ID}) does not answer')


def exec_url(api, alloc_id: str, **query: str) -> str:
    query = {"task": "busy", "command": '["sh"]', "tty": "true", **query}
    pairs = "&".join(f"{name}={value}" for name, value in query.items())
    return f"{api.base}/v1/client/allocation/{alloc_id}/exec?{pairs}"


async def test_exec_frames_go_both_ways(api, alloc_id, token):
    async with api.session.ws_connect(exec_url(api, alloc_id), headers={"X-Nomad-Token": token}) as socket:
        data = base64.b64encode(b"hello").decode()
        await socket.send_json({"stdin": {"data": data}})
        assert await socket.receive_json(timeout=30) == {"stdout": {"data": data}}
        await socket.send_json({"stdin": {"data": base64.b64encode(b"exit").decode()}})
        assert await socket.receive_json(timeout=30) == {"exited": True, "result": {"exit_code": 3}}
        assert (await socket.receive(timeout=30)).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1000


async def test_a_browser_sends_its_token_in_the_first_frame(api, alloc_id, token):
    async with api.session.ws_connect(exec_url(api, alloc_id, ws_handshake="true")) as socket:
        await socket.send_json({"version": 1, "auth_token": token})
        await socket.send_json({"stdin": {"data": ""}})
        assert await socket.receive_json(timeout=30) == {"stdout": {"data": ""}}


async def refusal(api, url: str, token: str, *frames: dict) -> tuple[int, str]:
    async with api.session.ws_connect(url, headers={"X-Nomad-Token": token}) as socket:
        for frame in frames:
            await socket.send_json(frame)
        closing = await socket.receive(timeout=30)
        assert closing.type is aiohttp.WSMsgType.CLOSE
        return closing.data, closing.extra


async def test_exec_refusals_are_close_frames(api, worker, alloc_id, token):
    assert await refusal(api, exec_url(api, alloc_id), "wrong") == (1008, "Permission denied")
    bad = {"version": 1, "auth_token": "wrong"}
    assert await refusal(api, exec_url(api, alloc_id, ws_handshake="true"), token, bad) == (1008, "Permission denied")
    missing = new_id()
    assert await refusal(api, exec_url(api, missing), token) == (1008, f'Unknown allocation "{missing}"')
    code, reason = await refusal(api, exec_url(api, alloc_id, command="sh"), token)
    assert (code, "command" in reason) == (1008, True)
    assert await refusal(api, exec_url(api, alloc_id, task=""), token) == (1008, "must provide task name")
    fail = {"stdin": {"data": base64.b64encode(b"fail").decode()}}
    assert await refusal(api, exec_url(api, alloc_id), token, fail) == (1008, "no such task")


@pytest.fixture
async def sealed(worker, tmp_path):
    """The worker behind mutual TLS, and the folder with the infra's certificates."""
    layout = Layout(tmp_path)
    layout.tls.mkdir()
    authority = new_authority("kokiris demo/rec1", utc_now())
    key_pem, request_pem = new_key_and_request(["127.0.0.1"])
    (layout.tls / "ca.pem").write_bytes(authority.certificate_pem)
    (layout.tls / "node.key").write_bytes(key_pem)
    (layout.tls / "node.pem").write_bytes(issue(authority, request_pem, ["127.0.0.1"], utc_now()))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(layout.tls / "ca.pem"))
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_cert_chain(layout.tls / "node.pem", layout.tls / "node.key")
    app = web.Application()
    app.router.add_get("/v1/client/allocation/{alloc}/exec", worker.exec)
    app.router.add_route("*", "/v1/client/{rest:.*}", worker.echo)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    worker.port = runner.addresses[0][1]
    yield layout
    await runner.cleanup()


async def test_workers_are_called_over_mutual_tls(sealed, worker, recorder, alloc_id, token):
    for make_tls, status in ((lambda: client_context(sealed), 200), (ssl.create_default_context, 503)):
        dialer = NodeDialer(make_tls)
        server = HttpServer(asgi(make_nomad_app(recorder, OneToken(), dialer)), grace_s=1)
        await server.start()
        async with aiohttp.ClientSession() as session:
            api = Api(session, f"http://127.0.0.1:{server.port}")
            found, _, _ = await api.get(f"/v1/client/fs/ls/{alloc_id}")
            assert found == status
            if status == 200:
                dialer.reload()
                async with session.ws_connect(exec_url(api, alloc_id), headers={"X-Nomad-Token": token}) as socket:
                    await socket.send_json({"stdin": {"data": ""}})
                    assert await socket.receive_json(timeout=30) == {"stdout": {"data": ""}}
        await server.stop()
        await dialer.close()
