"""phpMyAdmin's address opens to who has signed in: a real HAProxy and the edge role."""

from __future__ import annotations

import hashlib
import http.cookies
from typing import Any

import aiohttp
import pytest

from kokiris.routing.gate import COOKIE, Gate

pytestmark = pytest.mark.engine

SECRET = "a-token-of-the-infra"


@pytest.fixture
async def running(node: Any, rpc: Any, edge_process: Any, client: Any, wait_for: Any) -> Any:
    rpc.tokens[SECRET] = "management"
    node.start_haproxy()
    edge_process()

    async def ready() -> bool:
        try:
            form = (await client.get(node.config.addresses.pma, "/.kokiris/sign-in"))[0]
            return bool(form == 401 and (await client.get(node.config.addresses.vip))[0] == 200)
        except aiohttp.ClientError:
            return False

    await wait_for(ready, "the gate's form, and the routes")


async def sign_in(client: Any, host: str, secret: str) -> tuple[int, str]:
    """(status, session)."""
    status, _, headers = await client.get(host, "/.kokiris/sign-in", method="POST", data={"token": secret})
    jar = http.cookies.SimpleCookie(headers.get("Set-Cookie", ""))
    return status, jar[COOKIE].value if COOKIE in jar else ""


async def test_only_a_session_opens_it(running: Any, node: Any, client: Any, wait_for: Any) -> None:
    host = node.config.addresses.pma
    for spelling in (host, host.upper(), f"{host}.", f"{host}:443"):
        status, _, headers = await client.get(host, "/index.php?x=1", headers={"Host": spelling})
        assert (status, headers["Location"]) == (303, "/.kokiris/sign-in?to=%2Findex.php%3Fx%3D1"), spelling
    for path in ("//.kokiris/", "/x/../.kokiris/", "/%2ekokiris/"):
        assert (await client.get(host, path))[0] != 503, path
    assert (await client.get(host, "/", headers={"Cookie": f"{COOKIE}=guessed"}))[0] == 303
    status, _, headers = await client.get(host, "/a", https=False)
    assert (status, headers["Location"]) == (308, f"https://{host}:{node.https_port}/a")

    assert (await sign_in(client, host, "wrong"))[0] == 403
    status, session = await sign_in(client, host, SECRET)
    assert status == 303
    signed_in = {"headers": {"Cookie": f"{COOKIE}={session}"}}

    async def through() -> bool:
        return bool((await client.get(host, "/", **signed_in))[0] == 503)  # "not enabled": past the gate

    await wait_for(through, "past the gate")
    kept = (node.layout.haproxy / "maps" / "gate.map").read_text()
    assert session not in kept
    assert hashlib.sha256(session.encode()).hexdigest() in kept

    node.kill_haproxy()
    node.start_haproxy()
    await wait_for(through, "past the gate after HAProxy's restart")

    status, _, _ = await client.get(host, "/.kokiris/sign-out", method="POST", **signed_in)
    assert status == 303
    assert (await client.get(host, "/", **signed_in))[0] == 303


async def test_a_session_ends(running: Any, node: Any, client: Any) -> None:
    past = Gate(
        node.layout.haproxy / "maps" / "gate.map", node.layout.run / "haproxy.sock", clock_s=lambda: 1_000_000_000
    )
    session = await past.open()
    signed_in = {"headers": {"Cookie": f"{COOKIE}={session}"}}
    assert (await client.get(node.config.addresses.pma, "/", **signed_in))[0] == 303


async def test_other_hosts_are_not_gated(running: Any, node: Any, client: Any, wait_for: Any) -> None:
    async def routed() -> bool:
        return bool((await client.get(node.config.addresses.vip))[0] == 200)

    await wait_for(routed, "the VIP's own page")
    assert (await client.get("pma.of-a-tenant.test"))[0] == 404
    assert (await client.get(node.config.addresses.vip, "/.kokiris/sign-in"))[0] == 200
