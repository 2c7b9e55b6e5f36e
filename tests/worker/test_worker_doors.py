"""The node API on real tasks: files, streams, exec, restart, signal, statistics; templates that change."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import aiohttp
import pytest

from kokiris.access.tls import client_context
from kokiris.orchestrator.model.task import Template
from tests.engines.jobs import SECOND_NS, container, event_types, job, messages, process

pytestmark = pytest.mark.engine

IDLE = "trap 'exit 0' TERM INT; echo up; while :; do sleep 0.1; done"


async def run_exec(bed: Any, alloc_id: str, command: list[str], frames: list[Any], *, tty: bool = False) -> Any:
    """(output, error output, exit code or the close reason)."""
    out: dict[str, bytes] = {"stdout": b"", "stderr": b""}
    url = f"wss://127.0.0.1:{bed.config.ports.node}/v1/client/allocation/{alloc_id}/exec"
    params = {"command": json.dumps(command), "task": "web", "tty": str(tty).lower()}
    async with (
        asyncio.timeout(60),
        aiohttp.ClientSession() as session,
        session.ws_connect(url, params=params, ssl=client_context(bed.layout)) as socket,
    ):
        for frame in frames:
            await socket.send_str(json.dumps(frame))
        async for message in socket:
            frame = json.loads(message.data)
            if frame.get("exited"):
                return out["stdout"], out["stderr"], frame["result"]["exit_code"]
            for stream in out:
                out[stream] += base64.b64decode(frame.get(stream, {}).get("data", ""))
    return (
        out["stdout"],
        out["stderr"],
        (socket.close_code, socket._close_reason if hasattr(socket, "_close_reason") else ""),
    )


def typed(text: str) -> dict[str, Any]:
    return {"stdin": {"data": base64.b64encode(text.encode()).decode()}}


@pytest.mark.parametrize("make", [container, process])
async def test_exec(bed: Any, make: Any) -> None:
    await bed.start_worker()
    alloc_id = await bed.api.assign(job(make(IDLE)))
    await bed.until_logged(alloc_id, "up")
    script = "echo out; echo err >&2; exit 5"
    assert await run_exec(bed, alloc_id, ["/bin/sh", "-c", script], []) == (b"out\n", b"err\n", 5)
    end = {"stdin": {"close": True}}
    assert await run_exec(bed, alloc_id, ["/bin/cat"], [{}, typed("hello\n"), end]) == (b"hello\n", b"", 0)
    sizes = [{"tty_size": {"height": 33, "width": 77}}]
    sized = 'until [ "$(stty size)" = "33 77" ]; do sleep 0.1; done'
    shell = ["/bin/sh", "-c", f"{sized}; stty size; read x; echo got $x; tty >/dev/null && exit 3"]
    out, _, code = await run_exec(bed, alloc_id, shell, [*sizes, typed("abc\n")], tty=True)
    assert b"33 77" in out
    assert b"got abc" in out
    assert code == 3
    _, _, closed = await run_exec(bed, alloc_id, ["/no/such"], [])
    assert closed in (126, 127) or closed[0] in (1008, 1011)


async def test_exec_is_refused_in_words(bed: Any) -> None:
    await bed.start_worker()
    _, _, (code, _) = await run_exec(bed, "00000000-0000-0000-0000-000000000000", ["x"], [])
    assert code == 1008


async def test_files_and_traversal(bed: Any) -> None:
    await bed.start_worker()
    links = "ln -s /etc/passwd /alloc/data/evil; ln -s / /local/root"
    script = f"echo data > /alloc/data/a.txt; {links}; echo s > /secrets/s; echo up; sleep 3600"
    alloc_id = await bed.api.assign(job(container(script)))
    await bed.until_logged(alloc_id, "up")
    status, text = await bed.node_get(f"/v1/client/fs/ls/{alloc_id}", path="/")
    assert status == 200
    assert [one["Name"] for one in json.loads(text)] == ["alloc", "web"]
    status, text = await bed.node_get(f"/v1/client/fs/stat/{alloc_id}", path="alloc/data/a.txt")
    assert (json.loads(text)["Size"], json.loads(text)["IsDir"]) == (5, False)
    assert await bed.node_get(f"/v1/client/fs/cat/{alloc_id}", path="alloc/data/a.txt") == (200, "data\n")
    read = await bed.node_get(f"/v1/client/fs/readat/{alloc_id}", path="alloc/data/a.txt", offset="1", limit="2")
    assert read == (200, "at")
    for verb in ("cat", "stat", "ls", "readat", "stream"):
        for path in (
            "../../../../etc/passwd",
            "alloc/../../../x",
            "alloc/data/evil",
            "web/local/root/etc/passwd",
            "web/secrets/s",
            "web/secrets",
            "alloc/\0",
        ):
            status, text = await bed.node_get(f"/v1/client/fs/{verb}/{alloc_id}", path=path)
            assert status in (400, 403), (verb, path, status, text)
            assert "root:" not in text
    status, text = await bed.node_get(f"/v1/client/fs/cat/{alloc_id}", path="alloc/none")
    assert status == 404
    status, _ = await bed.node_get(f"/v1/client/fs/logs/{alloc_id}", task="none", type="stdout")
    assert status == 404
    status, _ = await bed.node_get(f"/v1/client/fs/logs/{alloc_id}", task="web", type="stdin")
    assert status == 400


async def test_only_the_infras_nodes_get_in(bed: Any) -> None:
    await bed.start_worker()
    url = f"https://127.0.0.1:{bed.config.ports.node}/v1/client/stats"
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            async with session.get(url, ssl=False) as answer:
                await answer.text()


async def test_followed_logs_come_in_frames(bed: Any) -> None:
    await bed.start_worker()
    alloc_id = await bed.api.assign(
        job(container("echo one; while [ ! -e /alloc/go ]; do sleep 0.1; done; echo two"), kind="batch")
    )
    await bed.until_logged(alloc_id, "one")
    url = f"https://127.0.0.1:{bed.config.ports.node}/v1/client/fs/logs/{alloc_id}"
    params = {"task": "web", "type": "stdout", "follow": "true", "origin": "start"}
    raw, heartbeat_seen = "", False
    async with (
        asyncio.timeout(90),
        aiohttp.ClientSession() as session,
        session.get(url, params=params, ssl=client_context(bed.layout)) as answer,
    ):
        async for chunk in answer.content.iter_any():
            raw += chunk.decode()
            if "{}" in raw and not heartbeat_seen:
                heartbeat_seen = True
                (bed.layout.allocs / alloc_id / "alloc" / "go").touch()
    decoder, frames, at = json.JSONDecoder(), [], 0
    while at < len(raw):
        frame, at = decoder.raw_decode(raw, at)
        frames.append(frame)
    data = [frame for frame in frames if frame]
    assert heartbeat_seen
    assert b"".join(base64.b64decode(frame["Data"]) for frame in data) == b"one\ntwo\n"
    assert {frame["File"] for frame in data} == {"alloc/logs/web.stdout.0"}
    assert data[-1]["Offset"] == 4
    status, text = await bed.node_get(
        f"/v1/client/fs/logs/{alloc_id}", task="web", type="stdout", origin="end", offset="4", plain="true"
    )
    assert (status, text) == (200, "two\n")


@pytest.mark.parametrize("make", [container, process])
async def test_restart_signal_and_statistics(bed: Any, make: Any) -> None:
    await bed.start_worker()
    script = "trap 'echo hup' HUP; trap 'exit 0' TERM INT; echo up; while :; do sleep 0.1; done"
    alloc_id = await bed.api.assign(job(make(script)))
    await bed.until_logged(alloc_id, "up")

    async def put(verb: str, body: dict[str, str]) -> tuple[int, str]:
        url = f"https://127.0.0.1:{bed.config.ports.node}/v1/client/allocation/{alloc_id}/{verb}"
        async with (
            aiohttp.ClientSession() as session,
            session.put(url, json=body, ssl=client_context(bed.layout)) as answer,
        ):
            return answer.status, await answer.text()

    assert (await put("signal", {"Signal": "SIGHUP", "Task": "web"}))[0] == 200
    await bed.until_logged(alloc_id, "hup")
    status, text = await put("signal", {"Signal": "SIGNOPE"})
    assert (status, "invalid signal" in text) == (400, True)
    assert (await put("restart", {"TaskName": "nope"}))[0] == 404
    status, text = await bed.node_get(f"/v1/client/allocation/{alloc_id}/stats")
    assert json.loads(text)["ResourceUsage"]["MemoryStats"]["Usage"] > 0
    assert (await put("restart", {}))[0] == 200
    client = await bed.api.until(
        alloc_id, lambda one: one.TaskStates["web"].Restarts == 1 and one.TaskStates["web"].State == "running"
    )
    assert "Restart Signaled" in event_types(client.TaskStates["web"])
    status, text = await bed.node_get("/v1/client/stats")
    assert json.loads(text)["Memory"]["Total"] > 0


async def test_template_of_a_service_is_rendered_again_and_restarts(bed: Any) -> None:
    await bed.start_worker()
    source = '{{ range service "db" }}{{ .Address }}:{{ .Port }} {{ end }}'
    templates = [
        Template(DestPath="local/db.txt", EmbeddedTmpl=source, Splay=0),
        Template(DestPath="secrets/env", EmbeddedTmpl='GREETING="hi {{ env "NOMAD_JOB_ID" }}"', Envvars=True),
    ]
    task = container("echo $GREETING; cat /local/db.txt; echo; sleep 3600", Templates=templates, KillSignal="SIGKILL")
    await bed.api.set_instances("db", [{"Address": "10.9.8.7", "Port": 1}])
    alloc_id = await bed.api.assign(job(task))
    await bed.until_logged(alloc_id, "10.9.8.7:1")
    assert "hi web" in await bed.logs(alloc_id)
    await bed.api.set_instances("db", [{"Address": "10.9.8.7", "Port": 1}, {"Address": "10.9.8.8", "Port": 2}])
    await bed.until_logged(alloc_id, "10.9.8.7:1 10.9.8.8:2")
    client = await bed.api.until(alloc_id, lambda one: one.TaskStates["web"].Restarts == 1)
    assert "Template with change_mode restart re-rendered" in messages(client.TaskStates["web"])
    folder = bed.layout.allocs / alloc_id / "web"
    assert (folder / "secrets" / "env").exists()
    await bed.api.stop_alloc(alloc_id)
    await bed.api.until_status(alloc_id, "complete")
    assert not (folder / "secrets").exists(), "what is over has no secrets on the disk"
    assert (folder / "local" / "db.txt").exists()
    assert "hi web" in await bed.logs(alloc_id)
    (folder / "secrets").mkdir()  # as a worker leaves it that is killed before it has removed them
    await bed.stop_worker()
    await bed.start_worker()
    async with asyncio.timeout(60):
        while (folder / "secrets").exists():
            await asyncio.sleep(0.05)


async def test_template_change_sends_a_signal(bed: Any) -> None:
    await bed.start_worker()
    template = Template(
        DestPath="local/db.txt",
        EmbeddedTmpl='{{ range nomadService "db" }}{{ .Port }}{{ end }}',
        ChangeMode="signal",
        ChangeSignal="SIGHUP",
        Splay=0,
    )
    script = "trap 'cat /local/db.txt; echo' HUP; echo up; while :; do sleep 0.1; done"
    await bed.api.set_instances("db", [{"Port": 7}])
    alloc_id = await bed.api.assign(job(container(script, Templates=[template], KillTimeout=SECOND_NS // 10)))
    await bed.until_logged(alloc_id, "up")
    await bed.api.set_instances("db", [{"Port": 8}])
    await bed.until_logged(alloc_id, "8\n")
    assert bed.api.clients[alloc_id].TaskStates["web"].Restarts == 0


async def test_wrong_template_fails_with_its_position(bed: Any) -> None:
    await bed.start_worker()
    template = Template(DestPath="local/x", EmbeddedTmpl='a\n{{ key "x" }}')
    client = await bed.api.until_status(await bed.api.assign(job(container("true", Templates=[template]))), "failed")
    assert 'template "local/x": 2:4: key:' in messages(client.TaskStates["web"])
