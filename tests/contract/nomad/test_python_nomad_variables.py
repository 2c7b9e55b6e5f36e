"""python-nomad's calls on variables, unchanged; what Go's client sees of conflicts; the internal door for workers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import nomad
import pytest

from kokiris.http.app import asgi, make_app
from kokiris.http.serve import HttpServer
from kokiris.kernel.ids import new_id
from kokiris.orchestrator.internal.variables import TaskVariables
from kokiris.variables.model import Variable
from tests.orchestrator.core.bed import job_spec, until


async def test_create_read_list_delete(client, ask):
    made = await ask(client.variable.create_variable, "app/one", {"Items": {"user": "me", "password": "p"}})
    assert made["Items"] == {"user": "me", "password": "p"}
    assert made["Path"] == "app/one"
    assert made["CreateIndex"] == made["ModifyIndex"] > 0
    listed = await ask(client.variables.get_variables)
    assert [one["Path"] for one in listed] == ["app/one"]
    assert "Items" not in listed[0]
    assert await ask(client.variables.get_variables, prefix="other") == []
    assert (await ask(client.variable.get_variable, "app/one"))["Items"]["user"] == "me"
    await ask(client.variable.delete_variable, "app/one")
    with pytest.raises(nomad.api.exceptions.URLNotFoundNomadException):
        await ask(client.variable.get_variable, "app/one")


async def test_check_and_set(client, ask):
    made = await ask(client.variable.create_variable, "a", {"Items": {"k": "1"}}, cas=0)
    with pytest.raises(nomad.api.exceptions.VariableConflict):
        await ask(client.variable.create_variable, "a", {"Items": {"k": "2"}}, cas=0)
    await ask(client.variable.create_variable, "a", {"Items": {"k": "2"}}, cas=made["ModifyIndex"])
    with pytest.raises(nomad.api.exceptions.VariableConflict):
        await ask(client.variable.delete_variable, "a", cas=made["ModifyIndex"])


async def _call(base, token, method, path, body=None):
    async with (
        aiohttp.ClientSession(headers={"X-Nomad-Token": token}) as session,
        session.request(method, base + path, json=body) as answer,
    ):
        return answer.status, await answer.read(), answer.headers


async def test_a_conflict_answers_the_variable_as_json(base, token):
    await _call(base, token, "PUT", "/v1/var/a", {"Items": {"k": "1"}})
    status, raw, headers = await _call(base, token, "PUT", "/v1/var/a?cas=0", {"Items": {"k": "2"}})
    assert status == 409
    assert headers["Content-Type"].startswith("application/json")
    assert b'"Items":{"k":"1"}' in raw
    status, raw, _ = await _call(base, token, "DELETE", "/v1/var/a")
    assert (status, raw) == (204, b"")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("PUT", "/v1/var/a", {}, 400, "variable missing required Items object"),
        ("PUT", "/v1/var/a?cas=x", {"Items": {"k": "v"}}, 400, "can not parse cas"),
        ("PUT", "/v1/var/nomad/x", {"Items": {"k": "v"}}, 400, "are valid paths under the top-level"),
        ("PUT", "/v1/var/a.b", {"Items": {"k": "v"}}, 400, "invalid path"),
        ("PUT", "/v1/var/kokiris/db/x", {"Items": {"k": "v"}}, 400, "platform only"),
        ("DELETE", "/v1/var/kokiris/db/x", None, 400, "platform only"),
        ("PUT", "/v1/var/a?namespace=none", {"Items": {"k": "v"}}, 400, "nonexistent namespace"),
        ("PUT", "/v1/var/a", {"Items": {"k": "x" * 70000}}, 413, "64KiB"),
        ("PUT", "/v1/var/a", {"Items": {"k": 1}}, 400, ""),
        ("GET", "/v1/var/none", None, 404, "variable not found"),
        ("GET", "/v1/var/", None, 400, "missing variable path"),
    ],
)
async def test_refusals(base, token, method, path, body, status, text):
    got, raw, _ = await _call(base, token, method, path, body)
    assert got == status, raw
    assert text in raw.decode()


async def test_nothing_opens_without_a_token(base):
    for path in ("/v1/vars", "/v1/var/a"):
        assert (await _call(base, "wrong", "GET", path))[0] == 403


async def test_locks(base, token):
    lock = {"Items": {"k": "1"}, "Lock": {"TTL": "30s", "LockDelay": "1s"}}
    async with aiohttp.ClientSession(headers={"X-Nomad-Token": token}) as session:
        async with session.put(f"{base}/v1/var/l?lock-acquire", json=lock) as answer:
            lock_id = (await answer.json())["Lock"]["ID"]
        async with session.put(f"{base}/v1/var/l?lock-acquire", json=lock) as answer:
            assert answer.status == 409
        async with session.put(f"{base}/v1/var/l?lock-renew", json={"Lock": {"ID": lock_id}}) as answer:
            assert answer.status == 200
        async with session.put(f"{base}/v1/var/l", json={"Items": {"k": "2"}}) as answer:
            assert answer.status == 409
        async with session.put(f"{base}/v1/var/l?lock-release", json={"Lock": {"ID": lock_id}}) as answer:
            assert answer.status == 200
            assert "Lock" not in await answer.json()


@pytest.fixture
async def inner(bed, variables) -> AsyncIterator[str]:
    app = make_app()
    app.add_route("/internal/v1/node/{node_id}/variables", TaskVariables(bed.core, variables))
    server = HttpServer(asgi(app), grace_s=1)
    await server.start()
    yield f"http://127.0.0.1:{server.port}"
    await server.stop()


async def test_a_worker_gets_its_tasks_variables_only(inner, bed, worker, variables):
    job = job_spec("shop", count=1)
    job.Meta = {"database": "shop"}
    await bed.core.register_job(job)
    alloc = (await until(lambda: bed.allocs("shop")))[0]
    group = job.TaskGroups[0]
    task = group.Tasks[0].Name
    for path in ("nomad/jobs/shop", "nomad/jobs/other", "kokiris/db/shop", "kokiris/db/blog", "mine"):
        await variables.put(Variable(Namespace="default", Path=path, Items={"k": path}))
    url = f"{inner}/internal/v1/node/{worker.node.ID}/variables?alloc={alloc.ID}&task={task}"
    async with aiohttp.ClientSession(headers={"X-Node-Secret": worker.secret}) as session:
        async with session.get(url) as answer:
            found = await answer.json()
        assert [one["Path"] for one in found["Variables"]] == ["nomad/jobs/shop", "kokiris/db/shop"]
        assert "kokiris/db/blog" not in found["Readable"]
        async with session.get(url.replace(alloc.ID, new_id())) as answer:
            assert answer.status == 404
    async with aiohttp.ClientSession(headers={"X-Node-Secret": "wrong"}) as session, session.get(url) as answer:
        assert answer.status == 403
