"""The page for people, and the command line, against a real listener."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from click.testing import CliRunner

from kokiris.cli.logs import line_of, logs_address
from kokiris.cli.main import root
from kokiris.kernel.errors import BadInput
from tests.engines.logs import TENANT, TOKEN, LogServer

BROWSER = {"Accept": "text/html,application/xhtml+xml"}


async def fill(server: LogServer) -> None:
    for message, level in (("<b>bold</b> reset & more", "error"), ("all well", "info")):
        document = {"message": message, "level": level, "job": "shop", "namespace": "default"}
        assert (await server.call("POST", "/logs/_doc", document))[0] == 201
    await server.call("POST", "/logs/_doc", {"message": "platform own", "namespace": "platform"})
    assert (await server.call("POST", "/_refresh"))[0] == 200


async def signed_in(server: LogServer, token: str) -> dict[str, str]:
    async with server.session.post(f"{server.url}/sign-in", data={"token": token}, allow_redirects=False) as answer:
        assert answer.status == 303
        return {**BROWSER, "Cookie": f"kokiris_logs={answer.cookies['kokiris_logs'].value}"}


async def page(server: LogServer, headers: dict[str, str], **asked: str) -> tuple[int, str, Any]:
    async with server.session.get(f"{server.url}/", params=asked, headers=headers, allow_redirects=False) as answer:
        return answer.status, await answer.text(), answer.headers


async def test_strangers_are_sent_to_the_form(server: LogServer) -> None:
    status, _, headers = await page(server, BROWSER)
    assert (status, headers["Location"]) == (303, "/sign-in")
    status, _, headers = await page(server, BROWSER, q="job:shop and status >= 500")
    assert (status, headers["Location"]) == (303, "/sign-in?to=%2F%3Fq%3Djob%3Ashop%2Band%2Bstatus%2B%253E%253D%2B500")
    async with server.session.post(f"{server.url}/sign-in", data={"token": "wrong"}) as answer:
        assert answer.status == 403


async def test_kibanas_addresses_lead_to_the_page(server: LogServer) -> None:
    for path in ("/app/discover", "/app/home", "/app/kibana"):
        async with server.session.get(server.url + path, headers=BROWSER, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert (await server.call("GET", "/app/discover"))[0] == 400


async def test_searching(server: LogServer) -> None:
    await fill(server)
    cookie = await signed_in(server, TOKEN)
    status, text, headers = await page(server, cookie, q="level:error and reset")
    assert status == 200
    assert "1 entry<" in text
    assert "&lt;b&gt;bold&lt;/b&gt; <mark>reset</mark> &amp; more" in text
    assert "width=device-width" in text
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "Refresh" not in headers
    _, _, headers = await page(server, cookie, q="job:shop", follow="1")
    assert headers["Refresh"]


async def test_events_stand_out(server: LogServer) -> None:
    await fill(server)
    event = {"kind": "Allocation", "type": "DriverFailure<"}
    document = {"message": "could not be started", "level": "error", "job": "shop", "stream": "event", "event": event}
    assert (await server.call("POST", "/logs/_doc?refresh=true", document))[0] == 201
    cookie = await signed_in(server, TOKEN)
    _, everything, _ = await page(server, cookie)
    assert everything.count('class="row event" data-level="error"') == 1
    assert "DriverFailure&lt;</a>" in everything
    _, events, _ = await page(server, cookie, show="events")
    assert "1 entry<" in events
    assert '<option value="events" selected>' in events
    _, output, _ = await page(server, cookie, show="output")
    assert "0 entries" in output


async def test_a_wrong_query_shows_where(server: LogServer) -> None:
    cookie = await signed_in(server, TOKEN)
    _, text, _ = await page(server, cookie, q="job:shop and (x")
    assert "at position 15" in text
    assert "<pre class=box>job:shop and (<mark>x</mark></pre>" in text


async def test_tenants_see_their_own(server: LogServer) -> None:
    await fill(server)
    _, text, _ = await page(server, await signed_in(server, TENANT))
    assert "2 entries" in text
    assert "platform own" not in text


async def test_command_line(server: LogServer, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(server)
    monkeypatch.setenv("NOMAD_ADDR", "https://nomad.rec1.demo.example.org")
    monkeypatch.setenv("NOMAD_TOKEN", TOKEN)
    monkeypatch.setenv("KOKIRIS_LOGS_ADDR", server.url)
    runner = CliRunner()
    found = await asyncio.to_thread(runner.invoke, root, ["logs", "job:shop and reset", "--since", "1h"])
    assert found.exit_code == 0, found.output
    assert found.output.strip().endswith("error shop: <b>bold</b> reset & more")
    wrong = await asyncio.to_thread(runner.invoke, root, ["logs", "job:shop and (x"])
    assert isinstance(wrong.exception, BadInput)
    assert "at position 15" in wrong.exception.message
    assert ">>> x" in wrong.exception.next_step


def test_lines_of_events_say_so() -> None:
    event = {"message": "Task web started", "job": "shop", "task": "web", "alloc": "4c1d0000-1", "stream": "event"}
    assert line_of({**event, "level": "info"}).endswith("info  shop/web 4c1d0000 event: Task web started")
    assert line_of({"message": "is down", "node": "node1", "stream": "event"}).endswith("- node1 event: is down"[1:])


def test_addresses_and_lines() -> None:
    assert logs_address("https://nomad.rec1.demo.example.org:8443") == "https://kib.demo.example.org:8443"
    with pytest.raises(BadInput, match="does not tell"):
        logs_address("http://127.0.0.1:4646")
    assert "\x1b" not in line_of({"message": "\x1b[2J", "@timestamp": "2026-11-23T10:00:00.123456Z"})
