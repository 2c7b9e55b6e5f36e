"""Fixtures: a node with a real HAProxy, the servers' side, instances, a client of the VIP."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.routing.peers import Client, Instance, Node, Rpc, eventually


@pytest.fixture
def node() -> Iterator[Node]:
    folder = tempfile.mkdtemp(prefix="kk-edge-")  # tmp_path is too long for the name of a socket
    one = Node(Path(folder))
    try:
        yield one
    finally:
        one.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def rpc(node: Node) -> AsyncIterator[Rpc]:
    peer = Rpc(node)
    node.serve_rpc_at(peer.port)
    await peer.start()
    try:
        yield peer
    finally:
        await peer.stop()


@pytest.fixture
async def instance() -> AsyncIterator[Callable[..., Awaitable[Instance]]]:
    started: list[Instance] = []

    async def start(name: str, **options: Any) -> Instance:
        one = await Instance(name, **options).start()
        started.append(one)
        return one

    yield start
    for one in started:
        await one.stop()


@pytest.fixture
async def client(node: Node) -> AsyncIterator[Client]:
    one = Client(node)
    yield one
    await one.close()


@pytest.fixture
def edge_process(node: Node, rpc: Rpc) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts the edge role; whatever it started is ended by its pid."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        process = node.start_edge()
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def wait_for() -> Callable[..., Awaitable[Any]]:
    return eventually
