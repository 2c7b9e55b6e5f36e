"""Whose ports are held, and how long."""

from __future__ import annotations

import asyncio
import subprocess
from typing import Any

from kokiris.worker.drivers.engine import Engine
from kokiris.worker.drivers.published_ports import PublishedPorts


def container(number: int, pid: int) -> dict[str, Any]:
    binding = [{"HostIp": "172.17.0.1", "HostPort": str(20000 + number)}]
    settings = {"IPAddress": f"172.17.0.{number}", "Ports": {"8080/tcp": binding}}
    return {"Id": f"{number:064x}"[::-1], "State": {"Pid": pid}, "NetworkSettings": settings}


async def test_a_container_that_ends_lets_go_at_once_and_only_of_its_own() -> None:
    ports = PublishedPorts(Engine("/nowhere/docker.sock"), "demo/rec1@0badcafe")
    ending, staying = (subprocess.Popen(["sleep", "1000"]) for _ in range(2))  # noqa: ASYNC220 - returns at once
    first, second = container(2, ending.pid), container(3, staying.pid)
    try:
        for state in (first, second, first):
            ports.hold(state)
        assert len(ports._held) == 2
        ending.kill()
        async with asyncio.timeout(30):
            while len(ports._held) == 2:
                await asyncio.sleep(0.01)
        assert list(ports._held) == [second["Id"][:12]]
        ports.release(second["Id"])
        assert ports._held == {}
        assert ports._pidfds == {}
    finally:
        for process in (ending, staying):
            process.kill()
            process.wait()


async def test_a_process_that_is_not_seen_from_here_is_held_until_it_is_released() -> None:
    ports = PublishedPorts(Engine("/nowhere/docker.sock"), "demo/rec1@0badcafe")
    gone = subprocess.Popen(["true"])  # noqa: ASYNC220 - returns at once
    gone.wait()
    state = container(2, gone.pid)
    ports.hold(state)
    assert len(ports._held) == 1
    ended = {**state, "NetworkSettings": {"IPAddress": "", "Ports": {}}}
    ports.hold(ended)
    assert ports._held == {}
