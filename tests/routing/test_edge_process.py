"""The edge role with a real HAProxy: what clients of the VIP see."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.engine

TAGS = ["traefik.enable=true", "traefik.http.routers.web.rule=Host(`site.test`)"]


@pytest.fixture
async def running(node: Any, rpc: Any, edge_process: Any, client: Any, wait_for: Any) -> None:
    """HAProxy and the edge, with the platform's routes in place."""
    node.start_haproxy()
    edge_process()

    async def ready() -> bool:
        status, _, _ = await client.get(node.config.addresses.vip)
        return bool(status == 200)

    await wait_for(ready, "the VIP's own page")


async def test_an_instance_becomes_reachable_by_its_host(
    running: None, node: Any, rpc: Any, client: Any, instance: Any, wait_for: Any
) -> None:
    one = await instance("one")
    await rpc.put("web", "i1", one.port, TAGS)

    async def served() -> bool:
        return bool((await client.get("site.test", "/x?y=1"))[:2] == (200, "one /x?y=1"))

    await wait_for(served, "the instance's answer")
    status, _, headers = await client.get("site.test", "/x?y=1", https=False)
    assert (status, headers["Location"]) == (308, f"https://site.test:{node.https_port}/x?y=1")
    assert (await client.get("other.test"))[:2] == (404, "404 page not found")
